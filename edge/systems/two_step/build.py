"""A bundle of two-step -> the system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge.arrays.profile import ArrayProfile
from edge.nets.bundle import Bundle, Manifest
from edge.nets.net import Net
from edge.settings import build
from edge.stage_clock import StageClock
from edge.systems.bundle_checks import Shapes, check_feature_kind, check_nets, check_shapes, described_tensors
from edge.systems.label_stepper import LabelStepper
from edge.systems.two_step.accdoa import ACCDOA_TRACKS, AXES
from edge.systems.two_step.beams import KIND, BeamMaps
from edge.systems.two_step.settings import TwoStepSettings
from edge.systems.two_step.window import DOA_MAPS, FUSED, NETS, SED_MAPS, TwoStep


def from_bundle(
    bundle: Bundle, nets: Mapping[str, Net], overrides: Mapping[str, Any], array: ArrayProfile, clock: StageClock
) -> TwoStep:
    """Build two-step. See `edge.systems.SystemBuilder` for the arguments and errors."""
    manifest = bundle.manifest
    settings = build(TwoStepSettings, {**manifest.settings, **overrides}, "system")
    check_nets(manifest, nets, NETS)
    check_feature_kind(manifest, KIND)
    fused: Sequence[str] = FUSED
    if all(name in manifest.nets for name in NETS):  # otherwise they were handed in without files, as in training
        _check_inputs(manifest)
        check_shapes(manifest, _shapes(manifest, settings.window_labels), f"window_labels {settings.window_labels}")
        fused = [name for name in FUSED if name in manifest.nets["fusion"]["inputs"]]
    extractor = bundle.extractor()
    stepper = LabelStepper(extractor, manifest.stft, clock)
    beam_maps = BeamMaps(array, manifest.stft, extractor)
    return TwoStep(nets, stepper, len(manifest.class_names), settings, beam_maps, fused)


def _check_inputs(manifest: Manifest) -> None:
    """Raise ValueError if a net takes an input that the system does not give."""
    for name, known in (("doa", ()), ("sed", ()), ("fusion", FUSED)):
        for tensor in manifest.nets[name]["inputs"]:
            if tensor not in ("features", *known):
                raise ValueError(
                    f"{manifest.name}: {name}: got an input {tensor!r}, wanted {', '.join(('features', *known))} only"
                )


def _shapes(manifest: Manifest, labels: int) -> dict[str, Shapes]:
    """Shapes of the tensors of all nets. Sizes that they only share with each other are taken from the manifest."""
    doa, sed, fusion = (described_tensors(manifest, name) for name in NETS)
    frames, bands = labels * manifest.stft.frames_per_label, manifest.features.bands
    maps = DOA_MAPS.stop - DOA_MAPS.start
    tracks, doa_size, sed_size = _width(doa, "output") // AXES, _width(doa, "hidden"), _width(sed, "hidden")
    told = {"beams": [frames, bands, tracks], "doa": [labels, doa_size], "sed": [labels, sed_size]}
    return {
        "doa": {
            "features": [frames, bands, maps],
            "output": [labels, AXES * tracks],
            "hidden": [labels, doa_size],
        },
        "sed": {"features": [frames, bands, SED_MAPS.stop - SED_MAPS.start], "hidden": [labels, sed_size]},
        "fusion": {
            "features": [frames, bands, maps],
            **{name: shape for name, shape in told.items() if name in fusion},
            "output": [labels, ACCDOA_TRACKS * AXES * len(manifest.class_names)],
        },
    }


def _width(shapes: Mapping[str, Sequence[int]], tensor: str) -> int:
    """Size of the last axis of a tensor; 0 if there is no such tensor."""
    return next(reversed(shapes.get(tensor, ())), 0)

"""A bundle of ETRI -> the system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.arrays.profile import ArrayProfile
from edge.nets.bundle import Bundle, Manifest
from edge.nets.net import Net
from edge.settings import build
from edge.stage_clock import StageClock
from edge.systems.bundle_checks import Shapes, check_feature_kind, check_nets, check_shapes, described_tensors
from edge.systems.ensembles import members
from edge.systems.etri.settings import EtriSettings
from edge.systems.etri.window import NETS, Etri
from edge.systems.label_stepper import LabelStepper

KIND = "etri"  # of features


def from_bundle(
    bundle: Bundle, nets: Mapping[str, Net], overrides: Mapping[str, Any], array: ArrayProfile, clock: StageClock
) -> Etri:
    """Build ETRI. See `edge.systems.SystemBuilder` for the arguments and errors."""
    manifest = bundle.manifest
    settings = build(EtriSettings, {**manifest.settings, **overrides}, "system")
    check_nets(manifest, nets, NETS)
    check_feature_kind(manifest, KIND)
    check_shapes(manifest, _shapes(manifest, settings.window_labels), f"window_labels {settings.window_labels}")
    stepper = LabelStepper(bundle.extractor(), manifest.stft, clock)
    return Etri(nets, stepper, manifest.class_names, settings)


def _shapes(manifest: Manifest, labels: int) -> dict[str, Shapes]:
    """Shapes of the tensors of all nets. DOAE gives either angles of all classes or masks of them."""
    frames, bands, classes = labels * manifest.stft.frames_per_label, manifest.features.bands, len(manifest.class_names)
    wanted: dict[str, Shapes] = {}
    for name, outputs in (("sad", 1), ("sed", classes), ("doae", 2 * classes)):
        features = [frames, bands, NETS[name].stop - NETS[name].start]
        for member in members(name, manifest.nets):
            wanted[member] = {"features": features, "output": [labels, outputs]}
            if name == "doae" and member in manifest.nets and "masks" in described_tensors(manifest, member):
                wanted[member] = {"features": features, "masks": [frames // 2, bands // 2, classes]}
    return wanted

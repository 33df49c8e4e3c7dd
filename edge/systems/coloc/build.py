"""A bundle of CoLoC -> the system in one of its two modes.

A bundle may hold the nets of both modes; its settings, or the user's, choose one. The streaming mode has one loop for
nets that look ahead in each pass and one for causal nets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.arrays.profile import ArrayProfile
from edge.frontend.maps import FEATURES
from edge.nets.bundle import Bundle, Manifest
from edge.nets.net import Net, check_shared
from edge.settings import build
from edge.stage_clock import StageClock
from edge.systems.bundle_checks import ANY, Shapes, check_nets, check_shapes
from edge.systems.coloc import causal, streaming, window
from edge.systems.coloc.causal import ColocCausal
from edge.systems.coloc.passes import LONGEST_HOP
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.streaming import ColocStreaming
from edge.systems.coloc.window import ColocWindow
from edge.systems.label_stepper import LabelStepper

STAGES = ("localizer", "classifier")
Loop = ColocStreaming | ColocCausal | ColocWindow


def nets_and_loop(settings: ColocSettings) -> tuple[tuple[str, ...], type[Loop]]:
    """The names of the nets that the settings ask for, and the loop over them."""
    if settings.mode == "window":
        return window.NETS, ColocWindow
    return (causal.NETS, ColocCausal) if settings.causal else (streaming.NETS, ColocStreaming)


def from_bundle(
    bundle: Bundle, nets: Mapping[str, Net], overrides: Mapping[str, Any], array: ArrayProfile, clock: StageClock
) -> Loop:
    """Build CoLoC in the mode that its settings name.

    See `edge.systems.SystemBuilder` for the arguments and errors. Features with look-ahead are refused as well: the
    streaming nets carry the past themselves, label frame by label frame.
    """
    manifest = bundle.manifest
    settings = build(ColocSettings, {**manifest.settings, **overrides}, "system")
    names, loop = nets_and_loop(settings)
    check_nets(manifest, nets, names, f"for mode {settings.mode!r}")
    labels, ahead = settings.window_labels, settings.look_ahead_labels
    exported = manifest.settings.get("look_ahead_labels", ahead)
    if settings.causal and ahead != exported:  # no shape of a net tells
        raise ValueError(f"{manifest.name}: got look_ahead_labels {ahead}, wanted {exported}, as its nets were trained")
    reason = f"window_labels {labels} and look_ahead_labels {ahead}" + (" and distance" if settings.distance else "")
    check_shapes(manifest, _shapes(manifest, settings), reason)
    extractor = bundle.extractor()
    if extractor.look_ahead_labels:
        raise ValueError(f"{manifest.name}: got features {manifest.features.kind!r}, wanted a kind without look-ahead")
    for stage in STAGES if settings.mode == "streaming" else ():
        if settings.causal:
            check_shared(nets[f"{stage}_trunk"], nets[f"{stage}_pass"], "shared_labels")
        else:
            check_shared(nets[f"{stage}_front"], nets[f"{stage}_blocks"], "shared_maps")
            check_shared(nets[f"{stage}_blocks"], nets[f"{stage}_recurrence"], "shared_labels")
    stepper = LabelStepper(extractor, manifest.stft, clock)
    return loop(nets, stepper, len(manifest.class_names), settings)


def _shapes(manifest: Manifest, settings: ColocSettings) -> dict[str, Shapes]:
    """Shapes of the tensors of all nets of a mode."""
    labels, ahead, per_label = settings.window_labels, settings.look_ahead_labels, manifest.stft.frames_per_label
    bands, maps = manifest.features.bands, len(FEATURES[manifest.features.kind][1])
    wanted: dict[str, Shapes] = {}
    for stage, outputs in zip(STAGES, (3, len(manifest.class_names) + 1), strict=True):
        wanted[f"{stage}_encoder"] = {"direction": [labels, 3], "embedding": [labels, ANY]}
        if settings.mode == "window":
            wanted[stage] = {
                "features": [labels * per_label, bands, maps],
                "embedding": [labels, ANY],
                "output": [labels, outputs],
            }
        elif settings.causal:
            rows = [1, ANY, ANY]
            wanted[f"{stage}_trunk"] = {"features": [per_label, bands, maps], "shared_labels": rows}
            wanted[f"{stage}_pass"] = {"shared_labels": rows, "embedding": [1, ANY], "output": [1, outputs]}
        else:
            shared_maps, condition = [per_label, ANY, ANY], [per_label + 2, 1, ANY]
            hop = min(LONGEST_HOP, ahead + 1)
            wanted[f"{stage}_front"] = {"features": [per_label, bands, maps], "shared_maps": shared_maps}
            wanted[f"{stage}_blocks"] = {
                "shared_maps": shared_maps,
                "condition": condition,
                "shared_labels": [1, ANY, ANY],
            }
            wanted[f"{stage}_recurrence"] = {"shared_labels": [ahead + 1, ANY, ANY], "output": [hop, outputs]}
    if settings.distance:
        answering = {"classifier", "classifier_pass", "classifier_recurrence"} & wanted.keys()
        for name in answering:
            wanted[name] = {**wanted[name], "distance": [wanted[name]["output"][0], 1]}
    return wanted

"""CoLoC on the device: spectra -> stacked-tracks of directions with class probabilities.

Sequential set generation (Kapka, DCASE 2022 Task 3, section 2.3): the localizer names one direction after the other,
each time told which it has named already; then the classifier says what sounds from each (section 2.4).

A bundle may hold the nets of both modes; its settings, or the user's, choose one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.frontend.maps import FEATURES
from edge.nets.bundle import Bundle, Manifest
from edge.nets.net import Net, check_shared
from edge.settings import build
from edge.systems.coloc import streaming as coloc_streaming
from edge.systems.coloc import window as coloc_window
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.streaming import LONGEST_HOP, ColocStreaming
from edge.systems.coloc.window import ColocWindow

ANY = "any"
_MODES: dict[str, tuple[tuple[str, ...], type[ColocStreaming] | type[ColocWindow]]] = {
    "streaming": (coloc_streaming.NETS, ColocStreaming),
    "window": (coloc_window.NETS, ColocWindow),
}


def from_bundle(bundle: Bundle, nets: Mapping[str, Net], overrides: Mapping[str, Any]) -> ColocStreaming | ColocWindow:
    """The system of a bundle, with `nets` in place of its own where they are Keras', and settings overridden."""
    manifest = bundle.manifest
    settings = build(ColocSettings, {**manifest.settings, **overrides}, "system")
    names, kind = _MODES[settings.mode]
    missing = [name for name in names if name not in nets]
    if missing:
        raise ValueError(
            f"{manifest.name}: got nets {', '.join(sorted(nets))}, wanted for mode {settings.mode!r} also "
            f"{', '.join(missing)}"
        )
    _check_shapes(manifest, settings)
    extractor = bundle.extractor()
    if extractor.look_ahead_labels:
        raise ValueError(f"{manifest.name}: got features {manifest.features.kind!r}, wanted a kind without look-ahead")
    for stage in ("localizer", "classifier") if settings.mode == "streaming" else ():
        check_shared(nets[f"{stage}_front"], nets[f"{stage}_blocks"], "shared_maps")
        check_shared(nets[f"{stage}_blocks"], nets[f"{stage}_recurrence"], "shared_labels")
    return kind(nets, extractor, manifest.stft, len(manifest.class_names), settings)


def _check_shapes(manifest: Manifest, settings: ColocSettings) -> None:
    """Raise ValueError if the nets that the manifest describes have not the tensors that its settings ask for."""
    labels, ahead, per_label = settings.window_labels, settings.look_ahead_labels, manifest.stft.frames_per_label
    bands = manifest.features.bands, len(FEATURES[manifest.features.kind][1])
    for stage, answers in (("localizer", 3), ("classifier", len(manifest.class_names) + 1)):
        wanted: dict[str, dict[str, list[Any]]] = {
            f"{stage}_encoder": {"direction": [labels, 3], "embedding": [labels, ANY]}
        }
        if settings.mode == "window":
            features = [labels * per_label, *bands]
            wanted[stage] = {"features": features, "embedding": [labels, ANY], "output": [labels, answers]}
        else:
            maps, rows, hops = [per_label, ANY, ANY], [ANY, ANY], min(LONGEST_HOP, ahead + 1)
            told = [per_label + 2, 1, ANY]
            wanted |= {
                f"{stage}_front": {"features": [per_label, *bands], "shared_maps": maps},
                f"{stage}_blocks": {"shared_maps": maps, "condition": told, "shared_labels": [1, *rows]},
                f"{stage}_recurrence": {"shared_labels": [ahead + 1, *rows], "output": [hops, answers]},
            }
        for name in (name for name in wanted if name in manifest.nets):  # those that have no files check themselves
            tensors = {**manifest.nets[name]["inputs"], **manifest.nets[name]["outputs"]}
            for tensor, shape in wanted[name].items():
                got = tensors.get(tensor, [])
                if len(got) != len(shape) or any(ANY != size != real for size, real in zip(shape, got, strict=True)):
                    raise ValueError(
                        f"{manifest.name}: {name}: got {tensor} of shape {got}, wanted {shape} "
                        f"by window_labels {labels} and look_ahead_labels {ahead}"
                    )

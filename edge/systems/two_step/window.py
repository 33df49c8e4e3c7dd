"""Two-step on the device: spectra -> active classes and their directions (Yu 2025).

Three nets look at windows of 5 s. The DOA net names directions of K tracks; delay-and-sum beams look that way; the SED
net hears which classes each track has; the fusion net is told of all that and gives multi-ACCDOA, which is decoded.
Each of the four comes a step after the one before it: with hops of four labels or more no step is longer than the
longest of them. Where the DOA net is sure of no track in the part of the window that is to be answered, none of the
others is asked.

The fusion net knows best what sounds; where, the DOA net does. A direction of the one turns toward the nearest track of
the other, if that is sure and not far (`steered`). The paper does not say so; `steer_deg` 0 leaves it out.

The middle `hop_labels` of each window are the answer (section 3.1 has 5 s windows side by side, which on a device would
be 5 s late at least).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edge.arrays.profile import ArrayProfile, load_array
from edge.frontend.beams import Beamformer
from edge.frontend.maps import MICROPHONES, FeatureExtractor, FeatureSettings, logmel, mel_bank
from edge.frontend.stft import StftSettings
from edge.nets.bundle import Bundle, Manifest
from edge.nets.net import Net
from edge.settings import build
from edge.systems.stepping import Answers, WindowLoop
from edge.systems.two_step.accdoa import AXES, decode_accdoa, steered
from edge.systems.two_step.settings import TwoStepSettings
from edge.types import ComplexArray, FloatArray, TrackFrames

KIND = "two_step"  # of features
DOA_MAPS, SED_MAPS = slice(0, 7), slice(7, 9)  # of those; the fusion net is given what the DOA net is given
NETS = ("doa", "sed", "fusion")
FUSED = ("beams", "doa", "sed")
ACCDOA_TRACKS = 3


class BeamMaps:
    """Microphones (frames, 4, bins), vectors (K, 3) of a label frame -> log-mel of its beams (frames, bands, K).

    Normalised as the log-mel of W is: a beam toward a source is as loud as the source in W.
    """

    def __init__(self, profile: ArrayProfile, stft: StftSettings, extractor: FeatureExtractor) -> None:
        self._beams = Beamformer(profile, stft)
        self._mel = mel_bank(FeatureSettings(KIND, extractor.bands), stft)
        self._extractor = extractor

    def __call__(self, microphones: ComplexArray, vectors: FloatArray) -> FloatArray:
        """The maps of a label frame."""
        return self._extractor.normalised(logmel(self._beams(microphones, vectors), self._mel), 0)


class TwoStep(WindowLoop):
    """The sequential loop over the three nets and the beams, behind `step`, `finish` and `reset`."""

    def __init__(
        self,
        nets: Mapping[str, Net],
        extractor: FeatureExtractor,
        stft: StftSettings,
        classes: int,
        settings: TwoStepSettings,
        array: ArrayProfile,
        fused: Sequence[str] = FUSED,
    ) -> None:
        """`fused` is what the fusion net takes besides the features."""
        super().__init__(extractor, stft, settings.window_labels, settings.hop_labels, steps=4)
        self._hops = [settings.hop_labels]
        while self._hops[-1] < settings.window_labels:
            self._hops.append(min(2 * self._hops[-1], settings.window_labels))
        self.levels = tuple(f"windows every {hop * stft.label_s:.1f} s" for hop in self._hops)
        self._nets = {name: nets[name] for name in NETS}
        self.settings, self._classes, self._fused = settings, classes, fused
        self._no_microphones = np.zeros((stft.frames_per_label, MICROPHONES, stft.bins), np.complex64)
        self.set_array(array)
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Most time from a sound to the answer about it, computing time aside, at the level that is set."""
        return self._delay_labels * self._stft.label_s

    def set_level(self, index: int) -> None:
        """Work less: index into `levels`, 0 for full quality. Longer hops leave less context beside the answers."""
        self._set_hop(self._hops[index])

    def set_array(self, profile: ArrayProfile) -> None:
        """Which array is heard: the beams are those of its microphones."""
        super().set_array(profile)
        self._beam_maps = BeamMaps(profile, self._stft, self._extractor)

    def _restart(self, label: int) -> None:
        super()._restart(label)
        self._microphones = deque([self._no_microphones] * self._window_labels, self._window_labels)

    def advance(self, maps: FloatArray) -> Iterator[TrackFrames]:
        """Take the maps (frames, bands, maps) of the next label frame; yield the answers that it completes."""
        latest, self._latest = self._latest, None
        self._microphones.append(self._no_microphones if latest is None else latest.bins[:, -MICROPHONES:])
        return super().advance(maps)

    def ask(self, maps: FloatArray, part: slice) -> Iterator[Answers | None]:
        """A window of maps (frames, bands, maps) -> of its `part`, multi-ACCDOA (labels, 3, 3, classes) or zeros, and
        the vectors of the DOA net (labels, K, 3).

        The DOA net is asked in the first step, the beams are made in the second, then come SED and fusion.
        """
        microphones = list(self._microphones)
        features = maps[..., DOA_MAPS]
        doa = self._nets["doa"](features=features)
        vectors = doa["output"].reshape(self._window_labels, -1, AXES)
        self.clock.lap("doa")
        yield None
        if not np.any(np.linalg.norm(vectors[part], axis=-1) > self.settings.sure):
            yield None
            yield None
            yield np.zeros((part.stop - part.start, ACCDOA_TRACKS, AXES, self._classes), np.float32), vectors[part]
            return
        told = {"doa": doa["hidden"]}
        if "beams" in self._fused:
            beams = [self._beam_maps(*heard) for heard in zip(microphones, vectors, strict=True)]
            told["beams"] = np.concatenate(beams)
        self.clock.lap("beams")
        yield None
        if "sed" in self._fused:
            told["sed"] = self._nets["sed"](features=maps[..., SED_MAPS])["hidden"]
        self.clock.lap("sed")
        yield None
        told = {"features": features} | {name: told[name] for name in self._fused}
        output = self._nets["fusion"](None, **told)["output"]
        self.clock.lap("fusion")
        yield output.reshape(self._window_labels, ACCDOA_TRACKS, AXES, self._classes)[part], vectors[part]

    def conclude(self, *answers: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Multi-ACCDOA and vectors of the DOA net -> activity and direction of slots."""
        output, vectors = answers
        settings = self.settings
        activity, direction = decode_accdoa(output, settings.max_overlap, settings.threshold, settings.unify_deg)
        if settings.steer_deg > 0.0:
            direction = steered(direction, vectors, settings.sure, settings.steer_deg, settings.steer_share)
        self.clock.lap("accdoa")
        return activity, direction


def from_bundle(bundle: Bundle, nets: Mapping[str, Net], overrides: Mapping[str, Any]) -> TwoStep:
    """The system of a bundle, with `nets` in place of its own where they are Keras', and settings overridden."""
    manifest = bundle.manifest
    settings = build(TwoStepSettings, {**manifest.settings, **overrides}, "system")
    missing = [name for name in NETS if name not in nets]
    if missing:
        raise ValueError(f"{manifest.name}: got nets {', '.join(sorted(nets))}, wanted also {', '.join(missing)}")
    if manifest.features.kind != KIND:
        raise ValueError(f"{manifest.name}: got features {manifest.features.kind!r}, wanted {KIND!r}")
    _check_shapes(manifest, settings)
    classes, array = len(manifest.class_names), load_array(manifest.arrays[0])
    fused = [name for name in FUSED if "fusion" not in manifest.nets or name in manifest.nets["fusion"]["inputs"]]
    return TwoStep(nets, bundle.extractor(), manifest.stft, classes, settings, array, fused)


def _check_shapes(manifest: Manifest, settings: TwoStepSettings) -> None:
    """Raise ValueError if the nets that the manifest describes have not the tensors that its settings ask for."""
    if any(name not in manifest.nets for name in NETS):  # those that have no files check themselves
        return
    tensors = {name: {**manifest.nets[name]["inputs"], **manifest.nets[name]["outputs"]} for name in NETS}
    labels, classes = settings.window_labels, len(manifest.class_names)
    frames, bands = labels * manifest.stft.frames_per_label, manifest.features.bands
    tracks = _width(tensors["doa"], "output") // AXES
    doa, sed = (_width(tensors[name], "hidden") for name in ("doa", "sed"))
    wanted: dict[str, dict[str, list[int]]] = {
        "doa": {"features": [frames, bands, 7], "output": [labels, AXES * tracks], "hidden": [labels, doa]},
        "sed": {"features": [frames, bands, 2], "hidden": [labels, sed]},
        "fusion": {
            "features": [frames, bands, 7],
            "beams": [frames, bands, tracks],
            "doa": [labels, doa],
            "sed": [labels, sed],
            "output": [labels, ACCDOA_TRACKS * AXES * classes],
        },
    }
    for name in FUSED:
        if name not in tensors["fusion"]:
            del wanted["fusion"][name]
    for name, shapes in wanted.items():
        for tensor in manifest.nets[name]["inputs"]:
            if tensor not in shapes:
                raise ValueError(f"{manifest.name}: {name}: got an input {tensor!r}, wanted {', '.join(shapes)} only")
        for tensor, shape in shapes.items():
            if (got := tensors[name].get(tensor, [])) != shape:
                raise ValueError(
                    f"{manifest.name}: {name}: got {tensor} of shape {got}, wanted {shape} by window_labels {labels}"
                )


def _width(shapes: Mapping[str, Sequence[int]], tensor: str) -> int:
    """The last axis of a tensor, 0 without any."""
    return next(reversed(shapes.get(tensor, ())), 0)

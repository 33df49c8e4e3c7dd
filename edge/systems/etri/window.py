"""ETRI on the device: spectra -> active classes and their directions (Park et al., DCASE 2020 Task 3, section 3.3).

Three nets look at windows of features: SAD says when anything sounds, SED which classes do, DOAE where each of them is.
Each net is asked only if the one before it found something, and each a step after it: no step is longer than the
longest net. A window without activity costs one net.

The paper leaves open what happens where windows overlap. Here the middle of each is the answer (`WindowLoop`): what a
label frame is gated by and what is answered about it belong together, no two directions have to be averaged, and no
label frame waits for a second window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edge.frontend.maps import FeatureExtractor
from edge.frontend.stft import StftSettings
from edge.geometry import unit_vector
from edge.nets.bundle import Bundle, Manifest
from edge.nets.net import Net
from edge.settings import build
from edge.systems.etri.masks import mask_directions
from edge.systems.etri.post_processing import PostProcessing
from edge.systems.etri.settings import EtriSettings
from edge.systems.stepping import Answers, WindowLoop
from edge.types import FloatArray, TrackFrames

KIND = "etri"  # of features
SED_MAPS, DOAE_MAPS = slice(0, 3), slice(3, 13)  # of those; SAD is given what SED is given
NETS = {"sad": SED_MAPS, "sed": SED_MAPS, "doae": DOAE_MAPS}


class Etri(WindowLoop):
    """The sequential loop over the three nets of ETRI, behind `step`, `finish` and `reset`."""

    def __init__(
        self,
        nets: Mapping[str, Net],
        extractor: FeatureExtractor,
        stft: StftSettings,
        class_names: Sequence[str],
        settings: EtriSettings,
    ) -> None:
        super().__init__(extractor, stft, settings.window_labels, settings.hop_labels, steps=len(NETS))
        self._hops = [settings.hop_labels]
        while self._hops[-1] < settings.window_labels:
            self._hops.append(min(2 * self._hops[-1], settings.window_labels))
        self.levels = tuple(f"windows every {hop * stft.label_s:.1f} s" for hop in self._hops)
        self._nets = {name: nets[name] for name in NETS}
        self.settings = settings
        self._classes = len(class_names)
        self._slots = min(settings.max_overlap, self._classes)
        self._post = PostProcessing(settings, class_names, stft.label_s)
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Most time from a sound to the answer about it, computing time aside, at the level that is set."""
        return (self._delay_labels + self._post.delay_labels) * self._stft.label_s

    def set_level(self, index: int) -> None:
        """Work less: index into `levels`, 0 for full quality. Longer hops leave less context beside the answers."""
        self._set_hop(self._hops[index])

    def _restart(self, label: int) -> None:
        super()._restart(label)
        self._post.reset()

    def _rest(self) -> Iterator[TrackFrames]:
        yield from super()._rest()
        yield from self._told(*self._strongest(*self._post.finish()))

    def ask(self, maps: FloatArray, part: slice) -> Iterator[Answers | None]:
        """A window of maps (frames, bands, maps) -> in the third step, about `part` of its label frames:

        SAD (labels,), SED (labels, classes) and unit vectors (labels, classes, 3), zero where nothing is known.
        """
        sad = self._answer("sad", maps)["output"][part, 0]
        sed = np.zeros((len(sad), self._classes), np.float32)
        direction = np.zeros((*sed.shape, 3), np.float32)
        yield None
        if np.any(sad > self.settings.sad_threshold):
            sed = self._answer("sed", maps)["output"][part]
        yield None
        if np.any(sed > self.settings.sed_threshold):
            direction = self._directions(maps)[part]
        yield sad, sed, direction

    def conclude(self, *answers: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What the three nets say -> the strongest classes and their directions, of earlier label frames."""
        return self._strongest(*self._post.push(*answers))

    def _strongest(self, activity: FloatArray, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        tracks = strongest(activity, direction, self._slots)
        self.clock.lap("post")
        return tracks

    def _directions(self, maps: FloatArray) -> FloatArray:
        """Unit vectors (labels, classes, 3), of the angles or by the masks that DOAE gives."""
        answer = self._answer("doae", maps)
        if "masks" in answer:
            return mask_directions(answer["masks"], maps[..., DOAE_MAPS], self.settings.window_labels)
        angles_deg = 180.0 * answer["output"]
        azimuth_deg, elevation_deg = angles_deg[:, : self._classes], angles_deg[:, self._classes :]
        return unit_vector(azimuth_deg, np.clip(elevation_deg, -90.0, 90.0)).astype(np.float32)

    def _answer(self, name: str, maps: FloatArray) -> dict[str, FloatArray]:
        answer = self._nets[name](features=maps[..., NETS[name]])
        self.clock.lap(name)
        return answer


def strongest(activity: FloatArray, direction: FloatArray, slots: int) -> tuple[FloatArray, FloatArray]:
    """Activity (labels, classes), direction (labels, classes, 3) -> (labels, slots, classes), (labels, slots, 3).

    A slot has the activity of its own class only: a direction is that of one class. Slots that are left are zero.
    """
    order = np.argsort(-activity, axis=1, kind="stable")[:, :slots, None]
    most = np.take_along_axis(activity[..., None], order, axis=1)  # (labels, slots, 1)
    alone = np.zeros((len(activity), slots, activity.shape[1]), np.float32)
    np.put_along_axis(alone, order, most, axis=2)
    return alone, np.take_along_axis(direction, order, axis=1) * (most > 0)


def from_bundle(bundle: Bundle, nets: Mapping[str, Net], overrides: Mapping[str, Any]) -> Etri:
    """The system of a bundle, with `nets` in place of its own where they are Keras', and settings overridden."""
    manifest = bundle.manifest
    settings = build(EtriSettings, {**manifest.settings, **overrides}, "system")
    missing = [name for name in NETS if name not in nets]
    if missing:
        raise ValueError(f"{manifest.name}: got nets {', '.join(sorted(nets))}, wanted also {', '.join(missing)}")
    if manifest.features.kind != KIND:
        raise ValueError(f"{manifest.name}: got features {manifest.features.kind!r}, wanted {KIND!r}")
    _check_shapes(manifest, settings)
    return Etri(nets, bundle.extractor(), manifest.stft, manifest.class_names, settings)


def _check_shapes(manifest: Manifest, settings: EtriSettings) -> None:
    """Raise ValueError if the nets that the manifest describes have not the tensors that its settings ask for."""
    labels, classes = settings.window_labels, len(manifest.class_names)
    for name, answers in (("sad", 1), ("sed", classes), ("doae", 2 * classes)):
        if name in manifest.nets:  # those that have no files check themselves
            maps = NETS[name].stop - NETS[name].start
            frames = labels * manifest.stft.frames_per_label
            bands = manifest.features.bands
            got = {**manifest.nets[name]["inputs"], **manifest.nets[name]["outputs"]}
            wanted = {"features": [frames, bands, maps], "output": [labels, answers]}
            if "masks" in got:
                wanted = {"features": [frames, bands, maps], "masks": [frames // 2, bands // 2, classes]}
            for tensor, shape in wanted.items():
                if got.get(tensor, []) != shape:
                    raise ValueError(
                        f"{manifest.name}: {name}: got {tensor} of shape {got.get(tensor, [])}, wanted {shape} "
                        f"by window_labels {labels}"
                    )

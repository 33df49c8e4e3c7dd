"""ETRI on the device: spectra -> active classes and their directions (Park et al., DCASE 2020 Task 3, section 3.3).

Three nets look at windows of features: SAD says when anything sounds, SED which classes do, DOAE where each of them is.
Each net is asked only if the one before it found something, and each a step after it: no step is longer than the
longest net. A window without activity costs one net.

Windows of `window_labels` follow each other every `hop_labels`; the middle of each is the answer. The paper leaves open
what happens where windows overlap. Their middles have context on both sides, and one window answers for each label
frame: what it is gated by and what it answers belong together, no two directions have to be averaged, and no label
frame waits for a second window. Before the stream and after it there is silence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edge.bundle import Bundle, Manifest
from edge.clock import StageClock
from edge.config import build
from edge.features import FeatureExtractor
from edge.geometry import unit_vector
from edge.nets import Net
from edge.stft import StftSettings
from edge.systems.etri_post import PostProcessing
from edge.systems.etri_settings import EtriSettings
from edge.types import FloatArray, Spectra, TrackFrames

CHANNELS = 4
KIND = "etri"  # of features
SED_MAPS, DOAE_MAPS = slice(0, 3), slice(3, 13)  # of those; SAD is given what SED is given
NETS = {"sad": SED_MAPS, "sed": SED_MAPS, "doae": DOAE_MAPS}

Answers = tuple[FloatArray, FloatArray, FloatArray]
"""SAD (labels,), SED (labels, classes) and unit vectors (labels, classes, 3), zero where nothing is known."""


class Etri:
    """The sequential loop over the three nets of ETRI, behind `step`, `finish` and `reset`."""

    def __init__(
        self,
        nets: Mapping[str, Net],
        extractor: FeatureExtractor,
        stft: StftSettings,
        class_names: Sequence[str],
        settings: EtriSettings,
    ) -> None:
        self.clock = StageClock()
        self._hops = [settings.hop_labels]
        while self._hops[-1] < settings.window_labels:
            self._hops.append(min(2 * self._hops[-1], settings.window_labels))
        self.levels = tuple(f"windows every {hop * stft.label_s:.1f} s" for hop in self._hops)
        self._nets = {name: nets[name] for name in NETS}
        self._extractor, self._stft, self.settings = extractor, stft, settings
        self._classes = len(class_names)
        self._slots = min(settings.max_overlap, self._classes)
        self._post = PostProcessing(settings, class_names, stft.label_s)
        silence = Spectra(np.zeros((stft.frames_per_label, CHANNELS, stft.bins), np.complex64), 0)
        (features,) = [*extractor.push(silence), *extractor.finish()]
        self._silence = features.maps
        self.set_level(0)
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Most time from a sound to the answer about it, computing time aside, at the level that is set."""
        window_labels = self._hop + self._look_ahead
        nets_after_the_first = len(NETS) - 1
        delays = self._extractor.look_ahead_labels, window_labels, nets_after_the_first, self._post.delay_labels
        return sum(delays) * self._stft.label_s

    def set_level(self, index: int) -> None:
        """Work less: index into `levels`, 0 for full quality. Longer hops leave less context beside the answers."""
        self._hop = self._hops[index]
        self._look_ahead = (self.settings.window_labels - self._hop) // 2

    def step(self, spectra: Spectra) -> Iterator[TrackFrames]:
        """Take one label frame; yield the answers it completes: none, or about `hop_labels` label frames of them.

        Spectra that do not continue the ones before them close the stream and begin a new one.
        """
        label = spectra.start // self._stft.frames_per_label
        if label != self._heard:
            yield from self.finish()
            self._restart(label)
        self._heard += 1
        features = list(self._extractor.push(spectra))
        self.clock.lap("features")
        for each in features:
            yield from self.advance(each.maps)

    def finish(self) -> Iterator[TrackFrames]:
        """End of stream: answer about everything heard, as if silence followed."""
        for features in self._extractor.finish():
            yield from self.advance(features.maps)
        while self._asked < self._heard:
            yield from self.advance(self._silence)
        while self._under_way:
            yield from self._ask()
        yield from self._tracks(*self._post.finish())
        self._restart(self._heard)

    def reset(self) -> None:
        """Forget the past: the next label frame is expected to be number 0."""
        self._restart(0)

    def _restart(self, label: int) -> None:
        self._extractor.reset()
        self._post.reset()
        self._maps = deque([self._silence] * self.settings.window_labels, self.settings.window_labels)
        self._under_way: deque[Iterator[Answers | None]] = deque()
        self._heard = self._known = label  # end of the spectra and of the maps
        self._asked = self._answered = label  # end of what windows answer about, and of what was answered

    def advance(self, maps: FloatArray) -> Iterator[TrackFrames]:
        """Take the maps (frames, bands, maps) of the next label frame; yield the answers that it completes."""
        self._maps.append(maps)
        self._known += 1
        end = self._known - self._look_ahead
        if end - self._asked >= self._hop:
            first = self.settings.window_labels - (self._known - self._asked)
            count = min(end, self._heard) - self._asked
            self._under_way.append(self._window(np.concatenate(self._maps), slice(first, first + count)))
            self._asked += count
        yield from self._ask()

    def _ask(self) -> Iterator[TrackFrames]:
        """Go on by one net in each window under way; yield the answers of the one that is through."""
        for answers in [next(window) for window in self._under_way]:
            if answers is not None:
                self._under_way.popleft()
                processed = self._post.push(*answers)
                yield from self._tracks(*processed)

    def _window(self, maps: FloatArray, part: slice) -> Iterator[Answers | None]:
        """The answers about `part` of the label frames of a window of maps (frames, bands, maps), the third time."""
        sad = self._output("sad", maps)[part, 0]
        sed = np.zeros((len(sad), self._classes), np.float32)
        direction = np.zeros((*sed.shape, 3), np.float32)
        yield None
        if np.any(sad > self.settings.sad_threshold):
            sed = self._output("sed", maps)[part]
        yield None
        if np.any(sed > self.settings.sed_threshold):
            angles_deg = 180.0 * self._output("doae", maps)[part]
            azimuth_deg, elevation_deg = angles_deg[:, : self._classes], angles_deg[:, self._classes :]
            direction = unit_vector(azimuth_deg, np.clip(elevation_deg, -90.0, 90.0)).astype(np.float32)
        yield sad, sed, direction

    def _output(self, name: str, maps: FloatArray) -> FloatArray:
        output = self._nets[name](features=maps[..., NETS[name]])["output"]
        self.clock.lap(name)
        return output

    def _tracks(self, activity: FloatArray, direction: FloatArray) -> Iterator[TrackFrames]:
        """Activity (labels, classes) and direction (labels, classes, 3) of classes -> of the strongest of them."""
        tracks = TrackFrames(*strongest(activity, direction, self._slots), self._answered)
        self._answered += len(activity)
        self.clock.lap("post")
        if len(activity):
            yield tracks


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
            wanted = {"features": [frames, manifest.features.bands, maps], "output": [labels, answers]}
            got = {**manifest.nets[name]["inputs"], **manifest.nets[name]["outputs"]}
            for tensor, shape in wanted.items():
                if got.get(tensor, []) != shape:
                    raise ValueError(
                        f"{manifest.name}: {name}: got {tensor} of shape {got.get(tensor, [])}, wanted {shape} "
                        f"by window_labels {labels}"
                    )

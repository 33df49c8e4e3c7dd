"""CoLoC on the device, window by window, as in the paper.

Windows of `window_labels` follow each other every `hop_labels`; the middle `hop_labels` of each are the answer, so that
both sides have context. `latency_s` is what that costs. Before the stream and after it there is silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from edge.clock import StageClock
from edge.features import FeatureExtractor
from edge.framing import Framer
from edge.geometry import perturb_angles
from edge.nets import Net
from edge.stft import StftSettings
from edge.systems.coloc_settings import CHANNELS, ColocSettings
from edge.types import FloatArray, Spectra, TrackFrames

NETS = ("localizer_encoder", "localizer", "classifier_encoder", "classifier")


class ColocWindow:
    """The sequential loop over the four nets of CoLoC, behind `step`, `finish` and `reset`."""

    def __init__(
        self,
        nets: Mapping[str, Net],
        extractor: FeatureExtractor,
        stft: StftSettings,
        classes: int,
        settings: ColocSettings,
    ) -> None:
        self.clock = StageClock()
        self.levels = tuple(
            f"{count} {'tracks' if count > 1 else 'track'}" for count in range(settings.max_overlap, 0, -1)
        )
        self._nets = {name: nets[name] for name in NETS}
        self._extractor = extractor
        self._stft = stft
        self._classes = classes
        self.settings = settings
        self._look_ahead = (settings.window_labels - settings.hop_labels) // 2
        per_label = stft.frames_per_label
        self._framer = Framer(
            settings.window_labels * per_label,
            settings.hop_labels * per_label,
            (extractor.bands, len(extractor.map_names)),
        )
        self._silence = extractor(Spectra(np.zeros((per_label, CHANNELS, stft.bins), np.complex64), 0)).maps
        self._random = np.random.default_rng(0)
        self.set_level(0)
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Most time from a sound to the answer about it, computing time aside."""
        return (self._look_ahead + self.settings.hop_labels) * self._stft.label_s

    def set_level(self, index: int) -> None:
        """Work less: index into `levels`, 0 for full quality."""
        self._tracks = self.settings.max_overlap - index

    def step(self, spectra: Spectra) -> Iterator[TrackFrames]:
        """Take one label frame; yield the answers it completes: none, or `hop_labels` label frames of them.

        Spectra that do not continue the ones before them close the stream and begin a new one.
        """
        label = spectra.start // self._stft.frames_per_label
        if label != self._heard:
            yield from self.finish()
            self._restart(label)
        self._heard += 1
        maps = self._extractor(spectra).maps
        self.clock.lap("features")
        yield from self.advance(maps)

    def finish(self) -> Iterator[TrackFrames]:
        """End of stream: answer about everything heard, as if silence followed."""
        while self._answered < self._heard:
            yield from self.advance(self._silence)
        self._restart(self._heard)

    def reset(self) -> None:
        """Forget the past: the next label frame is expected to be number 0."""
        self._restart(0)

    def _restart(self, label: int) -> None:
        self._framer.reset()
        for _ in range(self._look_ahead):
            list(self._framer.push(self._silence))  # completes no window: those are longer
        self._random = np.random.default_rng(0)
        self._heard = self._answered = label

    def advance(self, maps: FloatArray) -> Iterator[TrackFrames]:
        """Take the maps (frames, bands, maps) of the next label frame; yield the answers that it completes."""
        for window in self._framer.push(maps):
            activity, direction = self.infer(window)
            count = min(self.settings.hop_labels, self._heard - self._answered)
            middle = slice(self._look_ahead, self._look_ahead + count)
            start, self._answered = self._answered, self._answered + count
            yield TrackFrames(activity[middle], direction[middle], start)

    def infer(self, maps: FloatArray) -> tuple[FloatArray, FloatArray]:
        """A window of maps (frames, bands, maps) -> activity (labels, slots, classes), direction (labels, slots, 3)."""
        labels, slots = self.settings.window_labels, self.settings.max_overlap
        activity = np.zeros((labels, slots, self._classes), np.float32)
        direction = np.zeros((labels, slots, 3), np.float32)
        tracks = self._localize(maps)
        self.clock.lap("localizer")
        for slot, found in enumerate(tracks):
            direction[:, slot] = found
            activity[:, slot] = self._classify(maps, found)
        self.clock.lap("classifier")
        return activity, direction

    def _localize(self, maps: FloatArray) -> list[FloatArray]:
        """Directions (labels, 3) of each stacked-track, at most `max_overlap` of them, zero where it is empty.

        Step n encodes the n directions known in a frame and averages the embeddings; where there are fewer it encodes
        the origin, and its answer there is not read: the set of that frame is complete already.
        """
        encode = self._nets["localizer_encoder"]
        live: NDArray[np.bool_] = np.ones(self.settings.window_labels, dtype=bool)
        origin = encode(direction=np.zeros((self.settings.window_labels, 3), np.float32))["embedding"]
        embedding, embedding_sum = origin, np.zeros_like(origin)
        found: list[FloatArray] = []
        for known in range(1, self._tracks + 1):
            named = self._nets["localizer"](features=maps, embedding=embedding)["output"]
            length = np.linalg.norm(named, axis=-1, keepdims=True)
            live = live & (length[:, 0] > self.settings.threshold)
            if not live.any():
                break
            direction = np.where(live[:, None], named / np.maximum(length, np.float32(1e-6)), np.float32(0.0))
            found.append(direction)
            if known < self._tracks:
                embedding_sum = embedding_sum + encode(direction=self._perturbed(direction))["embedding"]
                embedding = np.where(live[:, None], embedding_sum / np.float32(known), origin)
        return found

    def _classify(self, maps: FloatArray, direction: FloatArray) -> FloatArray:
        """Class probabilities (labels, classes) of what sounds from `direction` (labels, 3); zero where it is empty."""
        embedding = self._nets["classifier_encoder"](direction=self._perturbed(direction))["embedding"]
        probability = self._nets["classifier"](features=maps, embedding=embedding)["output"]
        return probability[:, :-1] * np.any(direction != 0, axis=-1, keepdims=True)

    def _perturbed(self, direction: FloatArray) -> FloatArray:
        most_deg = self.settings.perturbation_deg
        if most_deg == 0.0:
            return direction
        return perturb_angles(direction, most_deg, self._random)

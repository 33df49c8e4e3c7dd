"""What the loops of the systems share: label frames that follow each other, and windows of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator

import numpy as np

from edge.arrays.profile import ArrayProfile
from edge.frontend.maps import FeatureExtractor
from edge.frontend.stft import StftSettings
from edge.stage_clock import StageClock
from edge.types import FloatArray, Spectra, TrackFrames

Answers = tuple[FloatArray, ...]
"""Of nets, about some label frames: each (labels, ...)."""


class LabelLoop(ABC):
    """Spectra -> maps -> answers, one label frame at a time, behind `step`, `finish` and `reset`."""

    def __init__(self, extractor: FeatureExtractor, stft: StftSettings) -> None:
        self.clock = StageClock()
        self._extractor, self._stft = extractor, stft
        extractor.reset()
        silence = Spectra(np.zeros((stft.frames_per_label, extractor.channels, stft.bins), np.complex64), 0)
        (features,) = [*extractor.push(silence), *extractor.finish()]
        self._silence = features.maps
        self._heard = 0  # end of the label frames taken
        self._latest: Spectra | None = None  # of the last of them, until its maps are known

    def set_array(self, profile: ArrayProfile) -> None:
        """Which array is heard."""
        self.array = profile

    def step(self, spectra: Spectra) -> Iterator[TrackFrames]:
        """Take one label frame; yield the answers that it completes.

        Spectra that do not continue the ones before them close the stream and begin a new one.
        """
        label = spectra.start // self._stft.frames_per_label
        if label != self._heard:
            yield from self.finish()
            self._restart(label)
        self._heard += 1
        self._latest = spectra
        features = list(self._extractor.push(spectra))
        self.clock.lap("features")
        for each in features:
            yield from self.advance(each.maps)

    def finish(self) -> Iterator[TrackFrames]:
        """End of stream: answer about everything heard, as if silence followed."""
        for features in self._extractor.finish():
            yield from self.advance(features.maps)
        yield from self._rest()
        self._restart(self._heard)

    def reset(self) -> None:
        """Forget the past: the next label frame is expected to be number 0."""
        self._restart(0)

    @abstractmethod
    def advance(self, maps: FloatArray) -> Iterator[TrackFrames]:
        """Take the maps (frames, bands, maps) of the next label frame; yield the answers that it completes."""

    @abstractmethod
    def _rest(self) -> Iterator[TrackFrames]:
        """Answer about all label frames that are left."""

    def _restart(self, label: int) -> None:
        """Forget the past: `label` comes next."""
        self._extractor.reset()
        self._heard, self._latest = label, None


class WindowLoop(LabelLoop):
    """Windows of `window_labels` that follow each other every `hop_labels`; the middle of each is the answer.

    So both sides have context, and one window answers for each label frame. A window may be asked about in several
    steps, so that no step is longer than its longest part. Before the stream and after it there is silence.
    """

    def __init__(
        self, extractor: FeatureExtractor, stft: StftSettings, window_labels: int, hop_labels: int, steps: int = 1
    ) -> None:
        """`steps` are those that `ask` takes."""
        super().__init__(extractor, stft)
        self._window_labels, self._further_steps = window_labels, steps - 1
        self._set_hop(hop_labels)

    @property
    def _delay_labels(self) -> int:
        """Label frames from the beginning of one to the answers about it."""
        return self._extractor.look_ahead_labels + self._hop + self._look_ahead + self._further_steps

    def _set_hop(self, labels: int) -> None:
        """Longer hops leave less context beside the answers."""
        self._hop, self._look_ahead = labels, (self._window_labels - labels) // 2

    def _restart(self, label: int) -> None:
        super()._restart(label)
        self._maps = deque([self._silence] * self._window_labels, self._window_labels)
        self._under_way: deque[Iterator[Answers | None]] = deque()
        self._known = self._asked = self._answered = label  # end of the maps, of what windows answer about, of answers

    def advance(self, maps: FloatArray) -> Iterator[TrackFrames]:
        """Take the maps (frames, bands, maps) of the next label frame; yield the answers that it completes."""
        self._maps.append(maps)
        self._known += 1
        end = self._known - self._look_ahead
        if end - self._asked >= self._hop:
            first = self._window_labels - (self._known - self._asked)
            count = min(end, self._heard) - self._asked
            self._under_way.append(self.ask(np.concatenate(self._maps), slice(first, first + count)))
            self._asked += count
        yield from self._go_on()

    def _rest(self) -> Iterator[TrackFrames]:
        while self._asked < self._heard:
            yield from self.advance(self._silence)
        while self._under_way:
            yield from self._go_on()

    def _go_on(self) -> Iterator[TrackFrames]:
        """Ask a step further about each window under way; yield the answers about the one that is through."""
        for answers in [next(window) for window in self._under_way]:
            if answers is not None:
                self._under_way.popleft()
                yield from self._told(*self.conclude(*answers))

    def _told(self, activity: FloatArray, direction: FloatArray) -> Iterator[TrackFrames]:
        """Activity (labels, slots, classes) and direction (labels, slots, 3) of the label frames that follow."""
        start, self._answered = self._answered, self._answered + len(activity)
        if len(activity):
            yield TrackFrames(activity, direction, start)

    @abstractmethod
    def ask(self, maps: FloatArray, part: slice) -> Iterator[Answers | None]:
        """Ask about a window of maps (frames, bands, maps): None in each step, in the last what is said of `part`."""

    @abstractmethod
    def conclude(self, *answers: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Answers -> activity (labels, slots, classes) and direction (labels, slots, 3) of as many, or earlier ones."""

"""CoLoC on the device, label frame by label frame: every frame is computed once, and the past is carried.

Each stage is three nets. The *front* convolves the features, which no condition changes, once for all who ask. The
*blocks* add the condition and finish the convolutions. The *recurrence* is a latency-controlled bidirectional GRU: its
forward state is carried, its backward half begins `look_ahead_labels` later (Zhang et al. 2016, arXiv 1510.08983).

An answer about a label frame so needs `delay` more of them: `CONVOLUTION_LABELS` for the convolutions, and the
look-ahead. The localizer that is told of one direction follows the one that is told of none by as much, and the
classifiers follow the last localizer: `latency_s` is the sum. Whoever is not asked about anything in its range does not
run. Where nothing sounds, the first localizer's recurrence answers about `LONGEST_HOP` label frames at a time, the last
of them with so much less look-ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

import numpy as np

from edge.frontend.maps import FeatureExtractor
from edge.frontend.stft import StftSettings
from edge.nets.net import Net, Raw
from edge.systems.coloc.settings import ColocSettings
from edge.systems.stepping import LabelLoop
from edge.types import FloatArray, TrackFrames

CONVOLUTION_LABELS = 3  # each of the three convolutions looks one label frame ahead, the first one frame of one
LONGEST_HOP = 2  # answers that one run of a recurrence can give
NETS = tuple(
    f"{stage}_{part}" for stage in ("localizer", "classifier") for part in ("encoder", "front", "blocks", "recurrence")
)


class Pass:
    """One stage under one condition, label after label: blocks and recurrence with a past of their own."""

    def __init__(self, blocks: Net, recurrence: Net, look_ahead: int) -> None:
        self._blocks, self._recurrence = blocks, recurrence
        self.delay = CONVOLUTION_LABELS + look_ahead
        self._seen: deque[Raw] = deque(maxlen=look_ahead + 1)
        self._ready: deque[FloatArray] = deque()
        self._condition: FloatArray | None = None  # that was pushed last; whoever has a new one gives a new array
        self.reset()

    def reset(self) -> None:
        """Forget the past: the label that comes next is the first one."""
        self._past, self._memory = self._blocks.fresh(), self._recurrence.fresh()
        self._pushed = 0
        self._asked_until: int | None = None
        self._seen.clear()
        self._ready.clear()

    def due(self, label: int, asked: bool) -> bool:
        """Whether to push `label`: an answer about it, or about one that is still under way, is wanted."""
        if asked:
            self._asked_until = label
        if self._asked_until is None:
            return False
        if label > self._asked_until + self.delay:
            self.reset()
            return False
        return True

    def push(self, maps: Raw, condition: FloatArray, hop: int) -> FloatArray | None:
        """Maps of label c - 1, embeddings (3, n) of c - 2 to c -> the output for label c - delay, once there is one."""
        if condition is not self._condition:
            frames = len(maps)
            self._condition = condition
            self._repeated = np.repeat(condition, frames, axis=0)[frames - 1 : 2 * frames + 1, None]
        labels = self._blocks(self._past, shared_maps=maps, condition=self._repeated)["shared_labels"]
        self._pushed += 1
        if self._pushed == 1:  # what the third convolution was told is about a label before the first
            self._past["state_third"] = self._blocks.fresh()["state_third"]
        if self._pushed < CONVOLUTION_LABELS:
            return None
        self._seen.append(labels[0])
        if len(self._seen) < self._seen.maxlen:  # type: ignore[operator]
            return None
        if not self._ready:
            output = self._recurrence(self._memory, shared_labels=np.stack(self._seen))["output"]
            self._ready.extend(output[:hop])
            for name, states in self._memory.items():
                self._memory[name] = states[:, hop - 1 : hop]  # after the last label that was answered
        return self._ready.popleft()


class ColocStreaming(LabelLoop):
    """The sequential loop over the nets of CoLoC, one label frame at a time, behind `step`, `finish` and `reset`."""

    def __init__(
        self,
        nets: Mapping[str, Net],
        extractor: FeatureExtractor,
        stft: StftSettings,
        classes: int,
        settings: ColocSettings,
    ) -> None:
        super().__init__(extractor, stft)
        self._longest_hop = min(LONGEST_HOP, settings.look_ahead_labels + 1)
        levels = [f"{count} {'tracks' if count > 1 else 'track'}" for count in range(settings.max_overlap, 0, -1)]
        if self._longest_hop > 1:
            levels.append(f"1 track, recurrences every {1000 * self._longest_hop * stft.label_s:.0f} ms")
        self.levels = tuple(levels)
        self._nets = {name: nets[name] for name in NETS}
        self.settings, self._classes = settings, classes
        slots, look_ahead = settings.max_overlap, settings.look_ahead_labels
        self._localizers, self._classifiers = (
            [Pass(self._nets[f"{stage}_blocks"], self._nets[f"{stage}_recurrence"], look_ahead) for _ in range(slots)]
            for stage in ("localizer", "classifier")
        )
        self._delay = self._localizers[0].delay
        self._origins = {
            stage: self._encoded(stage, np.zeros((1, 3), np.float32))[0] for stage in ("localizer", "classifier")
        }
        self._told_nothing = np.stack([self._origins["localizer"]] * 3)
        self._ring = (slots + 1) * self._delay + CONVOLUTION_LABELS + 1  # labels under way
        self.set_level(0)
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Most time from a sound to the answer about it, computing time aside."""
        return ((self.settings.max_overlap + 1) * self._delay + 1) * self._stft.label_s

    def set_level(self, index: int) -> None:
        """Work less: index into `levels`, 0 for full quality."""
        slots = self.settings.max_overlap
        self._tracks, self._hop = max(slots - index, 1), self._longest_hop if index >= slots else 1

    def _rest(self) -> Iterator[TrackFrames]:
        while self._answered < self._heard:
            yield from self.advance(self._silence)

    def _restart(self, label: int) -> None:
        super()._restart(label)
        self._first = self._next = self._answered = label
        slots, size = self.settings.max_overlap, self._ring
        # of the labels under way, by label modulo the size of the ring
        self._features: list[FloatArray] = [self._silence] * size
        self._fronts: list[Raw] = [np.empty(0)] * size  # of the localizer
        self._count = np.zeros(size, np.int64)  # directions found so far
        self._direction = np.zeros((size, slots, 3), np.float32)
        self._embedding_sum = np.zeros((size, len(self._origins["localizer"])), np.float32)
        self._asked = np.zeros((size, slots, len(self._origins["classifier"])), np.float32)  # of the classifiers
        self._activity = np.zeros((size, slots, self._classes), np.float32)
        self._front_past = {stage: self._nets[f"{stage}_front"].fresh() for stage in ("localizer", "classifier")}
        self._classifier_front_at: int | None = None  # the label that it expects next
        for each in (*self._localizers, *self._classifiers):
            each.reset()

    def advance(self, maps: FloatArray) -> Iterator[TrackFrames]:
        """Take the maps (frames, bands, maps) of the next label frame; yield the answer that it completes, if any."""
        label, slots = self._next, self.settings.max_overlap
        self._next += 1
        place = label % self._ring
        self._features[place] = maps
        self._count[place] = 0
        for each in (self._direction, self._embedding_sum, self._asked, self._activity):
            each[place] = 0.0
        front = self._nets["localizer_front"](self._front_past["localizer"], features=maps)
        self._fronts[(label - 1) % self._ring] = front["shared_maps"]
        for known, localizer in enumerate(self._localizers):
            self._localize(localizer, known, label - known * self._delay)
        self.clock.lap("localizer")
        self._classify(label - slots * self._delay)
        self.clock.lap("classifier")
        answered = label - (slots + 1) * self._delay
        if answered >= self._first:
            place, self._answered = answered % self._ring, answered + 1
            yield TrackFrames(
                self._activity[place : place + 1].copy(), self._direction[place : place + 1].copy(), answered
            )

    def _localize(self, localizer: Pass, known: int, label: int) -> None:
        """Ask for one direction more in frames where `known` were found; `label` is the last of which this is known."""
        asked = known == 0 or (
            known < self._tracks and label >= self._first and self._count[label % self._ring] == known
        )
        if not localizer.due(label, bool(asked)) or label <= self._first:
            return
        maps = self._fronts[(label - 1) % self._ring]
        condition = self._told_nothing
        if known or label - 2 < self._first:
            condition = np.stack([self._told(each, known) for each in range(label - 2, label + 1)])
        place = (label - localizer.delay) % self._ring
        silent = known == 0 and self._count[place - 1] == 0  # so far
        named = localizer.push(maps, condition, self._longest_hop if silent else self._hop)
        if named is None or self._count[place] != known:
            return
        length = np.sqrt(np.dot(named, named))
        if length > self.settings.threshold:
            direction = named / length
            self._direction[place, known] = direction
            self._count[place] += 1
            if known + 1 < self.settings.max_overlap:
                self._embedding_sum[place] += self._encoded("localizer", direction[None])[0]

    def _told(self, label: int, known: int) -> FloatArray:
        """The mean embedding of the first `known` directions of a label frame; that of the origin if it has fewer."""
        if label < self._first:
            return np.zeros_like(self._origins["localizer"])
        place = label % self._ring
        if known == 0 or self._count[place] < known:
            return self._origins["localizer"]
        return self._embedding_sum[place] / np.float32(known)

    def _classify(self, label: int) -> None:
        """Ask what sounds from the directions found; `label` is the last of which all directions are known."""
        if label < self._first:
            return
        place = label % self._ring
        count = int(self._count[place])
        self._asked[place] = self._origins["classifier"]
        if count:
            self._asked[place, :count] = self._encoded("classifier", self._direction[place, :count])
        due = [slot for slot, each in enumerate(self._classifiers) if each.due(label, slot < count)]
        if not due or label == self._first:
            return
        maps = self._classifier_front(label)
        before = [(label - 2) % self._ring, (label - 1) % self._ring, place]
        for slot in due:
            answer = self._classifiers[slot].push(maps, self._asked[before, slot], self._hop)
            asked_about = (label - self._delay) % self._ring
            if answer is not None and slot < self._count[asked_about]:
                self._activity[asked_about, slot] = answer[:-1]

    def _classifier_front(self, label: int) -> Raw:
        """Its maps of label - 1. After a pause it begins anew, with what it should have heard last."""
        front, past = self._nets["classifier_front"], self._front_past["classifier"]
        if self._classifier_front_at != label:
            past.update(front.fresh())
            front(past, features=self._features[(label - 1) % self._ring])
        self._classifier_front_at = label + 1
        return front(past, features=self._features[label % self._ring])["shared_maps"]

    def _encoded(self, stage: str, directions: FloatArray) -> FloatArray:
        """Embeddings (k, n) of directions (k, 3), by a net that takes as many as a window has labels."""
        padded = np.zeros((self.settings.window_labels, 3), np.float32)
        padded[: len(directions)] = directions
        return self._nets[f"{stage}_encoder"](direction=padded)["embedding"][: len(directions)]

"""CoLoC label frame by label frame: spectra -> directions with class probabilities, each frame computed once.

Sequential set generation (Kapka, DCASE 2022 Task 3, section 2.3): the localizer names one direction after the other,
each time told which ones it has named; then the classifier says what sounds from each (section 2.4). `passes` describes
the nets.

An answer of a pass about a label frame needs `Pass.delay` more of them. The localizer pass that is told of one
direction follows the pass that is told of none by as many, and the classifier passes follow the last localizer pass:
`latency_s` is the sum. A pass of which no answer is wanted does not run. Where nothing sounds, the recurrence of the
first localizer pass answers about `LONGEST_HOP` label frames at a time, the last of them with so much less look-ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from edge.nets.net import Net, Raw
from edge.systems.coloc.distance import metres
from edge.systems.coloc.passes import LONGEST_HOP, Encoder, Front, Pass
from edge.systems.coloc.settings import ColocSettings
from edge.systems.label_stepper import LabelStepper
from edge.types import FloatArray, Spectra, TrackFrames

NETS = tuple(
    f"{stage}_{part}" for stage in ("localizer", "classifier") for part in ("encoder", "front", "blocks", "recurrence")
)


class _Stage:
    """The nets of a stage: an encoder of directions, a front, and a pass for each slot."""

    def __init__(self, name: str, nets: Mapping[str, Net], settings: ColocSettings) -> None:
        blocks, recurrence = nets[f"{name}_blocks"], nets[f"{name}_recurrence"]
        self.front = Front(nets[f"{name}_front"])
        self.passes = [Pass(blocks, recurrence, settings.look_ahead_labels) for _ in range(settings.max_overlap)]
        self.embeddings = Encoder(nets[f"{name}_encoder"], settings.window_labels)
        self.origin = self.embeddings.origin

    def reset(self) -> None:
        """Forget the past."""
        self.front.reset()
        for each in self.passes:
            each.reset()


@dataclass(slots=True)
class _LabelRecord:
    """What is known of one label frame under way."""

    features: FloatArray  # (frames, bands, maps)
    maps_before: Raw  # (frames, bands, filters): what the localizer's front gives of the label frame before
    direction: FloatArray  # (slots, 3), the first `count` of them found
    activity: FloatArray  # (slots, classes)
    embedding_sum: FloatArray  # (size,), over the directions found, by the encoder of the localizer
    embeddings: FloatArray  # (slots, size), of the directions found, by the encoder of the classifier
    distance_m: FloatArray | None  # (slots,), if the classifier tells it
    count: int = 0  # directions found


class ColocStreaming:
    """The sequential loop over the nets of CoLoC, one label frame at a time."""

    array = None  # the features are of FOA, whichever array it is from

    def __init__(
        self,
        nets: Mapping[str, Net],
        stepper: LabelStepper,
        classes: int,
        settings: ColocSettings,
    ) -> None:
        """Begin a stream with label frame 0.

        Args:
            nets: At least those named by `NETS`.
            stepper: Computes the maps, without look-ahead.
            classes: How many classes the classifier knows.
            settings: Of the system.
        """
        self.settings, self.clock = settings, stepper.clock
        self._longest_hop = min(LONGEST_HOP, settings.look_ahead_labels + 1)
        self.levels = settings.track_levels
        if self._longest_hop > 1:
            self.levels += (f"1 track, recurrences every {1000 * self._longest_hop * stepper.label_s:.0f} ms",)
        self._stepper, self._classes = stepper, classes
        self._localizer, self._classifier = (_Stage(name, nets, settings) for name in ("localizer", "classifier"))
        self._nothing_known = np.stack([self._localizer.origin] * 3)  # condition of the first localizer pass
        self._pass_delay = self._localizer.passes[0].delay
        self._delay_labels = (settings.max_overlap + 1) * self._pass_delay  # of the answer about a label frame
        # Label frames: the first of the stream, the next one, the one to be answered next, and those under way
        self._first = self._next = self._answered = 0
        self._records: deque[_LabelRecord] = deque(maxlen=self._delay_labels + 1)  # the newest is number `_next` - 1
        self.set_level(0)
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Longest time from a sound to the answer about it, without computing time."""
        return (self._delay_labels + 1) * self._stepper.label_s

    def set_level(self, index: int) -> None:
        """Go on at the quality `levels[index]`; 0 is full quality."""
        slots = self.settings.max_overlap
        self._tracks, self._hop = max(slots - index, 1), self._longest_hop if index >= slots else 1

    def step(self, spectra: Spectra) -> Iterator[TrackFrames]:
        """Take one label frame; yield the answer that it completes. See `edge.systems.System`."""
        label = self._stepper.label_of(spectra)
        if label != self._stepper.next_label:
            yield from self.finish()
            self._restart(label)
        for maps in self._stepper.push(spectra):
            yield from self.advance(maps)

    def finish(self) -> Iterator[TrackFrames]:
        """End the stream: yield the answers about the rest of it, as if silence followed."""
        while self._answered < self._stepper.next_label:
            yield from self.advance(self._stepper.silent_maps)
        self._restart(self._stepper.next_label)

    def reset(self) -> None:
        """Forget the past: label frame 0 comes next."""
        self._restart(0)

    def advance(self, maps: FloatArray) -> Iterator[TrackFrames]:
        """Take the maps (frames, bands, maps) of the next label frame; yield the answer that it completes, if any."""
        label, slots = self._next, self.settings.max_overlap
        self._next += 1
        self._records.append(
            _LabelRecord(
                features=maps,
                maps_before=self._localizer.front.push(label, maps),
                direction=np.zeros((slots, 3), np.float32),
                activity=np.zeros((slots, self._classes), np.float32),
                embedding_sum=np.zeros_like(self._localizer.origin),
                embeddings=np.zeros((slots, len(self._classifier.origin)), np.float32),
                distance_m=np.zeros(slots, np.float32) if self.settings.distance else None,
            )
        )
        for known in range(slots):
            self._localize(known, label - known * self._pass_delay)
        self.clock.lap("localizer")
        self._classify(label - slots * self._pass_delay)
        self.clock.lap("classifier")
        answered = label - self._delay_labels
        if answered >= self._first:
            self._answered = answered + 1
            record = self._record(answered)
            distance_m = None if record.distance_m is None else record.distance_m[None]
            yield TrackFrames(record.activity[None], record.direction[None], answered, distance_m)

    def _restart(self, label: int) -> None:
        self._stepper.restart(label)
        self._localizer.reset()
        self._classifier.reset()
        self._first = self._next = self._answered = label
        self._records.clear()

    def _record(self, label: int) -> _LabelRecord:
        """The record of a label frame under way."""
        return self._records[label - self._next]

    def _localize(self, known: int, label: int) -> None:
        """Look for one direction more in label frames with `known` of them; `label` is the last where that is known."""
        if label < self._first:
            return
        localizer = self._localizer.passes[known]
        wanted = known == 0 or (known < self._tracks and self._record(label).count == known)
        if not localizer.due(label, wanted) or label == self._first:
            return
        condition = self._nothing_known
        if known or label - 2 < self._first:
            condition = np.stack([self._localizer_embedding(each, known) for each in range(label - 2, label + 1)])
        asked = label - localizer.delay
        silent = known == 0 and (asked <= self._first or self._record(asked - 1).count == 0)  # so far
        hop = self._longest_hop if silent else self._hop
        named = localizer.push(self._record(label).maps_before, condition, hop)
        if named is None or self._record(asked).count != known:
            return
        length = np.sqrt(np.dot(named, named))
        if length > self.settings.threshold:
            record, direction = self._record(asked), named / length
            record.direction[known] = direction
            record.count += 1
            if known + 1 < self.settings.max_overlap:
                record.embedding_sum += self._localizer.embeddings(direction[None])[0]

    def _localizer_embedding(self, label: int, known: int) -> FloatArray:
        """Mean embedding (size,) of the first `known` directions of a label frame; that of the origin if it has fewer.

        Zeros before the stream.
        """
        if label < self._first:
            return np.zeros_like(self._localizer.origin)
        record = self._record(label)
        if known == 0 or record.count < known:
            return self._localizer.origin
        return record.embedding_sum / np.float32(known)

    def _classify(self, label: int) -> None:
        """Ask what sounds from the directions found; `label` is the last label frame where all directions are known."""
        if label < self._first:
            return
        record = self._record(label)
        record.embeddings[:] = self._classifier.origin
        if record.count:
            record.embeddings[: record.count] = self._classifier.embeddings(record.direction[: record.count])
        passes = self._classifier.passes
        due = [slot for slot, each in enumerate(passes) if each.due(label, slot < record.count)]
        if not due or label == self._first:
            return
        maps = self._classifier_maps(label)
        for slot in due:
            condition = np.stack([self._classifier_embedding(each, slot) for each in range(label - 2, label + 1)])
            answer = passes[slot].push(maps, condition, self._hop)
            if answer is not None:
                asked = self._record(label - self._pass_delay)
                if slot < asked.count:
                    asked.activity[slot] = answer[: self._classes]
                    if asked.distance_m is not None:
                        asked.distance_m[slot] = metres(answer[-1])

    def _classifier_embedding(self, label: int, slot: int) -> FloatArray:
        """Embedding (size,) of the direction in a slot; that of the origin if it is empty. Zeros before the stream."""
        if label < self._first:
            return np.zeros_like(self._classifier.origin)
        return self._record(label).embeddings[slot]

    def _classifier_maps(self, label: int) -> Raw:
        """What the front of the classifier gives of `label` - 1. After a pause the front begins anew with that."""
        front = self._classifier.front
        if front.next_label != label:
            front.reset()
            front.push(label - 1, self._record(label - 1).features)
        return front.push(label, self._record(label).features)

"""CoLoC over causal nets: spectra -> directions with class probabilities, all passes within the same label frame.

Sequential set generation (Kapka, DCASE 2022 Task 3, section 2.3), as in `streaming`. Each stage (localizer, classifier)
has two nets besides its encoder. The *trunk* has the convolutions, which look back only and know no condition: it runs
once per label frame. The *pass* adds the condition, an embedding of directions, and has a forward recurrence: it runs
once for each slot, and each slot has a state of its own.

The nets were trained to answer `look_ahead_labels` late; nothing else waits. Every net runs in every label frame, also
where nothing sounds: so its state is what training made it, and the load is the same in every step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from edge.nets.net import Net, Past, Raw
from edge.systems.coloc.distance import metres
from edge.systems.coloc.passes import Encoder
from edge.systems.coloc.settings import ColocSettings
from edge.systems.label_stepper import LabelStepper
from edge.types import FloatArray, Spectra, TrackFrames

NETS = tuple(f"{stage}_{part}" for stage in ("localizer", "classifier") for part in ("encoder", "trunk", "pass"))


class _Stage:
    """The nets of a stage with their states: one trunk, and a pass for each slot."""

    def __init__(self, name: str, nets: Mapping[str, Net], settings: ColocSettings) -> None:
        self._trunk, self._pass, self._slots = nets[f"{name}_trunk"], nets[f"{name}_pass"], settings.max_overlap
        self.embeddings = Encoder(nets[f"{name}_encoder"], settings.window_labels)
        self._pasts: list[Past] = []
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._trunk_past = self._trunk.fresh()
        self.forget(0)

    def forget(self, first_slot: int) -> None:
        """Forget the past of the passes from a slot on."""
        self._pasts[first_slot:] = [self._pass.fresh() for _ in range(first_slot, self._slots)]

    def hear(self, maps: FloatArray) -> Raw:
        """Take the maps (frames, bands, maps) of a label frame; return its row, for all passes."""
        return self._trunk(self._trunk_past, features=maps)["shared_labels"]

    def ask(self, slot: int, row: Raw, embedding: FloatArray) -> dict[str, Raw]:
        """The outputs (1, n) of the pass of a slot for the next row, under the condition `embedding` (size,)."""
        return self._pass(self._pasts[slot], shared_labels=row, embedding=embedding[None])


class ColocCausal:
    """The sequential loop over the causal nets of CoLoC, one label frame at a time."""

    array = None  # the features are of FOA, whichever array it is from

    def __init__(self, nets: Mapping[str, Net], stepper: LabelStepper, classes: int, settings: ColocSettings) -> None:
        """Begin a stream with label frame 0.

        Args:
            nets: At least those named by `NETS`.
            stepper: Computes the maps, without look-ahead.
            classes: How many classes the classifier knows.
            settings: Of the system.
        """
        self.settings, self.clock = settings, stepper.clock
        self.levels = settings.track_levels
        self._stepper, self._classes = stepper, classes
        self._localizer, self._classifier = (_Stage(name, nets, settings) for name in ("localizer", "classifier"))
        self.set_level(0)
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Longest time from a sound to the answer about it, without computing time."""
        return (self.settings.look_ahead_labels + 1) * self._stepper.label_s

    def set_level(self, index: int) -> None:
        """Go on at the quality `levels[index]`; 0 is full quality."""
        self._tracks = self.settings.max_overlap - index
        for stage in (self._localizer, self._classifier):
            stage.forget(self._tracks)

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
        while self._next_answer < self._stepper.next_label:
            yield from self.advance(self._stepper.silent_maps)
        self._restart(self._stepper.next_label)

    def reset(self) -> None:
        """Forget the past: label frame 0 comes next."""
        self._restart(0)

    def advance(self, maps: FloatArray) -> Iterator[TrackFrames]:
        """Take the maps (frames, bands, maps) of the next label frame; yield the answer that it completes, if any."""
        to_locate = self._localizer.hear(maps)
        self.clock.lap("localizer")
        to_classify = self._classifier.hear(maps)
        self.clock.lap("classifier")
        if self._unheard_labels:
            self._unheard_labels -= 1
            return
        direction = self._localize(to_locate)
        self.clock.lap("localizer")
        activity, distance_m = self._classify(to_classify, direction)
        self.clock.lap("classifier")
        self._next_answer += 1
        yield TrackFrames(
            activity[None], direction[None], self._next_answer - 1, None if distance_m is None else distance_m[None]
        )

    def _restart(self, label: int) -> None:
        self._stepper.restart(label)
        self._localizer.reset()
        self._classifier.reset()
        self._next_answer = label
        self._unheard_labels = self.settings.look_ahead_labels  # to hear before the first answer

    def _localize(self, row: Raw) -> FloatArray:
        """Directions (slots, 3) of a label frame; zero from the first pass on that names none.

        The passes after that one are told of the origin, as in training, and their answers are not read.
        """
        embeddings, slots = self._localizer.embeddings, self.settings.max_overlap
        direction = np.zeros((slots, 3), np.float32)
        condition, embedding_sum, count = embeddings.origin, np.zeros_like(embeddings.origin), 0
        for known in range(self._tracks):
            named = self._localizer.ask(known, row, condition)["output"][0]
            condition = embeddings.origin
            length = np.sqrt(np.dot(named, named))
            if count == known and length > self.settings.threshold:
                direction[known] = named / length
                count += 1
                if count < self._tracks:
                    embedding_sum += embeddings(direction[[known]])[0]
                    condition = embedding_sum / np.float32(count)
        return direction

    def _classify(self, row: Raw, direction: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Class probabilities (slots, classes) of what sounds from each direction (slots, 3); zero in empty slots.

        And the distances (slots,), if the nets tell them.
        """
        activity = np.zeros((self.settings.max_overlap, self._classes), np.float32)
        distance_m = np.zeros(self.settings.max_overlap, np.float32) if self.settings.distance else None
        embeddings = self._classifier.embeddings(direction)  # of the origin where a slot is empty
        for slot in range(self._tracks):
            answer = self._classifier.ask(slot, row, embeddings[slot])
            if np.any(direction[slot]):
                activity[slot] = answer["output"][0, :-1]
                if distance_m is not None:
                    distance_m[slot] = metres(answer["distance"][0, 0])
        return activity, distance_m

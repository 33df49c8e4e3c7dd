"""CoLoC window by window, as in the paper: spectra -> directions with class probabilities.

Sequential set generation (Kapka, DCASE 2022 Task 3, section 2.3): the localizer names one direction after the other,
each time told which ones it has named; then the classifier says what sounds from each (section 2.4). The middle
`hop_labels` of each window are the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from edge.geometry import perturb_angles
from edge.nets.net import Net
from edge.systems.coloc.distance import metres
from edge.systems.coloc.settings import ColocSettings
from edge.systems.label_stepper import LabelStepper
from edge.systems.windower import Window, Windower
from edge.types import FloatArray, Spectra, TrackFrames

NETS = ("localizer_encoder", "localizer", "classifier_encoder", "classifier")


class ColocWindow:
    """The sequential loop over the four nets of CoLoC, one window at a time."""

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
            stepper: Computes the maps.
            classes: How many classes the classifier knows.
            settings: Of the system.
        """
        self.settings, self.clock = settings, stepper.clock
        self.levels = settings.track_levels
        self._nets = {name: nets[name] for name in NETS}
        self._stepper, self._classes = stepper, classes
        self._windower = Windower(stepper.silent_maps, settings.window_labels, settings.hop_labels)
        self.set_level(0)
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Longest time from a sound to the answer about it, without computing time."""
        return (self._stepper.look_ahead_labels + self._windower.delay_labels) * self._stepper.label_s

    def set_level(self, index: int) -> None:
        """Go on at the quality `levels[index]`; 0 is full quality."""
        self._tracks = self.settings.max_overlap - index

    def step(self, spectra: Spectra) -> Iterator[TrackFrames]:
        """Take one label frame; yield the answer of the window that it completes. See `edge.systems.System`."""
        label = self._stepper.label_of(spectra)
        if label != self._stepper.next_label:
            yield from self.finish()
            self._restart(label)
        for maps in self._stepper.push(spectra):
            yield from self._answers(self._windower.push(maps))

    def finish(self) -> Iterator[TrackFrames]:
        """End the stream: yield the answers about the rest of it, as if silence followed."""
        for maps in self._stepper.finish():
            yield from self._answers(self._windower.push(maps))
        yield from self._answers(self._windower.finish())
        self._restart(self._stepper.next_label)

    def reset(self) -> None:
        """Forget the past: label frame 0 comes next."""
        self._restart(0)

    def infer(self, maps: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Ask all nets about one window.

        Args:
            maps: Of the window (frames, bands, maps).

        Returns:
            Activity (labels, slots, classes) and direction (labels, slots, 3), zero where a slot is empty; and the
            distances in metres (labels, slots), if the nets tell them.
        """
        labels, slots = self.settings.window_labels, self.settings.max_overlap
        activity = np.zeros((labels, slots, self._classes), np.float32)
        direction = np.zeros((labels, slots, 3), np.float32)
        distance_m = np.zeros((labels, slots), np.float32) if self.settings.distance else None
        tracks = self._localize(maps)
        self.clock.lap("localizer")
        for slot, found in enumerate(tracks):
            direction[:, slot] = found
            answer = self._classify(maps, found)
            activity[:, slot] = answer["output"][:, :-1] * np.any(found != 0, axis=-1, keepdims=True)
            if distance_m is not None:
                distance_m[:, slot] = metres(answer["distance"][:, 0])
        self.clock.lap("classifier")
        return activity, direction, distance_m

    def _restart(self, label: int) -> None:
        self._stepper.restart(label)
        self._windower.restart(label)
        self._random = np.random.default_rng(0)

    def _answers(self, windows: Iterable[Window[FloatArray]]) -> Iterator[TrackFrames]:
        for window in windows:
            activity, direction, distance_m = self.infer(np.concatenate(window.labels))
            part = window.part
            yield TrackFrames(
                activity[part], direction[part], window.start, None if distance_m is None else distance_m[part]
            )

    def _localize(self, maps: FloatArray) -> list[FloatArray]:
        """Directions (labels, 3) of each stacked-track, at most `max_overlap` of them, zero where it is empty.

        Step n encodes the n directions known in a label frame and averages the embeddings. A label frame with fewer is
        given the embedding of the origin, and the answer there is not read: its set of directions is complete.
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

    def _classify(self, maps: FloatArray, direction: FloatArray) -> dict[str, FloatArray]:
        """What the classifier says of what sounds from `direction` (labels, 3)."""
        embedding = self._nets["classifier_encoder"](direction=self._perturbed(direction))["embedding"]
        return self._nets["classifier"](features=maps, embedding=embedding)

    def _perturbed(self, direction: FloatArray) -> FloatArray:
        """Directions (labels, 3), turned by random angles of at most `perturbation_deg` (section 3.3)."""
        most_deg = self.settings.perturbation_deg
        if most_deg == 0.0:
            return direction
        return perturb_angles(direction, most_deg, self._random)

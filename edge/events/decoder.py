"""TrackFrames -> events and decoded label frames.

The slots of a system are a set, so identity over time is established here: detections of one label frame are matched to
the tracks of the frame before by angle and class, their class probabilities and directions are smoothed, and an event
is switched on and off with hysteresis. Each decision is made a fixed number of label frames after the detection, so the
result does not depend on how the stream was cut. That an event begins is told earlier, before it is decided whether it
lasts long enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.events.assignment import assign
from edge.events.per_class import ClassSettings, thresholds_of
from edge.events.surroundings import Surroundings
from edge.geometry import angle_between_units_deg, azimuth_elevation_deg
from edge.types import Event, EventUpdate, FloatArray, FrameRow, Item, LiveFrame, Phase, TrackFrames


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """Thresholds of events. Probabilities are those of the most likely class of a track, smoothed over time.

    Raises:
        ValueError: A value is out of range.
    """

    on: float = 0.5  # probability at which an event begins
    off: float = 0.3  # probability below which it ends
    smoothing: float = 0.6  # share of the past in the smoothed values, per label frame
    join_deg: float = 30.0  # angle beyond which a detection belongs to another source than a track
    unlike_class_deg: float = 30.0  # added to the angle between detections of entirely different classes
    min_duration_labels: int = 3  # shorter events are dropped
    max_gap_labels: int = 3  # longer gaps without a detection end an event
    # length at which the begin of an event is told; never more than min_duration_labels. With less, more begins are
    # taken back, as the event turns out to be too short.
    begin_labels: int = 2
    update_deg: float = 10.0  # angle by which an event has to move before it is told again; 180: it never is
    update_labels: int = 5  # least time between two updates of an event

    def __post_init__(self) -> None:
        if not 0.0 < self.off <= self.on < 1.0:
            raise ValueError(f"got on {self.on} and off {self.off}, wanted 0 < off <= on < 1")
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"got smoothing {self.smoothing}, wanted 0 up to, not including, 1")
        if self.join_deg <= 0.0 or self.unlike_class_deg < 0.0:
            raise ValueError(
                f"got join_deg {self.join_deg}, unlike_class_deg {self.unlike_class_deg}, wanted > 0, >= 0"
            )
        if self.min_duration_labels < 1 or self.max_gap_labels < 0:
            raise ValueError(
                f"got min_duration_labels {self.min_duration_labels}, max_gap_labels {self.max_gap_labels}, "
                "wanted at least 1 and 0"
            )
        if self.begin_labels < 1 or self.update_labels < 1 or not 0.0 < self.update_deg <= 180.0:
            raise ValueError(
                f"got begin_labels {self.begin_labels}, update_labels {self.update_labels}, "
                f"update_deg {self.update_deg}, wanted at least 1, at least 1, above 0 to 180"
            )

    @property
    def delay_labels(self) -> int:
        """Label frames from a detection to the decision whether it belongs to an event."""
        return self.min_duration_labels + self.max_gap_labels


@dataclass(slots=True)
class _Occurrence:
    """An event that is not finished: one class on one track."""

    class_index: int
    number: int  # the id of the event
    onset: int  # label index
    last: int  # label index of the last detection
    direction_sum: FloatArray
    probability_sum: float = 0.0
    detections: int = 0
    distance_sum_m: float | None = None  # over the detections; None where the system tells no distance
    # direction and distance in metres by label, of rows not written yet
    unwritten: dict[int, tuple[FloatArray, float | None]] = field(default_factory=dict)
    told: FloatArray | None = None  # direction that was told last; None before its begin was told
    told_label: int = 0  # label index at which it was

    @property
    def labels(self) -> int:
        """Label frames from the first detection to the last."""
        return self.last + 1 - self.onset

    @property
    def distance_m(self) -> float | None:
        """Mean distance over the detections."""
        return None if self.distance_sum_m is None else self.distance_sum_m / self.detections

    def add(self, label: int, direction: FloatArray, probability: float, distance_m: float | None) -> None:
        """Add a detection; label frames without one since the last get the place of the last.

        Args:
            label: Label frame of the detection.
            direction: Smoothed unit vector (3,) of the track.
            probability: Smoothed probability of the class.
            distance_m: Smoothed distance of the track, if it is told.
        """
        for missed in range(self.last + 1, label):
            self.unwritten[missed] = self.unwritten.get(missed - 1, (direction, distance_m))
        self.unwritten[label] = direction, distance_m
        if distance_m is not None:
            self.distance_sum_m = (self.distance_sum_m or 0.0) + distance_m
        self.direction_sum = self.direction_sum + direction
        self.probability_sum += probability
        self.detections += 1
        self.last = label


@dataclass(slots=True)
class _Track:
    """A source that is followed over time."""

    direction: FloatArray  # unit vector
    probability: FloatArray  # (classes,), smoothed
    last: int  # label of the last detection
    distance_m: float | None = None  # smoothed; None where the system tells none
    occurrence: _Occurrence | None = None


class Decoder:
    """Tracking of detections, and the decision which of them are events.

    Rows are yielded in the order of time, `delay_labels` late; an event is yielded when it has ended, and updates of it
    before: see `EventUpdate`.
    """

    def __init__(
        self,
        settings: DecodeSettings,
        class_names: Sequence[str],
        label_s: float,
        azimuth_only: bool = False,
        surroundings: Surroundings | None = None,
        classes: Sequence[ClassSettings] = (),
    ) -> None:
        """Begin a stream.

        Args:
            settings: Thresholds.
            class_names: Names of the classes, in the order of the activity.
            label_s: Length of a label frame.
            azimuth_only: Whether the array is flat. Its events have no elevation, and its rows have 0, as DCASE needs a
                number.
            surroundings: How the array hangs, and the sectors of the room.
            classes: What is asked of some classes instead of what the settings ask of all.

        Raises:
            ValueError: The settings of a class make no sense.
        """
        self._classes = classes
        self._surroundings = surroundings
        self._azimuth_only = azimuth_only
        self._class_names = class_names
        self._label_s = label_s
        self.change(settings)
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next label frame is expected to be number 0."""
        self._tracks: list[_Track] = []
        self._closed: list[_Occurrence] = []  # finished events whose rows are not all written yet
        self._next_label = 0
        self._written = 0  # label before which all rows are written
        self._numbers = 0  # events so far
        self._ready: dict[int, int] = {}  # class index -> label from which its next event may begin

    def change(self, settings: DecodeSettings) -> None:
        """Replace the settings. Open events stay open, and decisions are not revised.

        Raises:
            ValueError: They make no sense together with those of a class; nothing has changed then.
        """
        self._asked = thresholds_of(settings, self._classes, self._class_names, self._label_s)
        self._settings = settings
        longest = max([each.min_duration_labels for each in self._asked], default=settings.min_duration_labels)
        self._delay_labels = longest + settings.max_gap_labels
        heard = np.array([each.enabled for each in self._asked], np.float32)
        self._heard = None if heard.all() else heard

    def push(self, frames: TrackFrames) -> Iterator[Item]:
        """Take the answers of a system about the next label frames.

        Args:
            frames: Tracks of consecutive label frames. A jump in `start` ends all events.

        Yields:
            Events that begin, move and have ended, a live frame for each label frame that was pushed, and rows of the
            label frames that are decided.
        """
        if frames.start != self._next_label:
            yield from self.finish()
            if frames.start < self._next_label:
                self._ready.clear()
            self._next_label = self._written = frames.start
        turned = frames if self._surroundings is None else self._surroundings.turned(frames)
        activities = turned.activity if self._heard is None else turned.activity * self._heard
        distances = [None] * len(activities) if turned.distance_m is None else turned.distance_m
        for label in zip(activities, turned.direction, distances, strict=True):
            yield from self._advance(*label)

    def finish(self) -> Iterator[Item]:
        """End the stream.

        Yields:
            The events that are open, and the remaining rows.
        """
        for track in self._tracks:
            yield from self._close(track)
        self._tracks = []
        yield from self._write_rows(self._next_label)

    def _advance(self, activity: FloatArray, direction: FloatArray, distance_m: FloatArray | None) -> Iterator[Item]:
        """Process one label frame: activity (slots, classes), direction (slots, 3), distance (slots,) if it is told."""
        label = self._next_label
        slots = np.flatnonzero(direction.any(axis=-1)).tolist()
        distances_m = [None if distance_m is None else float(distance_m[slot]) for slot in slots]
        matched = self._match(activity[slots], direction[slots])
        for track, found in zip(self._tracks, matched, strict=True):
            if found is not None:
                self._follow(track, label, activity[slots[found]], direction[slots[found]], distances_m[found])
        taken = set(matched)
        for index, slot in enumerate(slots):
            if index not in taken:
                self._tracks.append(_Track(direction[slot], activity[slot].copy(), label, distances_m[index]))
        for track in self._tracks:
            yield from self._switch(track, label)
        kept = [track for track in self._tracks if label - track.last <= self._settings.max_gap_labels]
        for track in self._tracks:
            if label - track.last > self._settings.max_gap_labels:
                yield from self._close(track)
        self._tracks = kept
        self._next_label = label + 1
        yield self._live_frame(label)
        yield from self._write_rows(label + 1 - self._delay_labels)

    def _match(self, activity: FloatArray, direction: FloatArray) -> list[int | None]:
        """Assign detections to tracks so that the sum of costs is least: angle, plus a penalty for another class.

        Args:
            activity: Class probabilities (detections, classes).
            direction: Unit vectors (detections, 3).

        Returns:
            For each track the index of its detection, or None.
        """
        matched: list[int | None] = [None] * len(self._tracks)
        if not self._tracks or not len(direction):
            return matched
        angle = angle_between_units_deg(np.array([track.direction for track in self._tracks])[:, None], direction)
        overlap = np.minimum(np.array([track.probability for track in self._tracks])[:, None], activity).sum(axis=-1)
        cost = angle + self._settings.unlike_class_deg * (1.0 - overlap.clip(0.0, 1.0))
        cost[angle > self._settings.join_deg] = 1e6
        for row, column in assign(cost):
            if angle[row, column] <= self._settings.join_deg:
                matched[row] = column
        return matched

    def _follow(
        self, track: _Track, label: int, activity: FloatArray, direction: FloatArray, distance_m: float | None
    ) -> None:
        """Smooth probabilities (classes,), direction (3,) and distance of a track by its detection."""
        past = np.float32(self._settings.smoothing)
        track.probability = past * track.probability + (np.float32(1.0) - past) * activity
        mixed = past * track.direction + (np.float32(1.0) - past) * direction
        track.direction = mixed / max(np.sqrt(mixed.dot(mixed)), np.float32(1e-6))
        if distance_m is not None and track.distance_m is not None:
            distance_m += self._settings.smoothing * (track.distance_m - distance_m)
        track.distance_m = distance_m
        track.last = label

    def _switch(self, track: _Track, label: int) -> Iterator[Event | EventUpdate]:
        """Begin, continue or end the event of a track."""
        best = int(np.argmax(track.probability))
        current = track.occurrence
        if current is not None:
            faded = track.probability[current.class_index] < self._asked[current.class_index].off
            replaced = best != current.class_index and track.probability[best] >= self._asked[best].on
            if faded or replaced:
                yield from self._close(track)
                current = None
        begins = track.last == label and track.probability[best] >= self._asked[best].on
        if current is None and begins and label >= self._ready.get(best, 0):
            current = track.occurrence = _Occurrence(best, self._numbers, label, label, np.zeros_like(track.direction))
            self._numbers += 1
        if current is not None and track.last == label:
            current.add(label, track.direction, float(track.probability[current.class_index]), track.distance_m)
            yield from self._tell(current, label, track)

    def _tell(self, occurrence: _Occurrence, label: int, track: _Track) -> Iterator[EventUpdate]:
        """Tell the begin of an event that has lasted long enough for that, and later that it has moved."""
        settings = self._settings
        if occurrence.told is None:
            if occurrence.labels >= min(settings.begin_labels, self._least_labels(occurrence)):
                yield self._update("begin", occurrence, label, track)
        elif label - occurrence.told_label >= settings.update_labels and (
            self._moved_deg(occurrence.told, track.direction) >= settings.update_deg
        ):
            yield self._update("update", occurrence, label, track)

    def _update(self, phase: Phase, occurrence: _Occurrence, label: int, track: _Track) -> EventUpdate:
        occurrence.told, occurrence.told_label = track.direction, label
        return EventUpdate(phase, self._event(occurrence, track.direction, track.distance_m))

    def _moved_deg(self, before: FloatArray, now: FloatArray) -> float:
        """The angle between two unit vectors; between their azimuths where the array is flat."""
        if not self._azimuth_only:
            return float(angle_between_units_deg(before, now))
        turned = azimuth_elevation_deg(now)[0] - azimuth_elevation_deg(before)[0]
        return abs(float(turned + 180.0) % 360.0 - 180.0)

    def _close(self, track: _Track) -> Iterator[Event | EventUpdate]:
        """End the event of a track: yield it if it was long enough, or else take its begin back."""
        occurrence, track.occurrence = track.occurrence, None
        if occurrence is None:
            return
        if occurrence.labels >= self._least_labels(occurrence):
            if occurrence.told is None:  # the settings have just changed
                yield self._update("begin", occurrence, occurrence.last, track)
            self._closed.append(occurrence)
            cooldown_labels = self._asked[occurrence.class_index].cooldown_labels
            self._ready[occurrence.class_index] = occurrence.last + 1 + cooldown_labels if cooldown_labels else 0
            yield self._event(occurrence, occurrence.direction_sum, occurrence.distance_m)
        elif occurrence.told is not None:
            yield self._update("discarded", occurrence, occurrence.last, track)

    def _live_frame(self, label: int) -> LiveFrame:
        """What sounds now: events whose begin was told, through gaps that do not end them."""
        sounding = (
            self._event(occurrence, track.direction, track.distance_m, float(track.probability[occurrence.class_index]))
            for track in self._tracks
            if (occurrence := track.occurrence) is not None and occurrence.told is not None
        )
        return LiveFrame(label, (label + 1) * self._label_s, tuple(sounding))

    def _least_labels(self, occurrence: _Occurrence) -> int:
        return self._asked[occurrence.class_index].min_duration_labels

    def _event(
        self, occurrence: _Occurrence, direction: FloatArray, distance_m: float | None, score: float | None = None
    ) -> Event:
        """The event as far as it is known, with a direction (3,) of any length; by default, with its mean score."""
        azimuth, elevation = map(float, azimuth_elevation_deg(direction))
        around = self._surroundings
        return Event(
            name=self._class_names[occurrence.class_index],
            onset_s=occurrence.onset * self._label_s,
            offset_s=(occurrence.last + 1) * self._label_s,
            azimuth_deg=azimuth,
            elevation_deg=None if self._azimuth_only else elevation,
            score=occurrence.probability_sum / occurrence.detections if score is None else score,
            id=occurrence.number,
            sector=None if around is None else around.sector_of(azimuth, elevation),
            distance_m=distance_m,
        )

    def _write_rows(self, end: int) -> Iterator[FrameRow]:
        """Yield the rows of all label frames before `end` that were not yielded yet, ordered by label frame."""
        opened = [track.occurrence for track in self._tracks if track.occurrence is not None]
        lasting = [each for each in (*self._closed, *opened) if each.labels >= self._least_labels(each)]
        for label in range(self._written, end):
            for occurrence in lasting:
                place = occurrence.unwritten.pop(label, None)
                if place is not None:
                    yield self._row(label, occurrence, *place)
        self._written = max(self._written, end)
        self._closed = [occurrence for occurrence in self._closed if occurrence.unwritten]

    def _row(self, label: int, occurrence: _Occurrence, direction: FloatArray, distance_m: float | None) -> FrameRow:
        azimuth, elevation = azimuth_elevation_deg(direction)
        return FrameRow(
            frame=label,
            class_index=occurrence.class_index,
            track=occurrence.number,
            azimuth_deg=round(float(azimuth)),
            elevation_deg=0 if self._azimuth_only else round(float(elevation)),
            distance_cm=None if distance_m is None else round(100 * distance_m),
        )

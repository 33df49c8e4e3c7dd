"""Loudness of label frames, and what the system and the decoder say about them -> events of sounds without a class.

A label frame is loud if its level is well above the background, which is the level that was exceeded 90 % of the last
half minute (L90 in acoustics). If no sound that the system gives a class comes from about its direction within half a
second, it belongs to an event named `unknown`. There is one such event at a time, as the intensity of the sound field
has one direction.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.events.surroundings import Surroundings
from edge.frontend.least_squares import non_negative
from edge.frontend.loudness import Heard, level_db
from edge.geometry import angle_between_deg, azimuth_elevation_deg
from edge.types import Event, EventUpdate, FloatArray, Item, LiveFrame, TrackFrames

UNKNOWN = "unknown"
"""Name of the events, which is no class of a model."""

FIRST_ID = 1_000_000_000
"""Number of the first of them, so that the numbers of all other events stay what they are."""

MARGIN_LABELS = 5  # so far around a sound with a class, others from its direction are taken for its echo
MAX_GAP_LABELS = 3  # longer gaps end an event
DELAY_LABELS = MARGIN_LABELS + MAX_GAP_LABELS
"""Label frames from the answer of the system to the end of an event that ends there."""

_LEAST_BACKGROUND_LABELS = 10  # with less, nothing is known of the background


@dataclass(frozen=True, slots=True)
class UnknownSettings:
    """Events named `unknown`: what is loud and has no class, with its direction and level."""

    enabled: bool = False  # whether there are any
    threshold_db: float = 12.0  # level above the background from which a sound is loud, A-weighted, 3 to 60
    background_s: float = 30.0  # the background is the level exceeded 90 % of so much time, 5 to 600
    min_duration_s: float = 0.5  # shorter ones are dropped, 0.1 to 60
    # angle to a sound with a class, or to all between two of them, up to which a sound is taken for theirs, 5 to 90
    apart_deg: float = 45.0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("threshold_db", 3.0, 60.0),
            ("background_s", 5.0, 600.0),
            ("min_duration_s", 0.1, 60.0),
            ("apart_deg", 5.0, 90.0),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"got {name} {getattr(self, name):g}, wanted {least:g} to {most:g}")


@dataclass(slots=True)
class _Sound:
    """An event that is not finished."""

    number: int
    onset: int  # label index
    last: int  # label index of the last loud label frame
    vector_sum: NDArray[np.float64]
    power_sum: float = 0.0
    labels: int = 0  # loud ones
    told: bool = False  # whether its begin was


@dataclass(frozen=True, slots=True)
class _Label:
    """A label frame that is not decided yet."""

    number: int
    heard: Heard | None
    classed: NDArray[np.float64]  # (n, 3), unit vectors toward sounds with a class


class UnknownSounds:
    """Finds unknown sounds, and puts them between the items of the decoder."""

    def __init__(
        self,
        settings: UnknownSettings,
        class_names: Sequence[str],
        label_s: float,
        least_probability: float,
        planar: bool = False,
        surroundings: Surroundings | None = None,
        offset_db: float = 0.0,
    ) -> None:
        """Begin a stream.

        Args:
            settings: What is loud, and how far from others.
            class_names: Classes of the model.
            label_s: Length of a label frame.
            least_probability: Probability from which on a class says what a sound is.
            planar: Whether the array is flat, so that elevations mean nothing.
            surroundings: How the array hangs, and the sectors of the room.
            offset_db: Added to levels.

        Raises:
            ValueError: The model has a class of the same name.
        """
        if UNKNOWN in class_names:
            raise ValueError(f"unknown: got a model with a class named {UNKNOWN}, wanted another model")
        self.least_probability = least_probability
        self._settings, self._label_s, self._planar = settings, label_s, planar
        self._surroundings, self._offset_db = surroundings, offset_db
        self._least_labels = max(1, round(settings.min_duration_s / label_s))
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next label frame is expected to be number 0."""
        self._heard: dict[int, Heard] = {}  # of label frames that are not answered yet
        self._waiting: deque[_Label] = deque()
        self._recent: deque[NDArray[np.float64]] = deque(maxlen=2 * MARGIN_LABELS + 1)  # `classed` of the last ones
        self._background = _Background(round(self._settings.background_s / self._label_s))
        self._sound: _Sound | None = None
        self._next_label = 0
        self._numbers = FIRST_ID

    def hear(self, label: int, heard: Heard) -> None:
        """Take the loudness of a label frame, before the system answers about it."""
        self._heard[label] = heard

    def join(self, tracks: TrackFrames, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items of the decoder about some tracks, and unknown sounds between and in them.

        Args:
            tracks: What the decoder was given.
            items: What it said.
        """
        if tracks.start != self._next_label:
            yield from self._end()
        self._next_label = tracks.start + len(tracks.activity)
        around = self._surroundings
        direction = tracks.direction if around is None else around.rotated(tracks.direction)
        for item in items:
            if isinstance(item, LiveFrame):
                index = item.frame - tracks.start
                yield from self._answered(item.frame, self._classed(tracks.activity[index], direction[index]))
                item = replace(item, sources=(*item.sources, *self._sounding()))
            yield item

    def finish(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the last items of the decoder, and the unknown sound that is open."""
        yield from self._end()
        yield from items

    def _classed(self, activity: FloatArray, direction: FloatArray) -> NDArray[np.float64]:
        """Directions (n, 3) of the slots of a label frame that have a class, of one that is switched off, too."""
        has_class = activity.max(axis=-1, initial=0.0) >= self.least_probability
        return self._level(direction[has_class & direction.any(axis=-1)].astype(np.float64))

    def _answered(self, label: int, classed: NDArray[np.float64]) -> Iterator[Item]:
        """Take what is known of the next label frame, and decide about the one in the middle of the last ones."""
        heard = self._heard.pop(label, None)
        for number in [number for number in self._heard if number < label]:
            del self._heard[number]
        self._waiting.append(_Label(label, heard, classed))
        self._recent.append(classed)
        if len(self._waiting) > MARGIN_LABELS:
            yield from self._decide(self._waiting.popleft())

    def _end(self) -> Iterator[Item]:
        """Decide about all that was heard, and close the event that is open."""
        while self._waiting:
            yield from self._decide(self._waiting.popleft())
        yield from self._close()
        self._recent.clear()

    def _decide(self, label: _Label) -> Iterator[Item]:
        if label.heard is None or not label.heard.power:  # silence, as in a pause, is no background
            yield from self._close_after_gap(label.number)
            return
        level = level_db(label.heard.power)
        loud = self._background.known and level >= self._background.value + self._settings.threshold_db
        self._background.add(level)
        vector = self._in_room(label.heard.vector) if loud else None
        if vector is None:
            yield from self._close_after_gap(label.number)
        elif is_explained(vector, np.concatenate(self._recent), self._settings.apart_deg):
            yield from self._close()
        else:
            yield from self._follow(label.number, vector, label.heard.power)

    def _in_room(self, vector: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        """The vector as the room has it; None where there is none, or an ignored sector in its direction."""
        if vector is None or not vector.any():
            return None
        vector = self._level(vector)
        if self._surroundings is None:
            return vector
        one = np.ones((1, 1, 1), np.float32)
        turned = self._surroundings.turned(TrackFrames(one, vector.astype(np.float32)[None, None], 0)).direction[0, 0]
        return turned.astype(np.float64) if turned.any() else None

    def _level(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The vectors (..., 3) without elevation, where the array is flat."""
        return vectors * np.array([1.0, 1.0, 0.0]) if self._planar else vectors

    def _follow(self, label: int, vector: NDArray[np.float64], power: float) -> Iterator[Item]:
        """Begin an event, or go on with it; one from another direction ends."""
        sound = self._sound
        if sound is not None and angle_between_deg(sound.vector_sum, vector) > self._settings.apart_deg:
            yield from self._close()
            sound = None
        if sound is None:
            sound = self._sound = _Sound(self._numbers, label, label, np.zeros(3))
        sound.vector_sum = sound.vector_sum + vector
        sound.power_sum += power
        sound.labels += 1
        sound.last = label
        if not sound.told and label + 1 - sound.onset >= self._least_labels:
            sound.told = True
            self._numbers += 1
            yield EventUpdate("begin", self._event(sound))

    def _close_after_gap(self, label: int) -> Iterator[Item]:
        if self._sound is not None and label - self._sound.last > MAX_GAP_LABELS:
            yield from self._close()

    def _close(self) -> Iterator[Item]:
        """End the event that is open; one that was too short was never told."""
        sound, self._sound = self._sound, None
        if sound is not None and sound.told:
            yield self._event(sound)

    def _sounding(self) -> Iterator[Event]:
        if self._sound is not None and self._sound.told:
            yield self._event(self._sound)

    def _event(self, sound: _Sound) -> Event:
        azimuth, elevation = map(float, azimuth_elevation_deg(sound.vector_sum))
        around = self._surroundings
        return Event(
            name=UNKNOWN,
            onset_s=sound.onset * self._label_s,
            offset_s=(sound.last + 1) * self._label_s,
            azimuth_deg=azimuth,
            elevation_deg=None if self._planar else elevation,
            score=min(1.0, float(np.linalg.norm(sound.vector_sum)) / sound.labels),
            id=sound.number,
            sector=None if around is None else around.sector_of(azimuth, elevation),
            level_db=level_db(sound.power_sum / sound.labels) + self._offset_db,
        )


def names_of_events(class_names: Sequence[str], settings: UnknownSettings) -> tuple[str, ...]:
    """Return the names that events may have: those of the classes first, and that of sounds without a class."""
    return (*class_names, *([UNKNOWN] if settings.enabled else []))


class _Background:
    """The level that was exceeded 90 % of the last label frames."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: deque[float] = deque()
        self._ordered: list[float] = []

    @property
    def known(self) -> bool:
        """Whether there are levels enough."""
        return len(self._values) >= _LEAST_BACKGROUND_LABELS

    @property
    def value(self) -> float:
        """The level."""
        return self._ordered[len(self._ordered) // 10]

    def add(self, value: float) -> None:
        """Add a level, and forget the oldest one beyond the most."""
        self._values.append(value)
        insort(self._ordered, value)
        if len(self._values) > self._most:
            del self._ordered[bisect_left(self._ordered, self._values.popleft())]


def is_explained(vector: NDArray[np.float64], classed: NDArray[np.float64], apart_deg: float) -> bool:
    """Say whether a direction is that of a sound with a class, or lies between those of several that sound at once.

    Args:
        vector: Direction (3,) of any length but 0.
        classed: Directions (n, 3) of sounds with a class.
        apart_deg: Largest angle, up to 90 degrees, between the vector and what the sounds can add up to.
    """
    if not len(classed):
        return False
    wanted = vector / np.linalg.norm(vector)
    missed = np.linalg.norm(wanted - non_negative(classed.T, wanted) @ classed)
    return bool(missed <= np.sin(np.deg2rad(apart_deg)))

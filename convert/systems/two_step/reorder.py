"""Stacked-tracks -> track-wise targets in which a track keeps its kind of event (Two-step, section 2.1.3).

Stacked-tracks list the active events of every label frame, lowest slots first, so an event may change its slot when
another one ends. Here they are separated into events, and each event gets one track for its whole duration. The paper
states the aim, not the method; reconstructed:

* an event is a run of label frames of one class; of several of one class, each continues in the nearest direction;
* events take tracks in the order of their onsets. Of the tracks that are free an event takes one that had its class
  last, the nearest in direction; else one that was not used yet; else one whose class does not come back; else the one
  that has been empty for longest.

So no track changes its class while there are as many tracks as (class, instance) pairs, and no event is lost while no
more events than tracks are active at a time (interval colouring by onsets needs no more tracks).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from edge.types import FloatArray


@dataclass(slots=True)
class TrackedEvent:
    """One event, from its first label frame in a window to its last."""

    class_index: int
    onset: int
    directions: list[FloatArray] = field(default_factory=list)  # (3,) each, of every label frame

    @property
    def end(self) -> int:
        """The label frame after its last."""
        return self.onset + len(self.directions)


def reorder(tracks: FloatArray, count: int, empty_class: int) -> tuple[FloatArray, int]:
    """Give every event of stacked-tracks one track.

    Args:
        tracks: Stacked-tracks (slots, labels, 4): x, y, z, class.
        count: Number of tracks.
        empty_class: Class of the cells without an event.

    Returns:
        Track-wise events (count, labels, 4), zero with class `empty_class` where there is none; and the label frames of
        the events that are left out because `count` others are active at their onset.

    Raises:
        ValueError: `count` is not positive.
    """
    if count < 1:
        raise ValueError(f"got {count} tracks, wanted at least 1")
    result = np.zeros((count, tracks.shape[1], 4), np.float32)
    result[..., 3] = empty_class
    found = events(tracks)
    last: list[TrackedEvent | None] = [None] * count  # of each track
    dropped = 0
    for number, event in enumerate(found):
        free = [track for track, before in enumerate(last) if before is None or before.end <= event.onset]
        if not free:
            dropped += len(event.directions)
            continue
        to_come = {other.class_index for other in found[number:]}
        track = min(free, key=lambda index: _reluctance(event, last[index], to_come))
        last[track] = event
        result[track, event.onset : event.end, :3] = event.directions
        result[track, event.onset : event.end, 3] = event.class_index
    return result, dropped


def events(tracks: FloatArray) -> list[TrackedEvent]:
    """The events in stacked-tracks (slots, labels, 4), in the order of their onsets."""
    found: list[TrackedEvent] = []
    going: list[TrackedEvent] = []
    for label, cells in enumerate(tracks.transpose(1, 0, 2)):
        cells = cells[np.any(cells[:, :3] != 0, axis=-1)]
        following: list[TrackedEvent] = []
        for class_index in sorted(set(cells[:, 3].astype(int).tolist())):
            directions = list(cells[cells[:, 3] == class_index, :3])
            before = [event for event in going if event.class_index == class_index]
            for old, new in _nearest_pairs([event.directions[-1] for event in before], directions):
                event = TrackedEvent(class_index, label) if old is None else before[old]
                event.directions.append(directions[new])
                following.append(event)
        found += (event for event in following if event.onset == label)
        going = following
    return found


def _nearest_pairs(before: Sequence[FloatArray], now: Sequence[FloatArray]) -> list[tuple[int | None, int]]:
    """For every direction of `now`, the place of the one in `before` that it follows, or None."""
    if not before:
        return [(None, new) for new in range(len(now))]
    if len(before) == len(now) == 1:
        return [(0, 0)]
    apart = np.linalg.norm(np.stack(before)[:, None] - np.stack(now), axis=-1)
    pairs = {int(new): int(old) for old, new in zip(*linear_sum_assignment(apart), strict=True)}
    return [(pairs.get(new), new) for new in range(len(now))]


def _reluctance(event: TrackedEvent, last: TrackedEvent | None, to_come: set[int]) -> tuple[float, ...]:
    """The smaller, the better the track fits the event: see above. `to_come` are the classes of later events."""
    if last is None:
        return (1.0,)
    if last.class_index == event.class_index:
        return (0.0, float(np.linalg.norm(last.directions[-1] - event.directions[0])))
    return (3.0 if last.class_index in to_come else 2.0, float(last.end))

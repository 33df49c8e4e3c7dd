"""Event, or an update of one -> the record that JSON sinks write and send."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeGuard, overload

from edge.types import Event, EventUpdate, Item

ItemText = Callable[[Item], str | None]
"""Formats an item as whole lines; gives None for one that is not wanted."""

When = Callable[[float], datetime]
"""Converts seconds of a live stream to a time with its zone: see `StreamTime`."""

WANTED_EVENTS = ("ended", "all")
"""What a sink takes: events that have ended, or updates too."""


def check_wanted(events: str) -> None:
    """Check a value of WANTED_EVENTS. Raises ValueError."""
    if events not in WANTED_EVENTS:
        raise ValueError(f"got events {events!r}, wanted {' or '.join(WANTED_EVENTS)}")


def is_wanted(item: Item, events: str) -> TypeGuard[Event | EventUpdate]:
    """Say whether an item is about an event, and one that a sink takes: see WANTED_EVENTS."""
    return isinstance(item, Event) or (events == "all" and isinstance(item, EventUpdate))


def event_text(when: When | None, events: str = "ended") -> ItemText:
    """Make what formats the wanted events as lines with their ends, see `event_line`."""
    return lambda item: event_line(item, when) + "\n" if is_wanted(item, events) else None


def event_record(item: Event | EventUpdate, when: When | None) -> dict[str, Any]:
    """Make the record of an event.

    Args:
        item: A finished event, or an update of one that is not finished.
        when: Converts the onset to a time; None for a file.

    Returns:
        `class`, `onset_s`, `offset_s`, `azimuth_deg`, `elevation_deg` (None where the array is flat), `score`, `time`
        of the onset (UTC in ISO format; None for a file), `id`, `phase` (`begin`, `update`, `discarded`, or `end` of
        a finished event), and `sector` (None outside of all), in this order and rounded; and `level_db` of an event
        without a class, or `distance_m` where the model tells it.
    """
    event, phase = (item.event, item.phase) if isinstance(item, EventUpdate) else (item, "end")
    record = {
        "class": event.name,
        "onset_s": rounded(event.onset_s, 3),
        "offset_s": rounded(event.offset_s, 3),
        "azimuth_deg": rounded(event.azimuth_deg, 2),
        "elevation_deg": rounded(event.elevation_deg, 2),
        "score": rounded(event.score, 3),
        "time": None if when is None else utc_text(when(event.onset_s)),
        "id": event.id,
        "phase": phase,
        "sector": event.sector,
    }
    level = {} if event.level_db is None else {"level_db": rounded(event.level_db, 1)}
    return record | level | distance_field(event)


def distance_field(event: Event) -> dict[str, float]:
    """Make the field `distance_m` of an event, rounded; nothing where the model does not tell it."""
    return {} if event.distance_m is None else {"distance_m": rounded(event.distance_m, 2)}


def event_line(item: Event | EventUpdate, when: When | None) -> str:
    """Format the record of an event as JSON.

    Args:
        item: A finished event, or an update of one that is not finished.
        when: Converts the onset to a time; None for a file.

    Returns:
        `event_record` as one line, without the line end.
    """
    return json.dumps(event_record(item, when), ensure_ascii=False)


def utc_text(time: datetime) -> str:
    """Format a time with its zone as UTC, ISO 8601 with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@overload
def rounded(value: float, digits: int) -> float: ...


@overload
def rounded(value: float | None, digits: int) -> float | None: ...


def rounded(value: float | None, digits: int) -> float | None:
    """Round a number for a file; None stays None."""
    return None if value is None else round(float(value), digits) + 0.0  # no -0.0

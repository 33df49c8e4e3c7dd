"""Event -> the record that JSON sinks write and send."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from edge.types import Event

When = Callable[[float], datetime]
"""Converts seconds of a live stream to a time with its zone: see `StreamTime`."""


def event_record(event: Event, when: When | None) -> dict[str, Any]:
    """Make the record of an event.

    Args:
        event: A finished event.
        when: Converts the onset to a time; None for a file.

    Returns:
        `class`, `onset_s`, `offset_s`, `azimuth_deg`, `elevation_deg` (None where the array is flat), `score`, and
        `time` of the onset (UTC in ISO format; None for a file), in this order and rounded.
    """
    return {
        "class": event.name,
        "onset_s": _rounded(event.onset_s, 3),
        "offset_s": _rounded(event.offset_s, 3),
        "azimuth_deg": _rounded(event.azimuth_deg, 2),
        "elevation_deg": _rounded(event.elevation_deg, 2),
        "score": _rounded(event.score, 3),
        "time": None if when is None else _time(when(event.onset_s)),
    }


def event_line(event: Event, when: When | None) -> str:
    """Format the record of an event as JSON.

    Args:
        event: A finished event.
        when: Converts the onset to a time; None for a file.

    Returns:
        `event_record` as one line, without the line end.
    """
    return json.dumps(event_record(event, when), ensure_ascii=False)


def _time(onset: datetime) -> str:
    return onset.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits) + 0.0  # no -0.0

"""Event -> the record of it that JSON sinks write and send."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from edge.types import Event


def event_record(event: Event, started_at: datetime | None) -> dict[str, Any]:
    """`class`, `onset_s`, `offset_s`, `azimuth_deg`, `elevation_deg`, `score` and `time` of the onset (UTC, or null).

    started_at: wall-clock time of sample 0 of a live source, None for a file. The elevation is null where the array
    cannot tell it.
    """
    return {
        "class": event.name,
        "onset_s": _rounded(event.onset_s, 3),
        "offset_s": _rounded(event.offset_s, 3),
        "azimuth_deg": _rounded(event.azimuth_deg, 2),
        "elevation_deg": _rounded(event.elevation_deg, 2),
        "score": _rounded(event.score, 3),
        "time": None if started_at is None else _time(started_at, event.onset_s),
    }


def event_line(event: Event, started_at: datetime | None) -> str:
    """The record as one line of JSON, without its end."""
    return json.dumps(event_record(event, started_at), ensure_ascii=False)


def _time(started_at: datetime, onset_s: float) -> str:
    onset = started_at + timedelta(seconds=float(onset_s))
    return onset.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits) + 0.0  # no -0.0

"""Events of this run -> the last ones by filters, and counts by hour and direction: what the page asks for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

KEPT = 2000
MOST_ANSWERED = 500
HOURS = 24
ROSE_BINS = 36

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """Which events are wanted."""

    name: str | None = None  # of the class; None for all
    sector: str | None = None
    since_s: float | None = None  # time of the onset, in seconds since 1970
    until_s: float | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of events."""

    hours: Mapping[str, list[int]]  # (24,) by class, from `since_s` of the query
    rose: Mapping[str, list[int]]  # (36,) by class: 0 to 10 degrees, the others follow counter-clockwise


class History(Protocol):
    """Where the page finds finished events."""

    def events(self, query: Query) -> list[Record]:
        """Return records of events, the latest first, each with `at_s`, the time of its onset since 1970."""

    def counts(self, query: Query) -> Counts:
        """Count the events of the 24 hours from `since_s`."""

    def clip(self, name: str) -> Path | None:
        """Return the file of a clip by the name in its event's record; None where there is none."""


class Recent:
    """The last events of this run, in memory."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Begin without events.

        Args:
            clock: time since 1970, for events of a file, which have none of their own.
        """
        self._clock = clock
        self._records: deque[Record] = deque(maxlen=KEPT)

    def add(self, record: Record) -> Record:
        """Keep a record, and return it with `at_s`."""
        kept = record | {"at_s": at_s(record, self._clock)}
        self._records.appendleft(kept)
        return kept

    def events(self, query: Query) -> list[Record]:
        """Return the latest first."""
        found = self._matching(query)
        return [record for record, _ in zip(found, range(min(query.limit, MOST_ANSWERED)), strict=False)]

    def counts(self, query: Query) -> Counts:
        """Count by hour and direction."""
        first_s = query.since_s or 0.0
        hours: dict[str, list[int]] = {}
        rose: dict[str, list[int]] = {}
        for record in self._matching(query):
            hour = int((record["at_s"] - first_s) // 3600)
            if 0 <= hour < HOURS:
                hours.setdefault(record["class"], [0] * HOURS)[hour] += 1
            azimuth_bin = int(record["azimuth_deg"] % 360.0 * ROSE_BINS / 360.0) % ROSE_BINS
            rose.setdefault(record["class"], [0] * ROSE_BINS)[azimuth_bin] += 1
        return Counts(hours, rose)

    def clip(self, name: str) -> Path | None:
        """Return None: clips belong to a history on disk."""
        return None

    def _matching(self, query: Query) -> Iterator[Record]:
        for record in self._records:
            if query.name not in (None, record["class"]) or query.sector not in (None, record.get("sector")):
                continue
            if (query.since_s or 0.0) <= record["at_s"] < (query.until_s or float("inf")):
                yield record


def at_s(record: Record, clock: Callable[[], float]) -> float:
    """Return the time of the onset of a record, or that of the clock where it has none."""
    return datetime.fromisoformat(record["time"]).timestamp() if record.get("time") else clock()

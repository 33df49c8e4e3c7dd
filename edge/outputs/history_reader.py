"""A history database -> its events in the order of time, and their counts by hour, class and direction.

It is read while a service writes to it, and by users who may only read it. Open a `History` for each request and close
it: that costs a fraction of a millisecond, and a database that was set aside is not read any longer.

    with open_history(path) as history:
        last = list(history.events(Wanted(since_s=time.time() - 3600), limit=100))
        heat = history.per_hour(Wanted(since_s=midnight_s))
        rose = history.rose(Wanted(name="bell"))
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import quote

from edge.outputs.history_store import (
    AZIMUTH_BIN,
    BUSY_S,
    DATABASE_ERRORS,
    DAY_S,
    HOUR_S,
    HOURS,
    ROSE,
    ROSE_BINS,
    checked_version,
)

_CHUNK = 1000  # rows that are read at a time: no reader keeps the write-ahead log from being cut back for long


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the history."""

    id: int  # of its row
    time_s: float  # of the onset, Unix time
    name: str  # class
    onset_s: float  # from the start of its stream
    offset_s: float
    azimuth_deg: float
    elevation_deg: float | None  # None for a flat array
    score: float
    sector: str  # '' without one
    clip: str  # name of its file, which may have been deleted since; '' without one
    level_db: float | None  # A-weighted level of an event without a class; None for others


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are wanted; all of them by default."""

    since_s: float | None = None  # Unix time; events that begin at it or later
    until_s: float | None = None  # Unix time; events that begin before it
    name: str | None = None  # class
    sector: str | None = None


EVERYTHING = Wanted()


class History:
    """An open history, for one thread. `open_history` makes one."""

    def __init__(self, connection: sqlite3.Connection, version: int) -> None:
        self._connection = connection
        names = {"name": "class"} | ({} if version >= 2 else {"level_db": "NULL"})
        self._columns = ", ".join(names.get(item.name, item.name) for item in fields(StoredEvent))

    def events(self, wanted: Wanted = EVERYTHING, limit: int | None = None) -> Iterator[StoredEvent]:
        """Yield events in the order of time.

        Args:
            wanted: which ones.
            limit: the youngest so many of them; all without it.

        Raises:
            sqlite3.Error: the database cannot be read.
        """
        bounded = self._bounded(wanted)
        after = (-math.inf if bounded.since_s is None else bounded.since_s), -1
        condition, values = _condition(bounded, "time_s")
        if limit is not None:
            first = self._connection.execute(
                f"SELECT time_s, id FROM events WHERE {condition} ORDER BY time_s DESC, id DESC LIMIT 1 OFFSET ?",
                (*values, max(0, limit - 1)),
            ).fetchone()
            after = (first[0], first[1] - 1) if first else after
        # without since, which would keep the index from being entered at `after`
        condition, values = _condition(replace(bounded, since_s=None), "time_s")
        left = limit
        while left is None or left > 0:
            rows = self._connection.execute(
                f"SELECT {self._columns} FROM events WHERE {condition} AND (time_s, id) > (?, ?)"
                " ORDER BY time_s, id LIMIT ?",
                (*values, *after, _CHUNK if left is None else min(left, _CHUNK)),
            ).fetchall()
            if not rows:
                return
            yield from (StoredEvent(*row) for row in rows)
            after = rows[-1][1], rows[-1][0]
            left = None if left is None else left - len(rows)

    def per_hour(self, wanted: Wanted = EVERYTHING) -> list[tuple[int, str, int]]:
        """Count the events of each hour and class.

        Args:
            wanted: which ones; hours of UTC in which since and until lie count as a whole.

        Returns:
            Unix time of the start of the hour, class, and number of events, where there are any; in the order of time.

        Raises:
            sqlite3.Error: the database cannot be read.
        """
        condition, values = _condition(_in_steps(wanted, DAY_S), "day")
        hours = _in_steps(wanted, HOUR_S)
        first = -math.inf if hours.since_s is None else hours.since_s
        end = math.inf if hours.until_s is None else hours.until_s
        rows = self._connection.execute(
            f"SELECT day, class, {_sums(HOURS)} FROM days WHERE {condition} GROUP BY day, class", values
        )
        return sorted(
            (hour * HOUR_S, name, count)
            for day, name, *counts in rows
            for hour, count in enumerate(counts, start=24 * day)
            if count and first <= hour < end
        )

    def rose(self, wanted: Wanted = EVERYTHING) -> dict[str, list[int]]:
        """Count the events by class and azimuth.

        Args:
            wanted: which ones.

        Returns:
            For each class that has any, numbers of events of ROSE_BINS bins of 10 degrees: the first one is 0 to 10
            degrees, the others follow counter-clockwise.

        Raises:
            sqlite3.Error: the database cannot be read.
        """
        counts: dict[str, list[int]] = defaultdict(lambda: [0] * ROSE_BINS)
        since_s = -math.inf if wanted.since_s is None else wanted.since_s
        until_s = math.inf if wanted.until_s is None else wanted.until_s
        # whole days are counted already; what comes before and after them is counted now
        begin_s = since_s if math.isinf(since_s) else math.ceil(since_s / DAY_S) * DAY_S
        end_s = until_s if math.isinf(until_s) else math.floor(until_s / DAY_S) * DAY_S
        edges = [(since_s, begin_s), (end_s, until_s)] if begin_s < end_s else [(since_s, until_s)]
        if begin_s < end_s:
            condition, values = _condition(replace(wanted, since_s=begin_s / DAY_S, until_s=end_s / DAY_S), "day")
            for name, *numbers in self._connection.execute(
                f"SELECT class, {_sums(ROSE)} FROM days WHERE {condition} GROUP BY class", values
            ):
                counts[name] = numbers
        for first_s, last_s in edges:
            condition, values = _condition(replace(wanted, since_s=first_s, until_s=last_s), "time_s")
            for name, azimuth_bin, number in self._connection.execute(
                f"SELECT class, {AZIMUTH_BIN.format(row='')} AS bin, count(*) FROM events WHERE {condition}"
                " GROUP BY class, bin",
                values,
            ):
                counts[name][azimuth_bin] += number
        return dict(counts)

    def totals(self, wanted: Wanted = EVERYTHING) -> dict[str, int]:
        """Count the events by class; days of UTC in which since and until lie count as a whole.

        Raises:
            sqlite3.Error: the database cannot be read.
        """
        condition, values = _condition(_in_steps(wanted, DAY_S), "day")
        return dict(
            self._connection.execute(f"SELECT class, sum(count) FROM days WHERE {condition} GROUP BY class", values)
        )

    def _bounded(self, wanted: Wanted) -> Wanted:
        """The same within the days that have such events, so that a rare class is not sought among all events."""
        if wanted.name is None and wanted.sector is None:
            return wanted
        condition, values = _condition(_in_steps(wanted, DAY_S), "day")
        (days,) = self._connection.execute(f"SELECT min(day), max(day) FROM days WHERE {condition}", values)
        if days[0] is None:
            return replace(wanted, until_s=-math.inf)
        since_s, until_s = days[0] * DAY_S, (days[1] + 1) * DAY_S
        return replace(
            wanted,
            since_s=since_s if wanted.since_s is None else max(since_s, wanted.since_s),
            until_s=until_s if wanted.until_s is None else min(until_s, wanted.until_s),
        )


@contextlib.contextmanager
def open_history(path: str | Path) -> Iterator[History]:
    """Open a history for reading, as long as the `with` lasts. Nothing is written, and no lock holds up a writer.

    Raises:
        ValueError: there is none, or it cannot be read; one line that begins with the path. So does an error of the
            database inside the `with`.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: got no history there, wanted the database of the sink history:")
    try:
        connection, version = _connected(path)
        with contextlib.closing(connection):
            yield History(connection, version)
    except DATABASE_ERRORS as error:
        raise ValueError(f"{path}: not readable as a history: {error}") from None


def _connected(path: Path) -> tuple[sqlite3.Connection, int]:
    """Connect read-only; returns the version of the database, too.

    A write-ahead log has an index in a file beside it, which the last writer removes. A reader who may not make it
    again reads the database as one that nobody changes, which is true then.
    """
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    log = path.with_name(f"{path.name}-wal")
    try:
        return _checked(address, path)
    except sqlite3.OperationalError:
        if log.exists() and log.stat().st_size:
            raise
        return _checked(f"{address}&immutable=1", path)


def _checked(address: str, path: Path) -> tuple[sqlite3.Connection, int]:
    connection = sqlite3.connect(address, timeout=BUSY_S, uri=True, check_same_thread=False)
    try:
        version = checked_version(connection, path)
        if version == 0:
            raise ValueError(f"{path}: got an empty database, wanted a history")
    except BaseException:
        connection.close()
        raise
    return connection, version


def _condition(wanted: Wanted, clock: str) -> tuple[str, list[float | str]]:
    """SQL that selects rows, and its values. `clock` is the column that since and until are compared with."""
    conditions = {
        f"{clock} >= ?": wanted.since_s,
        f"{clock} < ?": wanted.until_s,
        "class = ?": wanted.name,
        "sector = ?": wanted.sector,
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    return " AND ".join(given) or "TRUE", list(given.values())


def _in_steps(wanted: Wanted, step_s: int) -> Wanted:
    """The same in whole steps: those in which the time begins and ends are among them."""
    return replace(
        wanted,
        since_s=None if wanted.since_s is None else wanted.since_s // step_s,
        until_s=None if wanted.until_s is None else -(-wanted.until_s // step_s),
    )


def _sums(columns: Iterable[str]) -> str:
    return ", ".join(f"sum({name})" for name in columns)

"""A file of JSON lines -> the events in it that a history does not have yet."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from edge.files import open_regular
from edge.outputs.history_store import DATABASE_ERRORS, Row, insert, open_store

SAME_S = 2.0  # times of one event in two outputs differ by less: each asks the clock when it gets the event
_MOST_LINE_BYTES = 1 << 16
_BATCH = 1000  # lines in a transaction: a service that writes at the same time waits for no longer


class Imported(NamedTuple):
    """Numbers of lines of an imported file."""

    added: int
    known: int  # the history had them already
    timeless: int  # without a time of day: from runs of files
    unfinished: int  # of events that had not ended


def import_lines(source: Path, database: Path) -> Imported:
    """Add the events of a file of JSON lines to a history; a second time, this adds nothing.

    Args:
        source: as the sink `jsonl:FILE` writes it. A torn last line is left out.
        database: is made if it is missing. A service may be writing to it.

    Returns:
        How many lines were added, and how many were not, and why.

    Raises:
        ValueError: a file cannot be read or written, or a line is no event. The events before it are in the history.
    """
    try:
        connection = open_store(database)
    except DATABASE_ERRORS as error:
        raise ValueError(f"{database}: not usable as a history: {error}") from None
    counts = {"added": 0, "known": 0, "timeless": 0, "unfinished": 0}
    try:
        connection.execute("BEGIN IMMEDIATE")
        for number, record in enumerate(_records(source), start=1):
            counts[_add(connection, record)] += 1
            if number % _BATCH == 0:
                connection.execute("COMMIT")
                connection.execute("BEGIN IMMEDIATE")
    except DATABASE_ERRORS as error:
        raise ValueError(f"{database}: not writable as a history: {error}") from None
    finally:
        _end(connection)
    return Imported(**counts)


def _end(connection: sqlite3.Connection) -> None:
    """Commit what is whole, and close."""
    try:
        if connection.in_transaction:
            connection.execute("COMMIT")
    except sqlite3.Error:
        connection.rollback()
        raise
    finally:
        connection.close()


def _add(connection: sqlite3.Connection, record: dict[str, Any]) -> str:
    """Add a record of a line; returns the field of `Imported` that it counts for."""
    if record.get("phase", "end") != "end":
        return "unfinished"
    if record.get("time") is None:
        return "timeless"
    row = _row(record)
    same = connection.execute(
        "SELECT 1 FROM events WHERE time_s BETWEEN ? AND ? AND class = ? AND onset_s = ? AND offset_s = ?"
        " AND azimuth_deg = ? LIMIT 1",
        (row.time_s - SAME_S, row.time_s + SAME_S, row.name, row.onset_s, row.offset_s, row.azimuth_deg),
    ).fetchone()
    if same:
        return "known"
    insert(connection, [row])
    return "added"


def _records(source: Path) -> Iterator[dict[str, Any]]:
    """Yield the object of each line.

    Raises:
        ValueError: the file cannot be read, or a line is no event; the line is named.
    """
    try:
        with open_regular(source) as file:
            number = 0
            while line := file.readline(_MOST_LINE_BYTES + 1):
                number += 1
                try:
                    if len(line) > _MOST_LINE_BYTES:
                        raise ValueError(f"got more than {_MOST_LINE_BYTES} bytes, wanted an event")
                    record = _record(line)
                except ValueError as error:
                    if not line.endswith(b"\n") and len(line) <= _MOST_LINE_BYTES:
                        return  # torn by a power cut
                    raise ValueError(f"line {number}: {error}") from None
                if record is not None:
                    yield record
    except OSError as error:
        raise ValueError(f"{source}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _record(line: bytes) -> dict[str, Any] | None:
    """The object of a line, checked; None for an empty line."""
    if not line.strip(b"\0 \t\r\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("got no JSON, wanted an event") from None
    if not isinstance(record, dict):
        raise ValueError(f"got {type(record).__name__}, wanted an object")
    if record.get("time") is not None:
        _row(record)
    return record


def _row(record: dict[str, Any]) -> Row:
    """A record as a row. Raises ValueError where a field is missing or makes no sense."""
    elevation_deg, level_db = record.get("elevation_deg"), record.get("level_db")
    return Row(
        _time_s(record.get("time")),
        _text(record, "class"),
        _number(record, "onset_s", 0.0, 1e12),
        _number(record, "offset_s", 0.0, 1e12),
        _number(record, "azimuth_deg", -180.0, 180.0),
        None if elevation_deg is None else _number(record, "elevation_deg", -90.0, 90.0),
        _number(record, "score", 0.0, 1.0),
        _text(record, "sector") if record.get("sector") else "",
        level_db=None if level_db is None else _number(record, "level_db", -200.0, 300.0),
    )


def _time_s(value: object) -> float:
    try:
        if not isinstance(value, str):
            raise ValueError
        time = datetime.fromisoformat(value)
        seconds = time.timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"got time {value!r}, wanted one of ISO 8601") from None
    if time.tzinfo is None or seconds < 0.0:
        raise ValueError(f"got time {value!r}, wanted one with its zone, after 1970")
    return round(seconds, 3)


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value or "\0" in value or len(value) > 200 or not _encodes(value):
        raise ValueError(f"got {key} {value!r:.60}, wanted a name")
    return value


def _encodes(text: str) -> bool:
    """Whether a text is whole characters: JSON can hold half of a surrogate pair, a database cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _number(record: dict[str, Any], key: str, lowest: float, highest: float) -> float:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise ValueError(f"got {key} {value!r:.60}, wanted a number of {lowest:g} to {highest:g}")
    return math.copysign(float(value), 1.0) if value == 0 else float(value)

"""Events -> a SQLite database: its schema and its versions, and every statement that writes.

One row for each event. Triggers keep the table `days` beside them, so that a million events are counted in the time of
a few thousand: how many events of a class and sector there were on a day of UTC, by hour and by azimuth.
`edge/outputs/history_reader.py` reads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

APPLICATION_ID = 0x53454C44  # "SELD", in the header of the file: a database of another program is never touched
ROSE_BINS = 36  # of 10 degrees; the first one begins at the front, the others follow counter-clockwise
HOUR_S, DAY_S = 3600, 86400
BUSY_S = 5.0  # how long a lock of another process is waited for

_WAL_BYTES = 4 << 20  # size to which the write-ahead log is cut back
_VACUUM_PAGES = 1000  # that a `prune` gives back to the file system at most
_PRUNED_ROWS = 1000  # that a `prune` deletes in one transaction
_LOOK_BACK_ROWS = 10_000  # youngest rows among which a clip finds its event
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What the use of a database raises. The second: the message of the first quotes damaged text."""

HOURS = tuple(f"h{hour}" for hour in range(24))
"""Columns of the table `days`: events of a day by the hour of UTC."""

ROSE = tuple(f"d{number}" for number in range(ROSE_BINS))
"""Columns of the table `days`: events of a day by azimuth."""

AZIMUTH_BIN = f"CAST(({{row}}azimuth_deg + 360) / {360 // ROSE_BINS} AS INTEGER) % {ROSE_BINS}"
"""SQL: number of the column in ROSE; `row` is empty, or NEW or OLD with a dot."""


def _counting(row: str, change: str) -> str:
    """SQL of a trigger that adds an event to the counts of its day, or takes it away: `change` is + or -."""
    hour, azimuth_bin = f"CAST({row}time_s / {HOUR_S} AS INTEGER) % 24", AZIMUTH_BIN.format(row=row)
    steps = [f"{name} = {name} {change} ({hour} = {number})" for number, name in enumerate(HOURS)]
    steps += [f"{name} = {name} {change} ({azimuth_bin} = {number})" for number, name in enumerate(ROSE)]
    day = f"CAST({row}time_s / {DAY_S} AS INTEGER)"
    key = f"day = {day} AND class = {row}class AND sector = {row}sector"
    return f"""
        INSERT INTO days (day, class, sector) VALUES ({day}, {row}class, {row}sector) ON CONFLICT DO NOTHING;
        UPDATE days SET count = count {change} 1, {", ".join(steps)} WHERE {key};
        DELETE FROM days WHERE {key} AND count = 0;
    """


MIGRATIONS: tuple[str, ...] = (
    f"""
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        time_s REAL NOT NULL,      -- of the onset, Unix time
        class TEXT NOT NULL,
        onset_s REAL NOT NULL,     -- from the start of the stream
        offset_s REAL NOT NULL,
        azimuth_deg REAL NOT NULL,
        elevation_deg REAL,        -- NULL for a flat array
        score REAL NOT NULL,
        sector TEXT NOT NULL,      -- '' without one
        clip TEXT NOT NULL         -- name of the file, '' without one
    );
    CREATE INDEX by_time ON events (time_s, class, sector);
    CREATE TABLE days (
        day INTEGER, class TEXT, sector TEXT, count INTEGER NOT NULL DEFAULT 0,
        {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in (*HOURS, *ROSE))},
        PRIMARY KEY (day, class, sector)
    ) WITHOUT ROWID;
    CREATE TRIGGER counted AFTER INSERT ON events BEGIN {_counting("NEW.", "+")} END;
    CREATE TRIGGER uncounted AFTER DELETE ON events BEGIN {_counting("OLD.", "-")} END;
    """,
    "ALTER TABLE events ADD COLUMN level_db REAL;",  # NULL for an event with a class
)
"""SQL that brings a database from each version to the next one; that of a new file is 0."""


class Row(NamedTuple):
    """An event as it is stored, without its id."""

    time_s: float  # of the onset, Unix time
    name: str  # class
    onset_s: float
    offset_s: float
    azimuth_deg: float
    elevation_deg: float | None
    score: float
    sector: str = ""
    clip: str = ""
    level_db: float | None = None


def open_store(path: Path) -> sqlite3.Connection:
    """Open a database to write to it; make it, or bring it to the present version, if need be.

    Any thread may use the connection, one at a time. Each statement outside a transaction is one of its own.

    Raises:
        ValueError: the file is a database of another program, or of a newer version of this one. It is not touched.
        sqlite3.Error: it cannot be opened or written; see `is_damaged`.
    """
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        version = checked_version(connection, path)
        if version == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything else is in the file
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number};"
            connection.executescript(f"BEGIN IMMEDIATE; {script} {marks} COMMIT;")
    except BaseException:
        connection.close()  # and roll back
        raise
    return connection


def checked_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a database; 0 for an empty one.

    Raises:
        ValueError: the file is a database of another program, or of a newer version of this one.
        sqlite3.Error: it cannot be read.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (tables or application):
        raise ValueError(f"{path}: got a database of another program, wanted a history of seld-edge")
    if version > len(MIGRATIONS):
        raise ValueError(
            f"{path}: got a history of version {version}, wanted at most {len(MIGRATIONS)}: update seld-edge"
        )
    return int(version)


def is_damaged(error: Exception) -> bool:
    """Whether an error says that the content of the file makes no sense, as opposed to a disk that fails or is full."""
    return isinstance(error, UnicodeDecodeError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def fault_of(connection: sqlite3.Connection) -> str:
    """Read the whole database; returns what is wrong with it, '' if nothing is.

    Raises:
        sqlite3.Error: it cannot be read, or so little makes sense that it cannot be checked.
    """
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return "" if found == "ok" else " ".join(str(found).split())


def insert(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Add events, inside the caller's transaction.

    One that is there already is left out: where a disk refuses to flush a commit, the commit may be on it all the same.
    """
    connection.executemany(
        "INSERT INTO events (time_s, class, onset_s, offset_s, azimuth_deg, elevation_deg, score, sector, clip,"
        " level_db) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 WHERE NOT EXISTS (SELECT 1 FROM events"
        " WHERE time_s = ?1 AND class = ?2 AND onset_s = ?3 AND azimuth_deg = ?5)",
        rows,
    )


def attach_clip(connection: sqlite3.Connection, name: str, onset_s: float, azimuth_deg: float, clip: str) -> None:
    """Give the youngest event with this class, onset and azimuth its clip; nothing if it is not there any more."""
    connection.execute(
        "UPDATE events SET clip = ? WHERE id = (SELECT id FROM events WHERE class = ? AND onset_s = ? AND"
        " azimuth_deg = ? AND id > (SELECT max(id) FROM events) - ? ORDER BY id DESC LIMIT 1)",
        (clip, name, onset_s, azimuth_deg, _LOOK_BACK_ROWS),
    )


def prune(connection: sqlite3.Connection, before_s: float, most_bytes: int) -> bool:
    """Delete some of the events that are too old, or else of the oldest ones if the database is too large.

    Args:
        connection: from `open_store`.
        before_s: Unix time; older events are too old.
        most_bytes: size of what the file holds at most.

    Returns:
        Whether there may be more to delete. One call takes a moment only, so that a writer can take its turn between
        two of them.
    """
    condition, values = ("TRUE", []) if used_bytes(connection) > most_bytes else ("time_s < ?", [before_s])
    deleted = connection.execute(
        f"DELETE FROM events WHERE id IN (SELECT id FROM events WHERE {condition} ORDER BY time_s LIMIT ?)",
        (*values, _PRUNED_ROWS),
    ).rowcount
    if deleted:
        connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")  # `execute` frees one page only
    return deleted == _PRUNED_ROWS


def used_bytes(connection: sqlite3.Connection) -> int:
    """Size of what a database holds, without the free pages of its file."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)

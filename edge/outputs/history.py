"""Events -> the rows of a history, a SQLite database on disk that keeps them for months.

`emit` puts an event into memory. A worker thread commits what is there at regular intervals, each commit with a flush
to the disk: a power cut, or the end of the process, loses nothing older than an interval. While the disk is full,
read-only or failing, events wait in memory. A database that is damaged is renamed and begun anew.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

from edge.events.records import When
from edge.files import is_temporary
from edge.outputs.appended_file import MAX_LINES_IN_MEMORY
from edge.outputs.history_settings import HistorySettings
from edge.outputs.history_store import (
    DATABASE_ERRORS,
    DAY_S,
    Row,
    attach_clip,
    fault_of,
    insert,
    is_damaged,
    open_store,
    prune,
)
from edge.outputs.line_file import SinkError
from edge.outputs.worker import EARLY_S, Worker, turn_s
from edge.types import Event, Item

MAX_IN_MEMORY = MAX_LINES_IN_MEMORY
PRUNE_S = 600.0  # time between two looks for events that are too old

log = logging.getLogger(__name__)


class HistorySink:
    """Stores each event. `emit` never waits for the disk in a live run; other runs end with the first failure.

    Attributes:
        dropped: number of events that were given up.
    """

    def __init__(self, settings: HistorySettings, when: When | None) -> None:
        """Open the database. A live run goes on without it while the disk is full or cannot be written.

        Args:
            settings: where it is, and how long events stay in it.
            when: gives the time of day for seconds of a live source; None for a file, whose events get the time at
                which they are stored.

        Raises:
            SinkError: the file cannot be opened or made, or is a database of something else.
        """
        self.dropped = 0
        self._settings, self._when = settings, when
        self._path = Path(settings.database)
        self._rows: deque[Row] = deque()
        self._clips: deque[tuple[str, float, float, str]] = deque(maxlen=MAX_IN_MEMORY)  # class, onset, azimuth, file
        self._lock = threading.Lock()  # of the two queues; the connection belongs to the worker
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the open file
        self._checked = self._failing = self._closed = False
        self._sync_due_s = self._prune_due_s = 0.0
        try:
            _touch(self._path)
            self._open()
        except ValueError as error:
            raise SinkError(f"sink history: {error}") from None
        except (OSError, sqlite3.Error) as error:
            if when is None or (isinstance(error, OSError) and not is_temporary(error)):
                raise self._sink_error(error) from error
            self._log_failure(error)
        self._worker = Worker("sink history", self._work, turn_s(settings.sync_s)) if when is not None else None

    @property
    def alive(self) -> bool:
        """Whether events are still being stored, or wait for the disk."""
        return self._worker is None or self._worker.alive

    def emit(self, item: Item) -> None:
        """Take an event; rows of label frames are ignored.

        Raises:
            SinkError: events cannot be stored, and the source is a file.
        """
        if not isinstance(item, Event):
            return
        row = _row(item, datetime.now(UTC) if self._when is None else self._when(item.onset_s))
        with self._lock:
            self._rows.append(row)
            waiting = len(self._rows)
            self._drop_beyond_limit()
        if self._worker is None:
            if waiting >= MAX_IN_MEMORY:
                self._store_or_raise()
        elif not self._settings.sync_s or waiting == MAX_IN_MEMORY // 4:
            self._sync_due_s = 0.0
            self._worker.wake()

    def attach(self, event: Event, clip: str) -> None:
        """Store the name of the file that has the sound of an event, soon after the event. Any thread may do it."""
        with self._lock:
            row = _row(event, datetime.now(UTC))
            self._clips.append((row.name, row.onset_s, row.azimuth_deg, clip))

    def close(self) -> None:
        """Store what waits, and close the database. A second call does nothing.

        Raises:
            SinkError: events cannot be stored, and the source is a file.
        """
        if self._closed:
            return
        self._closed = True
        if self._worker is None:
            self._store_or_raise()
        elif self._worker.close():
            self._sync_due_s = 0.0
            self._work()
        else:
            log.error("sink history: the disk does not answer; the last events may be lost")
            return
        if lost := len(self._rows):
            self.dropped += lost
            log.warning("sink history: %d events could not be written and are lost", lost)
        self._disconnect()

    def _work(self) -> None:
        """Commit what is due, and delete what is too old or too much. What fails is tried again in the next turn."""
        try:
            try:
                self._take_turn()
            except DATABASE_ERRORS as error:
                if not is_damaged(error):
                    raise
                self._set_aside(str(error))
                self._take_turn()
        except (OSError, sqlite3.Error, ValueError) as error:  # ValueError: another database was put there meanwhile
            self._log_failure(error)
            self._disconnect()

    def _take_turn(self) -> None:
        connection = self._opened()
        if time.monotonic() >= self._sync_due_s:
            self._store(connection)
            self._sync_due_s = time.monotonic() + self._settings.sync_s - EARLY_S
        self._prune(connection)

    def _store_or_raise(self) -> None:
        self._sync_due_s = 0.0
        try:
            self._take_turn()
        except (OSError, sqlite3.Error, ValueError) as error:
            self._rows.clear()
            self._disconnect()
            raise self._sink_error(error) from error

    def _store(self, connection: sqlite3.Connection) -> None:
        """Write what waits in one transaction. What cannot be written waits again."""
        with self._lock:
            rows, clips = list(self._rows), list(self._clips)
            self._rows.clear()
            self._clips.clear()
        if not rows and not clips:
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            insert(connection, rows)
            for clip in clips:
                attach_clip(connection, *clip)
            connection.execute("COMMIT")
        except sqlite3.Error:
            with self._lock:
                self._rows.extendleft(reversed(rows))
                self._clips.extendleft(reversed(clips))
                self._drop_beyond_limit()
            raise
        if self._failing:
            log.warning("sink history: can be written again, %d events dropped so far", self.dropped)
            self._failing = False

    def _drop_beyond_limit(self) -> None:
        while len(self._rows) > MAX_IN_MEMORY:
            self._rows.popleft()
            self.dropped += 1

    def _prune(self, connection: sqlite3.Connection) -> None:
        if time.monotonic() < self._prune_due_s:
            return
        settings = self._settings
        before_s = time.time() - settings.days * DAY_S if settings.days else 0.0
        if not prune(connection, before_s, round(settings.max_mb * 1e6)):
            self._prune_due_s = time.monotonic() + PRUNE_S

    def _opened(self) -> sqlite3.Connection:
        """The connection: the first time after a look at the whole database, later after a look whether it is there."""
        connection = self._open()
        if not self._checked:
            if fault := fault_of(connection):
                self._set_aside(fault)
            self._checked = True
        elif _identity(self._path) != self._identity:
            log.warning("sink history: %s was moved or removed, and is begun anew", self._path)
            self._disconnect()
        return self._open()

    def _open(self) -> sqlite3.Connection:
        """Connect, if there is no connection. A damaged database is set aside and begun anew.

        Raises:
            ValueError: the file is a database of something else.
            sqlite3.Error: the disk cannot be read or written.
            OSError: the damaged database cannot be renamed.
        """
        if self._connection is None:
            try:
                self._connection = open_store(self._path)
            except DATABASE_ERRORS as error:
                if not is_damaged(error):
                    raise
                self._set_aside(str(error))
                self._connection = open_store(self._path)
            self._identity = _identity(self._path)
        return self._connection

    def _set_aside(self, fault: str) -> None:
        """Rename the database and what belongs to it."""
        self._disconnect()
        aside = self._path.with_name(f"{self._path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
        log.error("sink history: %s is damaged (%s): it is kept as %s and begun anew", self._path, fault, aside.name)
        for ending in ("-wal", "-shm", ""):  # the database last: what is cut short here is repeated
            part = self._path.with_name(self._path.name + ending)
            if part.exists():
                part.replace(aside.with_name(aside.name + ending))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                self._log_failure(error)

    def _log_failure(self, error: Exception) -> None:
        """Log the first of several failures; `_store` logs the recovery."""
        if not self._failing:
            log.warning("%s: events wait in memory", self._sink_error(error))
        self._failing = True

    def _sink_error(self, error: Exception) -> SinkError:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return SinkError(f"sink history: {self._path}: {reason}")


def _row(event: Event, onset: datetime) -> Row:
    return Row(
        round(onset.timestamp(), 3),
        event.name,
        round(float(event.onset_s), 3),
        round(float(event.offset_s), 3),
        round(float(event.azimuth_deg), 2),
        None if event.elevation_deg is None else round(float(event.elevation_deg), 2),
        round(float(event.score), 3),
        event.sector or "",
        level_db=None if event.level_db is None else round(event.level_db, 1),
    )


def _touch(path: Path) -> None:
    """Make the file if it is missing, so that the error says what is wrong with the path. SQLite's does not.

    Raises:
        OSError: it cannot be made, or written.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None if it is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino

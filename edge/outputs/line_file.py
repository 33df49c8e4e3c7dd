"""Lines -> a file (or stdout) that only ever holds whole lines, and may rotate.

Each write is unbuffered, so a killed process loses nothing. In a live run, a thread flushes the file to the disk at
regular intervals, so a power cut loses no older lines, and lines wait in memory while the disk cannot be written. A
file that was removed or renamed by another program is begun anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from edge.events.records import check_wanted
from edge.files import is_temporary
from edge.outputs.appended_file import (
    MAX_LINES_IN_MEMORY,
    AppendedFile,
    duplicates,
    flush,
    mend_tail,
    open_to_append,
)
from edge.outputs.worker import EARLY_S, Worker, turn_s

log = logging.getLogger(__name__)


class SinkError(OSError):
    """A sink could not be opened or written. The message is one line that names the sink and the cause."""


@dataclass(frozen=True, slots=True)
class LineFileSettings:
    """What a JSON lines file holds, and when it is flushed and rotated: FILE becomes FILE.1, FILE.1 FILE.2, and on."""

    max_mb: float = 0.0  # size in MB (10^6 bytes) at which the file is rotated, 0.001 to 1000000; 0 never rotates
    keep: int = 5  # number of rotated files to keep, 1 to 1000; the oldest is deleted
    sync_s: float = 5.0  # seconds between flushes to the disk, 0 to 3600: what a power cut may lose; 0 after each event
    # ended: one line for each event, when it is over; all: also when it begins, moves, or turns out to be too short
    events: str = "ended"

    def __post_init__(self) -> None:
        if self.max_mb != 0.0 and not 0.001 <= self.max_mb <= 1e6:
            raise ValueError(f"got max_mb {self.max_mb}, wanted 0 or 0.001 to 1000000")
        if not 1 <= self.keep <= 1000:
            raise ValueError(f"got keep {self.keep}, wanted 1 to 1000")
        if not 0.0 <= self.sync_s <= 3600.0:
            raise ValueError(f"got sync_s {self.sync_s:g}, wanted 0 to 3600")
        check_wanted(self.events)


DEFAULTS = LineFileSettings()


class LineWriter:
    """Writes whole lines to a file or to stdout, for one thread.

    In a live run, no error of the disk is raised: it is logged once, and lines wait in memory until they can be
    written. A broken pipe is an error all the same: nobody will read any further line. Other runs end with the first
    error.

    Attributes:
        dropped: number of lines that were given up.
    """

    def __init__(
        self,
        name: str,
        target: str,
        existing: Literal["append", "replace", "rotate"],
        live: bool,
        settings: LineFileSettings = DEFAULTS,
    ) -> None:
        """Open the target. A live run goes on without it while the disk is full or cannot be written.

        Args:
            name: name of the sink in messages.
            target: path of the file, or `-` for stdout.
            existing: what is done with the content that the file has: new lines follow it after its end was mended, it
                is deleted, or it becomes FILE.1.
            live: go on after errors, and flush the file to the disk.
            settings: when it is flushed and rotated; stdout never is.

        Raises:
            SinkError: the target cannot be opened.
        """
        self.dropped = 0
        self._name, self._target, self._existing, self._live = name, target, existing, live
        self._settings, self._max_bytes = settings, round(settings.max_mb * 1e6)
        self._owned = target != "-"
        self._lock = threading.Lock()
        self._file: AppendedFile | None = None
        self._waiting: deque[bytes] = deque()
        self._ended_fds: list[int] = []  # of rotated or removed files that are not on the disk yet
        self._new_entry = self._unsynced = False  # the folder got a new file; there are lines that are not on the disk
        self._failing = self._rotation_failing = self._closed = False
        self._sync_due_s = 0.0
        try:
            self._open()
        except OSError as error:
            if not live or not is_temporary(error):
                raise self._sink_error(error) from error
            self._log_failure(error, "lines wait in memory")
        self._worker = Worker(f"sink {name}", self._work, turn_s(settings.sync_s)) if live else None

    @property
    def alive(self) -> bool:
        """Whether the file is still being flushed."""
        return self._worker is None or self._worker.alive

    def write(self, line: str) -> None:
        """Write a line, which must include its line end.

        Raises:
            SinkError: the line could not be written, and the run is not live or the reader of a pipe is gone.
        """
        with self._lock:
            self._waiting.append(line.encode())
            try:
                self._write_waiting()
            except OSError as error:
                if not self._live or isinstance(error, BrokenPipeError):
                    self._waiting.clear()
                    raise self._sink_error(error) from error
                self._log_failure(error, "lines wait in memory")
                if len(self._waiting) > MAX_LINES_IN_MEMORY:
                    self._waiting.popleft()
                    self.dropped += 1
        if self._worker is not None and not self._settings.sync_s:
            self._worker.wake()

    def close(self) -> None:
        """Write what waits, flush and close the file; stdout stays open. A second call does nothing.

        Raises:
            SinkError: the operating system reports a write error on closing, and the run is not live.
        """
        if self._closed:
            return
        self._closed = True
        if self._worker is not None:
            if not self._worker.close():
                log.error("sink %s: the disk does not answer; its last lines may be lost", self._name)
                return
            self._sync_due_s = 0.0
            self._work()
        if self._waiting:
            self.dropped += len(self._waiting)
            log.warning("sink %s: %d lines could not be written and are lost", self._name, len(self._waiting))
        fds = [*self._ended_fds, *([self._file.fd] if self._file is not None and self._owned else [])]
        for fd in fds:
            try:
                os.close(fd)
            except OSError as error:
                if not self._live:
                    raise self._sink_error(error) from error
                self._log_failure(error, "the last lines may be lost")

    def _work(self) -> None:
        """Write lines that wait, and flush the file if that is due."""
        with self._lock:
            if self._waiting:
                try:
                    self._write_waiting()
                except OSError as error:
                    self._log_failure(error, "lines wait in memory")
            if not self._unsynced or self._file is None or time.monotonic() < self._sync_due_s:
                return
            self._sync_due_s = time.monotonic() + self._settings.sync_s - EARLY_S
            try:
                folder = Path(self._target).parent if self._new_entry else None
                fds = [*duplicates([self._file.fd], folder), *self._ended_fds]
            except OSError as error:
                self._log_failure(error, "a power cut would lose the last lines")
                return
            self._ended_fds = []
            self._unsynced = self._new_entry = False
        try:
            flush(fds)
        except OSError as error:
            with self._lock:
                self._unsynced = self._new_entry = True
                self._log_failure(error, "a power cut would lose the last lines")

    def _write_waiting(self) -> None:
        while self._waiting:
            if self._file is None or (self._owned and self._moved(self._file)):
                self._open()
            if self._max_bytes:
                self._rotate_if_full(len(self._waiting[0]))
            assert self._file is not None
            self._file.append(self._waiting[0])
            self._waiting.popleft()
            self._unsynced = self._file.regular and self._owned
        if self._failing:
            log.warning("sink %s: can be written again, %d lines dropped so far", self._name, self.dropped)
            self._failing = False

    def _open(self) -> None:
        """Open the target; the file that was open, if any, is to be flushed still."""
        if not self._owned:
            sys.stdout.flush()
            self._file = AppendedFile(sys.stdout.fileno())
            return
        if self._existing == "rotate" and Path(self._target).is_file() and Path(self._target).stat().st_size:
            self._rename_all([self._target, *self._rotated_names()])
        fd = open_to_append(self._target, os.O_TRUNC if self._existing == "replace" else 0)
        try:
            file = AppendedFile(fd)
            cut_bytes = mend_tail(self._target, fd) if file.regular and self._existing == "append" else 0
        except OSError:
            os.close(fd)
            raise
        if cut_bytes:
            log.warning("sink %s: cut off %d bytes of a torn line", self._name, cut_bytes)
        if self._file is not None:
            log.warning("sink %s: the file was moved or removed, and is begun anew", self._name)
            self._retire(self._file)
        self._file = file
        self._existing = "append"  # if it is opened again
        self._new_entry = file.regular

    def _moved(self, file: AppendedFile) -> bool:
        """Whether the path no longer leads to the open file."""
        try:
            there, here = Path(self._target).stat(), os.fstat(file.fd)
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _rotate_if_full(self, more_bytes: int) -> None:
        """Rotate the file if the next line would make it too large. After a failure, the next line tries again."""
        assert self._file is not None
        size = os.fstat(self._file.fd).st_size
        if not self._owned or not self._file.regular or size == 0 or size + more_bytes <= self._max_bytes:
            return
        new = f"{self._target}.new"
        try:
            fd = open_to_append(new, os.O_TRUNC)
            try:
                self._rename_all([new, self._target, *self._rotated_names()])
            except OSError:
                os.close(fd)
                raise
        except OSError as error:
            if not self._rotation_failing:
                log.warning("sink %s: cannot rotate the file, it keeps growing: %s", self._name, error.strerror)
            self._rotation_failing = True
            return
        self._retire(self._file)
        self._file = AppendedFile(fd)
        self._new_entry = True
        if self._rotation_failing:
            log.warning("sink %s: the file was rotated again", self._name)
            self._rotation_failing = False

    def _retire(self, file: AppendedFile) -> None:
        """Close a file, in a live run after the next flush."""
        if self._live:
            self._ended_fds.append(file.fd)
        else:
            os.close(file.fd)

    def _rotated_names(self) -> list[str]:
        return [f"{self._target}.{n}" for n in range(1, self._settings.keep + 1)]

    def _rename_all(self, names: list[str]) -> None:
        """Rename each file to the next name, the last one first; fewer files may exist."""
        for newer, older in reversed(list(pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                Path(newer).replace(older)

    def _log_failure(self, error: OSError, consequence: str) -> None:
        """Log the first of several failures; `_write_waiting` logs the recovery."""
        if not self._failing:
            log.warning("%s: %s", self._sink_error(error), consequence)
        self._failing = True

    def _sink_error(self, error: OSError) -> SinkError:
        return SinkError(f"sink {self._name}: {error.strerror or error}")

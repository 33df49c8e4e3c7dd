"""Lines of text -> a bounded queue on disk that survives the process: append, read in order, acknowledge.

Segment files hold lines with their number and a checksum. The file `acknowledged` holds the last number that needs no
further delivery, and is locked while the outbox is open. An appended line is in the page cache when `append` returns,
so a killed process loses nothing. It is on the disk after the next `sync`: a power cut loses later lines, and a line
that was torn by it is skipped and reported. When the outbox is full, the oldest segment is deleted and its undelivered
lines are counted. While the disk cannot be written, or the folder cannot be opened, lines wait in memory.

Why not sqlite3: with a write-ahead log, synchronous=normal and a checkpoint for each sync, an event costs 14 kB on the
disk and 13 kB in the page cache, where these files take 1 kB and 0.2 kB (one sync for ten events). The first insert
after each checkpoint waits for the disk, 8 ms here, and it would do so in the loop that must keep up with the
microphone; an append to a file takes less than 10 us. `python -m tests.edge.outputs.measure_outbox FOLDER` prints these
figures.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edge.files import is_temporary
from edge.outputs.appended_file import MAX_LINES_IN_MEMORY, AppendedFile, duplicates, flush, open_to_append
from edge.outputs.line_file import SinkError
from edge.outputs.outbox_lines import Entry, acknowledged_record, entry_of, line_of, read_acknowledged

MAX_SEGMENTS = 16  # a full outbox gives up one of them at once
GIVE_UP_S = 60.0  # how long a segment that cannot be read holds up those after it

_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # what the process lacks, for a segment that may be good
_SEGMENT_NAME = re.compile(r"([0-9]{20})\.log")

log = logging.getLogger(__name__)


class _Position(NamedTuple):
    """Where reading continues: after line `number`, at byte `offset` of the segment that begins with line `first`."""

    number: int = 0
    first: int = 0
    offset: int = 0


class Outbox:
    """A folder of lines that wait to be acknowledged, for several threads of one process.

    No method raises an error of the disk once the outbox is made: a failure is logged once, and tried again until it
    succeeds. Only `sync` and `close` wait for the disk.

    Attributes:
        dropped: number of undelivered lines that were given up since the outbox was made.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Open the folder, or create it. While the disk is full or cannot be written, `retry` tries it again.

        Args:
            folder: where the lines are kept.
            max_bytes: size of all segments together at most, a last line aside.

        Raises:
            SinkError: the folder cannot be used, or another process uses it.
        """
        self._folder = folder
        self._segment_bytes = max(1, max_bytes // MAX_SEGMENTS)
        self._lock = threading.Lock()
        self._unnumbered: deque[str] = deque()  # lines that came before the folder could be opened
        self._unwritten: deque[Entry] = deque()
        self._failing = self._unsynced = self._closed = False
        self._position = _Position()
        self._acknowledged = self._recorded = 0  # the latter is in the file `acknowledged`
        self._next = 1
        self._segments: list[int] = []  # by the number of their first line
        self._unreadable: dict[int, float] = {}  # segment -> monotonic time of the first failure to read it
        self._given_up: set[int] = set()  # segments that are skipped
        self._done_fd: int | None = None  # None until the folder is open
        self._tail: AppendedFile | None = None
        self._tail_bytes = 0
        self._ended_fds: list[int] = []  # of full segments that are not synced yet
        self._new_segment = False  # the folder is not synced since it got one
        self.dropped = 0
        try:
            self._open()
        except OSError as error:
            if not is_temporary(error):
                raise SinkError(f"outbox {folder}: {error.strerror}") from error
            self._log_failure(error, "lines wait in memory")

    @property
    def acknowledged(self) -> int:
        """Number of the last line that needs no further delivery."""
        return self._acknowledged

    @property
    def waiting(self) -> int:
        """Number of lines that are not acknowledged, including those that were dropped."""
        return self._next - 1 - self._acknowledged + len(self._unnumbered)

    def append(self, text: str) -> int:
        """Add a line. It survives the end of the process, unless the disk cannot be written. Never waits for the disk.

        Args:
            text: the line without its end.

        Returns:
            The number of the line; 0 while the folder cannot be opened.

        Raises:
            ValueError: the text has more than one line.
        """
        if "\n" in text:
            raise ValueError(f"got {text!r}, wanted one line")
        with self._lock:
            if self._done_fd is None:
                self._unnumbered.append(text)
                self._drop_beyond_limit(self._unnumbered)
                return 0
            entry = self._numbered(text)
            self._unwritten.append(entry)
            self._write_unwritten()
            self._drop_beyond_limit(self._unwritten)
        return entry.number

    def pending(self, after: int, most: int) -> list[Entry]:
        """Return the first `most` lines that are not acknowledged and have numbers above `after`, in order."""
        with self._lock:
            if self._done_fd is None:
                return []
            after = max(after, self._acknowledged)
            position = self._position if self._position.number <= after else _Position()
            found: list[Entry] = []
            for first in [first for first in self._segments if first >= position.first]:
                try:
                    for entry, end in self._lines(first, position.offset if first == position.first else 0):
                        if len(found) == most:
                            return found
                        self._unreadable.pop(first, None)
                        if entry is not None:
                            self._position = _Position(entry.number, first, end)
                            if entry.number > after:
                                found.append(entry)
                except OSError as error:
                    if not self._gives_up(first, error):
                        return found  # later lines would overtake those of this segment
            found += [entry for entry in self._unwritten if entry.number > after]
            return found[:most]

    def acknowledge(self, number: int) -> None:
        """Mark all lines up to a number as delivered, and delete segments that hold no others.

        `sync` does not flush it, as the card wears with every flush: a power cut may undo it for as long as the kernel
        holds back what is written, half a minute by default. Then the lines are sent again.
        """
        with self._lock:
            if number <= self._acknowledged or self._done_fd is None:
                return
            self._acknowledged = number
            while self._unwritten and self._unwritten[0].number <= number:
                self._unwritten.popleft()
            with self._failure_logged("delivered events may be sent again after a restart"):
                self._record_acknowledged(self._done_fd)
                while len(self._segments) > 1 and self._segments[1] <= number + 1:
                    self._delete_oldest()

    def retry(self) -> None:
        """Open the folder and write the lines that wait in memory, if there is anything of this to do."""
        with self._lock:
            with self._failure_logged("lines wait in memory"):
                self._open()
            if self._unwritten:
                self._write_unwritten()

    def sync(self) -> None:
        """Write all lines to the disk, and wait for it. Other threads may append meanwhile."""
        self.retry()
        with self._lock:
            if not self._unsynced or self._tail is None:
                return
            try:
                folder = self._folder if self._new_segment else None
                fds = [*duplicates([self._tail.fd], folder), *self._ended_fds]
            except OSError as error:
                self._log_failure(error, "a power cut would lose the last events")
                return
            self._ended_fds = []
            self._unsynced = self._new_segment = False
        try:
            flush(fds)
        except OSError as error:
            with self._lock:
                self._unsynced = self._new_segment = True
                self._log_failure(error, "a power cut would lose the last events")

    def close(self) -> None:
        """Sync, and release the folder."""
        self.sync()
        with self._lock:
            if lost := len(self._unwritten) + len(self._unnumbered):
                self.dropped += lost
                log.warning("outbox %s: %d lines could not be written and are lost", self._folder, lost)
            if self._done_fd is not None:
                with self._failure_logged("delivered events may be sent again after a restart"):
                    self._record_acknowledged(self._done_fd)
            self._closed = True
            self._close_files()

    def _open(self) -> None:
        """Open the folder, if it is not open, and take in the lines that wait for that."""
        if self._done_fd is not None or self._closed:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        done_fd = os.open(self._folder / "acknowledged", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(done_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._recover(done_fd)
        except OSError as error:
            os.close(done_fd)
            self._close_files()
            if isinstance(error, BlockingIOError):
                raise OSError(error.errno, "in use by another process") from None
            raise
        self._done_fd = done_fd
        self._unwritten += map(self._numbered, self._unnumbered)
        self._unnumbered.clear()

    def _recover(self, done_fd: int) -> None:
        """Find the lines of earlier runs. What a power cut tore at the end is cut off."""
        content = os.pread(done_fd, 64, 0)
        self._acknowledged = read_acknowledged(content)
        if content and content != acknowledged_record(self._acknowledged):
            log.warning("outbox %s: `acknowledged` is not readable: all waiting lines are sent again", self._folder)
        os.pwrite(done_fd, acknowledged_record(self._acknowledged), 0)
        self._recorded = self._acknowledged
        names = (_SEGMENT_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        self._segments = sorted(int(name[1]) for name in names if name)
        last, torn, good_end = self._acknowledged, 0, 0
        for first in self._segments:
            good_end, last = 0, max(last, first - 1)
            try:
                for entry, end in self._lines(first, 0):
                    if entry is None:
                        torn += 1
                    else:
                        good_end, last = end, max(last, entry.number)
            except OSError as error:
                if not self._gives_up(first, error):
                    raise
                last += self._path(first).stat().st_size  # at least as many as there are lines
                good_end = -1
        self._next = last + 1
        if self._segments and good_end >= 0:
            path = self._path(self._segments[-1])
            self._tail = AppendedFile(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
            os.ftruncate(self._tail.fd, good_end)
            self._tail_bytes = good_end
        if torn:
            log.warning("outbox %s: skipped %d lines torn by a power cut", self._folder, torn)

    def _numbered(self, text: str) -> Entry:
        self._next += 1
        return Entry(self._next - 1, text)

    def _record_acknowledged(self, done_fd: int) -> None:
        if self._recorded != self._acknowledged:
            os.pwrite(done_fd, acknowledged_record(self._acknowledged), 0)
            self._recorded = self._acknowledged

    def _write_unwritten(self) -> None:
        with self._failure_logged("lines wait in memory"):
            while self._unwritten:
                self._write(self._unwritten[0])
                self._unwritten.popleft()

    def _write(self, entry: Entry) -> None:
        line = line_of(entry)
        if self._tail is None or (self._tail_bytes and self._tail_bytes + len(line) > self._segment_bytes):
            self._tail = self._begin_segment(entry.number)
        while len(self._segments) > MAX_SEGMENTS:
            self._drop_oldest()
        self._tail.append(line)
        self._tail_bytes += len(line)
        self._unsynced = True
        if self._failing:
            log.warning("outbox %s: can be written again", self._folder)
            self._failing = False

    def _begin_segment(self, first: int) -> AppendedFile:
        segment = AppendedFile(open_to_append(self._path(first), mode=0o600))
        if self._tail is not None:
            self._ended_fds.append(self._tail.fd)
        self._new_segment = True
        self._tail_bytes = 0
        self._segments.append(first)
        return segment

    def _drop_beyond_limit(self, lines: deque[Any]) -> None:
        if len(lines) > MAX_LINES_IN_MEMORY:
            lines.popleft()
            self.dropped += 1

    def _drop_oldest(self) -> None:
        first = self._segments[0]
        try:
            numbers = [entry.number for entry, _ in self._lines(first, 0) if entry is not None]
        except OSError:  # then by the number of the next segment
            numbers = list(range(first, self._segments[1]))
        lost = sum(number > self._acknowledged for number in numbers)
        self._delete_oldest()
        if lost:
            self.dropped += lost
            log.warning("outbox %s: full, dropped the oldest %d lines", self._folder, lost)

    def _delete_oldest(self) -> None:
        self._path(self._segments[0]).unlink(missing_ok=True)
        first = self._segments.pop(0)
        self._unreadable.pop(first, None)
        self._given_up.discard(first)

    def _lines(self, first: int, offset: int) -> Iterator[tuple[Entry | None, int]]:
        """Yield the lines of a segment from an offset on, None for a torn one, each with the offset of its end."""
        with self._path(first).open("rb") as file:
            file.seek(offset)
            for raw in file:
                offset += len(raw)
                yield entry_of(raw), offset

    def _gives_up(self, first: int, error: OSError) -> bool:
        """Whether a segment that cannot be read is skipped: if it is gone, or for long, and not for lack of resources.

        Its lines are counted as dropped. A later start may find them, and send them after those that followed.
        """
        now_s = time.monotonic()
        waited_s = now_s - self._unreadable.setdefault(first, now_s)
        if isinstance(error, FileNotFoundError) or (waited_s >= GIVE_UP_S and error.errno not in _RESOURCES):
            if first not in self._given_up:
                following = min((after for after in self._segments if after > first), default=self._next)
                self.dropped += max(0, following - 1 - max(first - 1, self._acknowledged))
                log.error("outbox %s: segment %d is not readable: %s", self._folder, first, error.strerror)
            self._given_up.add(first)
        return first in self._given_up

    def _path(self, first: int) -> Path:
        return self._folder / f"{first:020d}.log"

    def _close_files(self) -> None:
        for fd in (*self._ended_fds, None if self._tail is None else self._tail.fd, self._done_fd):
            if fd is not None:
                os.close(fd)
        self._ended_fds, self._tail, self._done_fd = [], None, None

    @contextlib.contextmanager
    def _failure_logged(self, consequence: str) -> Iterator[None]:
        """Log a write failure instead of raising it."""
        try:
            yield
        except OSError as error:
            self._log_failure(error, consequence)

    def _log_failure(self, error: OSError, consequence: str) -> None:
        """Log the first of several failures; `_write` logs the recovery."""
        if not self._failing:
            log.warning("outbox %s: %s: %s", self._folder, error.strerror, consequence)
        self._failing = True

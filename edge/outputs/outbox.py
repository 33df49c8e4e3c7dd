"""Lines of text -> a bounded queue on disk that outlives the process: append, read in order, acknowledge.

Segment files hold lines with number and checksum; the file `acknowledged` holds the last number that is done with, and
is locked while the outbox is open. What is appended is with the operating system at once: a killed process loses
nothing. It is on the disk after the next `sync`: a power cut loses what came after, and the line that it tore is
skipped and told of. When the outbox is full, its oldest segment is dropped and what waited in it counted. While the
disk cannot be written, lines wait in memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edge.outputs.line_file import SinkError

SEGMENTS = 16  # at most: so much of the whole is dropped at once
HELD_LINES = 1000  # in memory

_SEGMENT_NAME = re.compile(r"([0-9]{20})\.log")

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A line and its number. Numbers rise by one from 1 on, over all runs."""

    number: int
    text: str


class _Place(NamedTuple):
    """Where reading goes on: behind the line `number`, `offset` bytes into the segment `first`."""

    number: int = 0
    first: int = 0
    offset: int = 0


class Outbox:
    """A folder of lines that wait to be acknowledged. For one thread at a time, and one process."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Open the folder, or make it. Raises SinkError if it cannot be, or is in use."""
        self._folder = folder
        self._segment_bytes = max(1, max_bytes // SEGMENTS)
        self._held: deque[Entry] = deque()
        self._failing = self._unsynced = False
        self._place = _Place()
        self._done = 0
        self._segments: list[int] = []  # by the number they begin with
        self._tail_fd: int | None = None
        self._tail_bytes = 0
        self.dropped = 0  # lines that waited and had to make room, since it was opened
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._done_fd = os.open(folder / "acknowledged", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SinkError(f"outbox {folder}: {error.strerror}") from error
        try:
            fcntl.flock(self._done_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._recover()
        except BlockingIOError:
            os.close(self._done_fd)
            raise SinkError(f"outbox {folder}: in use by another process") from None
        except OSError as error:
            os.close(self._done_fd)
            raise SinkError(f"outbox {folder}: {error.strerror}") from error

    @property
    def acknowledged(self) -> int:
        """The last number that is done with."""
        return self._done

    @property
    def waiting(self) -> int:
        """Lines not yet acknowledged, counting those that were dropped among them."""
        return self._next - 1 - self._done

    def append(self, text: str) -> int:
        """Take a line (without its end) and return its number. Raises ValueError for more than one line."""
        if "\n" in text:
            raise ValueError(f"got {text!r}, wanted one line")
        entry = Entry(self._next, text)
        self._next += 1
        self._held.append(entry)
        self._write_held()
        if len(self._held) > HELD_LINES:
            self._held.popleft()
            self.dropped += 1
        return entry.number

    def pending(self, after: int, most: int) -> list[Entry]:
        """The first `most` lines with numbers above `after` that are not acknowledged, in order."""
        after = max(after, self._done)
        place = self._place if self._place.number <= after else _Place()
        found: list[Entry] = []
        for first in [first for first in self._segments if first >= place.first]:
            for entry, end in self._lines(first, place.offset if first == place.first else 0):
                if len(found) == most:
                    return found
                if entry is not None:
                    self._place = _Place(entry.number, first, end)
                    if entry.number > after:
                        found.append(entry)
        found += [entry for entry in self._held if entry.number > after]
        return found[:most]

    def acknowledge(self, number: int) -> None:
        """All lines up to this number are done with."""
        if number <= self._done:
            return
        self._done = number
        while self._held and self._held[0].number <= number:
            self._held.popleft()
        with self._said():
            os.pwrite(self._done_fd, _done_record(number), 0)
        while len(self._segments) > 1 and self._segments[1] <= number + 1:
            self._path(self._segments.pop(0)).unlink(missing_ok=True)
        self._unsynced = True

    def sync(self) -> None:
        """Bring everything to the disk, as far as it was not."""
        if self._held:
            self._write_held()
        if not self._unsynced:
            return
        with self._said():
            if self._tail_fd is not None:
                os.fdatasync(self._tail_fd)
            os.fdatasync(self._done_fd)
            self._unsynced = False

    def close(self) -> None:
        """Sync, and let go of the folder."""
        self.sync()
        if self._held:
            log.warning("outbox %s: %d lines could not be written and are lost", self._folder, len(self._held))
        for fd in (self._tail_fd, self._done_fd):
            if fd is not None:
                os.close(fd)

    def _recover(self) -> None:
        """Find what an earlier run left behind; cut off what a power cut tore at the end."""
        content = os.pread(self._done_fd, 64, 0)
        self._done = _read_done_record(content)
        if content and content != _done_record(self._done):
            log.warning("outbox %s: what was acknowledged is not known: all that waits is sent again", self._folder)
        os.pwrite(self._done_fd, _done_record(self._done), 0)
        names = (_SEGMENT_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        self._segments = sorted(int(name[1]) for name in names if name)
        last, bad, good_end = self._done, 0, 0
        for first in self._segments:
            good_end, last = 0, max(last, first - 1)
            for entry, end in self._lines(first, 0):
                if entry is None:
                    bad += 1
                else:
                    good_end, last = end, max(last, entry.number)
        self._next = last + 1
        if self._segments:
            tail = self._path(self._segments[-1])
            self._tail_fd = os.open(tail, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            os.ftruncate(self._tail_fd, good_end)
            self._tail_bytes = good_end
        if bad:
            log.warning("outbox %s: skipped %d lines torn by a power cut", self._folder, bad)

    def _write_held(self) -> None:
        with self._said():
            while self._held:
                self._write(self._held[0])
                self._held.popleft()

    def _write(self, entry: Entry) -> None:
        line = _line(entry)
        if self._tail_fd is None or (self._tail_bytes and self._tail_bytes + len(line) > self._segment_bytes):
            self._begin_segment(entry.number)
        assert self._tail_fd is not None
        try:
            written = os.write(self._tail_fd, line)
            if written < len(line):
                written += os.write(self._tail_fd, line[written:])  # says why it was cut, if it is again
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._tail_fd, self._tail_bytes)
            raise
        self._tail_bytes += len(line)
        self._unsynced = True
        if self._failing:
            log.warning("outbox %s: written again", self._folder)
            self._failing = False

    def _begin_segment(self, first: int) -> None:
        fd = os.open(self._path(first), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        ended_fd, self._tail_fd, self._tail_bytes = self._tail_fd, fd, 0
        self._segments.append(first)
        if len(self._segments) > SEGMENTS:
            self._drop_oldest()
        if ended_fd is not None:
            _sync_and_close(ended_fd)
        _sync_and_close(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY))

    def _drop_oldest(self) -> None:
        first = self._segments.pop(0)
        lost = sum(1 for entry, _ in self._lines(first, 0) if entry is not None and entry.number > self._done)
        self._path(first).unlink(missing_ok=True)
        if lost:
            self.dropped += lost
            log.warning("outbox %s: full, dropped the oldest %d lines", self._folder, lost)

    def _lines(self, first: int, offset: int) -> Iterator[tuple[Entry | None, int]]:
        """The lines of a segment from a place on, None for a torn one, and where in the file each ends."""
        try:
            with self._path(first).open("rb") as file:
                file.seek(offset)
                for raw in file:
                    offset += len(raw)
                    yield _parsed(raw), offset
        except OSError as error:
            log.error("outbox %s: segment %d is not readable: %s", self._folder, first, error.strerror)

    def _path(self, first: int) -> Path:
        return self._folder / f"{first:020d}.log"

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """A disk that cannot be written is told of once; that it can be again, `_write` tells."""
        try:
            yield
        except OSError as error:
            if not self._failing:
                log.warning("outbox %s: %s: lines wait in memory", self._folder, error.strerror)
            self._failing = True


def _sync_and_close(fd: int) -> None:
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _line(entry: Entry) -> bytes:
    body = f"{entry.number} {entry.text}".encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _parsed(raw: bytes) -> Entry | None:
    checksum, _, body = raw.removesuffix(b"\n").partition(b" ")
    if not raw.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    number, _, text = body.partition(b" ")
    return Entry(int(number), text.decode()) if number.isdigit() else None


def _done_record(number: int) -> bytes:
    return b"%020d %08x\n" % (number, zlib.crc32(b"%d" % number))


def _read_done_record(content: bytes) -> int:
    digits = content[:20]
    number = int(digits) if digits.isdigit() else 0
    return number if content == _done_record(number) else 0

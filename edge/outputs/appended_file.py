"""Lines -> the end of an open file: each is written as a whole or not at all; and flushes of such files to the disk."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path

MAX_LINES_IN_MEMORY = 1000  # that wait while the disk cannot be written; the oldest is dropped for the next one
_CHUNK_BYTES = 65536
_MAX_TAIL_BYTES = 1 << 20  # a last line longer than this was not written by this program


class AppendedFile:
    """An open file that only grows by whole lines.

    Attributes:
        fd: its descriptor, opened for appending.
        regular: whether it is a file on a disk, as opposed to a pipe or a device.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._partial_bytes = 0  # of a line that was cut short, at the end of the file

    def append(self, line: bytes) -> None:
        """Write a line. If it can be written only in part, that part is removed again, at the latest before the next.

        Raises:
            OSError: the line is not in the file.
        """
        self._remove_partial_line()
        written = 0
        try:
            while written < len(line):
                written += os.write(self.fd, line[written:])
        except OSError:
            self._partial_bytes = written if self.regular else 0
            with contextlib.suppress(OSError):  # the error of the write itself is the one to report
                self._remove_partial_line()
            raise

    def _remove_partial_line(self) -> None:
        if self._partial_bytes:
            os.ftruncate(self.fd, os.fstat(self.fd).st_size - self._partial_bytes)
            os.lseek(self.fd, 0, os.SEEK_END)  # stdout may not be open for appending
            self._partial_bytes = 0


def open_to_append(path: str | Path, flags: int = 0, mode: int = 0o666) -> int:
    """Open a file for appending, and make it if it is missing. Returns its descriptor.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | flags, mode)


def mend_tail(path: str | Path, fd: int) -> int:
    """Repair what a power cut did to the end of a file of JSON lines, so that the next line begins a line.

    NUL bytes at the end are cut off. A last line without its end is ended if it is valid JSON, and cut off otherwise.

    Args:
        path: the file.
        fd: its descriptor, opened for appending.

    Returns:
        The number of bytes that were cut off.

    Raises:
        OSError: the file cannot be read or written.
    """
    reader = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(reader).st_size
        end = _end_without_nuls(reader, size)
        begin = max(0, end - _MAX_TAIL_BYTES)
        tail = os.pread(reader, end - begin, begin)
    finally:
        os.close(reader)
    line = tail[tail.rfind(b"\n") + 1 :]
    torn = bool(line) and not (begin and len(line) == len(tail)) and not _is_json(line)
    if torn:
        end -= len(line)
    if end < size:
        os.ftruncate(fd, end)
    if line and not torn:
        AppendedFile(fd).append(b"\n")
    return size - end


def duplicates(fds: Iterable[int], folder: Path | None) -> list[int]:
    """Duplicate descriptors, for a flush during which the originals may be closed.

    Args:
        fds: of open files.
        folder: its descriptor is added, if it got a new file.

    Raises:
        OSError: there are too many descriptors; none is left open.
    """
    made: list[int] = []
    try:
        for fd in fds:
            made.append(os.dup(fd))
        if folder is not None:
            made.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        for fd in made:
            os.close(fd)
        raise
    return made


def flush(fds: Iterable[int]) -> None:
    """Flush files and folders to the disk, wait for it, and close them all.

    Raises:
        OSError: the first failure.
    """
    failure: OSError | None = None
    for fd in fds:
        try:
            os.fdatasync(fd)
        except OSError as error:
            failure = failure or error
        os.close(fd)
    if failure is not None:
        raise failure


def _end_without_nuls(fd: int, end: int) -> int:
    while end > 0:
        begin = max(0, end - _CHUNK_BYTES)
        chunk = os.pread(fd, end - begin, begin)
        kept = len(chunk.rstrip(b"\0"))
        if kept or not chunk:
            return begin + kept
        end = begin
    return 0


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True

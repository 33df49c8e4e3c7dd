"""Lines -> a file (or stdout) that only ever holds whole lines, and may rotate.

Each write is unbuffered. A line that could be written only in part is removed again, so that the file stays readable
after a full disk, a closed pipe or a killed process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

log = logging.getLogger(__name__)


class SinkError(OSError):
    """A sink could not be opened or written. The message is one line that names the sink and the cause."""


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """When a JSON lines file is rotated: FILE becomes FILE.1, FILE.1 becomes FILE.2, and so on."""

    max_mb: float = 0.0  # size in MB (10^6 bytes) at which the file is rotated, 0.001 to 1000000; 0 never rotates
    keep: int = 5  # number of rotated files to keep, 1 to 1000; the oldest is deleted

    def __post_init__(self) -> None:
        if self.max_mb != 0.0 and not 0.001 <= self.max_mb <= 1e6:
            raise ValueError(f"got max_mb {self.max_mb}, wanted 0 or 0.001 to 1000000")
        if not 1 <= self.keep <= 1000:
            raise ValueError(f"got keep {self.keep}, wanted 1 to 1000")


NO_ROTATION = RotationSettings()


class LineWriter:
    """Writes whole lines to a file or to stdout.

    Attributes:
        dropped: number of writes that failed, if the writer continues after errors.
    """

    def __init__(
        self,
        name: str,
        target: str,
        append: bool,
        rotation: RotationSettings = NO_ROTATION,
        continue_on_error: bool = False,
    ) -> None:
        """Open the target.

        Args:
            name: name of the sink in error messages.
            target: path of the file, or `-` for stdout.
            append: keep the content that the file has; otherwise the file is emptied.
            rotation: when the file is rotated; stdout never is.
            continue_on_error: drop and count lines that cannot be written, and log that once, instead of raising
                SinkError. A broken pipe is an error all the same: nobody will read any further line.

        Raises:
            SinkError: the target cannot be opened.
        """
        self.dropped = 0
        self._continue_on_error, self._failing = continue_on_error, False
        self._name = name
        self._target = target
        self._max_bytes = round(rotation.max_mb * 1e6)
        self._keep = rotation.keep
        self._owned = target != "-"
        try:
            if self._owned:
                self._fd = self._open(target, 0 if append else os.O_TRUNC)
            else:
                sys.stdout.flush()
                self._fd = sys.stdout.fileno()
        except OSError as error:
            raise self._sink_error(error) from error

    def write(self, lines: str) -> None:
        """Write lines, which must include their line ends.

        Raises:
            SinkError: the lines could not be written, and the writer does not continue after errors.
        """
        data = lines.encode()
        written = 0
        try:
            if self._max_bytes and self._owned:
                self._rotate(len(data))
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            partial_line_bytes = written - (data.rfind(b"\n", 0, written) + 1)
            with contextlib.suppress(OSError):  # the error of the write itself is the one to report
                self._remove_last_bytes(partial_line_bytes)
            if not self._continue_on_error or isinstance(error, BrokenPipeError):
                raise self._sink_error(error) from error
            self.dropped += 1
            if not self._failing:
                log.warning("%s: lines are dropped until it can be written again", self._sink_error(error))
            self._failing = True
        else:
            if self._failing:
                log.warning("sink %s: can be written again, %d lines dropped so far", self._name, self.dropped)
            self._failing = False

    def close(self) -> None:
        """Close the file; stdout stays open. A second call does nothing.

        Raises:
            SinkError: the operating system reports a write error on closing.
        """
        if self._owned:
            self._owned = False
            try:
                os.close(self._fd)
            except OSError as error:
                raise self._sink_error(error) from error

    def _open(self, path: str, flags: int) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | flags, 0o666)

    def _rotate(self, more_bytes: int) -> None:
        """Rotate the file if the next lines would make it too large. After a failure it is never tried again."""
        status = os.fstat(self._fd)
        fits = status.st_size == 0 or status.st_size + more_bytes <= self._max_bytes
        if fits or not stat.S_ISREG(status.st_mode):
            return
        names = [f"{self._target}.new", self._target, *(f"{self._target}.{n}" for n in range(1, self._keep + 1))]
        try:
            fd = self._open(names[0], os.O_TRUNC)
            for newer, older in reversed(list(pairwise(names))):
                with contextlib.suppress(FileNotFoundError):  # fewer files than `keep` exist so far
                    Path(newer).replace(older)
        except OSError as error:
            log.warning("sink %s: cannot rotate the file, it keeps growing: %s", self._name, error.strerror)
            self._max_bytes = 0
        else:
            os.close(self._fd)
            self._fd = fd

    def _remove_last_bytes(self, count: int) -> None:
        status = os.fstat(self._fd)
        if count and stat.S_ISREG(status.st_mode):
            os.ftruncate(self._fd, status.st_size - count)
            os.lseek(self._fd, 0, os.SEEK_END)

    def _sink_error(self, error: OSError) -> SinkError:
        return SinkError(f"sink {self._name}: {error.strerror or error}")

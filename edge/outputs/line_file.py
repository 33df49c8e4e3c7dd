"""Lines -> a file (or stdout) of whole lines only, which may rotate.

A line is written whole or not at all, at once and unbuffered: whatever happens to disk, pipe or process, what was
written before stays whole lines.
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
    """A sink could not be opened or written: one line naming the sink and the cause."""


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """When a file of JSON lines is put aside: FILE becomes FILE.1, FILE.1 becomes FILE.2, and so on."""

    max_mb: float = 0.0  # at which it is put aside; 0: never
    keep: int = 5  # so many files that were put aside

    def __post_init__(self) -> None:
        if self.max_mb != 0.0 and not 0.001 <= self.max_mb <= 1e6:
            raise ValueError(f"got max_mb {self.max_mb}, wanted 0 or 0.001 to 1000000")
        if not 1 <= self.keep <= 1000:
            raise ValueError(f"got keep {self.keep}, wanted 1 to 1000")


NO_ROTATION = RotationSettings()


class LineWriter:
    """A file (or stdout, `-`) of whole lines only. All its methods raise SinkError, which gives `name`."""

    def __init__(
        self,
        name: str,
        target: str,
        append: bool,
        rotation: RotationSettings = NO_ROTATION,
        lasting: bool = False,
    ) -> None:
        """lasting: outlive a full disk. What cannot be written is said once and counted, but for a broken pipe."""
        self.dropped = 0  # writes that failed, where it is lasting
        self._lasting, self._failing = lasting, False
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
            raise self._failed(error) from error

    def write(self, lines: str) -> None:
        """Write whole lines at once. If that fails part of the way into a regular file, a cut line is taken back."""
        data = lines.encode()
        written = 0
        try:
            if self._max_bytes and self._owned:
                self._rotate(len(data))
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            cut = written - (data.rfind(b"\n", 0, written) + 1)
            with contextlib.suppress(OSError):
                self._take_back(cut)
            if not self._lasting or isinstance(error, BrokenPipeError):
                raise self._failed(error) from error
            self.dropped += 1
            if not self._failing:
                log.warning("%s: lines are dropped until it can be written again", self._failed(error))
            self._failing = True
        else:
            if self._failing:
                log.warning("sink %s: written again, %d dropped so far", self._name, self.dropped)
            self._failing = False

    def close(self) -> None:
        """Close the file; stdout stays open."""
        if self._owned:
            self._owned = False
            try:
                os.close(self._fd)
            except OSError as error:
                raise self._failed(error) from error

    def _open(self, path: str, flags: int) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | flags, 0o666)

    def _rotate(self, more_bytes: int) -> None:
        """Put the file aside if it would grow too large. If that fails, it is said once and the file written on."""
        status = os.fstat(self._fd)
        fits = status.st_size == 0 or status.st_size + more_bytes <= self._max_bytes
        if fits or not stat.S_ISREG(status.st_mode):
            return
        names = [f"{self._target}.new", self._target, *(f"{self._target}.{n}" for n in range(1, self._keep + 1))]
        try:
            fd = self._open(names[0], os.O_TRUNC)
            for newer, older in reversed(list(pairwise(names))):
                with contextlib.suppress(FileNotFoundError):
                    Path(newer).replace(older)
        except OSError as error:
            log.warning("sink %s: cannot be put aside, grows on: %s", self._name, error.strerror)
            self._max_bytes = 0
        else:
            os.close(self._fd)
            self._fd = fd

    def _take_back(self, cut_bytes: int) -> None:
        status = os.fstat(self._fd)
        if cut_bytes and stat.S_ISREG(status.st_mode):
            os.ftruncate(self._fd, status.st_size - cut_bytes)
            os.lseek(self._fd, 0, os.SEEK_END)

    def _failed(self, error: OSError) -> SinkError:
        return SinkError(f"sink {self._name}: {error.strerror or error}")

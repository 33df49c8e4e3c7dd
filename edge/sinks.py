"""Event and decoded label frames -> JSON lines, DCASE csv, or nothing.

A line is written whole or not at all, at once and unbuffered: whatever happens to disk, pipe or process, what was
written before stays whole lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
from datetime import UTC, datetime, timedelta
from typing import Protocol

from edge.types import Event, FrameRow


class SinkError(OSError):
    """A sink could not be opened or written: one line naming the sink and the cause."""


class Sink(Protocol):
    """Where results go. A sink ignores what it has no use for; `emit` raises SinkError."""

    def emit(self, item: Event | FrameRow) -> None:
        """Take one finished event, or one row of a decoded label frame; rows come in order of time."""

    def close(self) -> None:
        """Release the file, if there is one. Calling it again does nothing."""


def open_sink(spec: str, started_at: datetime | None = None) -> Sink:
    """Open `jsonl:-` (stdout), `jsonl:FILE`, `dcase:FILE` or `null`.

    started_at: wall-clock time of sample 0 of a live source, None for a file. A live run appends to a JSON lines file,
    so that a restart keeps what was heard before; otherwise files begin anew.

    Raises ValueError for an unknown spec, SinkError if the file cannot be opened.
    """
    kind, _, target = spec.partition(":")
    if kind == "jsonl" and target:
        return JsonLinesSink(target, started_at)
    if kind == "dcase" and target:
        return DcaseSink(target)
    if spec == "null":
        return NullSink()
    raise ValueError(f"sink: got {spec!r}, wanted jsonl:-, jsonl:FILE, dcase:FILE or null")


class JsonLinesSink:
    """One JSON object per event: class, onset_s, offset_s, azimuth_deg, elevation_deg, score, time (UTC, or null)."""

    def __init__(self, target: str, started_at: datetime | None) -> None:
        self._started_at = started_at
        self._lines = LineWriter(f"jsonl:{target}", target, append=started_at is not None)

    def emit(self, item: Event | FrameRow) -> None:
        """Write one line for an item."""
        if not isinstance(item, Event):
            return
        record = {
            "class": item.name,
            "onset_s": _rounded(item.onset_s, 3),
            "offset_s": _rounded(item.offset_s, 3),
            "azimuth_deg": _rounded(item.azimuth_deg, 2),
            "elevation_deg": _rounded(item.elevation_deg, 2),
            "score": _rounded(item.score, 3),
            "time": self._time(item.onset_s),
        }
        self._lines.write(json.dumps(record, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def _time(self, onset_s: float) -> str | None:
        if self._started_at is None:
            return None
        onset = self._started_at + timedelta(seconds=float(onset_s))
        return onset.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class DcaseSink:
    """The csv of the DCASE challenges: `frame,class,track,azimuth,elevation` in whole degrees, no header."""

    def __init__(self, target: str) -> None:
        self._lines = LineWriter(f"dcase:{target}", target, append=False)

    def emit(self, item: Event | FrameRow) -> None:
        """Write one line for a row."""
        if isinstance(item, FrameRow):
            self._lines.write(f"{item.frame},{item.class_index},{item.track},{item.azimuth_deg},{item.elevation_deg}\n")

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class NullSink:
    """Takes everything, keeps nothing."""

    def emit(self, item: Event | FrameRow) -> None:
        """Ignored."""

    def close(self) -> None:
        """Nothing to release."""


class LineWriter:
    """A file (or stdout, `-`) of whole lines only. All its methods raise SinkError, which gives `name`."""

    def __init__(self, name: str, target: str, append: bool) -> None:
        self._name = name
        self._owned = target != "-"
        try:
            if self._owned:
                start_over = 0 if append else os.O_TRUNC
                self._fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | start_over, 0o666)
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
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            cut = written - (data.rfind(b"\n", 0, written) + 1)
            with contextlib.suppress(OSError):
                self._take_back(cut)
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file; stdout stays open."""
        if self._owned:
            self._owned = False
            try:
                os.close(self._fd)
            except OSError as error:
                raise self._failed(error) from error

    def _take_back(self, cut_bytes: int) -> None:
        status = os.fstat(self._fd)
        if cut_bytes and stat.S_ISREG(status.st_mode):
            os.ftruncate(self._fd, status.st_size - cut_bytes)
            os.lseek(self._fd, 0, os.SEEK_END)

    def _failed(self, error: OSError) -> SinkError:
        return SinkError(f"sink {self._name}: {error.strerror or error}")


def _rounded(value: float, digits: int) -> float:
    return round(float(value), digits) + 0.0  # no -0.0

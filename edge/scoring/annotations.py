"""DCASE csv file -> labels, and back: what sounds in each 100 ms label frame, and where.

Source: DCASE 2020-2022 task 3 (`frame,class,track,azimuth,elevation`) and DCASE 2023 (a sixth column, the distance in
cm; see STARSS23). Files carry no header; a first line that starts with the word `frame` is taken for one and skipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.files import read_bounded, write_atomically
from edge.types import FrameRow

LABEL_FRAME_S = 0.1

MOST_CSV_BYTES = 2**28
"""Largest csv file that is read: some ten million lines."""

_COLUMNS = ("frame", "class", "track", "azimuth", "elevation", "distance")
_INTEGER_END = 2**31  # frames and tracks stay inside 32 bits


@dataclass(frozen=True, slots=True)
class Label:
    """One source in one label frame. Azimuth counter-clockwise from the front, elevation up."""

    frame: int  # index of the label frame
    class_index: int
    track: int  # tells apart sources of one class
    azimuth_deg: float
    elevation_deg: float
    distance_cm: float | None = None


def label_of(row: FrameRow) -> Label:
    """Return a decoded row as a label, for scoring and for label files."""
    return Label(row.frame, row.class_index, row.track, row.azimuth_deg, row.elevation_deg, row.distance_cm)


def read_annotations(path: str | Path, classes: int) -> list[Label]:
    """Read the labels of one DCASE csv file, in the order of its lines.

    Either every line has 5 columns or every line has 6 (with the distance). Blank lines are ignored; an empty file is
    silence.

    Args:
        path: the csv file.
        classes: number of classes; class indices run from 0 to `classes - 1`.

    Raises:
        ValueError: naming the file, and the line where one is at fault, what was got and what was wanted.
    """
    path = Path(path)
    content = read_bounded(path, MOST_CSV_BYTES)
    text = content.decode("utf-8-sig", errors="replace")  # a stray byte fails later, as a number in its line
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    rows = [(number, line.split(",")) for number, line in enumerate(lines, start=1) if line.strip()]
    if rows and rows[0][1][0].strip(" \t#\"'").lower().startswith("frame"):
        del rows[0]
    width = len(rows[0][1]) if rows else 0
    wanted = (width,) if width in (5, 6) else (5, 6)
    labels = []
    for number, fields in rows:
        try:
            labels.append(_label(fields, classes, wanted))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return labels


def write_annotations(path: str | Path, labels: Iterable[Label]) -> None:
    """Write labels to a DCASE csv file, sorted by frame, angles and distances rounded to whole degrees and cm.

    The file has 6 columns if every label has a distance, else 5. It is replaced as a whole, so that no reader sees
    part of it.

    Raises:
        OSError: the file cannot be written.
    """
    ordered = sorted(labels, key=lambda label: label.frame)
    with_distance = all(label.distance_cm is not None for label in ordered)
    write_atomically(Path(path), "".join(_line(label, with_distance) for label in ordered))


def _label(fields: list[str], classes: int, wanted: tuple[int, ...]) -> Label:
    if len(fields) not in wanted:
        names = ",".join(_COLUMNS[: wanted[-1]])
        raise ValueError(f"got {len(fields)} columns, wanted {' or '.join(map(str, wanted))}: {names}")
    return Label(
        frame=_integer("frame", fields[0], 0, _INTEGER_END),
        class_index=_integer("class", fields[1], 0, classes),
        track=_integer("track", fields[2], -_INTEGER_END, _INTEGER_END),
        azimuth_deg=_number("azimuth", fields[3], -360.0, 360.0),
        elevation_deg=_number("elevation", fields[4], -90.0, 90.0),
        distance_cm=_number("distance", fields[5], 0.0, math.inf) if len(fields) == 6 else None,
    )


def _integer(name: str, field: str, start: int, end: int) -> int:
    try:
        value = int(field.replace("_", "?"))  # Python would read 1_0 as 10
    except ValueError:
        raise ValueError(f"got {name} {_shown(field)}, wanted a whole number") from None
    if not start <= value < end:
        raise ValueError(f"got {name} {_shown(field)}, wanted {start} to {end - 1}")
    return value


def _number(name: str, field: str, low: float, high: float) -> float:
    try:
        value = float(field.replace("_", "?"))
    except ValueError:
        raise ValueError(f"got {name} {_shown(field)}, wanted a number") from None
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"got {name} {_shown(field)}, wanted a finite number from {low:g} to {high:g}")
    return value


def _shown(field: str) -> str:
    return repr(field.strip()[:40])


def _line(label: Label, with_distance: bool) -> str:
    angles = f"{round(label.azimuth_deg)},{round(label.elevation_deg)}"
    distance = f",{round(label.distance_cm)}" if with_distance and label.distance_cm is not None else ""
    return f"{label.frame},{label.class_index},{label.track},{angles}{distance}\n"

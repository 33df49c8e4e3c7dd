"""Rows of label frames -> the csv file of the DCASE challenges.

A line is `frame,class,track,azimuth,elevation` with angles in whole degrees; there is no header. This is the format of
task 3 of the DCASE challenges since 2021 and of the STARSS data sets (https://dcase.community). Where the model tells
distances, a sixth column has them in whole centimetres, as in the labels of STARSS23.
"""

from __future__ import annotations

from typing import Literal

from edge.outputs.line_file import LineWriter
from edge.types import FrameRow, Item


class DcaseSink:
    """Writes each row of a label frame as a line of csv. Events are ignored."""

    def __init__(self, target: str, live: bool, replace: bool = False) -> None:
        """Begin a new file. One that is there and is not empty becomes FILE.1.

        Args:
            target: path of the file, or `-` for stdout.
            live: the source is live, so the sink continues after write errors.
            replace: delete the content that the file has instead.

        Raises:
            SinkError: the file cannot be opened.
        """
        existing: Literal["replace", "rotate"] = "replace" if replace else "rotate"
        self._lines = LineWriter(f"dcase:{target}", target, existing, live)

    @property
    def alive(self) -> bool:
        """Whether the file is still being flushed."""
        return self._lines.alive

    @property
    def dropped(self) -> int:
        """Number of rows that could not be written."""
        return self._lines.dropped

    def emit(self, item: Item) -> None:
        """Write one line for a row.

        Raises:
            SinkError: the line cannot be written, and the source is a file or the reader has closed its pipe.
        """
        if isinstance(item, FrameRow):
            distance = "" if item.distance_cm is None else f",{item.distance_cm}"
            place = f"{item.azimuth_deg},{item.elevation_deg}{distance}"
            self._lines.write(f"{item.frame},{item.class_index},{item.track},{place}\n")

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

"""Events -> one JSON object per line, in a file or on stdout."""

from __future__ import annotations

from typing import Literal

from edge.events.records import When, event_line, is_wanted
from edge.outputs.line_file import DEFAULTS, LineFileSettings, LineWriter
from edge.types import Item


class JsonLinesSink:
    """Writes each event as a line of JSON, with the fields of `event_record`; updates too, where the settings say so.

    Rows of label frames are ignored.
    """

    def __init__(
        self, target: str, when: When | None, settings: LineFileSettings = DEFAULTS, replace: bool = False
    ) -> None:
        """Open the file. New lines follow those that it has; a live run continues after write errors.

        Args:
            target: path of the file, or `-` for stdout.
            when: gives the time of day for seconds of a live source; None for a file.
            settings: what is written, and when the file is flushed and rotated.
            replace: delete the content that the file has.

        Raises:
            SinkError: the file cannot be opened.
        """
        self._when, self._events = when, settings.events
        existing: Literal["append", "replace"] = "replace" if replace else "append"
        self._lines = LineWriter(f"jsonl:{target}", target, existing, when is not None, settings)

    @property
    def alive(self) -> bool:
        """Whether the file is still being flushed."""
        return self._lines.alive

    @property
    def dropped(self) -> int:
        """Number of events that could not be written."""
        return self._lines.dropped

    def emit(self, item: Item) -> None:
        """Write one line for an event.

        Raises:
            SinkError: the line cannot be written, and the source is a file or the reader has closed its pipe.
        """
        if is_wanted(item, self._events):
            self._lines.write(event_line(item, self._when) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

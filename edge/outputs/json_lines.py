"""Events -> one JSON object per line, in a file or on stdout."""

from __future__ import annotations

from edge.events.records import When, event_line
from edge.outputs.line_file import NO_ROTATION, LineWriter, RotationSettings
from edge.types import Event, FrameRow


class JsonLinesSink:
    """Writes each event as a line of JSON, with the fields of `event_record`. Rows of label frames are ignored."""

    def __init__(self, target: str, when: When | None, rotation: RotationSettings = NO_ROTATION) -> None:
        """Open the file: a live source appends to it and continues after write errors, others begin a new one.

        Args:
            target: path of the file, or `-` for stdout.
            when: gives the time of day for seconds of a live source; None for a file.
            rotation: when the file is rotated.

        Raises:
            SinkError: the file cannot be opened.
        """
        self._when = when
        live = when is not None
        self._lines = LineWriter(f"jsonl:{target}", target, append=live, rotation=rotation, continue_on_error=live)

    @property
    def dropped(self) -> int:
        """Number of events that could not be written."""
        return self._lines.dropped

    def emit(self, item: Event | FrameRow) -> None:
        """Write one line for an event.

        Raises:
            SinkError: the line cannot be written, and the source is a file or the reader has closed its pipe.
        """
        if isinstance(item, Event):
            self._lines.write(event_line(item, self._when) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

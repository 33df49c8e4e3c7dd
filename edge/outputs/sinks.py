"""Event and decoded label frames -> JSON lines, DCASE csv, MQTT, a socket for local programs, or nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from edge.events.records import When, event_line
from edge.outputs.line_file import NO_ROTATION, LineWriter, RotationSettings
from edge.outputs.line_server import LineServer
from edge.outputs.mqtt import Listener, MqttSink
from edge.outputs.mqtt_link import MqttSettings
from edge.types import Event, FrameRow

WANTED = "jsonl:-, jsonl:FILE, dcase:FILE, mqtt:, lines:unix:PATH, lines:tcp:PORT or null"


class Sink(Protocol):
    """Where results go. A sink ignores what it has no use for; `emit` raises SinkError and never blocks for long."""

    def emit(self, item: Event | FrameRow) -> None:
        """Take one finished event, or one row of a decoded label frame; rows come in order of time."""

    def close(self) -> None:
        """Release the file, if there is one. Calling it again does nothing."""


class Outlet(Sink, Protocol):
    """A sink that leads out of the process."""

    @property
    def dropped(self) -> int:
        """What it could not deliver so far; may be asked by any thread."""


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """What the settings say about sinks, and what these may say about the run."""

    rotation: RotationSettings = NO_ROTATION
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    listener: Listener = field(default_factory=Listener)


def open_sink(spec: str, when: When | None = None, options: SinkOptions | None = None) -> Outlet:
    """Open one of WANTED; `-` is stdout.

    when: of a live source, None for a file. A live run appends to a JSON lines file, so that a restart keeps what was
    heard before, and outlives a full disk; otherwise files begin anew, and the first line that cannot be written is an
    error.

    Raises ValueError for an unknown spec, SinkError if the sink cannot be opened.
    """
    options = options or SinkOptions()
    kind, _, target = spec.partition(":")
    if kind == "jsonl" and target:
        return JsonLinesSink(target, when, options.rotation)
    if kind == "dcase" and target:
        return DcaseSink(target, when)
    if kind == "lines" and target:
        return LineServer(target, when)
    if spec == "mqtt:":
        return MqttSink(options.mqtt, when, options.listener)
    if spec == "null":
        return NullSink()
    raise ValueError(f"sink: got {spec!r}, wanted {WANTED}")


class JsonLinesSink:
    """One JSON object per event: see `event_record`."""

    def __init__(self, target: str, when: When | None, rotation: RotationSettings = NO_ROTATION) -> None:
        self._when = when
        live = when is not None
        self._lines = LineWriter(f"jsonl:{target}", target, append=live, rotation=rotation, lasting=live)

    @property
    def dropped(self) -> int:
        """Events that could not be written."""
        return self._lines.dropped

    def emit(self, item: Event | FrameRow) -> None:
        """Write one line for an event."""
        if isinstance(item, Event):
            self._lines.write(event_line(item, self._when) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class DcaseSink:
    """The csv of the DCASE challenges: `frame,class,track,azimuth,elevation` in whole degrees, no header."""

    def __init__(self, target: str, when: When | None) -> None:
        self._lines = LineWriter(f"dcase:{target}", target, append=False, lasting=when is not None)

    @property
    def dropped(self) -> int:
        """Rows that could not be written."""
        return self._lines.dropped

    def emit(self, item: Event | FrameRow) -> None:
        """Write one line for a row."""
        if isinstance(item, FrameRow):
            self._lines.write(f"{item.frame},{item.class_index},{item.track},{item.azimuth_deg},{item.elevation_deg}\n")

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class NullSink:
    """Takes everything, keeps nothing."""

    dropped = 0

    def emit(self, item: Event | FrameRow) -> None:
        """Ignored."""

    def close(self) -> None:
        """Nothing to release."""


class EventCounter:
    """Counts events by class."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()

    def emit(self, item: Event | FrameRow) -> None:
        """Count an event."""
        if isinstance(item, Event):
            self.events[item.name] += 1

    def close(self) -> None:
        """Nothing to release."""

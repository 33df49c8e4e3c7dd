"""Sink specification (`jsonl:FILE`, `mqtt:`, ...) -> an open sink. Each kind of sink has a file of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.events.live_text import LiveSettings, live_text
from edge.events.records import ItemText, When, event_text
from edge.events.sink import Outlet
from edge.outputs.dcase_csv import DcaseSink
from edge.outputs.device_info import DeviceInfo
from edge.outputs.history_settings import HistorySettings
from edge.outputs.json_lines import JsonLinesSink
from edge.outputs.line_client import LineClient
from edge.outputs.line_file import DEFAULTS, LineFileSettings
from edge.outputs.line_server import LineServer, LineServerSettings
from edge.outputs.mqtt import MqttSink
from edge.outputs.mqtt_link import MqttSettings
from edge.outputs.null import NullSink
from edge.types import LiveFrame

WANTED = (
    "jsonl:-, jsonl:FILE, dcase:FILE, history:, mqtt:, lines:unix:PATH, lines:tcp:PORT, live:unix:PATH, "
    "live:tcp:PORT, live:to:HOST:PORT or null"
)


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Settings of those kinds of sinks that have any."""

    jsonl: LineFileSettings = DEFAULTS
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    lines: LineServerSettings = field(default_factory=LineServerSettings)
    live: LiveSettings = field(default_factory=LiveSettings)
    history: HistorySettings = field(default_factory=HistorySettings)


def open_sink(
    spec: str,
    when: When | None = None,
    settings: SinkSettings | None = None,
    device: DeviceInfo | None = None,
    replace: bool = False,
) -> Outlet:
    """Open a sink by its specification, one of `WANTED`; `-` is stdout.

    No file loses what it has, unless `replace` says so: events are appended to a JSON lines file, and a csv file that
    is not empty becomes FILE.1. A live run starts and continues while the disk is full or cannot be written; other runs
    stop at the first line that cannot be written.

    Args:
        spec: kind and target of the sink.
        when: gives the time of day for seconds of a live source; None for a file.
        settings: settings by kind of sink; the defaults without them.
        device: what MQTT tells about this device.
        replace: delete the content that a file has.

    Raises:
        ValueError: the specification is unknown, or its settings cannot be used.
        SinkError: the sink cannot be opened.
    """
    settings = settings or SinkSettings()
    match spec.partition(":"):
        case ("jsonl", _, target) if target:
            return JsonLinesSink(target, when, settings.jsonl, replace)
        case ("dcase", _, target) if target:
            return DcaseSink(target, when is not None, replace)
        case ("lines", _, address) if address:
            return LineServer(address, when, event_text(when, settings.lines.events))
        case ("live", _, address) if address.startswith("to:"):
            return LineClient(address.removeprefix("to:"), _live_text(settings.live, when))
        case ("live", _, address) if address:
            return LineServer(address, when, _live_text(settings.live, when), "live")
        case ("history", ":", ""):
            from edge.outputs.history import HistorySink  # loads sqlite3, which no other sink needs

            return HistorySink(settings.history, when)
        case ("mqtt", ":", ""):
            return MqttSink(settings.mqtt, when, device or DeviceInfo(), live_text(settings.live, when))
        case ("null", "", ""):
            return NullSink()
    raise ValueError(f"sink: got {spec!r}, wanted {WANTED}")


def _live_text(settings: LiveSettings, when: When | None) -> ItemText:
    text = live_text(settings, when)
    return lambda item: text(item) if isinstance(item, LiveFrame) else None

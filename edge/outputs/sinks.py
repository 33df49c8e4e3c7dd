"""Sink specification (`jsonl:FILE`, `mqtt:`, ...) -> an open sink. Each kind of sink has a file of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.events.records import When
from edge.events.sink import Outlet
from edge.outputs.dcase_csv import DcaseSink
from edge.outputs.device_info import DeviceInfo
from edge.outputs.json_lines import JsonLinesSink
from edge.outputs.line_file import NO_ROTATION, RotationSettings
from edge.outputs.line_server import LineServer
from edge.outputs.mqtt import MqttSink
from edge.outputs.mqtt_link import MqttSettings
from edge.outputs.null import NullSink

WANTED = "jsonl:-, jsonl:FILE, dcase:FILE, mqtt:, lines:unix:PATH, lines:tcp:PORT or null"


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Settings of those kinds of sinks that have any."""

    jsonl: RotationSettings = NO_ROTATION
    mqtt: MqttSettings = field(default_factory=MqttSettings)


def open_sink(
    spec: str,
    when: When | None = None,
    settings: SinkSettings | None = None,
    device: DeviceInfo | None = None,
) -> Outlet:
    """Open a sink by its specification, one of `WANTED`; `-` is stdout.

    A live run appends to a JSON lines file, so that a restart keeps earlier events, and continues while the disk is
    full. Other runs begin new files, and stop at the first line that cannot be written.

    Args:
        spec: kind and target of the sink.
        when: gives the time of day for seconds of a live source; None for a file.
        settings: settings by kind of sink; the defaults without them.
        device: what MQTT tells about this device.

    Raises:
        ValueError: the specification is unknown, or its settings cannot be used.
        SinkError: the sink cannot be opened.
    """
    settings = settings or SinkSettings()
    match spec.partition(":"):
        case ("jsonl", _, target) if target:
            return JsonLinesSink(target, when, settings.jsonl)
        case ("dcase", _, target) if target:
            return DcaseSink(target, live=when is not None)
        case ("lines", _, address) if address:
            return LineServer(address, when)
        case ("mqtt", ":", ""):
            return MqttSink(settings.mqtt, when, device or DeviceInfo())
        case ("null", "", ""):
            return NullSink()
    raise ValueError(f"sink: got {spec!r}, wanted {WANTED}")

"""MQTT against a real mosquitto on a free loopback port, if it is installed: no fault is simulated."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

import edge.outputs.mqtt
from edge.audio.wav import write_wav
from edge.cli import main
from edge.outputs.outbox import Outbox
from edge.types import Event, EventUpdate, FrameRow, LiveFrame
from tests.edge.mqtt_broker import LIMIT_S, Subscriber, eventually, free_port
from tests.edge.outputs.mqtt_events import bell


def test_message_of_an_event(broker, subscriber, opened):
    sink = opened(broker.port, lambda onset_s: datetime(2024, 5, 1, 12, tzinfo=UTC) + timedelta(seconds=onset_s))
    sink.emit(Event("Female speech", 1.0, 2.5, 30.126, None, 0.91239))
    eventually(subscriber.seqs)
    assert json.loads(subscriber.said("seld/pi/event/female_speech")[0]) == {
        "event_type": "heard",
        "seq": 1,
        "class": "Female speech",
        "onset_s": 1.0,
        "offset_s": 2.5,
        "azimuth_deg": 30.13,
        "elevation_deg": None,
        "score": 0.912,
        "time": "2024-05-01T12:00:01.000Z",
        "id": 0,
        "phase": "end",
        "sector": None,
    }
    assert [m.qos for m in subscriber.messages if "/event/" in m.topic] == [1]


def test_updates_and_the_direction_of_a_class(broker, subscriber, opened):
    """A begin turns the class on and gives its direction before that; a discarded event changes no direction."""
    sink = opened(broker.port)
    eventually(lambda: subscriber.said("seld/pi/active/female_speech") == ["OFF"])
    for phase, azimuth_deg in (("begin", 30.126), ("update", 45.0), ("discarded", 50.0)):
        sink.emit(EventUpdate(phase, Event("Female speech", 1.0, 1.2, azimuth_deg, None, 0.91239, 7)))
        eventually(lambda phase=phase: phase in "".join(subscriber.said("seld/pi/update/female_speech")))
    told = [json.loads(text) for text in subscriber.said("seld/pi/update/female_speech")]
    assert [(each["phase"], each["id"], each["azimuth_deg"]) for each in told] == [
        ("begin", 7, 30.13),
        ("update", 7, 45.0),
        ("discarded", 7, 50.0),
    ]
    directions = [json.loads(text) for text in subscriber.said("seld/pi/direction/female_speech")]
    assert directions[0] == {
        "azimuth_deg": 30.13,
        "elevation_deg": None,
        "sector": None,
        "score": 0.912,
        "time": None,
        "id": 7,
    }
    assert [each["azimuth_deg"] for each in directions] == [30.13, 45.0]
    topics = [m.topic for m in subscriber.messages if m.topic.endswith("female_speech")]
    assert topics.index("seld/pi/direction/female_speech") < len(topics) - topics[::-1].index(
        "seld/pi/active/female_speech"
    )
    assert "ON" in subscriber.said("seld/pi/active/female_speech") and subscriber.seqs() == []


def test_live_stream_where_it_is_wanted(broker, subscriber, opened):
    silent, sink = LiveFrame(0, 0.1, ()), opened(broker.port, live=True)
    eventually(lambda: sink.emit(silent) or subscriber.said("seld/pi/live"))
    assert json.loads(subscriber.said("seld/pi/live")[0]) == {"frame": 0, "end_s": 0.1, "time": None, "sources": []}
    assert {message.qos for message in subscriber.messages if message.topic == "seld/pi/live"} == {0}
    sink.close()
    sink = opened(broker.port, outbox=str(sink._settings.outbox) + "2")
    sink.emit(silent)
    assert not sink._updates


def test_updates_are_not_kept_for_a_later_connection(broker, subscriber, opened):
    broker.stop()
    sink = opened(broker.port)
    for number in range(500):
        sink.emit(EventUpdate("begin", bell(number)))
    sink.emit(bell())
    eventually(lambda: not sink._updates)
    broker.start()
    eventually(subscriber.seqs)
    subscriber.flush()
    assert subscriber.said("seld/pi/update/bell") == [] and sink.dropped == 0


def test_retained_states(broker, opened):
    """A later subscriber receives the device, its health and the active classes; then that the device is offline."""
    early = Subscriber(broker.port, "seld/pi/active/#")
    sink = opened(broker.port, off_delay_s=0.5, health_s=1.0)

    def heard():
        sink.emit(FrameRow(0, 1, 0, 30, 0))
        return "ON" in early.said("seld/pi/active/female_speech")

    eventually(heard)
    eventually(lambda: "ON,OFF" in ",".join(early.said("seld/pi/active/female_speech")))
    assert set(early.said("seld/pi/active/bell")) == {"OFF"}
    eventually(lambda: early.said("seld/pi/active/bell").count("OFF") >= 2)  # repeated, as Home Assistant forgets it
    early.close()
    late = Subscriber(broker.port)
    wanted = {f"seld/pi/{state}" for state in ("availability", "active/bell", "active/female_speech", "health")}
    wanted.add("homeassistant/device/pi/config")
    eventually(lambda: wanted <= {message.topic for message in list(late.messages)})
    first = {message.topic: message for message in reversed(list(late.messages))}  # not what is sent meanwhile
    assert [topic for topic in wanted if not first[topic].retain] == []
    states = {topic: message.payload.decode() for topic, message in first.items()}
    assert states["seld/pi/availability"] == "online"
    assert states["seld/pi/active/bell"] == states["seld/pi/active/female_speech"] == "OFF"
    assert json.loads(states["seld/pi/health"]) == {"steps": 7, "temperature_c": None}
    assert "bell_event" in json.loads(states["homeassistant/device/pi/config"])["components"]
    sink.close()
    eventually(lambda: late.said("seld/pi/availability") == ["online", "offline"])
    late.close()


def test_discovery_is_removed_when_home_assistant_is_disabled(broker, opened, patient):
    for home_assistant in (True, False):
        sink = opened(broker.port, home_assistant=home_assistant)
        sink.emit(bell())
        sink.close()
    later = Subscriber(broker.port)
    eventually(lambda: later.said("seld/pi/availability"))
    assert later.said("homeassistant/device/pi/config") == []
    later.close()


def test_the_last_will(broker, subscriber, tmp_path):
    """The broker publishes the last will of a process that is killed."""
    code = f"""
import time
from edge.outputs.device_info import DeviceInfo
from edge.outputs.mqtt import MqttSink, MqttSettings
from edge.types import Event
settings = MqttSettings("127.0.0.1", {broker.port}, prefix="seld/pi", outbox={str(tmp_path / "outbox")!r})
MqttSink(settings, None, DeviceInfo()).emit(Event("bell", 0.0, 1.0, 2.0, 3.0, 0.5))
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as child:
        eventually(subscriber.seqs)
        child.kill()
    eventually(lambda: subscriber.said("seld/pi/availability") == ["online", "offline"])


def restarts(broker, subscriber, sink, count, at, down_s):
    """Emit events and stop the broker for a while at some of them. Returns the numbers that were received."""
    for number in range(count):
        if number in at:
            broker.stop()
        if number - 20 in at:
            time.sleep(down_s)
            broker.start()
        sink.emit(bell(number))
        if number % 20 == 0:
            time.sleep(0.01)
    eventually(lambda: len(set(subscriber.seqs())) == count)
    return subscriber.seqs()


def in_order(seqs, count):
    """Check that every number was received, first in order. Returns how many were received again."""
    first = list(dict.fromkeys(seqs))
    assert first == list(range(1, count + 1))
    return len(seqs) - count


def test_every_event_in_order_through_restarts_of_the_broker(broker, subscriber, opened):
    sink = opened(broker.port)
    seqs = restarts(broker, subscriber, sink, 400, {100, 250}, 0.3)
    assert in_order(seqs, 400) <= 2 * edge.outputs.mqtt.MAX_IN_FLIGHT
    assert sink.dropped == 0


@pytest.mark.slow
def test_ten_thousand_events_through_restarts_of_the_broker(broker, subscriber, opened):
    sink = opened(broker.port)
    seqs = restarts(broker, subscriber, sink, 10_000, {3000, 6000}, 2.0)
    again = in_order(seqs, 10_000)
    assert again <= 2 * edge.outputs.mqtt.MAX_IN_FLIGHT
    assert sink.dropped == 0


def test_waiting_events_survive_the_process(broker, subscriber, opened, patient, tmp_path, caplog):
    """Two processes without a broker are killed right after their last `emit`; then all events are sent in order."""
    outbox = tmp_path / "outbox"
    code = f"""
import os, signal
from edge.outputs.device_info import DeviceInfo
from edge.outputs.mqtt import MqttSink, MqttSettings
from edge.types import Event
sink = MqttSink(MqttSettings("127.0.0.1", {free_port()}, outbox={str(outbox)!r}), None, DeviceInfo())
for number in range(10):
    sink.emit(Event("bell", 0.0, 1.0, 2.0, 3.0, 0.5))
os.kill(os.getpid(), signal.SIGKILL)
"""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=LIMIT_S, check=False)
        assert done.returncode == -signal.SIGKILL
    sink = opened(broker.port)
    sink.emit(bell())
    eventually(lambda: len(subscriber.seqs()) == 21)
    assert in_order(subscriber.seqs(), 21) == 0
    sink.close()
    left = Outbox(outbox, 10**6)
    assert (left.acknowledged, left.waiting) == (21, 0)
    left.close()


def test_run_sends_its_events(broker, subscriber, patient, tmp_path, tiny_bundle, sounds):
    """The whole command sends its events and its health."""
    write_wav(tmp_path / "scene.wav", sounds, 24000)
    settings = f"""
sinks = ["mqtt:"]
[mqtt]
host = "127.0.0.1"
port = {broker.port}
prefix = "seld/pi"
outbox = "{tmp_path}/outbox"
"""
    (tmp_path / "a.toml").write_text(settings)
    args = ["run", "--config", tmp_path / "a.toml", "--source", tmp_path / "scene.wav", "--model", tiny_bundle]
    assert main([str(arg) for arg in args]) == 0
    eventually(lambda: subscriber.said("seld/pi/availability") == ["online", "offline"])
    assert subscriber.seqs() == [1, 2]
    assert json.loads(subscriber.said("seld/pi/event/low")[0])["onset_s"] == 1.0
    health = json.loads(subscriber.said("seld/pi/health")[0])
    assert {"steps", "late_steps", "lost_samples", "dropped", "temperature_c", "rss_mb"} <= health.keys()

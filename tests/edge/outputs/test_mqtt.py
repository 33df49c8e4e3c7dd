"""MQTT against a real mosquitto on a free loopback port, if it is installed: no fault is simulated."""

import json
import logging
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

import edge.outputs.mqtt
from edge.audio.wav import write_wav
from edge.cli import main
from edge.events.live_text import LiveSettings, live_text
from edge.outputs.device_info import DeviceInfo
from edge.outputs.line_file import SinkError
from edge.outputs.mqtt import MqttSink
from edge.outputs.mqtt_link import MqttSettings
from edge.outputs.outbox import Outbox
from edge.types import Event, EventUpdate, FrameRow, LiveFrame
from tests.edge.mqtt_broker import LIMIT_S, MOSQUITTO, Broker, Subscriber, eventually, free_port, needs_broker

DEVICE = DeviceInfo("coloc-edge", "foa", ("bell", "Female speech"), lambda: {"steps": 7, "temperature_c": None})


LIVE = LiveSettings()


def bell(number=0):
    return Event("bell", float(number), number + 0.5, 30.0, -20.0, 0.9)


@pytest.fixture
def broker(tmp_path):
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def subscriber(broker):
    made = Subscriber(broker.port)
    yield made
    made.close()


@pytest.fixture
def quick(monkeypatch):
    """Shorten the delay between attempts to connect."""
    monkeypatch.setattr("edge.outputs.mqtt_link.MIN_DELAY_S", 0.1)
    monkeypatch.setattr("edge.outputs.mqtt_link.MAX_DELAY_S", 0.5)


@pytest.fixture
def patient(monkeypatch):
    """Sinks that, when they are closed, send what waits however busy the machine is."""
    monkeypatch.setattr(edge.outputs.mqtt, "CLOSE_S", LIMIT_S)


@pytest.fixture
def opened(tmp_path, quick):
    """A function that opens sinks, which are closed at the end of the test."""
    sinks = []

    def open_mqtt(port, when=None, **settings):
        defaults = {"host": "127.0.0.1", "prefix": "seld/pi", "client_id": "pi", "outbox": str(tmp_path / "outbox")}
        sinks.append(
            MqttSink(MqttSettings(**defaults | {"port": port} | settings), when, DEVICE, live_text(LIVE, when))
        )
        return sinks[-1]

    yield open_mqtt
    for sink in sinks:
        sink.close()


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
    eventually(lambda: early.said("seld/pi/active/female_speech")[-2:] == ["ON", "OFF"])
    assert set(early.said("seld/pi/active/bell")) == {"OFF"}
    eventually(lambda: early.said("seld/pi/active/bell").count("OFF") >= 2)  # repeated, as Home Assistant forgets it
    early.close()
    late = Subscriber(broker.port)
    eventually(lambda: len(late.messages) >= 5)
    assert all(message.retain for message in late.messages)
    states = {message.topic: message.payload.decode() for message in late.messages}
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


def test_closing_without_a_broker_keeps_waiting_events(opened, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(edge.outputs.mqtt, "CLOSE_S", 0.3)
    sink = opened(free_port())
    for number in range(5):
        sink.emit(bell(number))
    eventually(lambda: caplog.records)
    sink.close()
    sink.close()
    refused, waiting = (record.getMessage() for record in caplog.records)
    assert "Connection refused; events wait in" in refused and "5 events wait in" in waiting
    left = Outbox(tmp_path / "outbox", 10**6)
    assert [json.loads(entry.text)["onset_s"] for entry in left.pending(0, 9)] == [0.0, 1.0, 2.0, 3.0, 4.0]
    left.close()


def test_emit_does_not_depend_on_the_worker(opened, monkeypatch, tmp_path):
    """With a worker that hangs, every event is in the outbox when `emit` returns."""
    hanging = threading.Event()
    monkeypatch.setattr(MqttSink, "_process", lambda self: hanging.wait(60.0))
    monkeypatch.setattr(edge.outputs.mqtt, "CLOSE_S", 0.1)
    sink = opened(free_port())
    eventually(lambda: sink.alive)
    for number in range(1500):
        sink.emit(bell(number))
        assert sink._outbox.waiting == number + 1
    assert " 1500 {" in max((tmp_path / "outbox").glob("*.log")).read_text().splitlines()[-1]
    assert sink.dropped == 0
    hanging.set()


def test_emit_does_not_wait_for_a_flush_of_the_disk(opened, monkeypatch):
    flushing, slow_disk = threading.Event(), threading.Event()

    def fdatasync(_fd):
        flushing.set()
        slow_disk.wait(60.0)

    monkeypatch.setattr("edge.outputs.outbox.os.fdatasync", fdatasync)
    monkeypatch.setattr(edge.outputs.mqtt, "CLOSE_S", 0.1)
    sink = opened(free_port(), sync_s=0.0)
    sink.emit(bell())
    assert flushing.wait(20.0)
    for number in range(20):
        sink.emit(bell(number))
    assert sink._outbox.waiting == 21 and not slow_disk.is_set()
    slow_disk.set()


def test_a_card_that_stalls_does_not_hold_up_what_is_sent(broker, subscriber, opened, monkeypatch):
    flushing, slow_disk = threading.Event(), threading.Event()

    def fdatasync(_fd):
        flushing.set()
        slow_disk.wait(60.0)

    monkeypatch.setattr("edge.outputs.outbox.os.fdatasync", fdatasync)
    sink = opened(broker.port, sync_s=0.0)
    sink.emit(bell(0))
    assert flushing.wait(20.0)
    for number in range(1, 20):
        sink.emit(bell(number))
    eventually(lambda: subscriber.seqs() == list(range(1, 21)))
    assert not slow_disk.is_set() and sink.alive
    slow_disk.set()


def test_a_worker_goes_on_after_any_error(broker, subscriber, opened, monkeypatch, caplog):
    """It is logged once; events wait; one that fails for long counts as dead, and all is well when it succeeds."""
    failing, process = True, MqttSink._process

    def faulty(self):
        if failing:
            raise RuntimeError("no such counter")
        process(self)

    monkeypatch.setattr(MqttSink, "_process", faulty)
    monkeypatch.setattr("edge.outputs.worker.STALL_S", 0.5)
    sink = opened(broker.port)
    for number in range(5):
        sink.emit(bell(number))
    eventually(lambda: not sink.alive)
    failing = False
    eventually(lambda: subscriber.seqs() == [1, 2, 3, 4, 5])
    eventually(lambda: sink.alive)
    assert caplog.messages == [
        f"mqtt 127.0.0.1:{broker.port}: failed and is tried again: RuntimeError: no such counter",
        f"mqtt 127.0.0.1:{broker.port}: works again",
    ]


def test_a_worker_that_hangs_counts_as_dead(opened, monkeypatch):
    hanging = threading.Event()
    monkeypatch.setattr(MqttSink, "_process", lambda self: hanging.wait(LIMIT_S))
    monkeypatch.setattr("edge.outputs.worker.STALL_S", 0.2)
    monkeypatch.setattr(edge.outputs.mqtt, "CLOSE_S", 0.1)
    sink = opened(free_port())
    eventually(lambda: not sink.alive)
    hanging.set()


def test_a_thread_of_paho_that_dies_is_replaced(broker, subscriber, opened, monkeypatch):
    """Nobody is told of it, and no message would be sent any more."""
    monkeypatch.setattr("edge.outputs.mqtt_link._CHECK_S", 0.05)
    sink = opened(broker.port)
    sink.emit(bell(0))
    eventually(lambda: subscriber.seqs() == [1])
    monkeypatch.setattr("threading.excepthook", lambda args: None)
    first = sink._link.session
    first.client._loop = None  # the next turn of its loop raises TypeError
    eventually(lambda: sink._link.session not in (None, first))
    sink.emit(bell(1))
    eventually(lambda: set(subscriber.seqs()) == {1, 2})


def test_an_entry_that_is_no_event_does_not_stop_others(broker, subscriber, opened, tmp_path, caplog):
    outbox = Outbox(tmp_path / "outbox", 10**6)
    for text in ("not JSON", "[]", "{}"):
        outbox.append(text)
    outbox.close()
    sink = opened(broker.port)
    sink.emit(bell())
    eventually(lambda: subscriber.seqs() == [4])
    assert sink.dropped == 3 and caplog.text.count("which is no event") == 3
    eventually(lambda: sink._outbox.acknowledged == 4)


def test_two_runs_do_not_share_an_outbox(opened):
    port = free_port()
    opened(port)
    with pytest.raises(SinkError, match="in use by another process"):
        opened(port)


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


@needs_broker
def test_a_wrong_password_is_logged_once_and_retried(tmp_path, opened, caplog, monkeypatch):
    monkeypatch.setattr(edge.outputs.mqtt, "CLOSE_S", 0.3)
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "seld", "right"], check=True, capture_output=True)
    broker = Broker(tmp_path, f"password_file {passwords}")
    broker.start()
    wrong = tmp_path / "wrong"
    wrong.write_text("not this\n")
    wrong.chmod(0o600)
    subscriber = Subscriber(broker.port, user=("seld", "right"))
    try:
        with caplog.at_level(logging.INFO):
            sink = opened(broker.port, user="seld", password_file=str(wrong))
            for number in range(3):
                sink.emit(bell(number))
            refusals = tmp_path / "mosquitto.log"
            eventually(lambda: refusals.read_text().count("not authorised") >= 3)
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 1 and "refused: Not authorized; events wait in" in lines[0]
        assert "not this" not in caplog.text and subscriber.seqs() == []
        sink.close()
        wrong.write_text("right\r\n")
        opened(broker.port, user="seld", password_file=str(wrong))
        eventually(lambda: subscriber.seqs() == [1, 2, 3])
    finally:
        subscriber.close()
        broker.stop()


@needs_broker
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls(tmp_path, opened, caplog):
    """A certificate that `ca_file` vouches for is accepted, another one is refused."""
    for name in ("broker", "other"):
        options = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
        files = ["-keyout", f"{tmp_path}/{name}.key", "-out", f"{tmp_path}/{name}.pem"]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *options, *files]
        subprocess.run(command, check=True, capture_output=True)
    broker = Broker(tmp_path, f"certfile {tmp_path}/broker.pem", f"keyfile {tmp_path}/broker.key")
    broker.start()
    subscriber = Subscriber(broker.port, tls=str(tmp_path / "broker.pem"))
    try:
        sink = opened(broker.port, host="localhost", tls=True, ca_file=str(tmp_path / "other.pem"))
        eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text)
        sink.close()
        opened(broker.port, host="localhost", tls=True, ca_file=str(tmp_path / "broker.pem")).emit(bell())
        eventually(lambda: subscriber.seqs() == [1])
    finally:
        subscriber.close()
        broker.stop()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"password_file": "/nowhere"}, "mqtt: /nowhere: No such file or directory"),
        ({"password_file": __file__}, "mqtt: got a password without a user, wanted `user` or SELD_EDGE_MQTT_USER"),
        ({"password_file": sys.executable}, "mqtt: .*: got bytes that are not UTF-8, wanted a password"),
        (
            {"tls": True, "ca_file": "/nowhere"},
            "mqtt: /nowhere: got no certificates, wanted a PEM file: No such file or directory",
        ),
        ({"tls": True, "ca_file": __file__}, "mqtt: .*: got no certificates, wanted a PEM file: .*"),
    ],
)
def test_files_that_cannot_be_used(opened, tmp_path, settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        opened(free_port(), **settings)
    Outbox(tmp_path / "outbox", 10**6).close()  # nobody holds it


@pytest.mark.parametrize("version", [None, object()])
def test_without_paho(opened, monkeypatch, version):
    monkeypatch.setitem(sys.modules, "paho.mqtt", None if version is None else type("paho", (), {"client": version}))
    with pytest.raises(
        ValueError, match=r"^paho-mqtt is (not installed|too old: .*): pip install (--upgrade )?paho-mqtt$"
    ):
        opened(free_port())

"""MQTT when the disk, the broker or a thread fails: events wait and are sent, and `emit` never does."""

import json
import threading

import pytest

import edge.outputs.mqtt
from edge.outputs.line_file import SinkError
from edge.outputs.mqtt import MqttSink
from edge.outputs.outbox import Outbox
from tests.edge.mqtt_broker import LIMIT_S, eventually, free_port
from tests.edge.outputs.mqtt_events import bell


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

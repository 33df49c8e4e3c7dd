"""The client of a program that listens, over real sockets: it may come late, go, and come again."""

import json
import socket

import pytest

from edge.outputs import line_client
from edge.outputs.sinks import open_sink
from edge.types import Event, LiveFrame
from tests.edge.mqtt_broker import eventually, free_port

FRAME = LiveFrame(12, 1.3, (Event("bell", 0.5, 1.3, 90.0, 30.0, 0.9),))


@pytest.fixture
def opened(monkeypatch):
    monkeypatch.setattr(line_client, "RETRY_S", 0.05)
    sinks = []

    def open_live(port):
        sinks.append(open_sink(f"live:to:127.0.0.1:{port}"))
        return sinks[-1]

    yield open_live
    for sink in sinks:
        sink.close()


def received(sink, listener):
    """The first line that a program gets after it has accepted a connection."""
    connection, _ = listener.accept()
    with connection, connection.makefile() as lines:
        eventually(lambda: sink._connection)
        sink.emit(FRAME)
        return json.loads(lines.readline())


def test_a_program_is_connected_to_whenever_it_listens(opened, caplog):
    port = free_port()
    sink = opened(port)
    eventually(lambda: caplog.messages)
    sink.emit(FRAME)  # for nobody
    assert caplog.messages == [f"sink live:to:127.0.0.1:{port}: Connection refused: it is tried again"]
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(300.0)
            got = received(sink, listener)
            assert (got["frame"], got["sources"][0]["class"]) == (12, "bell")
        eventually(lambda: sink.emit(FRAME) or sink._connection is None)
    assert sink.alive and sink.dropped == 0


def test_a_program_that_does_not_read_loses_texts(opened, monkeypatch, caplog):
    """`emit` does not wait for it; what it misses is counted."""
    monkeypatch.setattr(line_client, "TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = opened(listener.getsockname()[1])
        eventually(lambda: sink._connection)
        eventually(lambda: [sink.emit(FRAME) for _ in range(1000)] and "timed out" in caplog.text)
        assert sink.alive and sink.dropped


@pytest.mark.parametrize("address", ["", "9000", "host:", "host:0", "host:x", "host:70000", ":9000"])
def test_malformed_addresses(address):
    with pytest.raises(ValueError, match=f"^sink: got 'live:to:{address}', wanted live:to:HOST:PORT$"):
        open_sink(f"live:to:{address}")


def test_a_malformed_host_name_is_no_error_of_the_worker(opened, caplog):
    sink = open_sink("live:to:\ue000:9000")
    eventually(lambda: caplog.messages)
    assert sink.alive
    sink.close()

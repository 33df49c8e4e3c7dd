import errno
import json
import socket
import time
from datetime import UTC, datetime

import pytest

from edge.events.live_text import LiveSettings
from edge.outputs import line_server
from edge.outputs.line_file import SinkError
from edge.outputs.line_server import LineServer
from edge.outputs.refusals import Refusals
from edge.outputs.sinks import SinkSettings, open_sink
from edge.types import Event, EventUpdate, FrameRow, LiveFrame

BELL = Event("bell", 1.0, 2.5, 30.0, -20.0, 0.9)


def eventually(condition, timeout_s=300.0):
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.005)


def clients_of(server):
    return len(server._clients)


@pytest.fixture
def opened(request):
    servers = []

    def open_server(address):
        servers.append(LineServer(address, None))
        return servers[-1]

    yield open_server
    for server in servers:
        server.close()


@pytest.fixture
def connected():
    sockets = []

    def connect(server, path=None):
        before = clients_of(server)
        made = socket.socket(socket.AF_UNIX) if path else socket.socket()
        made.connect(str(path) if path else ("127.0.0.1", server.port))
        made.settimeout(300.0)
        sockets.append(made)
        eventually(lambda: clients_of(server) == before + 1)
        return made

    yield connect
    for made in sockets:
        made.close()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_every_client_gets_every_event(opened, connected, tmp_path, kind):
    path = tmp_path / "events" if kind == "unix" else None
    server = opened(f"unix:{path}" if path else "tcp:0")
    server.emit(BELL)  # to nobody
    clients = [connected(server, path) for _ in range(3)]
    for number in range(5):
        server.emit(FrameRow(number, 0, 0, 1, 2))
        server.emit(Event("bell", float(number), 9.0, 30.0, None, 0.9))
    for client in clients:
        with client.makefile() as lines:
            got = [json.loads(lines.readline()) for _ in range(5)]
        assert [record["onset_s"] for record in got] == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert (got[0]["class"], got[0]["elevation_deg"], got[0]["time"]) == ("bell", None, None)
    assert server.dropped == 0


def test_a_live_source_gives_the_time(connected):
    server = open_sink("lines:tcp:0", lambda onset_s: datetime(2024, 5, 1, second=int(onset_s), tzinfo=UTC))
    client = connected(server)
    server.emit(BELL)
    with client.makefile() as lines:
        assert json.loads(lines.readline())["time"] == "2024-05-01T00:00:01.000Z"
    server.close()


def test_a_client_that_disconnects_does_not_disturb_others(opened, connected):
    server = opened("tcp:0")
    leaving, staying = connected(server), connected(server)
    leaving.sendall(b"what it says is ignored\n")
    leaving.close()
    eventually(lambda: clients_of(server) == 1)
    server.emit(BELL)
    with staying.makefile() as lines:
        assert json.loads(lines.readline())["class"] == "bell"


def test_a_slow_client_loses_whole_lines(opened, connected, caplog):
    server = opened("tcp:0")
    slow, quick = connected(server), connected(server)
    line_bytes = 140
    many = 40 * line_server.MAX_CLIENT_BUFFER_BYTES // line_bytes
    got = 0
    with quick.makefile() as lines:
        for number in range(many):
            server.emit(Event("bell", float(number), 2.5, 30.0, -20.0, 0.9))
            if number % 100 == 99:
                got += len([lines.readline() for _ in range(100)])
    assert server.dropped > 0
    assert [record.getMessage() for record in caplog.records] == [
        "sink lines:tcp:0: a client reads too slowly and loses lines"
    ]
    dropped = server.dropped
    server.close()
    with slow.makefile() as lines:
        onsets = [json.loads(line)["onset_s"] for line in lines.read().splitlines()[:-1]]
    assert onsets == sorted(onsets) and len(onsets) >= 1000
    assert got + dropped <= 2 * many


def test_live_frames_are_a_stream_of_their_own(connected, tmp_path):
    events, live = open_sink("lines:tcp:0"), open_sink("live:tcp:0", None, SinkSettings(live=LiveSettings("odas")))
    clients = [connected(each) for each in (events, live)]
    for server in (events, live):
        for item in (LiveFrame(0, 0.1, ()), EventUpdate("begin", BELL), BELL, FrameRow(0, 0, 0, 1, 2)):
            server.emit(item)
        server.close()
    of_events, of_live = (client.makefile().read() for client in clients)
    assert [json.loads(line)["phase"] for line in of_events.splitlines()] == ["end"]
    assert json.loads(of_live)["timeStamp"] == 1
    with pytest.raises(ValueError, match=r"^sink: got 'live:udp:1', wanted live:unix:PATH, live:tcp:PORT or live:tcp"):
        open_sink("live:udp:1")


def test_clients_may_read_buffered_lines_after_close(opened, connected):
    server = opened("tcp:0")
    client = connected(server)
    for _ in range(200):
        server.emit(BELL)
    server.close()
    server.close()
    with client.makefile() as lines:
        assert len(lines.read().splitlines()) == 200
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), 1.0)


def test_clients_beyond_the_limit_are_refused(opened, connected, monkeypatch, caplog):
    monkeypatch.setattr(line_server, "MAX_CLIENTS", 2)
    server = opened("tcp:0")
    connected(server), connected(server)
    with socket.create_connection(("127.0.0.1", server.port), 300.0) as third:
        assert third.recv(1) == b""
    assert clients_of(server) == 2 and caplog.messages == ["sink lines:tcp:0: refused clients: 1, as 2 are connected"]


def test_refusals_are_logged_once_a_minute(caplog):
    now_s = 0.0
    refusals = Refusals("server", 4, lambda: now_s)
    for number in range(1000):
        now_s = number / 10
        refusals.count()
    assert caplog.messages == [
        "server: refused clients: 1, as 4 are connected",
        "server: refused clients: 600, as 4 are connected",
    ]


def test_a_socket_on_a_disk_that_cannot_be_written_yet(monkeypatch, connected, caplog):
    """A live run goes on, and clients can connect as soon as the disk can be written; other runs end."""
    monkeypatch.setattr(line_server, "RETRY_S", 0.05)
    read_only, listen = True, LineServer._listen

    def faulty(self, address):
        if read_only:
            raise SinkError("sink lines:x: Read-only file system") from OSError(errno.EROFS, "Read-only file system")
        return listen(self, address)

    monkeypatch.setattr(LineServer, "_listen", faulty)
    with pytest.raises(SinkError, match=r"Read-only file system$"):
        LineServer("tcp:0", None)
    server = LineServer("tcp:0", lambda onset_s: datetime(2024, 5, 1, tzinfo=UTC))
    server.emit(BELL)
    assert server.alive and server._socket is None
    read_only = False
    eventually(lambda: server._socket)
    server.port = server._socket.getsockname()[1]
    client = connected(server)
    server.emit(BELL)
    with client.makefile() as lines:
        assert json.loads(lines.readline())["class"] == "bell"
    server.close()
    assert caplog.messages == [
        "sink lines:x: Read-only file system: it is tried again",
        "sink lines:tcp:0: can be connected to now",
    ]


def test_a_dead_thread_shows(monkeypatch):
    async def fail(self):
        raise RuntimeError("no such client")

    monkeypatch.setattr(LineServer, "_serve", fail)
    monkeypatch.setattr("threading.excepthook", lambda args: None)
    server = LineServer("tcp:0", None)
    eventually(lambda: not server.alive)
    server.emit(BELL)
    assert server.dropped == 1
    server._socket.close()
    server.close()


def test_loopback_is_the_default(opened):
    assert opened("tcp:0")._socket.getsockname()[0] == "127.0.0.1"
    assert opened("tcp:0.0.0.0:0")._socket.getsockname()[0] == "0.0.0.0"


def test_a_stale_socket_is_replaced_and_one_in_use_is_not(opened, tmp_path):
    path = tmp_path / "events"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    opened(f"unix:{path}")
    with pytest.raises(SinkError, match=rf"^sink lines:unix:{path}: Address already in use$"):
        LineServer(f"unix:{path}", None)
    assert path.stat().st_mode & 0o777 == 0o666


def test_a_closed_server_leaves_no_socket(tmp_path):
    server = LineServer(f"unix:{tmp_path}/events", None)
    assert (tmp_path / "events").is_socket()
    server.close()
    assert not list(tmp_path.iterdir())


def test_unusable_addresses(opened, tmp_path):
    (tmp_path / "file").write_text("mine")
    for address, cause in (
        (f"tcp:{opened('tcp:0').port}", r"Address already in use.*"),
        (f"unix:{tmp_path}/no/events", "No such file or directory"),
        (f"unix:{tmp_path}/file", "Address already in use"),
        (f"unix:{tmp_path}/{'a' * 200}", ".*too long"),
        ("tcp:no.such.host.invalid:0", ".+"),
        ("tcp:[::zz]:0", ".+"),
        ("tcp:\ue000:0", ".+"),
    ):
        with pytest.raises(SinkError, match=f"^sink lines:{address.replace('[', '.').replace(']', '.')}: {cause}$"):
            LineServer(address, None)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("address", ["", "tcp:", "tcp:a", "tcp:70000", "tcp:-1", "tcp:٣", "unix:", "udp:1", "1234"])
def test_malformed_addresses(address):
    with pytest.raises(ValueError, match=f"^sink: got 'lines:{address}', wanted lines:unix:PATH, lines:tcp:PORT or "):
        LineServer(address, None)

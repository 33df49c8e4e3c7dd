import http.client
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import replace

import pytest

from edge.outputs import metrics_server
from edge.outputs.metrics_collector import metrics_registry
from edge.outputs.metrics_server import MetricsServer
from tests.edge.outputs.run_stats import DEVICE, STATS

prometheus_client = pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")

REGISTRY = metrics_registry(lambda: STATS, DEVICE)


@pytest.fixture
def server():
    with MetricsServer("127.0.0.1", 0, REGISTRY) as made:
        yield made


def ask(server, path="/metrics", method="GET", **headers):
    """Status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30.0)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def eventually(condition):
    end_s = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.01)


def test_the_page(server):
    status, headers, body = ask(server)
    assert (status, body) == (200, prometheus_client.generate_latest(REGISTRY))
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert headers["Content-Length"] == str(len(body)) and "Python" not in headers["Server"]
    assert ask(server, "/metrics?x=1")[2] == body


def test_every_request_is_answered_with_current_values():
    stats = STATS
    with MetricsServer("127.0.0.1", 0, metrics_registry(lambda: stats, DEVICE)) as server:
        assert b"seld_edge_steps_total 1000.0\n" in ask(server)[2]
        stats = replace(STATS, steps=1001)
        assert b"seld_edge_steps_total 1001.0\n" in ask(server)[2]
    with pytest.raises(ConnectionRefusedError):
        ask(server)


def test_head_gets_the_headers_alone(server):
    status, headers, body = ask(server, method="HEAD")
    assert (status, body) == (200, b"") and headers["Content-Length"] == str(len(ask(server)[2]))


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/", "GET", 404), ("/metrics/", "GET", 404), ("/x", "HEAD", 404), ("/metrics", "POST", 501), ("*", "PUT", 501)],
)
def test_nothing_else_is_answered(server, path, method, status):
    assert ask(server, path, method)[0] == status


@pytest.mark.parametrize("version", ["", "; version=1.0.0", "; version=1.x;q=0.5,text/plain"])
def test_openmetrics_is_served_on_request(server, version):
    _, headers, body = ask(server, Accept=f"application/openmetrics-text{version}")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain; version=a", ";,"])
def test_any_other_accept_header_gets_the_text_format(server, accept):
    assert ask(server, Accept=accept)[2] == ask(server)[2]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9101", "127.0.0.1:1", "127.3.2.1", "[::1]:9101"])
def test_requests_for_this_machine_are_answered(server, host):
    assert ask(server, Host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example:80", "192.168.1.2", "127.0.0.1.nip.io", "[::1", "a@b:c", "::"]
)
def test_requests_for_other_hosts_are_refused(server, host):
    assert ask(server, Host=host)[0] == 403


def test_an_address_that_is_open_to_others_answers_to_any_name():
    with MetricsServer("0.0.0.0", 0, REGISTRY) as server:
        assert ask(server, Host="pi.lan:9101")[0] == 200


def test_clients_that_hang_or_disconnect_do_not_disturb_others(server, capfd):
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address) as silent, socket.create_connection(address) as rude:
        rude.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        rude.close()
        silent.sendall(b"GET")
        for _ in range(3):
            assert ask(server)[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_client_that_sends_byte_by_byte_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(metrics_server, "CLIENT_S", 0.5)
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.settimeout(30.0)
        ended = threading.Event()

        def drip():
            while not ended.wait(0.05):
                try:
                    slow.sendall(b"G")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert slow.recv(1) == b""
        except ConnectionResetError:
            pass  # the same, seen by a client that goes on sending
        finally:
            ended.set()
            dripping.join()


def test_few_clients_at_a_time_and_few_threads(server, caplog):
    address = ("127.0.0.1", server.port)
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(metrics_server.MAX_CLIENTS):
            stack.enter_context(socket.create_connection(address))
        eventually(lambda: len(server._server._deadlines_s) == metrics_server.MAX_CLIENTS)
        for _ in range(20):
            with socket.create_connection(address) as refused:
                refused.settimeout(30.0)
                assert refused.recv(1) == b""
        assert threading.active_count() <= before + metrics_server.MAX_CLIENTS
    assert [record.getMessage() for record in caplog.records] == ["metrics: refused clients: 1, as 4 are connected"]
    eventually(lambda: not server._server._deadlines_s)
    assert ask(server)[0] == 200


def test_no_descriptor_left_for_a_client(server, monkeypatch, caplog):
    """It is neither logged nor tried at full speed, and the client is answered when there is one."""
    attempts, accept = [], socket.socket.accept

    def starved(self):
        attempts.append(time.monotonic())
        if len(attempts) <= 2:
            raise OSError(24, "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", starved)
    assert ask(server)[0] == 200
    assert attempts[2] - attempts[0] >= 2 * metrics_server.RETRY_S
    assert caplog.messages == ["metrics: cannot accept a client: Too many open files"] and server.alive


def test_an_error_of_the_program_is_logged(caplog):
    with MetricsServer("127.0.0.1", 0, metrics_registry(lambda: None, DEVICE)) as server:
        with pytest.raises(http.client.RemoteDisconnected):
            ask(server)
        eventually(lambda: caplog.records)
    assert "AttributeError" in caplog.text


def test_ipv6():
    try:
        server = MetricsServer("::1", 0, REGISTRY)
    except OSError:
        pytest.skip("no IPv6 here")
    with server, urllib.request.urlopen(f"http://[::1]:{server.port}/metrics", timeout=30.0) as answer:
        assert answer.status == 200


def test_a_port_in_use(server):
    message = rf"^metrics: 127\.0\.0\.1:{server.port}: Address already in use$"
    with pytest.raises(OSError, match=message):
        MetricsServer("127.0.0.1", server.port, REGISTRY)
    for host in ("no.such.host.invalid", "\ue000"):
        with pytest.raises(OSError, match=rf"^metrics: {re.escape(host)}:0: .+$"):
            MetricsServer(host, 0, REGISTRY)

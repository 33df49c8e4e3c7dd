import contextlib
import errno
import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
pytest.importorskip("starlette", reason="starlette is not installed")

from edge.page import app as page_app
from edge.page.app import static_files
from tests.edge.page.served import ABOUT, RECORD, eventually, served

PASSWORD, TOKEN = "correct horse", "0123456789abcdef"
MOST_PAGE_BYTES = 200_000


@pytest.fixture(scope="module")
def page():
    with served() as made:
        yield made


@pytest.fixture(scope="module")
def locked():
    with served(PASSWORD, TOKEN, max_pages=2, frame_ancestors=("http://ha.local:8123",)) as made:
        yield made


@contextlib.contextmanager
def stream(page, **headers):
    """Kinds and contents of live messages, as long as the `with` lasts."""
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", page.port), timeout=120.0) as connection:
        connection.sendall(f"GET /api/live HTTP/1.1\r\nHost: localhost\r\n{told}\r\n".encode())
        with connection.makefile("rb") as lines:
            yield messages(lines)


def messages(lines):
    for line in lines:
        if line.startswith(b"event: "):
            yield line[7:].decode().strip(), json.loads(next(lines)[6:])


# --- what is answered ------------------------------------------------------------------------------------------------


def test_the_page_and_its_files(page):
    for path, content, kind in static_files():
        status, headers, body = page.ask(path)
        assert (status, body) == (200, content), path
        assert headers["content-type"].startswith(kind)
        assert page.ask(path, If_None_Match=headers["etag"])[0] == 304
    assert sum(len(content) for _, content, _ in static_files()) < MOST_PAGE_BYTES
    assert {path for path, _, _ in static_files()} >= {"/", "/page.css", "/js/main.js", "/icon.svg"}


def test_the_files_name_no_other_origin():
    allowed = {b"http://www.w3.org/2000/svg"}
    for path, content, _ in static_files():
        found = {word.strip(b"\"'`;,)>") for word in content.split() if b"://" in word}
        assert all(any(known in word for known in allowed) for word in found), path
        assert b"innerHTML" not in content and b" style=" not in content and b"onclick=" not in content, path


def test_what_a_page_is_told(page):
    assert page.ask("/api/about")[2] == ABOUT
    assert page.ask("/api/door")[2] == {"open": True, "password": False, "asks": False}


@pytest.mark.parametrize("path", ["/x", "/js/", "/js/../x", "/..%2fpage.css", "/api/", "/api/clips/..%2f..%2fetc"])
def test_nothing_else_is_answered(page, path):
    assert page.ask(path)[0] == 404


@pytest.mark.parametrize(("path", "method"), [("/", "POST"), ("/api/about", "PUT"), ("/api/login", "GET")])
def test_other_methods_are_refused(page, path, method):
    assert page.ask(path, method)[0] == 405


def test_events_by_filters(page):
    now_s = time.time()
    stamp = "2026-11-{day:02d}T10:00:00.000Z".format
    for number, (name, day) in enumerate(itertools.product(("bell", "speech"), (1, 2, 3))):
        page.event(
            **{"class": name}, id=number, time=stamp(day=day), azimuth_deg=-90.0, sector="door" if day == 2 else None
        )

    def found(query):
        return [(record["class"], record["time"][8:10]) for record in page.ask(f"/api/events{query}")[2]]

    eventually(lambda: len(found("")) == 6)
    assert found("?class=bell") == [("bell", "03"), ("bell", "02"), ("bell", "01")]
    assert found("?limit=1") == [("speech", "03")]
    assert found("?sector=door&class=speech") == [("speech", "02")]
    second_s = page.ask("/api/events?class=bell")[2][1]["at_s"]
    assert found(f"?class=bell&since_s={second_s}") == [("bell", "03"), ("bell", "02")]
    assert found(f"?class=bell&until_s={second_s}") == [("bell", "01")]
    midnight_s = second_s - 10 * 3600
    counts = page.ask(f"/api/counts?since_s={midnight_s}&until_s={midnight_s + 86400}")[2]
    assert counts["hours"] == {name: [0] * 10 + [1] + [0] * 13 for name in ("bell", "speech")}
    assert counts["rose"] == {name: [0] * 27 + [1] + [0] * 8 for name in ("bell", "speech")}
    assert now_s  # the events lie in another time than now


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "since_s=nan", "since_s=-1", "since_s=1e99", "until_s=x"]
)
def test_bad_questions(page, query):
    status, _, body = page.ask(f"/api/events?{query}")
    assert status == 400 and ", wanted " in body["error"]


def test_a_clip_that_is_not_there(page):
    assert page.ask("/api/clips/x.flac")[0] == 404


# --- live messages ---------------------------------------------------------------------------------------------------


def test_live_messages(page):
    with stream(page) as found:
        eventually(lambda: page.server.pages == 1)
        page.send("step", t=1.5, mel="AAAA")
        assert next(found) == ("step", {"t": 1.5, "mel": "AAAA"})
        page.event(phase="begin", id=77)
        assert next(found) == ("event", RECORD | {"phase": "begin", "id": 77})
        with stream(page) as more:  # a page that opens later is told what sounds now
            assert next(more) == ("event", RECORD | {"phase": "begin", "id": 77})
        page.event(phase="end", id=77)
        kind, record = next(found)
        assert kind == "event" and record["phase"] == "end" and record["at_s"] > 1e9
    eventually(lambda: page.server.pages == 0)


def test_too_many_pages_are_refused(locked):
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(stream(locked, Authorization=f"Bearer {TOKEN}"))
        eventually(lambda: locked.server.pages == 2)
        status, headers, body = locked.ask("/api/live", Authorization=f"Bearer {TOKEN}")
        assert (status, headers["retry-after"]) == (503, "10") and "too many pages" in body["error"]
        assert locked.ask("/")[0] == 200
    eventually(lambda: locked.server.pages == 0)


def test_a_page_that_reads_nothing_holds_up_nobody(page):
    """It loses messages, and the others get theirs."""
    hanging = socket.socket()
    hanging.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    hanging.connect(("127.0.0.1", page.port))
    with hanging, stream(page) as found:
        hanging.sendall(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: page.server.pages == 2)
        for number in range(300):
            page.send("step", t=number, mel="A" * 20_000)
            assert next(found)[1]["t"] == number
        assert page.ask("/api/door")[0] == 200


# --- security --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/js/main.js", "/api/door", "/api/events", "/x"])
def test_headers_of_security(page, path):
    headers = page.ask(path)[1]
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'" and headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert not [name for name in headers if name.lower().startswith("access-control-") or name.lower() == "server"]
    assert "unsafe" not in headers["content-security-policy"]


def test_a_page_of_home_assistant_may_show_it(locked):
    headers = locked.ask("/")[1]
    assert "frame-ancestors 'self' http://ha.local:8123" in headers["content-security-policy"]
    assert "x-frame-options" not in headers


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{80}", "", "127.0.0.1.evil.example"])
def test_another_host_is_refused(page, host):
    assert page.ask("/", Host=host)[0] == 421
    assert page.ask("/api/events", Host=host)[0] == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "http://localhost"}, 200),
        ({"Origin": "http://localhost", "Host": "localhost"}, 200),
        ({}, 200),
    ],
)
def test_another_site_can_change_nothing(page, headers, status):
    assert page.ask("/api/logout", "POST", {}, **headers)[0] == status


def test_only_a_session_or_a_token_opens_the_page(locked):
    for path in ("/api/about", "/api/events", "/api/counts", "/api/live", "/api/clips/x"):
        assert locked.ask(path)[0] == 401
    assert locked.ask("/api/pause", "POST", {"paused": True})[0] == 401
    assert locked.ask("/")[0] == 200 and locked.ask("/api/door")[2]["open"] is False
    cookie = locked.login(PASSWORD)
    assert locked.ask("/api/about", Cookie=cookie)[2] == ABOUT
    assert locked.ask("/api/about", Cookie=cookie + "x")[0] == 401
    assert locked.ask("/api/about", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert locked.ask("/api/about", Authorization="Bearer wrong")[0] == 401
    assert locked.ask("/api/logout", "POST", {}, Cookie=cookie)[0] == 200
    assert locked.ask("/api/about", Cookie=cookie)[0] == 401


def test_the_cookie(locked):
    cookie = locked.ask("/api/login", "POST", {"password": PASSWORD})[1]["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "secure" not in cookie


def test_pause(locked):
    cookie = locked.login(PASSWORD)
    assert locked.ask("/api/pause", "POST", {"paused": True}, Cookie=cookie)[2] == {"paused": True}
    eventually(lambda: locked.asked == [{"kind": "pause", "paused": True}])
    assert locked.ask("/api/pause", "POST", {"paused": 1}, Cookie=cookie)[0] == 400


def test_wrong_passwords():
    with served(PASSWORD) as page:
        for _ in range(5):
            assert page.ask("/api/login", "POST", {"password": "wrong horse"})[0] == 403
        status, headers, body = page.ask("/api/login", "POST", {"password": PASSWORD})
        assert status == 429 and 1 <= int(headers["retry-after"]) <= 60 and "too many wrong" in body["error"]


@pytest.mark.parametrize("body", ["", "{", "[]", "1" * 5000, "[" * 4000, '{"password": 1}', b"\xff"])
def test_bodies_that_make_no_sense(locked, body):
    assert locked.ask("/api/login", "POST", body)[0] == 400


def test_a_body_that_does_not_come(page):
    with socket.create_connection(("127.0.0.1", page.port), timeout=120.0) as connection:
        connection.sendall(b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert b" 400 " in connection.recv(1000)


HALF = [b"", b"GET / HTTP/1.1\r\nHost: x", b"GET /" + b"a" * 20_000, b"\x16\x03\x01\x00", b"GET /api/door HTTP/1.1\r\n"]
WHOLE = b"GET /api/door HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_clients_that_do_nothing_are_closed_and_the_page_is_served_again(page):
    """A hundred: all that may be connected at a time, and more."""
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", page.port), timeout=120.0)) for _ in range(100)
        ]
        for client, half in zip(clients, itertools.cycle([*HALF, WHOLE + b"GET"])):
            client.sendall(half)

        def is_served():
            with contextlib.suppress(OSError):
                return page.ask("/api/door")[0] == 200
            return False

        eventually(is_served)
        for client in clients:
            with contextlib.suppress(ConnectionError):
                while client.recv(65536):
                    pass


# --- its process -----------------------------------------------------------------------------------------------------


def test_a_server_that_dies_is_started_again():
    with served() as page:
        assert page.ask("/api/door")[0] == 200
        first = page.server.pid
        os.kill(first, signal.SIGKILL)
        eventually(lambda: page.server.pid != first)
        assert page.ask("/api/door")[0] == 200 and page.server.alive


def test_a_server_that_cannot_be_started_is_tried_again(monkeypatch, caplog):
    failures = [OSError(errno.ENOMEM, "Cannot allocate memory")]

    def popen(*args, **options):
        if failures:
            raise failures.pop()
        return started(*args, **options)

    with served() as page:
        started, first = subprocess.Popen, page.server.pid
        monkeypatch.setattr("edge.page.process.subprocess.Popen", popen)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: page.server.pid != first)
        assert page.ask("/api/door")[0] == 200 and page.server.alive
    assert not failures and "cannot be started: [Errno 12] Cannot allocate memory" in caplog.text


def test_a_server_that_hangs_loses_messages_and_nobody_waits():
    with served() as page:
        assert page.ask("/api/door")[0] == 200
        os.kill(page.server.pid, signal.SIGSTOP)
        try:
            eventually(lambda: page.send("step", mel="A" * 1000) or page.server.dropped)
        finally:
            os.kill(page.server.pid, signal.SIGCONT)
        assert page.ask("/api/door")[0] == 200


def test_the_end_leaves_neither_process_nor_thread_nor_port(capfd):
    before = set(threading.enumerate())
    with served() as page, contextlib.ExitStack() as stack:
        found = stack.enter_context(stream(page))
        eventually(lambda: page.server.pages == 1)
        process = page.server._server
        kept = stack.pop_all()
    assert list(found) == [] and process.returncode == 0 and before.issuperset(threading.enumerate())
    with pytest.raises(ConnectionRefusedError):
        page.ask("/")
    kept.close()
    assert capfd.readouterr().err == ""


def test_bounds_are_what_the_documents_say():
    assert (page_app.MOST_BODY_BYTES, page_app.BODY_S) == (4096, 5.0)

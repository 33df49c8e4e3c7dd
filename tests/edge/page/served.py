"""A served page without a run: the test sends the messages that a run would send."""

import http.client
import json
import time
from contextlib import contextmanager
from dataclasses import asdict

from edge.page.page import listen
from edge.page.password import PasswordHash
from edge.page.process import ServerProcess
from edge.page.settings import PageSettings

ABOUT = {
    "version": "0", "source": "test.wav", "live": False, "model": "tiny", "array": "foa", "flat": False, "channels": 4,
    "classes": ["bell", "dog_bark", "speech"], "latency_s": 0.5, "rate_hz": 24000, "budget_ms": 100.0,
}  # fmt: skip
RECORD = {
    "class": "bell", "onset_s": 1.0, "offset_s": 2.5, "azimuth_deg": 30.0, "elevation_deg": 10.0, "score": 0.9,
    "time": None, "id": 1, "told_s": 2.5, "phase": "end",
}  # fmt: skip


class Served:
    """The server, its port, and what it has asked of the run."""

    def __init__(self, server, port):
        self.server, self.port, self.asked = server, port, []

    def send(self, kind, **fields):
        self.server.send(kind, json.dumps(fields).encode())

    def event(self, **fields):
        self.send("event", **(RECORD | fields))

    def ask(self, path, method="GET", body=None, **headers):
        """Status, headers and body, which is parsed where it is JSON."""
        content = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120.0)
        try:
            connection.request(method, path, content, {name.replace("_", "-"): each for name, each in headers.items()})
            answer = connection.getresponse()
            content = answer.read()
            is_json = answer.headers["content-type"] == "application/json"
            return answer.status, answer.headers, json.loads(content) if is_json and content else content
        finally:
            connection.close()

    def login(self, password):
        """The cookie of a session."""
        status, headers, _ = self.ask("/api/login", "POST", {"password": password})
        assert status == 200
        return headers["set-cookie"].partition(";")[0]


@contextmanager
def served(password=None, token=None, about=ABOUT, database=None, clips=None, **settings):
    """Serve a page at a free port."""
    settings = PageSettings(port=0, **settings)
    listener = listen(settings)
    hashed = None if password is None else str(PasswordHash.of(password))
    given = {
        "settings": asdict(settings),
        "about": about,
        "password": hashed,
        "token": token,
        "files": {"database": database, "clips": clips},
    }
    with ServerProcess(listener, given) as server:
        made = Served(server, listener.getsockname()[1])
        server.listen(lambda: None, 3600.0, made.asked.append)
        yield made


def eventually(condition):
    """Wait until a condition holds, and return its value."""
    end_s = time.monotonic() + 120.0
    while not (value := condition()):
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)
    return value

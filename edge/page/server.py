"""The process that serves the page: messages of the run on a socket, requests of browsers -> the page.

`edge/page/process.py` starts it with two open sockets: one that listens for browsers, and one to the run, which keeps
the bounds of messages (SOCK_SEQPACKET). The first message holds the settings. The process has an interpreter of its
own, so browsers cannot take the lock of the loop's, and it ends with the run. It loads neither numpy nor a model.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.page.access import Doorman
from edge.page.app import page_app
from edge.page.hub import Hub, event
from edge.page.password import PasswordHash
from edge.page.recent import History, Recent
from edge.page.settings import PageSettings
from edge.page.stored import Stored

MOST_MESSAGE_BYTES = 2**18
IDLE_S = 10.0  # a connection that does nothing for so long, or up to twice that, is closed
SPARE_CONNECTIONS = 24  # besides those of open pages
MOST_HEADER_BYTES = 16 * 1024
NICE = 5  # the loop goes first

log = logging.getLogger(__name__)


class Server:
    """What the process knows: the open pages, the last events, and the live state of the run.

    Attributes:
        settings: the table [page].
        hub: the open pages.
        app: answers browsers.
    """

    def __init__(self, channel: socket.socket, given: Mapping[str, Any]) -> None:
        """Prepare the application.

        Args:
            channel: leads to the run.
            given: the first message: `settings`, `about`, `password`, `token` and `files`.
        """
        self.settings = PageSettings(**{key: _tuples(value) for key, value in given["settings"].items()})
        self._channel = channel
        self._recent = Recent()
        database, clips = (value and Path(value) for value in given["files"].values())
        history: History = Stored(database, clips, self._recent) if database else self._recent
        self._live: dict[int, bytes] = {}  # events that are not finished, by id
        self._health = b""
        password = PasswordHash.parse(given["password"]) if given["password"] else None
        self.hub = Hub(self.settings.max_pages, self._first, self._tell_pages)
        doorman = Doorman(password, given["token"])
        self.app = page_app(self.settings, doorman, self.hub, history, given["about"], self._tell)

    def take(self, message: bytes) -> None:
        """Take a message of the run: a kind, a line feed and JSON."""
        kind, _, data = message.partition(b"\n")
        if kind == b"event":
            data = self._take_event(data)
        elif kind == b"health":
            self._health = data
            live = set(json.loads(data)["live"])  # the end of an event may have been dropped
            self._live = {number: each for number, each in self._live.items() if number in live}
        self.hub.send(event(kind.decode(), data))

    def _take_event(self, data: bytes) -> bytes:
        record = json.loads(data)
        if record["phase"] in ("begin", "update"):
            self._live[record["id"]] = data
            return data
        self._live.pop(record["id"], None)
        return json.dumps(self._recent.add(record)).encode() if record["phase"] == "end" else data

    def _first(self) -> list[bytes]:
        """What a page gets when it opens."""
        health = [event("health", self._health)] if self._health else []
        return [*health, *(event("event", data) for data in list(self._live.values())[:20])]

    def _tell_pages(self, pages: int) -> None:
        self._tell({"kind": "pages", "pages": pages})

    def _tell(self, message: Mapping[str, Any]) -> None:
        try:
            self._channel.send(json.dumps(message).encode())
        except OSError as error:
            level = logging.DEBUG if isinstance(error, BrokenPipeError) else logging.WARNING  # at the end of the run
            log.log(level, "page: the run does not take %s: %s", message["kind"], error.strerror)


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, which closes a connection that sends no whole request, or reads no answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._seen = self._state()
        self.loop.call_later(IDLE_S, self._watch)

    def _state(self) -> tuple[object, bool, int]:
        """The present request, whether it is being answered, and bytes that the client has not taken yet."""
        busy = self.cycle is not None and not self.cycle.response_complete
        return self.cycle, busy, self.transport.get_write_buffer_size()

    def _watch(self) -> None:
        if self.transport.is_closing() and not self.transport.get_write_buffer_size():
            return
        state = self._state()
        _, busy, waiting_bytes = state
        if state == self._seen and (waiting_bytes or not busy):
            self.transport.abort()
            return
        self._seen = state
        self.loop.call_later(IDLE_S, self._watch)


async def serve(server: Server, channel: socket.socket, listener: socket.socket) -> None:
    """Serve until the run closes the channel."""
    settings = server.settings
    config = uvicorn.Config(
        server.app,
        http=BoundedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
        limit_concurrency=settings.max_pages + SPARE_CONNECTIONS,
        backlog=64,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        ssl_certfile=settings.cert_file,
        ssl_keyfile=settings.key_file,
    )
    web = uvicorn.Server(config)
    running = asyncio.create_task(web.serve([listener]))
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionResetError):  # the run was killed
        while message := await loop.sock_recv(channel, MOST_MESSAGE_BYTES):
            server.take(message)
    server.hub.close()
    web.should_exit = True
    await running


def main(argv: Sequence[str] | None = None) -> int:
    """Serve on two inherited sockets: the numbers of the listener and of the channel."""
    words = sys.argv[1:] if argv is None else argv
    listener, channel = (socket.socket(fileno=int(word)) for word in words)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    os.nice(NICE)
    server = Server(channel, json.loads(channel.recv(MOST_MESSAGE_BYTES)))
    channel.setblocking(False)
    for number in (signal.SIGINT, signal.SIGTERM):  # they are meant for the run, which then closes the channel
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(serve(server, channel, listener))
    return 0


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(main())

"""Events -> JSON lines for every program of this machine that connects to a socket.

An event loop in a thread of its own serves the clients. A client that does not keep up misses whole lines, never parts
of one, and what it misses is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from pathlib import Path

from edge.events.records import When, event_line
from edge.outputs.line_file import SinkError
from edge.types import Event, FrameRow

LOOPBACK = "127.0.0.1"
WAITING_BYTES = 256 * 1024  # per client
MOST_CLIENTS = 32
CLOSE_S = 1.0  # in which clients may still read what waits

log = logging.getLogger(__name__)


class LineServer:
    """Listens at `unix:PATH`, `tcp:PORT` (of the loopback address) or `tcp:HOST:PORT`; port 0 takes a free one.

    A Unix socket is open to every user who gets into its folder, as a loopback port is to every user.
    """

    def __init__(self, address: str, when: When | None) -> None:
        """Raises ValueError for an address that is none of these, SinkError if it cannot be listened at."""
        self._when = when
        self._name = f"lines:{address}"
        self._path: Path | None = None
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self.dropped = 0  # lines that clients missed
        self._socket = self._listen(address)
        self.port = None if self._path else int(self._socket.getsockname()[1])  # of a TCP server
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()

    def emit(self, item: Event | FrameRow) -> None:
        """Give an event to all clients. Never blocks."""
        if isinstance(item, Event):
            line = (event_line(item, self._when) + "\n").encode()
            self._loop.call_soon_threadsafe(self._broadcast, line)

    def close(self) -> None:
        """Let clients read what waits, for CLOSE_S at most, and disconnect them."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._loop.close()
            if self._path is not None:
                self._path.unlink(missing_ok=True)

    def _broadcast(self, line: bytes) -> None:
        for writer in self._clients:
            if writer.transport.get_write_buffer_size() + len(line) > WAITING_BYTES:
                if not self.dropped:
                    log.warning("sink %s: a client is too slow and misses lines", self._name)
                self.dropped += 1
            else:
                writer.write(line)

    async def _serve(self) -> None:
        start = asyncio.start_server if self._path is None else asyncio.start_unix_server
        server = await start(self._client, sock=self._socket)
        await self._stop.wait()
        server.close()
        for writer in self._clients:
            writer.close()
        await self._gone(CLOSE_S)
        for writer in self._clients:
            writer.transport.abort()
        await self._gone(CLOSE_S)

    async def _gone(self, most_s: float) -> None:
        """Wait until there are no clients."""
        if tasks := [task for task in self._clients.values() if task]:
            await asyncio.wait(tasks, timeout=most_s)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep a client until it goes; what it says is ignored."""
        if len(self._clients) >= MOST_CLIENTS:
            log.warning("sink %s: refused a client, there are %d", self._name, MOST_CLIENTS)
            writer.close()
            return
        self._clients[writer] = asyncio.current_task()
        with contextlib.suppress(ConnectionError):
            while await reader.read(1024):
                pass
        del self._clients[writer]
        writer.close()

    def _listen(self, address: str) -> socket.socket:
        kind, _, place = address.partition(":")
        host, _, port = place.rpartition(":")
        if kind == "unix" and place:
            self._path = Path(place)
            return self._listen_unix(self._path)
        if kind == "tcp" and port.isascii() and port.isdecimal() and int(port) < 65536:
            try:
                return socket.create_server((host.strip("[]") or LOOPBACK, int(port)), family=_family(host))
            except (OSError, UnicodeError, TypeError) as error:  # the last two are about names that cannot be any
                raise self._failed(error) from error
        raise ValueError(f"sink: got {self._name!r}, wanted lines:unix:PATH, lines:tcp:PORT or lines:tcp:HOST:PORT")

    def _listen_unix(self, path: Path) -> socket.socket:
        """A socket left behind by a dead process makes room; one that somebody listens at does not."""
        listener = socket.socket(socket.AF_UNIX)
        try:
            if path.is_socket() and not _answers(path):
                path.unlink(missing_ok=True)
            listener.bind(str(path))
            path.chmod(0o666)
            listener.listen()
        except OSError as error:
            listener.close()
            raise self._failed(error) from error
        return listener

    def _failed(self, error: Exception) -> SinkError:
        return SinkError(f"sink {self._name}: {(isinstance(error, OSError) and error.strerror) or error}")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionError:
            return False
    return True

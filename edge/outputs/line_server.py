"""Events -> JSON lines for every local program that connects to a socket.

An event loop in its own thread serves the clients. A client that reads too slowly loses whole lines, never parts of
one; lost lines are counted.
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
MAX_CLIENT_BUFFER_BYTES = 256 * 1024  # unread bytes of a client, above which it loses lines
MAX_CLIENTS = 32
CLOSE_S = 1.0  # how long clients may still read buffered lines after `close`

log = logging.getLogger(__name__)


class LineServer:
    """Serves events as JSON lines at `unix:PATH`, `tcp:PORT` (on the loopback address) or `tcp:HOST:PORT`.

    A Unix socket is open to every user who may enter its folder, just as a loopback port is open to every local user.

    Attributes:
        port: port of a TCP server, which is a free one if the address says 0; None for a Unix socket.
        dropped: number of lines that slow clients lost.
    """

    def __init__(self, address: str, when: When | None) -> None:
        """Begin to listen.

        Args:
            address: one of the three forms above.
            when: gives the time of day for seconds of a live source; None for a file.

        Raises:
            ValueError: the address has none of the three forms.
            SinkError: the address cannot be listened at.
        """
        self._when = when
        self._name = f"lines:{address}"
        self._path: Path | None = None
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self.dropped = 0
        self._socket = self._listen(address)
        self.port = None if self._path else int(self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()

    def emit(self, item: Event | FrameRow) -> None:
        """Send an event to all clients; rows are ignored. Never blocks."""
        if isinstance(item, Event):
            line = (event_line(item, self._when) + "\n").encode()
            self._loop.call_soon_threadsafe(self._broadcast, line)

    def close(self) -> None:
        """Stop listening, give clients at most CLOSE_S to read their buffered lines, then disconnect them."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._loop.close()
            if self._path is not None:
                self._path.unlink(missing_ok=True)

    def _broadcast(self, line: bytes) -> None:
        for writer in self._clients:
            if writer.transport.get_write_buffer_size() + len(line) > MAX_CLIENT_BUFFER_BYTES:
                if not self.dropped:
                    log.warning("sink %s: a client reads too slowly and loses lines", self._name)
                self.dropped += 1
            else:
                writer.write(line)

    async def _serve(self) -> None:
        start = asyncio.start_server if self._path is None else asyncio.start_unix_server
        server = await start(self._serve_client, sock=self._socket)
        await self._stop.wait()
        server.close()
        for writer in self._clients:
            writer.close()
        await self._wait_for_clients(CLOSE_S)
        for writer in self._clients:
            writer.transport.abort()
        await self._wait_for_clients(CLOSE_S)

    async def _wait_for_clients(self, timeout_s: float) -> None:
        """Wait until all clients are disconnected."""
        if tasks := [task for task in self._clients.values() if task]:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep a client until it disconnects; its input is ignored."""
        if len(self._clients) >= MAX_CLIENTS:
            log.warning("sink %s: refused a client, %d are connected", self._name, MAX_CLIENTS)
            writer.close()
            return
        self._clients[writer] = asyncio.current_task()
        with contextlib.suppress(ConnectionError):  # a reset is one way for a client to disconnect
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
            except (OSError, UnicodeError, TypeError) as error:  # UnicodeError, TypeError: malformed host names
                raise self._sink_error(error) from error
        raise ValueError(f"sink: got {self._name!r}, wanted lines:unix:PATH, lines:tcp:PORT or lines:tcp:HOST:PORT")

    def _listen_unix(self, path: Path) -> socket.socket:
        """Listen at a path. A socket that a dead process left there is replaced; one in use is an error."""
        listener = socket.socket(socket.AF_UNIX)
        try:
            if path.is_socket() and not _has_listener(path):
                path.unlink(missing_ok=True)
            listener.bind(str(path))
            path.chmod(0o666)
            listener.listen()
        except OSError as error:
            listener.close()
            raise self._sink_error(error) from error
        return listener

    def _sink_error(self, error: Exception) -> SinkError:
        return SinkError(f"sink {self._name}: {(isinstance(error, OSError) and error.strerror) or error}")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _has_listener(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionError:
            return False
    return True

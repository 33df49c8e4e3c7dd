"""Items -> lines for every local program that connects to a socket: events, or the live stream.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.events.records import ItemText, When, check_wanted, event_text
from edge.files import is_temporary
from edge.outputs.line_file import SinkError
from edge.outputs.refusals import Refusals
from edge.types import Item

LOOPBACK = "127.0.0.1"
MAX_CLIENT_BUFFER_BYTES = 256 * 1024  # unread bytes of a client, above which it loses lines
MAX_CLIENTS = 32
BACKLOG = 16  # clients that are accepted at once, and so may need a descriptor for a moment
RETRY_S = 5.0  # between two attempts to listen, if the disk cannot be written at the start
CLOSE_S = 1.0  # how long clients may still read buffered lines after `close`

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LineServerSettings:
    """What clients of the sinks lines: receive."""

    # ended: one line for each event, when it is over; all: also when it begins, moves, or turns out to be too short
    events: str = "ended"

    def __post_init__(self) -> None:
        check_wanted(self.events)


class LineServer:
    """Serves lines about events, or what else is asked for.

    It listens at `unix:PATH`, `tcp:PORT` (on the loopback address) or `tcp:HOST:PORT`.
    A Unix socket is open to every user who may enter its folder, just as a loopback port is open to every local user.

    Attributes:
        port: port of a TCP server, which is a free one if the address says 0; None for a Unix socket.
        dropped: number of lines that slow clients lost.
    """

    def __init__(self, address: str, when: When | None, text: ItemText | None = None, kind: str = "lines") -> None:
        """Begin to listen. A live run goes on and tries it again while the disk cannot be written.

        Args:
            address: one of the three forms above.
            when: gives the time of day for seconds of a live source; None for a file.
            text: gives the text of an item for the clients, or None if it has none; by default, that of ended events.
            kind: of the sink, for messages.

        Raises:
            ValueError: the address has none of the three forms.
            SinkError: the address cannot be listened at.
        """
        self._text = text or event_text(when)
        self._kind = kind
        self._name = f"{kind}:{address}"
        self._path: Path | None = None
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self.dropped = 0
        self._closed = False
        self._refusals = Refusals(f"sink {self._name}", MAX_CLIENTS)
        self._failing = False  # the last attempt to accept a client
        self._address = address
        self._socket: socket.socket | None = None
        try:
            self._socket = self._listen(address)
        except SinkError as error:
            if when is None or not isinstance(error.__cause__, OSError) or not is_temporary(error.__cause__):
                raise
            log.warning("%s: it is tried again", error)
        self.port = None if self._path or self._socket is None else int(self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._log_error)
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread that serves the clients is running."""
        return self._thread.is_alive() or self._closed

    def emit(self, item: Item) -> None:
        """Send the text of an item, if it has one, to all clients. Never blocks."""
        text = self._text(item)
        if text is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._broadcast, text.encode())
        else:
            self.dropped += 1

    def close(self) -> None:
        """Stop listening, give clients at most CLOSE_S to read their buffered lines, then disconnect them."""
        if self._closed:
            return
        self._closed = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
        self._loop.close()
        if self._path is not None and self._socket is not None:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:  # the next run replaces it
                log.warning("sink %s: cannot remove the socket: %s", self._name, error.strerror)

    def _broadcast(self, line: bytes) -> None:
        for writer in self._clients:
            if writer.transport.get_write_buffer_size() + len(line) > MAX_CLIENT_BUFFER_BYTES:
                if not self.dropped:
                    log.warning("sink %s: a client reads too slowly and loses lines", self._name)
                self.dropped += 1
            else:
                writer.write(line)

    async def _serve(self) -> None:
        while self._socket is None:
            if await self._stopped_within(RETRY_S):
                return
            with contextlib.suppress(SinkError):  # it was logged at the start
                self._socket = self._listen(self._address)
                log.warning("sink %s: can be connected to now", self._name)
        start = asyncio.start_server if self._path is None else asyncio.start_unix_server
        server = await start(self._serve_client, sock=self._socket, backlog=BACKLOG)
        await self._stop.wait()
        server.close()
        for writer in self._clients:
            writer.close()
        await self._wait_for_clients(CLOSE_S)
        for writer in self._clients:
            writer.transport.abort()
        await self._wait_for_clients(CLOSE_S)

    async def _stopped_within(self, timeout_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), timeout_s)
        return self._stop.is_set()

    async def _wait_for_clients(self, timeout_s: float) -> None:
        """Wait until all clients are disconnected."""
        if tasks := [task for task in self._clients.values() if task]:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep a client until it disconnects; its input is ignored."""
        if len(self._clients) >= MAX_CLIENTS:
            self._refusals.count()
            writer.transport.abort()
            return
        self._failing = False
        self._clients[writer] = asyncio.current_task()
        with contextlib.suppress(ConnectionError):  # a reset is one way for a client to disconnect
            while await reader.read(1024):
                pass
        del self._clients[writer]
        writer.close()

    def _log_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what goes wrong in the event loop, the first of several failures to accept a client alone."""
        error = context.get("exception")
        if isinstance(error, ConnectionError) or (isinstance(error, OSError) and self._failing):
            return
        self._failing = isinstance(error, OSError)
        log.warning("sink %s: %s: %s", self._name, context["message"], error)

    def _listen(self, address: str) -> socket.socket:
        family, _, place = address.partition(":")
        host, _, port = place.rpartition(":")
        if family == "unix" and place:
            self._path = Path(place)
            return self._listen_unix(self._path)
        if family == "tcp" and port.isascii() and port.isdecimal() and int(port) < 65536:
            try:
                return socket.create_server((host.strip("[]") or LOOPBACK, int(port)), family=_family(host))
            except (OSError, UnicodeError, TypeError) as error:  # UnicodeError, TypeError: malformed host names
                raise self._sink_error(error) from error
        kind = self._kind
        raise ValueError(f"sink: got {self._name!r}, wanted {kind}:unix:PATH, {kind}:tcp:PORT or {kind}:tcp:HOST:PORT")

    def _listen_unix(self, path: Path) -> socket.socket:
        """Listen at a path. A socket that a dead process left there is replaced; one in use is an error."""
        listener = None
        try:
            listener = socket.socket(socket.AF_UNIX)
            if path.is_socket() and not _has_listener(path):
                path.unlink(missing_ok=True)
            listener.bind(str(path))
            path.chmod(0o666)
            listener.listen()
        except OSError as error:
            if listener is not None:
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

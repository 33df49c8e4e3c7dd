"""Items -> lines for one program that listens at a TCP port, such as ODAS Studio, whenever it can be connected to."""

from __future__ import annotations

import logging
import socket
from collections import deque

from edge.events.records import ItemText
from edge.outputs.worker import Worker
from edge.types import Item

MAX_WAITING = 100  # texts: 10 s of a live stream
TIMEOUT_S = 5.0  # for the program to accept a connection, and to read
RETRY_S = 2.0  # between two attempts to connect

log = logging.getLogger(__name__)


class LineClient:
    """Sends texts to a program that listens. While none does, nothing waits for it.

    Attributes:
        dropped: number of texts that a program was too slow to read.
    """

    def __init__(self, address: str, text: ItemText) -> None:
        """Begin to connect.

        Args:
            address: HOST:PORT.
            text: gives the text of an item, or None if it has none.

        Raises:
            ValueError: the address has another form.
        """
        self._name = f"live:to:{address}"
        host, _, port = address.rpartition(":")
        if not host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise ValueError(f"sink: got {self._name!r}, wanted live:to:HOST:PORT")
        self._address = (host.strip("[]"), int(port))
        self._text = text
        self._waiting: deque[str] = deque()
        self._connection: socket.socket | None = None
        self._problem = ""
        self.dropped = 0
        self._worker = Worker(f"sink {self._name}", self._work, RETRY_S)

    @property
    def alive(self) -> bool:
        """Whether texts are sent, or wait for a program that does not listen yet."""
        return self._worker.alive

    def emit(self, item: Item) -> None:
        """Send the text of an item, if it has one and a program is connected. Never blocks."""
        text = self._text(item)
        if text is None or self._connection is None:
            return
        self._waiting.append(text)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._worker.wake()

    def close(self) -> None:
        """Disconnect."""
        if self._worker.close() and self._connection is not None:
            self._connection.close()
            self._connection = None

    def _work(self) -> None:
        """Connect if there is no connection; otherwise send what waits. An absent program is no failure."""
        try:
            if self._connection is None:
                self._connection = socket.create_connection(self._address, TIMEOUT_S)
                log.info("sink %s: connected", self._name)
                self._problem = ""
            while self._waiting:
                self._connection.sendall(self._waiting.popleft().encode())
        except (OSError, UnicodeError) as error:  # UnicodeError: a malformed host name
            problem = str(getattr(error, "strerror", None) or error)
            if problem != self._problem:
                log.warning("sink %s: %s: it is tried again", self._name, problem)
            self._problem = problem
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._waiting.clear()

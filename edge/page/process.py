"""Messages of the loop -> the process that serves the page, which is started again when it dies.

The socket between the two is the bounded queue: a message goes into its buffer whole, or is dropped and counted, and
the loop never waits.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from edge.files import wait_readable

SERVER = (sys.executable, "-P", "-m", "edge.page.server")
BUFFER_BYTES = 256 * 1024
MOST_REPLY_BYTES = 4096
RETRY_S = 1.0  # until a dead server is started again; twice as long after each further death
MOST_RETRY_S = 60.0
LASTING_S = 60.0  # a server that lived so long died for another reason than the one before
DEAD_S = 120.0  # without a server, the page counts as dead
END_S = 5.0

log = logging.getLogger(__name__)


class ServerProcess(AbstractContextManager["ServerProcess"]):
    """The server of the page, in a process of its own, and a thread that listens to it.

    Attributes:
        pages: number of open pages.
        dropped: messages that the server did not take in time.
    """

    def __init__(self, listener: socket.socket, given: Mapping[str, Any]) -> None:
        """Start the server.

        Args:
            listener: an open socket that listens for browsers. It stays open when the server dies.
            given: the first message, which tells the server its settings.
        """
        self._listener, self._given = listener, json.dumps(given).encode()
        self.pages = self.dropped = 0
        self._channel: socket.socket | None = None
        self._closing = threading.Event()
        self._served_s = time.monotonic()  # when there was a server last
        self._start()

    def listen(self, pulse: Callable[[], None], pulse_s: float, asked: Callable[[Mapping[str, Any]], None]) -> None:
        """Start the thread, which also starts the server again when it dies.

        Args:
            pulse: is called every `pulse_s` seconds while a page is open, in the thread.
            pulse_s: that time.
            asked: is given what a page asks of the run, in the thread.
        """
        self._pulse, self._pulse_s, self._asked = pulse, pulse_s, asked
        self._thread = threading.Thread(target=self._work, name="page", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._server.pid

    @property
    def alive(self) -> bool:
        """Whether there is a server that lasts, or was one a moment ago. Any thread may ask."""
        now_s = time.monotonic()
        lasts = self._channel is not None and now_s - self._started_s > LASTING_S
        return lasts or now_s - self._served_s < DEAD_S

    def send(self, kind: str, data: bytes) -> None:
        """Send a message: its kind, and JSON without a line feed. Any thread may; it never waits."""
        channel = self._channel
        try:
            if channel is not None:
                channel.send(kind.encode() + b"\n" + data, socket.MSG_DONTWAIT)
        except OSError:  # the buffer is full, or the server has just died
            self.dropped += 1

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        if (channel := self._channel) is not None:
            with contextlib.suppress(OSError):  # the server has just died
                channel.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _start(self) -> None:
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        numbers = self._listener.fileno(), theirs.fileno()
        with theirs:
            self._server = subprocess.Popen(
                [*SERVER, *map(str, numbers)],
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is meant for the run
            )
        channel.send(self._given)
        self._channel, self._started_s = channel, time.monotonic()

    def _work(self) -> None:
        retry_s = RETRY_S
        while True:
            self._follow()
            if time.monotonic() - self._started_s > LASTING_S:
                retry_s, self._served_s = RETRY_S, time.monotonic()
            if self._closing.is_set():
                return
            log.error("page: its server ended with code %s, and is started again", self._server.returncode)
            if self._closing.wait(retry_s):
                return
            retry_s = min(2.0 * retry_s, MOST_RETRY_S)
            try:
                self._start()
            except OSError as error:  # no memory or no descriptors at the moment
                log.error("page: its server cannot be started: %s", error)

    def _follow(self) -> None:
        """Take what the server says until it is gone."""
        if (channel := self._channel) is not None:
            try:
                with channel:
                    self._take_replies(channel)
            finally:  # so that `alive` tells the truth, should the thread ever end by an error
                self._channel, self.pages = None, 0
        try:
            self._server.wait(END_S)  # without a channel, it ends
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _take_replies(self, channel: socket.socket) -> None:
        pulse_s = time.monotonic()
        while True:
            if self.pages and time.monotonic() >= pulse_s:
                self._pulse()
                pulse_s = time.monotonic() + self._pulse_s
            wait_s = max(0.0, pulse_s - time.monotonic()) if self.pages else None
            if not wait_readable(channel, wait_s):
                continue
            try:
                message = json.loads(channel.recv(MOST_REPLY_BYTES))
            except (OSError, ValueError):  # nothing more comes
                return
            if message["kind"] == "pages":
                self.pages = message["pages"]
            else:
                self._asked(message)

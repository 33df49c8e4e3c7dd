"""Registry of metrics -> the page http://ADDRESS:PORT/metrics.

The server answers a few clients at a time and each for a limited time, so that no client can use up threads, memory or
processor time of the device.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edge.outputs.refusals import Refusals

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

MAX_CLIENTS = 4  # at a time; connections beyond are closed
CLIENT_S = 5.0  # from accepting a connection to closing it
RETRY_S = 0.5  # after a failure to accept a connection
_PATH = "/metrics"
_OPENMETRICS = "application/openmetrics-text"

log = logging.getLogger(__name__)


class MetricsServer(AbstractContextManager["MetricsServer"]):
    """Answers GET and HEAD of /metrics in threads of its own, until the `with` block ends.

    Attributes:
        port: the port that it listens at.
    """

    def __init__(self, address: str, port: int, registry: CollectorRegistry) -> None:
        """Begin to listen.

        Args:
            address: name or address of the network interface. On a loopback address, requests whose Host header names
                another machine are refused: a web page could otherwise read the metrics by DNS rebinding.
            port: 0 takes a free one.
            registry: the metrics.

        Raises:
            OSError: the address cannot be listened at; one line.
        """
        try:
            self._server = _Server(address, port, registry)
        except (OSError, UnicodeError, TypeError) as error:  # UnicodeError, TypeError: malformed host names
            raise OSError(f"metrics: {address}:{port}: {getattr(error, 'strerror', None) or error}") from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return self._thread.is_alive()

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingTCPServer):
    """Accepts at most MAX_CLIENTS connections at a time, and ends each after CLIENT_S."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: str, port: int, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._deadlines_s: dict[Any, float] = {}  # open connection -> monotonic time at which it is ended
        self._refusals = Refusals("metrics", MAX_CLIENTS)
        self._failing = False
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)
        self.loopback = _is_loopback(str(self.server_address[0]))

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection. Without a free descriptor it stays pending, and is not to be tried at full speed."""
        try:
            request = super().get_request()
        except OSError as error:
            if not self._failing:
                log.warning("metrics: cannot accept a client: %s", error.strerror)
            self._failing = True
            time.sleep(RETRY_S)
            raise
        self._failing = False
        return request

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Accept a connection if there are not too many."""
        accepted = len(self._deadlines_s) < MAX_CLIENTS
        if not accepted:
            self._refusals.count()
        return accepted

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a new thread."""
        self._deadlines_s[request] = time.monotonic() + CLIENT_S
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._deadlines_s.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End connections that are overdue; called about twice a second."""
        self._end_connections(time.monotonic())

    def server_close(self) -> None:
        """Stop listening, and end all connections."""
        super().server_close()
        self._end_connections(float("inf"))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log an error of the program; a client that disconnects early is none."""
        level = logging.DEBUG if isinstance(sys.exception(), OSError) else logging.ERROR
        log.log(level, "metrics: no answer to %s", client_address, exc_info=True)

    def _end_connections(self, now_s: float) -> None:
        for request, deadline_s in list(self._deadlines_s.items()):
            if deadline_s <= now_s:
                with contextlib.suppress(OSError):  # it has just been closed
                    request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: _Server
    timeout = CLIENT_S
    server_version = "seld-edge"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the metrics."""
        for part in self._answer():
            self.wfile.write(part)

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        next(self._answer(), None)

    def _answer(self) -> Iterator[bytes]:
        """Send the headers, or an error; yield the body."""
        from prometheus_client.exposition import choose_encoder

        if self.server.loopback and not _names_this_machine(self.headers.get("Host")):
            self.send_error(403, "The Host header names another machine")
            return
        if self.path.partition("?")[0] != _PATH:
            self.send_error(404)
            return
        wanted = self.headers.get("Accept", "")
        encode, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS in wanted else "")  # else the text format
        body = encode(self.server.registry)
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        yield body

    def log_message(self, format: str, *args: object) -> None:
        """Log requests at the level for debugging."""
        log.debug(format, *args)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _names_this_machine(host: str | None) -> bool:
    """Whether a Host header is missing, as no browser leaves it out, or names the loopback interface."""
    if host is None:
        return True
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or _is_loopback(name)
    except ValueError:  # neither a name that is known here nor an address
        return False

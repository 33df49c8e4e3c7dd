"""Settings -> the open page of a run: its feed, its server, and the lines that say where it is."""

from __future__ import annotations

import importlib.util
import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from edge.events.records import When
from edge.frontend.stft import StftSettings
from edge.page.feed import Feed
from edge.page.health import StepTimes
from edge.page.password import read_password, read_token
from edge.page.process import ServerProcess
from edge.page.settings import PageSettings
from edge.types import AudioBlock, Item

HEALTH_S = 2.0  # between two messages about the health of the run

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Files:
    """What the page shows of earlier runs."""

    database: str | None = None  # of the sink history:
    clips: str | None = None  # folder of the clips


@dataclass(frozen=True, slots=True)
class Page:
    """The page of a run."""

    url: str  # where it is, for a browser on this machine
    feed: Feed  # takes what the loop hears and finds
    server: ServerProcess

    @property
    def alive(self) -> bool:
        """Whether it is served. Any thread may ask."""
        return self.server.alive

    @property
    def dropped(self) -> int:
        """Number of messages that the server did not take in time. Any thread may ask."""
        return self.server.dropped

    def hear(self, block: AudioBlock) -> None:
        """Take a block on its way to the loop."""
        self.feed.hear(block)

    def emit(self, item: Item) -> None:
        """Take an item of the loop."""
        self.feed.emit(item)

    def close(self) -> None:
        """Nothing to release: `open_page` does it."""


@contextmanager
def open_page(
    settings: PageSettings,
    about: Mapping[str, Any],
    stft: StftSettings,
    when: When | None,
    budget_ms: float,
    health: Callable[[StepTimes | None], Mapping[str, Any]],
    files: Files | None = None,
    asked: Callable[[Mapping[str, Any]], None] = lambda message: None,
) -> Iterator[Page]:
    """Serve the page until the `with` block ends.

    Args:
        settings: the table [page].
        about: what a page has to know about the run, ready for JSON.
        stft: transform of the spectra.
        when: gives the time of day for seconds of a live source; None for a file.
        budget_ms: time that a step may take.
        health: makes the record of the run's health; called from another thread.
        files: what is shown of earlier runs; nothing by default.
        asked: takes what a page asks of the run, in another thread.

    Raises:
        ValueError: Starlette or uvicorn are not installed, or a password, token or certificate cannot be used.
        OSError: The address cannot be listened at; one line.
    """
    for name in ("uvicorn", "starlette"):
        if importlib.util.find_spec(name) is None:
            raise ValueError(f"{name} is not installed: pip install {name}")
    password = None if settings.password_file is None else read_password(settings.password_file)
    token = None if settings.token_file is None else read_token(settings.token_file)
    _check_certificate(settings)
    if not settings.loopback and settings.cert_file is None:
        log.warning("page: passwords and all that is heard go over the network without encryption, wanted cert_file")
    given = {
        "settings": asdict(settings),
        "about": about,
        "password": None if password is None else str(password),
        "token": token,
        "files": asdict(files or Files()),
    }
    listener = listen(settings)
    with ServerProcess(listener, given) as server:
        feed = Feed(stft, when, server)
        server.listen(lambda: feed.health(health(feed.times(budget_ms))), HEALTH_S, asked)
        yield Page(settings.url(listener.getsockname()[1]), feed, server)


def listen(settings: PageSettings) -> socket.socket:
    """Listen for browsers.

    Raises:
        OSError: The address cannot be listened at; one line.
    """
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    try:
        return socket.create_server((settings.address, settings.port), family=family, backlog=64)
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition(" (while attempting")[0]
        raise OSError(f"page: {settings.address}:{settings.port}: {reason}") from error


def _check_certificate(settings: PageSettings) -> None:
    if settings.cert_file is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.cert_file, settings.key_file)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or error
        raise ValueError(f"page: {settings.cert_file}: got no certificate with its key: {reason}") from None

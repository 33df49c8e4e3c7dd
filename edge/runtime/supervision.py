"""A run -> what systemd is told of it: ready, how it goes, alive, stopping; and the settings read anew on SIGHUP.

Alive is what makes progress: the watchdog is fed only by label frames that went through the loop, never by the clock.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import fields, is_dataclass, replace
from types import FrameType
from typing import Any

from edge.run_settings import RunSettings
from edge.runtime.pipeline import Pipeline
from edge.types import AudioBlock

STATUS_S = 10.0
WATCHDOG_S = 1.0  # between two signs of life; far less than WatchdogSec of the unit
IN_FLIGHT = ("decode.", "budget.", "metrics_minutes")
"""Settings that are changed while the loop runs."""

log = logging.getLogger(__name__)


def notify(state: str) -> bool:
    """Tell systemd, if it started this process and asked for it (sd_notify(3)). False if that failed: never waits."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as channel:
        try:
            channel.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError as error:
            log.warning("systemd cannot be told %r: %s", state, error.strerror)
            return False
    return True


def supervised(
    blocks: Iterable[AudioBlock],
    pipeline: Pipeline,
    status: Callable[[], str],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[AudioBlock]:
    """The same blocks; after each, systemd is told what has changed: READY=1 with the first answer of the system.

    status: a line on how it goes.
    """
    ready, steps = False, pipeline.clock.steps
    alive_s = told_s = -float("inf")
    try:
        for block in blocks:
            yield block
            now_s = clock()
            if not ready and pipeline.answers:
                ready = notify("READY=1")
            if pipeline.clock.steps > steps and now_s - alive_s >= WATCHDOG_S:
                steps, alive_s = pipeline.clock.steps, now_s
                notify("WATCHDOG=1")
            if ready and now_s - told_s >= STATUS_S:
                told_s = now_s
                notify(f"STATUS={status()}")
    finally:
        notify("STOPPING=1")


class Reloader(AbstractContextManager["Reloader"]):
    """SIGHUP reads the settings anew, between two blocks. What cannot be changed in flight is named, and stays.

    Settings that are not valid are named too, and nothing changes. Without a file to read from, SIGHUP is left alone.
    """

    def __init__(
        self, settings: RunSettings, read: Callable[[], RunSettings] | None, apply: Callable[[RunSettings], None]
    ) -> None:
        """read: gives the settings as they are to be now; None where there is no file. Both raise ValueError."""
        self._settings, self._read, self._apply = settings, read, apply
        self._requested = False
        self._restore = ExitStack()

    def __enter__(self) -> Reloader:
        if self._read is not None:
            self._restore.callback(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, self._handle))
        return self

    def __exit__(self, *error: object) -> None:
        self._restore.close()

    @property
    def settings(self) -> RunSettings:
        """Those in force."""
        return self._settings

    def between(self, blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
        """The same blocks; before each, the settings are read if that was asked for."""
        for block in blocks:
            if self._requested:
                self._requested = False
                self._reload()
            yield block

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._requested = True

    def _reload(self) -> None:
        assert self._read is not None
        try:
            wanted = self._read()
            changed = changed_keys(self._settings, wanted)
            restart = [key for key in changed if not key.startswith(IN_FLIGHT) or key == "budget.governor"]
            self._apply(wanted)
        except (ValueError, OSError) as error:
            log.error("the settings stay as they were: %s", error)
            return
        budget = replace(wanted.budget, governor=self._settings.budget.governor)
        self._settings = replace(
            self._settings, decode=wanted.decode, budget=budget, metrics_minutes=wanted.metrics_minutes
        )
        done = [key for key in changed if key not in restart]
        log.warning("settings read anew: %s", f"changed {', '.join(done)}" if done else "nothing to change")
        if restart:
            log.warning("a restart is needed for %s", ", ".join(restart))


def changed_keys(old: Any, new: Any, within: str = "") -> list[str]:
    """Names of the settings that differ, as `microphone.device`."""
    if is_dataclass(old) and not isinstance(old, type):
        pairs = [(item.name, getattr(old, item.name), getattr(new, item.name)) for item in fields(old)]
    elif isinstance(old, dict):
        pairs = [(key, old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys())]
    else:
        return [within] if old != new else []
    dotted = f"{within}." if within else ""
    return [key for name, was, now in pairs for key in changed_keys(was, now, f"{dotted}{name}")]

"""SIGHUP -> the settings file read again, between two blocks, and what can be changed in flight is changed."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import fields, is_dataclass, replace
from types import FrameType
from typing import Any

from edge.run_settings import RunSettings
from edge.types import AudioBlock

IN_FLIGHT = ("decode.", "budget.", "metrics_minutes")  # settings that can change while the loop runs; or prefixes

log = logging.getLogger(__name__)


class Reloader(AbstractContextManager["Reloader"]):
    """Reads the settings again after SIGHUP, between two blocks.

    Settings that need a restart are named in the log and stay as they are. If the new settings are not valid, the log
    says so and nothing changes. Without a file to read, SIGHUP keeps its usual effect.
    """

    def __init__(
        self, settings: RunSettings, read: Callable[[], RunSettings] | None, apply: Callable[[RunSettings], None]
    ) -> None:
        """Wait for SIGHUP as long as the `with` lasts.

        Args:
            settings: in force at the start.
            read: returns the settings as the file has them now; None where there is no file. May raise ValueError.
            apply: changes the run to new settings. May raise ValueError, and has then changed nothing.
        """
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
        """The settings in force."""
        return self._settings

    def between(self, blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
        """Yield the same blocks; before a block, read the settings if a signal has asked for it."""
        for block in blocks:
            if self._requested and self._read is not None:
                self._requested = False
                self._reload(self._read)
            yield block

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._requested = True

    def _reload(self, read: Callable[[], RunSettings]) -> None:
        try:
            wanted = read()
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
        log.warning("settings read again: %s", f"changed {', '.join(done)}" if done else "nothing to change")
        if restart:
            log.warning("a restart is needed for %s", ", ".join(restart))


def changed_keys(old: Any, new: Any, within: str = "") -> list[str]:
    """Return the names of the settings that differ, such as `microphone.device`.

    Args:
        old: settings, a table, or a value.
        new: the same kind of thing.
        within: name of the table that holds them, with dots; empty at the top.
    """
    if is_dataclass(old) and not isinstance(old, type):
        pairs = [(item.name, getattr(old, item.name), getattr(new, item.name)) for item in fields(old)]
    elif isinstance(old, dict):
        pairs = [(key, old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys())]
    else:
        return [within] if old != new else []
    dotted = f"{within}." if within else ""
    return [key for name, was, now in pairs for key in changed_keys(was, now, f"{dotted}{name}")]

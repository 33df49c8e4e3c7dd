"""Log records of a run -> those that are shown: a fault that comes and goes for months does not fill the log.

A microphone with a loose plug stops thousands of times a day, and each time three lines say so.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BURST_LINES = 60
"""Lines of one kind that are shown in a row."""

REFILL_S = 600.0
"""Time after which one more line of a kind is shown, so that there are 144 a day at most, after the first ones."""

_MOST_KINDS = 1000


@dataclass(slots=True)
class _Kind:
    """Messages that differ in nothing but numbers."""

    lines: float  # that may be shown
    at_s: float  # when they were counted
    left_out: int = 0  # since the last one that was shown


class LogLimit:
    """A filter for `logging`: of many warnings of a kind it shows the first ones, then one in a while.

    A line that is shown after others were left out says how many. What is no warning is always shown.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing shown.

        Args:
            clock: Monotonic clock, in seconds.
        """
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}
        self._lock = threading.RLock()  # a signal handler may log while this thread does

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to show a record. The number of those left out before it is added to its message."""
        known = record.__dict__
        if "shown" not in known:  # otherwise another handler has asked about it
            known["shown"] = record.levelno < logging.WARNING or self._shown(record)
        return bool(known["shown"])

    def _shown(self, record: logging.LogRecord) -> bool:
        with self._lock:
            kind = self._kind(re.sub(r"\d+", "#", record.getMessage()))
            if kind.lines < 1.0:
                kind.left_out += 1
                return False
            kind.lines -= 1.0
            left_out, kind.left_out = kind.left_out, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more like it were left out)", None
        return True

    def _kind(self, pattern: str) -> _Kind:
        """Find the kind of a message; the lines that time has added to it are counted."""
        now_s = self._clock()
        if pattern not in self._kinds:
            if len(self._kinds) >= _MOST_KINDS:  # names of clients or files, say: memory stays bounded
                self._kinds.clear()
            self._kinds[pattern] = _Kind(BURST_LINES, now_s)
        kind = self._kinds[pattern]
        kind.lines, kind.at_s = min(BURST_LINES, kind.lines + (now_s - kind.at_s) / REFILL_S), now_s
        return kind


@contextlib.contextmanager
def repeated_warnings_limited() -> Iterator[None]:
    """Limit what the handlers of the root logger show, inside the `with`."""
    limit, handlers = LogLimit(), list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(limit)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(limit)

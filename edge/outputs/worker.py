"""A task -> a thread that repeats it, goes on after every error, and can be asked whether it still works."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

STALL_S = 120.0  # a turn that takes longer, or fails for longer, counts as the end of the worker
RETRY_S = 5.0  # longest time between two attempts to write what waits for a disk
EARLY_S = 0.01  # a flush may come this much too early, so that it is not put off to the next turn
END_S = 30.0  # how long `close` waits for the current turn

log = logging.getLogger(__name__)


def turn_s(sync_s: float) -> float:
    """Return the interval at which a worker takes turns that flushes every `sync_s` seconds, or when it is woken if 0.

    Between two flushes, it tries again to write what waits, at least every RETRY_S.
    """
    return sync_s / math.ceil(sync_s / RETRY_S) if sync_s else RETRY_S


class Worker:
    """Takes a turn whenever it is woken, and at regular intervals.

    A turn that raises is logged, once for each cause in a row; the next turn follows all the same.
    """

    def __init__(self, name: str, turn: Callable[[], None], interval_s: float) -> None:
        """Start the thread.

        Args:
            name: what log lines and the thread are called.
            turn: does everything that is due.
            interval_s: longest time between two turns.
        """
        self._name, self._turn, self._interval_s = name, turn, interval_s
        self._problem = ""
        self._success_s = time.monotonic()
        self._woken, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether turns are taken and succeed. True after `close`. Any thread may ask."""
        working = self._thread.is_alive() and time.monotonic() - self._success_s < self._interval_s + STALL_S
        return working or self._closing.is_set()

    def wake(self) -> None:
        """Have a turn taken now."""
        self._woken.set()

    def close(self) -> bool:
        """Stop after the current turn. Returns False if that has not ended after END_S."""
        self._closing.set()
        self._woken.set()
        self._thread.join(END_S)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._closing.is_set():
            self._woken.wait(self._interval_s)
            self._woken.clear()
            if not self._closing.is_set():
                self._take_turn()

    def _take_turn(self) -> None:
        try:
            self._turn()
        except Exception as error:  # whatever it is, this thread is needed
            problem = f"{type(error).__name__}: {error}"
            if problem != self._problem:
                log.error("%s: failed and is tried again: %s", self._name, problem)
            self._problem = problem
        else:
            if self._problem:
                log.warning("%s: works again", self._name)
            self._problem = ""
            self._success_s = time.monotonic()

"""Clients that a server refuses -> few lines in the log, however many they are."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

EVERY_S = 60.0  # between two lines

log = logging.getLogger(__name__)


class Refusals:
    """Counts refused clients and logs the first one, then at most one line in EVERY_S."""

    def __init__(self, name: str, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to count.

        Args:
            name: of the server.
            limit: number of clients that it serves at a time.
            clock: time in seconds.
        """
        self._name, self._limit, self._clock = name, limit, clock
        self._logged_s = -float("inf")
        self._unlogged = 0

    def count(self) -> None:
        """Count one more."""
        self._unlogged += 1
        now_s = self._clock()
        if now_s - self._logged_s >= EVERY_S:
            log.warning("%s: refused clients: %d, as %d are connected", self._name, self._unlogged, self._limit)
            self._logged_s, self._unlogged = now_s, 0

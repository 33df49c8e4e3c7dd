"""Signals and requests -> a stream of blocks that is silent while the run is paused.

The loop goes on with silence in place of what the microphones hear: events end, times go on, and systemd sees progress.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from types import FrameType

import numpy as np

from edge.types import AudioBlock

log = logging.getLogger(__name__)


class Pause(AbstractContextManager["Pause"]):
    """Pauses on SIGUSR1 and resumes on SIGUSR2 while the `with` lasts; any thread may ask for either, too.

    Attributes:
        paused: whether nothing is heard.
    """

    def __init__(self) -> None:
        self.paused = False
        self._restore = ExitStack()

    def __enter__(self) -> Pause:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            self._restore.callback(signal.signal, number, signal.signal(number, self._handle))
        return self

    def __exit__(self, *error: object) -> None:
        self._restore.close()

    def set(self, paused: bool) -> None:
        """Pause or resume, from the next block on."""
        if paused != self.paused:
            log.warning("paused: nothing is heard" if paused else "resumed")
        self.paused = paused

    def over(self, blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
        """Yield the same blocks; while paused, silent ones of the same length."""
        for block in blocks:
            yield AudioBlock(np.zeros_like(block.samples), block.start, block.lost) if self.paused else block

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.set(number == signal.SIGUSR1)

"""SIGINT and SIGTERM -> the end of a stream of blocks."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from types import FrameType, TracebackType

from edge.types import AudioBlock

log = logging.getLogger(__name__)


class _StopError(Exception):
    """Raised by the signal handler inside a blocked read."""


class Interruption(AbstractContextManager["Interruption"]):
    """Makes SIGINT and SIGTERM end the stream of blocks, not the program.

    The audio heard before the signal is still answered and written. A signal interrupts the wait for the next block and
    nothing else: a step that has begun is completed. The `with` restores the former handlers at its end.
    """

    def __init__(self) -> None:
        self._requested = self._waiting = False
        self._restore = ExitStack()

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._restore.callback(signal.signal, number, signal.signal(number, self._handle))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore.close()

    def until_stopped(self, blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
        """Yield the same blocks, and end early after a signal."""
        iterator = iter(blocks)
        while not self._requested:
            try:
                self._waiting = True
                block = next(iterator)
            except (StopIteration, _StopError):
                return
            finally:
                self._waiting = False
            yield block

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        log.info("stopping on %s", signal.Signals(number).name)
        if self._waiting:
            self._waiting = False
            raise _StopError

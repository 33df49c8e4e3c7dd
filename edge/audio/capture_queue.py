"""Buffers from whoever records -> AudioBlock for the loop, what is missing counted: samples keep their place in time.

What the loop was too slow for is known to the sample; what a device lost is told by the clock.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from edge.types import AudioBlock

DEADLINE_S = 3.0

_FLOAT_BYTES = 4
_ORIGINS = 50  # few enough that the drift between the two clocks does not matter


class SourceError(OSError):
    """A source of audio failed while it was open."""


class CaptureQueue:
    """Bounded hand-over of float32 buffers from a capture thread (`put`) to the loop (`take`, `blocks`)."""

    def __init__(
        self,
        name: str,
        channels: int,
        sample_rate_hz: int,
        max_buffers: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._channels, self._sample_rate_hz, self._clock = name, channels, sample_rate_hz, clock
        self._queue: queue.Queue[tuple[bytes, int, float]] = queue.Queue(max_buffers)
        self._missing = 0  # samples lost since the last buffer that was queued
        self._captured = 0  # samples since the start, the lost ones too
        self._ahead = 0  # samples of those that were counted as lost and cannot have been
        self._settling = 0  # buffers that may still show it
        self._origins_s: deque[float] = deque(maxlen=_ORIGINS)  # time of sample 0, as each of the last buffers tells it
        self._taken = 0  # samples that were taken, and the lost ones before them
        self._recorded_s = 0.0  # when the buffer that was taken last had been recorded

    @property
    def waiting(self) -> int:
        """Buffers that are there to be taken."""
        return self._queue.qsize()

    def put(self, raw: bytes, overflowed: bool = False, at_s: float | None = None) -> None:
        """Queue one buffer of interleaved float32 samples. Never blocks: if the queue is full, the buffer is lost.

        overflowed: the device lost samples before this buffer. How many it does not say: they are counted by the clock,
        from the buffer among the last few seconds' that came with the least delay. at_s: when it was recorded, by the
        clock; now by default.
        """
        samples = len(raw) // (_FLOAT_BYTES * self._channels)
        if samples == 0:
            return
        now_s = self._clock() if at_s is None else at_s
        if overflowed and self._origins_s:
            self._lose(now_s, samples)
        self._captured += samples
        self._origins_s.append(self._origin_s(now_s))
        try:
            self._queue.put_nowait((raw, self._missing, now_s))
        except queue.Full:
            self._missing += samples
        else:
            self._missing = 0

    def blocks(self, deadline_s: float = DEADLINE_S) -> Iterator[AudioBlock]:
        """Yield the buffers in order, without end. Raises SourceError if none came for `deadline_s` seconds."""
        while True:
            yield self.take(deadline_s)

    def take(self, deadline_s: float = DEADLINE_S) -> AudioBlock:
        """The next buffer, as soon as there is one. Raises SourceError if none comes for `deadline_s` seconds."""
        try:
            raw, lost, self._recorded_s = self._queue.get(timeout=deadline_s)
        except queue.Empty:
            message = f"microphone {self._name!r} stopped delivering: no samples for {deadline_s:g} s"
            raise SourceError(message) from None
        return self._block(raw, lost)

    def rest(self) -> Iterator[AudioBlock]:
        """After the last `put`: the buffers that wait, then an empty block if more was lost after them."""
        while self.waiting:
            yield self.take()
        if self._missing:
            lost, self._missing = self._missing, 0
            self._recorded_s = self._clock()  # it tells of now
            yield self._block(b"", lost)

    def gap(self) -> Iterator[AudioBlock]:
        """When nothing is put any more: the buffers that wait, then an empty block for all that is missing by now."""
        self._lose(self._clock(), 0)
        return self.rest()

    def age_s(self) -> float:
        """Time since the buffer that was taken last had been recorded."""
        return self._clock() - self._recorded_s

    def _lose(self, now_s: float, samples: int) -> None:
        """Count what is missing between what was captured and the last `samples` before `now_s`, by the clock."""
        due = round((now_s - min(self._origins_s)) * self._sample_rate_hz) - samples
        lost = max(1, due - self._captured)
        self._missing += lost
        self._captured += lost
        self._ahead, self._settling = self._captured - due, _ORIGINS

    def _origin_s(self, now_s: float) -> float:
        """Time of sample 0, as what was captured until now tells it.

        A buffer that came late after a loss made that seem longer. Those after it show it, as they seem to come too
        early: the next loss is counted without, so that such errors never add up.
        """
        origin_s = now_s - (self._captured - self._ahead) / self._sample_rate_hz
        if self._settling:
            self._settling -= 1
            early_s = max(0.0, min(self._origins_s) - origin_s)
            self._ahead += round(early_s * self._sample_rate_hz)
            origin_s += early_s
        return origin_s

    def _block(self, raw: bytes, lost: int) -> AudioBlock:
        samples = np.frombuffer(raw, np.float32).reshape(-1, self._channels)
        start = self._taken + lost
        self._taken = start + len(samples)
        return AudioBlock(samples, start, lost)

"""Buffers of a capture thread -> AudioBlock for the loop, with the number of lost samples, so that times stay right.

Samples that the loop was too slow to take are counted exactly. How many a device lost is estimated by the clock.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from edge.types import AudioBlock

DEADLINE_S = 3.0
"""Time without samples after which a device counts as stopped."""

_FLOAT_BYTES = 4
_ORIGINS = 50  # estimates that are kept: few enough that the drift between the two clocks does not matter


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
        """Create an empty queue.

        Args:
            name: Device, for messages.
            channels: Channels of every buffer.
            sample_rate_hz: Rate of the samples.
            max_buffers: Buffers that the queue holds; further ones are lost.
            clock: Monotonic clock, in seconds.
        """
        self._name, self._channels, self._sample_rate_hz, self._clock = name, channels, sample_rate_hz, clock
        self._queue: queue.Queue[tuple[bytes, int, float]] = queue.Queue(max_buffers)
        self._missing = 0  # samples lost since the last buffer that was queued
        self._captured = 0  # samples since the start, lost ones included
        self._ahead = 0  # samples that were counted as lost and turned out not to be
        self._settling = 0  # buffers that may still correct `_ahead`
        self._origins_s: deque[float] = deque(maxlen=_ORIGINS)  # time of sample 0, estimated from each recent buffer
        self._taken = 0  # samples that were taken, and the lost ones before them
        self._recorded_s = 0.0  # time at which the buffer taken last was recorded

    @property
    def waiting(self) -> int:
        """Buffers that can be taken at once."""
        return self._queue.qsize()

    def at_rate(self, sample_rate_hz: int) -> CaptureQueue:
        """Continue an emptied queue for a device that has come back at another rate.

        Times go on: the next sample gets the index that its time has at the new rate.

        Args:
            sample_rate_hz: The new rate.

        Returns:
            A queue that takes the place of this one.
        """
        queue = CaptureQueue(self._name, self._channels, sample_rate_hz, self._queue.maxsize, self._clock)
        queue._captured = queue._taken = round(self._captured * sample_rate_hz / self._sample_rate_hz)
        queue._ahead, queue._settling = round(self._ahead * sample_rate_hz / self._sample_rate_hz), self._settling
        queue._origins_s.extend(self._origins_s)
        queue._recorded_s = self._recorded_s
        return queue

    def waiting_block(self) -> AudioBlock:
        """Make a block without samples and without a loss: nothing can be taken yet."""
        return self._block(b"", 0)

    def put(self, raw: bytes, overflowed: bool = False, at_s: float | None = None) -> None:
        """Queue one buffer. Never blocks: if the queue is full, the buffer is lost.

        Args:
            raw: Interleaved float32 samples.
            overflowed: Whether the device lost samples before this buffer. It does not say how many: they are counted
                by the clock, relative to the recent buffer that arrived with the least delay.
            at_s: Time at which the buffer was recorded, on the clock; None for now.
        """
        samples = len(raw) // (_FLOAT_BYTES * self._channels)
        if samples == 0:
            return
        now_s = self._clock() if at_s is None else at_s
        if overflowed and self._origins_s:
            self._count_loss(now_s, samples)
        self._captured += samples
        self._origins_s.append(self._origin_s(now_s))
        try:
            self._queue.put_nowait((raw, self._missing, now_s))
        except queue.Full:
            self._missing += samples
        else:
            self._missing = 0

    def blocks(self, deadline_s: float = DEADLINE_S) -> Iterator[AudioBlock]:
        """Take buffers without end.

        Args:
            deadline_s: Longest wait for a buffer.

        Yields:
            The buffers in order.

        Raises:
            SourceError: No buffer arrived for `deadline_s` seconds.
        """
        while True:
            yield self.take(deadline_s)

    def take(self, deadline_s: float = DEADLINE_S) -> AudioBlock:
        """Wait for the next buffer.

        Args:
            deadline_s: Longest wait.

        Returns:
            Samples (n, channels), their absolute index, and how many were lost before them.

        Raises:
            SourceError: No buffer arrived for `deadline_s` seconds.
        """
        try:
            raw, lost, self._recorded_s = self._queue.get(timeout=deadline_s)
        except queue.Empty:
            message = f"microphone {self._name!r} stopped delivering: no samples for {deadline_s:g} s"
            raise SourceError(message) from None
        return self._block(raw, lost)

    def rest(self) -> Iterator[AudioBlock]:
        """Empty the queue after the last `put`.

        Yields:
            The waiting buffers, then a block without samples if more was lost after them.
        """
        while self.waiting:
            yield self.take()
        if self._missing:
            lost, self._missing = self._missing, 0
            self._recorded_s = self._clock()  # the loss lasts until now
            yield self._block(b"", lost)

    def gap(self) -> Iterator[AudioBlock]:
        """Empty the queue of a device that has stopped.

        Yields:
            The waiting buffers, then a block without samples for all that is missing until now, by the clock.
        """
        self._count_loss(self._clock(), 0)
        return self.rest()

    def age_s(self) -> float:
        """Time since the buffer taken last was recorded."""
        return self._clock() - self._recorded_s

    def _count_loss(self, now_s: float, samples: int) -> None:
        """Count the samples missing between those captured and the last `samples` before `now_s`, by the clock."""
        due = round((now_s - min(self._origins_s)) * self._sample_rate_hz) - samples
        lost = max(1, due - self._captured)
        self._missing += lost
        self._captured += lost
        self._ahead, self._settling = self._captured - due, _ORIGINS

    def _origin_s(self, now_s: float) -> float:
        """Estimate the time of sample 0 from the samples captured until now.

        A buffer that arrived late after a loss made the loss seem longer than it was. The buffers after it reveal this,
        as they seem to arrive too early. The excess is left out of the next loss, so such errors never add up.
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

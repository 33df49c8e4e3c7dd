"""Seconds of a live stream -> wall-clock time, by the wall clock as it is set when the question is asked.

Samples are counted by the sound card's clock, which drifts, and the wall clock may be wrong at the start: a Pi without
a battery knows the time only once the network does. So neither the start nor the sample rate is trusted for long. Each
block gives a new estimate of when sample 0 was recorded, on the monotonic clock, which never jumps; the conversion to
wall-clock time happens at the sink.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from edge.types import AudioBlock

RECENT_BLOCKS = 50
"""Blocks whose estimates count: 5 s of a microphone, in which clocks 100 ppm apart drift by 0.5 ms."""


class StreamTime:
    """Time at which a moment of a stream was recorded: `when(onset_s)`, UTC."""

    def __init__(
        self,
        sample_rate_hz: int,
        age_s: Callable[[], float] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Begin a stream whose sample 0 is recorded now.

        Args:
            sample_rate_hz: Rate of the blocks.
            age_s: Gives the time since the current block was recorded; without it, a block counts as recorded when it
                is taken.
            monotonic: Clock that never jumps, in seconds.
            now: Wall clock.
        """
        self._sample_rate_hz, self._age_s, self._monotonic, self._now = sample_rate_hz, age_s, monotonic, now
        self._started_s = monotonic()
        self._origins_s: deque[float] = deque(maxlen=RECENT_BLOCKS)  # time of sample 0, estimated from each block
        self._answers: dict[float, datetime] = {}  # since the last block: all sinks get the same time of an event

    def followed(self, blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
        """Pass blocks through and note when each was recorded.

        Args:
            blocks: Blocks of the stream.

        Yields:
            The same blocks.
        """
        for block in blocks:
            if block.lost or len(block.samples):  # a source that waits says nothing about time
                recorded_s = self._monotonic() - (0.0 if self._age_s is None else self._age_s())
                self._origins_s.append(recorded_s - (block.start + len(block.samples)) / self._sample_rate_hz)
            self._answers.clear()
            yield block

    def __call__(self, onset_s: float) -> datetime:
        """Convert a moment of the stream, in seconds, to UTC by the recent block that arrived with the least delay."""
        if onset_s not in self._answers:
            ago_s = self._monotonic() - (min(self._origins_s, default=self._started_s) + float(onset_s))
            self._answers[onset_s] = self._now() - timedelta(seconds=ago_s)
        return self._answers[onset_s]

"""Seconds of a live stream -> time on the wall, by the clock as it stands when it is asked.

Samples are counted by the sound card's clock, and the machine's may be wrong at the start: a Pi without a battery knows
the time only after the network does. So neither start nor rate is believed for long: each block tells anew when sample
0 would have been, by the monotonic clock, which never jumps; and what that is on the wall is asked at the sink.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from edge.types import AudioBlock

RECENT_BLOCKS = 50  # 5 s of a microphone: at 100 ppm two clocks part by 0.5 ms meanwhile


class StreamTime:
    """When something in a stream was heard, for the sinks: `when(onset_s)`, UTC."""

    def __init__(
        self,
        sample_rate_hz: int,
        age_s: Callable[[], float] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """age_s: time since the block at hand was recorded; without it, blocks come as soon as they are."""
        self._sample_rate_hz, self._age_s, self._monotonic, self._now = sample_rate_hz, age_s, monotonic, now
        self._started_s = monotonic()
        self._origins_s: deque[float] = deque(maxlen=RECENT_BLOCKS)  # when sample 0 was heard, as each block tells it

    def followed(self, blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
        """The same blocks; each is noted before it is handed on."""
        for block in blocks:
            recorded_s = self._monotonic() - (0.0 if self._age_s is None else self._age_s())
            self._origins_s.append(recorded_s - (block.start + len(block.samples)) / self._sample_rate_hz)
            yield block

    def __call__(self, onset_s: float) -> datetime:
        """The time of a moment of the stream, from the block among the last ones that came with the least delay."""
        ago_s = self._monotonic() - (min(self._origins_s, default=self._started_s) + float(onset_s))
        return self._now() - timedelta(seconds=ago_s)

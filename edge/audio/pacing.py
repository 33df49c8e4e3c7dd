"""Blocks of a file -> the same blocks at the time at which a microphone would have delivered them.

Due times are absolute, so errors do not add up. Blocks that are taken too late wait in the queue of a microphone, and
those that the queue cannot hold are lost and counted, as with a microphone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from edge.audio.capture_queue import CaptureQueue
from edge.types import AudioBlock


def paced(
    blocks: Iterable[AudioBlock],
    capture: CaptureQueue,
    sample_rate_hz: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[AudioBlock]:
    """Play blocks in real time, starting with the first `next`.

    No thread is needed: everything that became due since the last `next` is put into the queue before a block is taken
    out.

    Args:
        blocks: Blocks without gaps.
        capture: Queue that the blocks go through.
        sample_rate_hz: Rate of the blocks.
        clock: The clock that `capture` uses.
        sleep: Waits for a number of seconds.

    Yields:
        The blocks, with `lost` where the queue overflowed.

    Raises:
        ValueError: Passed on from `blocks`, after what was read before the error.
        OSError: As ValueError.
    """
    began_s = clock()
    try:
        for block in blocks:
            due_s = began_s + (block.start + len(block.samples)) / sample_rate_hz
            while (ahead_s := due_s - clock()) > 0.0:
                if capture.waiting:
                    yield capture.take()
                else:
                    sleep(ahead_s)
            capture.put(block.samples.tobytes(), at_s=due_s)
    except (ValueError, OSError):
        yield from capture.rest()
        raise
    yield from capture.rest()

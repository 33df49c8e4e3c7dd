"""Blocks of a file -> the same blocks when they would have been recorded, as a microphone gives them.

Due times are absolute: nothing adds up. Whoever takes blocks too late finds them in the microphone's own queue, and
what was too much for the queue is lost and counted as with a microphone.
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
    """Play blocks without gaps through the queue `capture`, in real time from the first `next` on.

    No thread is needed: what would have come since the last `next` is put into the queue before anything is taken out.
    clock: the one of `capture`.
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
    except (ValueError, OSError):  # of the file: what came before is heard
        yield from capture.rest()
        raise
    yield from capture.rest()

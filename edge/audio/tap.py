"""AudioBlocks on their way to the loop -> the same blocks, heard by whoever taps them: clips, a live beam, a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from edge.types import AudioBlock


class Tap(Protocol):
    """Something that hears the audio beside the loop. It is called in the thread of the loop."""

    def hear(self, block: AudioBlock) -> None:
        """Take a block, without blocking. The samples may be kept, and may not be changed.

        Args:
            block: samples (n, channels) at the rate of the model, as the loop gets them; n is 0 while a source waits.
        """


def tapped(blocks: Iterable[AudioBlock], taps: Sequence[Tap]) -> Iterator[AudioBlock]:
    """Yield the same blocks, after all taps have heard them. Without taps, nothing is in the way."""
    if not taps:
        return iter(blocks)
    return _heard(blocks, taps)


def _heard(blocks: Iterable[AudioBlock], taps: Sequence[Tap]) -> Iterator[AudioBlock]:
    for block in blocks:
        for tap in taps:
            tap.hear(block)
        yield block

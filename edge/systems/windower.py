"""Label frames -> overlapping windows of them, and work on windows that is spread over several label frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Label = TypeVar("Label")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Window(Generic[Label]):
    """Label frames that follow each other.

    Attributes:
        labels: What is known of each label frame: its maps, say.
        part: Those of `labels` that the window is to answer about.
        start: Number in the stream of the first label frame of `part`.
    """

    labels: list[Label]
    part: slice
    start: int


class Windower(Generic[Label]):
    """Cuts a stream of label frames into windows that follow each other every `hop_labels`.

    The middle of each window is to be answered, so both sides have context and each label frame is answered by one
    window. Before the stream and after it there is silence.
    """

    def __init__(self, silence: Label, window_labels: int, hop_labels: int) -> None:
        """Begin a stream with label frame 0.

        Args:
            silence: What takes the place of a label frame before the stream and after it.
            window_labels: Length of a window.
            hop_labels: How many label frames in the middle of a window are answered; at most `window_labels`.
        """
        self._silence, self._window_labels = silence, window_labels
        self.set_hop(hop_labels)
        self.restart(0)

    @property
    def delay_labels(self) -> int:
        """Label frames from the beginning of one to the end of the window that answers about it, at most."""
        return self._hop_labels + self._look_ahead_labels

    def set_hop(self, labels: int) -> None:
        """Go on with another hop. A longer one leaves less context beside the part that is answered."""
        self._hop_labels, self._look_ahead_labels = labels, (self._window_labels - labels) // 2

    def push(self, label: Label) -> Iterator[Window[Label]]:
        """Take what is known of the next label frame; yield the window that it completes, if any."""
        self._stream_end += 1
        yield from self._pushed(label)

    def finish(self) -> Iterator[Window[Label]]:
        """End the stream: yield the windows that answer about the rest of it, as if silence followed."""
        while self._answered_end < self._stream_end:
            yield from self._pushed(self._silence)

    def restart(self, label: int) -> None:
        """Forget the past: a stream begins with label frame `label`."""
        self._labels = deque([self._silence] * self._window_labels, self._window_labels)
        self._labels_end = self._stream_end = self._answered_end = label  # numbers of the label frames that come next

    def _pushed(self, label: Label) -> Iterator[Window[Label]]:
        self._labels.append(label)
        self._labels_end += 1
        start, end = self._answered_end, self._labels_end - self._look_ahead_labels
        if end - start >= self._hop_labels:
            first = self._window_labels - (self._labels_end - start)
            self._answered_end = min(end, self._stream_end)
            yield Window(list(self._labels), slice(first, first + self._answered_end - start), start)


class StepSchedule(Generic[Answer]):
    """Spreads work over label frames: each piece of work goes on by one step in every label frame.

    So no label frame takes longer than the longest step, as long as pieces of work do not overlap. A piece of work is a
    generator: a step ends where it yields, and what it returns is its answer.
    """

    def __init__(self) -> None:
        self._under_way: list[Generator[None, None, Answer]] = []

    def begin(self, work: Generator[None, None, Answer]) -> None:
        """Add a piece of work; its first step is done by the next `advance`."""
        self._under_way.append(work)

    def advance(self) -> list[Answer]:
        """Do one step of each piece of work; return the answers of those that are done, the oldest first."""
        answers, going_on = [], []
        for work in self._under_way:
            try:
                next(work)
            except StopIteration as done:
                answers.append(done.value)
            else:
                going_on.append(work)
        self._under_way = going_on
        return answers

    def finish(self) -> Iterator[Answer]:
        """Do all steps that are left; yield the answers, the oldest first."""
        while self._under_way:
            yield from self.advance()

    def clear(self) -> None:
        """Drop all work."""
        self._under_way.clear()


def doubled_hops(hop_labels: int, window_labels: int) -> list[int]:
    """Hops for levels of quality: `hop_labels`, then twice as many each time, up to windows side by side."""
    hops = [hop_labels]
    while hops[-1] < window_labels:
        hops.append(min(2 * hops[-1], window_labels))
    return hops

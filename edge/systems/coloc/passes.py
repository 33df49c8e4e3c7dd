"""The nets of CoLoC's streaming mode, label frame by label frame: each call continues from the state of the one before.

Each stage (localizer, classifier) has three nets besides its encoder. The *front* is the part of the convolutions that
no condition changes. The *blocks* add the condition, an embedding of directions, and finish the convolutions. The
*recurrence* is a latency-controlled bidirectional GRU (Zhang et al. 2016, arXiv 1510.08983): its forward state is
carried, its backward half begins `look_ahead_labels` later.

The front runs once for all passes. A *pass* asks blocks and recurrence under one condition: given one known direction,
say.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from edge.nets.net import Net, Past, Raw
from edge.types import FloatArray

CONVOLUTION_LABELS = 3
"""Label frames that the convolutions wait for: each of the three looks one ahead, the first one by one frame only."""

LONGEST_HOP = 2
"""Most label frames that one run of a recurrence can answer about."""

LATE_STATES = ("state_third",)
"""States of the blocks that stay fresh through the first push of a pass.

The first push gives the first label frame to the second convolution. The third convolution is still about the label
frame before it, which is not of the stream; in a window it would see zeros there, so its state is made fresh again.
"""


class Encoder:
    """The encoder of directions of a stage. Its net takes as many as a window has label frames."""

    def __init__(self, net: Net, window_labels: int) -> None:
        self._net, self._window_labels = net, window_labels
        self.origin = self(np.zeros((1, 3), np.float32))[0]  # stands for "no direction"

    def __call__(self, directions: FloatArray) -> FloatArray:
        """Embeddings (k, size) of directions (k, 3), k at most the label frames of a window."""
        padded = np.zeros((self._window_labels, 3), np.float32)
        padded[: len(directions)] = directions
        return self._net(direction=padded)["embedding"][: len(directions)]


class Front:
    """The front of a stage, and what it carries from label frame to label frame."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self.reset()

    def reset(self) -> None:
        """Forget the past: any label frame may come next."""
        self._past = self._net.fresh()
        self.next_label: int | None = None

    def push(self, label: int, features: FloatArray) -> Raw:
        """Take the features (frames, bands, maps) of a label frame; return the maps of the one before it."""
        self.next_label = label + 1
        return self._net(self._past, features=features)["shared_maps"]


class Pass:
    """One stage under one condition, label frame by label frame: blocks and recurrence with states of their own.

    Attributes:
        delay: How many label frames an answer comes after the label frame that it is about.
    """

    def __init__(self, blocks: Net, recurrence: Net, look_ahead: int) -> None:
        self._blocks, self._recurrence = blocks, recurrence
        self.delay = CONVOLUTION_LABELS + look_ahead
        self._convolved: deque[Raw] = deque(maxlen=look_ahead + 1)  # label frames that the recurrence looks at
        self._answers: deque[FloatArray] = deque()  # computed, and not given yet
        self.reset()

    def reset(self) -> None:
        """Forget the past: the label frame that comes next is the first one."""
        self._blocks_past, self._recurrence_past = self._blocks.fresh(), self._recurrence.fresh()
        self._pushes = 0
        self._wanted_until: int | None = None
        self._convolved.clear()
        self._answers.clear()

    def due(self, label: int, wanted: bool) -> bool:
        """Decide whether label frame `label` is to be pushed, and forget the past if the pass was idle for long.

        Args:
            label: The next label frame.
            wanted: An answer about it is wanted.

        Returns:
            Whether that answer, or an earlier one which is not complete yet, is wanted.
        """
        if wanted:
            self._wanted_until = label
        if self._wanted_until is None:
            return False
        if label > self._wanted_until + self.delay:
            self.reset()
            return False
        return True

    def push(self, maps: Raw, condition: FloatArray, hop: int) -> FloatArray | None:
        """Take the next label frame, n.

        Args:
            maps: What the front gave of label frame n - 1 (frames, bands, filters).
            condition: Embeddings (3, size) of what is known of label frames n - 2, n - 1, n.
            hop: About how many label frames the recurrence answers when it has to run next, at most `LONGEST_HOP`. All
                but the first of them have less look-ahead.

        Returns:
            The output about label frame n - `delay`, and behind it that of a net that tells a distance; None while the
            pass has begun too late to know.
        """
        frames = len(maps)
        by_frame = np.repeat(condition, frames, axis=0)[frames - 1 : 2 * frames + 1, None]  # (frames + 2, 1, size)
        labels = self._blocks(self._blocks_past, shared_maps=maps, condition=by_frame)["shared_labels"]
        self._pushes += 1
        if self._pushes == 1:
            fresh = self._blocks.fresh()
            self._blocks_past.update({name: fresh[name] for name in LATE_STATES})
        if self._pushes < CONVOLUTION_LABELS:
            return None
        self._convolved.append(labels[0])
        if self._pushes < self.delay:
            return None
        if not self._answers:
            answer = self._recurrence(self._recurrence_past, shared_labels=np.stack(self._convolved))
            output = answer["output"]
            if "distance" in answer:
                output = np.concatenate([output, answer["distance"]], axis=-1)
            self._answers.extend(output[:hop])
            self._recurrence_past = _after(hop, self._recurrence_past)
        return self._answers.popleft()


def _after(count: int, past: Past) -> Past:
    """States (1, labels, ...) of a recurrence after each label frame -> those after label frame number `count`."""
    return {name: states[:, count - 1 : count] for name, states in past.items()}

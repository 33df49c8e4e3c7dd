"""Blocks of a live source -> the same blocks with samples that can be used, and which channels are not working.

A live source must go on whatever it delivers. A sample that is no number, as a driver delivers after a fault, becomes
0, and one beyond `MOST_PEAK` is clipped; both are counted. A channel that stays constant, or is clipped, for a while in
which another channel works is named in the log, in the statistics and in the metrics.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from edge.types import AudioBlock, FloatArray

MOST_PEAK = 8.0
"""Largest sample that is passed on, 18 dB over full scale: room for streams of float32 that peak above it."""

CHANNEL_FAULT_S = 10.0
"""Time after which a channel that does not work counts as faulty."""

SILENT, CLIPPED = "silent", "clipped"
"""Kinds of faults. A silent channel is constant: digital silence, or stuck at one value."""

_FULL = 0.999  # of full scale
_CLIPPED_SHARE = 0.2  # of the samples of a block, from which it counts as clipped
_PROBES = 64  # samples of a block that are looked at first
_FIRST_PAUSE_S, _MOST_PAUSE_S = 60.0, 3600.0  # between two log lines of one kind

logger = logging.getLogger(__name__)


class RareLog:
    """Logs a repeated message at once, then ever more rarely: after 1 minute, 2, 4, and so on up to once an hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with a message that is due.

        Args:
            clock: Monotonic clock, in seconds.
        """
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Log the next message at once."""
        self._due_s, self._pause_s = -np.inf, _FIRST_PAUSE_S

    def due(self) -> bool:
        """Whether the message is to be logged now. Ask each time that there is cause for it."""
        now_s = self._clock()
        if now_s < self._due_s:
            return False
        self._due_s, self._pause_s = now_s + self._pause_s, min(2 * self._pause_s, _MOST_PAUSE_S)
        return True


class ChannelWatch:
    """Finds the channels of a stream that do not work.

    Attributes:
        faults: Kinds of faults by channel, as they are now. Replaced, never changed: any thread may read it.
    """

    def __init__(self, name: str, channels: Sequence[int], fault_s: float = CHANNEL_FAULT_S) -> None:
        """Begin with channels that work.

        Args:
            name: Source, for the log.
            channels: The channels that are used; others may be silent for good reasons.
            fault_s: Time after which a fault is reported; 0 watches nothing.
        """
        self._name, self._fault_s = name, fault_s
        self._channels = np.array(channels, np.intp)
        self._constant_s = np.zeros(len(channels))  # for which each channel has been constant
        self._clipped_s = np.zeros(len(channels))
        self._last: FloatArray | None = None  # (channels,) last samples of the block before
        self.faults: dict[int, str] = {}

    def push(self, samples: FloatArray, sample_rate_hz: int) -> None:
        """Look at the next samples (n, all channels of the device), n >= 1."""
        if not self._fault_s:
            return
        length_s = len(samples) / sample_rate_hz
        probes = samples[:: max(1, len(samples) // _PROBES)].take(self._channels, axis=1)
        first = probes[0] if self._last is None else self._last
        constant = (probes == first).all(axis=0)
        clipped = (np.abs(probes) >= _FULL).sum(axis=0) >= _CLIPPED_SHARE * len(probes)
        self._last = samples[-1].take(self._channels)
        if not (self.faults or constant.any() or clipped.any()):
            self._constant_s[:] = self._clipped_s[:] = 0.0
            return
        for column in np.flatnonzero(constant):  # the probes are constant: what is between them?
            constant[column] = (samples[:, self._channels[column]] == first[column]).all()
        self._constant_s = np.where(constant, self._constant_s + length_s, 0.0)
        self._clipped_s = np.where(clipped & ~constant, self._clipped_s + length_s, 0.0)
        working = ~constant & ~clipped
        silent, overdriven = self._constant_s >= self._fault_s, self._clipped_s >= self._fault_s
        if working.any() or not (silent | overdriven).any():  # with nothing to compare with, faults stay as they are
            self._report(silent, overdriven)

    def _report(self, silent: np.ndarray, overdriven: np.ndarray) -> None:
        """Replace `faults`, and log what has changed."""
        found = {int(channel): SILENT for channel in self._channels[silent]}
        found |= {int(channel): CLIPPED for channel in self._channels[overdriven]}
        if found == self.faults:
            return
        for channel, fault in found.items():
            if self.faults.get(channel) != fault:
                message = "%s: channel %d is %s for %g s while others work: check its capsule, its cable and its gain"
                logger.warning(message, self._name, channel, fault, self._fault_s)
        for channel in self.faults.keys() - found.keys():
            logger.warning("%s: channel %d works again", self._name, channel)
        self.faults = found


class LiveCheck:
    """Makes the samples of a live source usable and watches its channels. Any thread may read the attributes.

    Attributes:
        repaired_samples: Number of samples that were replaced or clipped.
        watch: Watches the channels.
    """

    def __init__(self, name: str, watch: ChannelWatch) -> None:
        """Begin a stream.

        Args:
            name: Source, for the log.
            watch: At the beginning of the stream.
        """
        self._name = name
        self._log = RareLog()
        self.repaired_samples = 0
        self.watch = watch

    def checked(self, blocks: Iterable[AudioBlock], sample_rate_hz: Callable[[], int]) -> Iterator[AudioBlock]:
        """Pass blocks through.

        Args:
            blocks: Blocks as the device delivers them, at its own rate.
            sample_rate_hz: Gives the rate of the block that came last.

        Yields:
            Blocks with finite samples of at most MOST_PEAK; those that had such samples are the same objects.
        """
        for block in blocks:
            if len(block.samples):
                samples = self._repaired(block.samples, block.start)
                self.watch.push(samples, sample_rate_hz())
                if samples is not block.samples:
                    block = AudioBlock(samples, block.start, block.lost)
            yield block

    def _repaired(self, samples: FloatArray, start: int) -> FloatArray:
        flat = samples.ravel()
        with np.errstate(all="ignore"):
            if np.dot(flat, flat) <= MOST_PEAK**2:  # cheap, and mostly enough; False where one is NaN
                return samples
        if flat.min() >= -MOST_PEAK and flat.max() <= MOST_PEAK:
            return samples
        bad = ~(np.abs(samples) <= MOST_PEAK)
        self.repaired_samples += int(np.count_nonzero(bad))
        if self._log.due():
            row, channel = np.argwhere(bad)[0]
            message = "%s: sample %d of channel %d is %s: such samples are replaced, %d so far"
            logger.warning(message, self._name, start + row, channel, samples[row, channel], self.repaired_samples)
        return np.clip(np.where(np.isfinite(samples), samples, np.float32(0)), -MOST_PEAK, MOST_PEAK)

"""Power spectrogram -> its harmonic and its percussive part, by medians over time and over frequency.

A tone is a ridge along time: the median over time keeps it and removes clicks. A click is a ridge along frequency: the
median over frequency keeps it and removes tones (Fitzgerald 2010). Soft masks divide the power between the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.frontend.quantities import POWER_FLOOR
from edge.types import FloatArray

_BANDS_PER_REACH = 16


class Separator:
    """Harmonic-percussive separation of frames that have enough frames before and after them.

    Both medians are mirrored at the ends of the spectrum. By default the one over frequency is an eighth of the bands
    wide, on a mel scale to 12 kHz about 430 Hz at its lower end, near the 500 Hz of Driedger et al. (2014), and the
    masks have power 2 and are those of power, applied to power. As in librosa's `decompose.hpss`, they can be those of
    magnitudes instead, applied to magnitudes: the two parts then do not add up in power.
    """

    def __init__(
        self, bands: int, reach_frames: int, reach_bands: int | None = None, of_magnitudes: bool = False
    ) -> None:
        """Set the sizes of the medians.

        Args:
            bands: Bands of the spectrogram.
            reach_frames: Frames before and after a frame over which its median is taken.
            reach_bands: Bands below and above a band over which its median is taken; None for a sixteenth of all.
            of_magnitudes: Separate magnitudes, not power.
        """
        self._reach_frames, self._of_magnitudes = reach_frames, of_magnitudes
        self._reach_bands = max(1, bands // _BANDS_PER_REACH) if reach_bands is None else reach_bands
        self._mirrored = np.pad(np.arange(bands), self._reach_bands, mode="symmetric")

    def __call__(self, power: FloatArray) -> FloatArray:
        """Separate the middle frames of a spectrogram.

        Args:
            power: Power (frames + 2 reach_frames, bands).

        Returns:
            Harmonic and percussive power (frames, 2, bands), whose sum is the power unless magnitudes are separated.
        """
        middle = power[self._reach_frames : len(power) - self._reach_frames]
        harmonic = sliding_median(power, self._reach_frames)
        percussive = sliding_median(np.take(middle.T, self._mirrored, axis=0), self._reach_bands).T
        parts = np.stack([harmonic, percussive], axis=1)
        parts += POWER_FLOOR  # so that power below it in both medians is divided equally
        parts /= parts.max(axis=1, keepdims=True)  # squares of unscaled powers would leave the range of float32
        if self._of_magnitudes:  # the squares of medians of magnitudes are the medians of power
            parts /= parts.sum(axis=1, keepdims=True)
            parts *= parts
            parts *= middle[:, None]
            return parts
        parts *= parts
        parts *= (middle / parts.sum(axis=1))[:, None]
        return parts


def sliding_median(rows: FloatArray, reach: int) -> FloatArray:
    """Compute the median of each row with the rows before and after it.

    The rows before and those after are sorted sequences. Merged, they have two middle values: the largest of the
    smaller half and the smallest of the larger half. The median is the middle one of these two and the row itself.

    Args:
        rows: Rows (n + 2 reach, ...).
        reach: Rows before and after, at least 1.

    Returns:
        Medians (n, ...).
    """
    count = len(rows) - 2 * reach
    runs = _sorted_runs(rows, reach)
    pairs = [(run[:count], other[reach + 1 :]) for run, other in zip(runs, reversed(runs), strict=True)]
    below, above = np.minimum(*pairs[0]), np.maximum(*pairs[0])
    for one, other in pairs[1:]:
        np.maximum(below, np.minimum(one, other), out=below)
        np.minimum(above, np.maximum(one, other), out=above)
    return np.clip(rows[reach : reach + count], below, above)


def _sorted_runs(rows: FloatArray, count: int) -> Sequence[FloatArray]:
    """Sort each run of `count` consecutive rows (n, ...): `count` arrays (n - count + 1, ...), smallest first."""
    if count == 1:
        return [rows]
    half = count // 2
    runs = _sorted_runs(rows, half)
    runs = _merged([run[:-half] for run in runs], [run[half:] for run in runs])
    return _merged([run[:-1] for run in runs], [rows[count - 1 :]]) if count % 2 else runs


def _merged(one: Sequence[FloatArray], other: Sequence[FloatArray]) -> list[FloatArray]:
    """Merge two sorted sequences by Batcher's odd-even merging (Knuth, section 5.3.4), which needs no branches."""
    if not one or not other:
        return [*one, *other]
    if len(one) == len(other) == 1:
        return [np.minimum(one[0], other[0]), np.maximum(one[0], other[0])]
    odd, even = _merged(one[::2], other[::2]), _merged(one[1::2], other[1::2])
    merged = odd[:1]
    for low, high in zip(even, odd[1:], strict=False):
        merged += [np.minimum(low, high), np.maximum(low, high)]
    return merged + odd[len(even) + 1 :] + even[len(odd) - 1 :]

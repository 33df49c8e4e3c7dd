"""Power or intensity over bins -> the same over mel bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.types import FloatArray


class FilterBank:
    """Weighted sums over bins, for filters whose weights are zero outside a few neighbouring bins.

    Multiplying some bands at a time, by the bins where they have weights, is faster than multiplying all the zeros.
    """

    _BANDS_AT_A_TIME = 16

    def __init__(self, filters: FloatArray) -> None:
        """Prepare the sums for filters (bins, bands)."""
        self._bands = filters.shape[1]
        self._blocks: list[tuple[slice, slice, FloatArray]] = []  # bands, bins, weights
        for first in range(0, self._bands, self._BANDS_AT_A_TIME):
            bands = slice(first, first + self._BANDS_AT_A_TIME)
            used = np.flatnonzero(filters[:, bands].any(axis=1))
            bins = slice(used[0], used[-1] + 1) if used.size else slice(0, 1)
            self._blocks.append((bands, bins, np.ascontiguousarray(filters[bins, bands])))

    def __call__(self, maps: FloatArray) -> FloatArray:
        """Sum maps (frames, maps, bins) into bands: (frames, maps, bands)."""
        rows = maps.reshape(-1, maps.shape[-1])
        sums = np.empty((len(rows), self._bands), np.float32)
        for bands, bins, weights in self._blocks:
            np.matmul(rows[:, bins], weights, out=sums[:, bands])
        return sums.reshape(*maps.shape[:-1], self._bands)


def mel_filters(sample_rate_hz: int, nfft: int, bands: int) -> FloatArray:
    """Compute Slaney's mel filter bank (Auditory Toolbox, as librosa), from 0 Hz to half the sample rate.

    Args:
        sample_rate_hz: Rate of the samples.
        nfft: Length of the transform.
        bands: Number of triangles, each of unit area.

    Returns:
        Weights (nfft / 2 + 1, bands).
    """
    edges_hz = mel_to_hz(np.linspace(0.0, hz_to_mel(sample_rate_hz / 2.0), bands + 2))
    bins_hz = np.linspace(0.0, sample_rate_hz / 2.0, nfft // 2 + 1)
    rise = (bins_hz[:, None] - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    fall = (edges_hz[2:] - bins_hz[:, None]) / np.diff(edges_hz)[1:]
    return (np.maximum(0.0, np.minimum(rise, fall)) * 2.0 / (edges_hz[2:] - edges_hz[:-2])).astype(np.float32)


def hz_to_mel(hz: float) -> float:
    """Convert to Slaney's mel scale (Auditory Toolbox): linear to 1 kHz, logarithmic above."""
    return hz * 3.0 / 200.0 if hz < 1000.0 else 15.0 + 27.0 * float(np.log(hz / 1000.0) / np.log(6.4))


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert back: the inverse of `hz_to_mel`, for an array of any shape."""
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * 6.4 ** ((mel - 15.0) / 27.0))

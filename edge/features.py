"""Spectra -> FeatureFrames: the maps that the nets see, as pure functions of one group of spectra.

Two kinds, both on FOA channels W, Y, Z, X (ACN/SN3D):

* `logmel_iv`: 4 log-mel + 3 mel intensity maps, equal to the DCASE 2022 baseline's FOA features;
* `logpower_phase_iv`: 4 log-power + 4 phase + 3 intensity maps over all bins (CoLoC, section 3.6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.stft import StftSettings
from edge.types import ComplexArray, FeatureFrames, FloatArray, Spectra

POWER_FLOOR = np.float32(1e-10)  # as librosa's power_to_db
FLOOR_DB = np.float32(-100.0)
INTENSITY_FLOOR = np.float32(1e-8)  # as the DCASE baseline
MAX_BANDS = 8193

_DB_PER_NEPER = FLOOR_DB / np.log(POWER_FLOOR)  # 10 / ln 10; np.log is fast on more processors than np.log10
_ENERGY_WEIGHTS = np.array([[1.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]], np.float32)  # of W, Y, Z, X


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """Which maps to compute."""

    kind: str = "logmel_iv"
    bands: int = 64

    def __post_init__(self) -> None:
        if self.kind not in FEATURES:
            raise ValueError(f"got feature kind {self.kind!r}, wanted one of {', '.join(FEATURES)}")
        if not 1 <= self.bands <= MAX_BANDS:
            raise ValueError(f"got {self.bands} bands, wanted 1 to {MAX_BANDS}")


class FeatureExtractor:
    """Computes and normalises the maps of one group of spectra."""

    def __init__(
        self,
        settings: FeatureSettings,
        stft: StftSettings,
        mean: FloatArray | None = None,
        deviation: FloatArray | None = None,
    ) -> None:
        """`mean` and `deviation` are (bands, maps), from training; without them the maps stay as they are."""
        self._maps, self.map_names = FEATURES[settings.kind]
        self.bands = settings.bands
        shape = (settings.bands, len(self.map_names))
        self._mean = np.zeros(shape, np.float32) if mean is None else np.asarray(mean, np.float32)
        self._scale = np.ones(shape, np.float32) if deviation is None else np.float32(1.0) / deviation
        if self._mean.shape != shape or self._scale.shape != shape:
            raise ValueError(f"got statistics of shape {self._mean.shape} and {self._scale.shape}, wanted {shape}")
        if settings.kind != "logmel_iv" and settings.bands != stft.bins:
            raise ValueError(f"got {settings.bands} bands for {settings.kind}, wanted all {stft.bins} bins")
        self._mel = (
            FilterBank(mel_filters(stft.sample_rate_hz, stft.nfft, settings.bands))
            if settings.kind == "logmel_iv"
            else None
        )

    def __call__(self, spectra: Spectra) -> FeatureFrames:
        """Spectra (frames, 4, bins) -> normalised maps (frames, bands, maps)."""
        maps = self._maps(spectra.bins, self._mel)
        maps -= self._mean
        maps *= self._scale
        return FeatureFrames(maps, spectra.start)


class FilterBank:
    """Weighted sums over bins, for filters (bins, bands) each of which has weights in a few neighbouring bins only.

    Products of some bands at a time, with the bins that they have weights for, are faster than one with all the zeros.
    """

    _BANDS_AT_A_TIME = 16

    def __init__(self, filters: FloatArray) -> None:
        self._bands = filters.shape[1]
        self._blocks: list[tuple[slice, slice, FloatArray]] = []  # bands, bins, weights
        for first in range(0, self._bands, self._BANDS_AT_A_TIME):
            bands = slice(first, first + self._BANDS_AT_A_TIME)
            used = np.flatnonzero(filters[:, bands].any(axis=1))
            bins = slice(used[0], used[-1] + 1) if used.size else slice(0, 1)
            self._blocks.append((bands, bins, np.ascontiguousarray(filters[bins, bands])))

    def __call__(self, maps: FloatArray) -> FloatArray:
        """(frames, maps, bins) -> (frames, maps, bands)."""
        rows = maps.reshape(-1, maps.shape[-1])
        sums = np.empty((len(rows), self._bands), np.float32)
        for bands, bins, weights in self._blocks:
            np.matmul(rows[:, bins], weights, out=sums[:, bands])
        return sums.reshape(*maps.shape[:-1], self._bands)


def mel_filters(sample_rate_hz: int, nfft: int, bands: int) -> FloatArray:
    """Slaney's mel filter bank (nfft / 2 + 1, bands), each triangle of unit area, 0 Hz to half the sample rate."""
    edges_hz = mel_to_hz(np.linspace(0.0, hz_to_mel(sample_rate_hz / 2.0), bands + 2))
    bins_hz = np.linspace(0.0, sample_rate_hz / 2.0, nfft // 2 + 1)
    rise = (bins_hz[:, None] - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    fall = (edges_hz[2:] - bins_hz[:, None]) / np.diff(edges_hz)[1:]
    return (np.maximum(0.0, np.minimum(rise, fall)) * 2.0 / (edges_hz[2:] - edges_hz[:-2])).astype(np.float32)


def hz_to_mel(hz: float) -> float:
    """Slaney's mel scale (Auditory Toolbox): linear to 1 kHz, logarithmic above."""
    return hz * 3.0 / 200.0 if hz < 1000.0 else 15.0 + 27.0 * float(np.log(hz / 1000.0) / np.log(6.4))


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `hz_to_mel`."""
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * 6.4 ** ((mel - 15.0) / 27.0))


def power(bins: ComplexArray) -> FloatArray:
    """Squared magnitude."""
    parts = _parts(bins)
    return _pair_sums(parts * parts)


def intensity(bins: ComplexArray, power: FloatArray) -> FloatArray:
    """Normalised active intensity (frames, 3, bins) of FOA spectra (frames, 4, bins), in channel order Y, Z, X.

    I = Re(conj(W) V) / (|W|^2 + (|X|^2 + |Y|^2 + |Z|^2) / 3), which for a single plane wave is 3/4 of the unit vector
    toward its source (DCASE 2022 baseline; Cao et al. 2019).
    """
    energy = _ENERGY_WEIGHTS @ power
    energy += INTENSITY_FLOOR
    parts = _parts(bins)
    active = _pair_sums(parts[:, :1] * parts[:, 1:])
    active /= energy
    return active


def logmel_iv(bins: ComplexArray, mel: FilterBank | None) -> FloatArray:
    """(frames, 4, bins) -> (frames, bands, 7): log-mel of W, Y, Z, X in dB, then mel intensity y, z, x."""
    assert mel is not None
    bin_power = power(bins)
    maps = mel(np.concatenate([bin_power, intensity(bins, bin_power)], axis=1))  # (frames, 7, bands)
    maps[:, :4] = _decibel(maps[:, :4])
    return np.ascontiguousarray(maps.transpose(0, 2, 1))


def logpower_phase_iv(bins: ComplexArray, _mel: FilterBank | None = None) -> FloatArray:
    """(frames, 4, bins) -> (frames, bins, 11): log-power in dB, phase in radians, intensity y, z, x (CoLoC, 3.6)."""
    bin_power = power(bins)
    maps = np.concatenate([_decibel(bin_power), np.angle(bins), intensity(bins, bin_power)], axis=1)
    return np.ascontiguousarray(maps.transpose(0, 2, 1))


def _parts(bins: ComplexArray) -> FloatArray:
    """(..., n) -> (..., 2 n): real and imaginary part of each number side by side, as they lie in memory."""
    bins = np.ascontiguousarray(bins)
    return bins.view(bins.real.dtype)


def _pair_sums(parts: FloatArray) -> FloatArray:
    return parts[..., 0::2] + parts[..., 1::2]


def _decibel(power: FloatArray) -> FloatArray:
    level = np.maximum(power, POWER_FLOOR)
    np.log(level, out=level)
    level *= _DB_PER_NEPER
    return level


_FOA = ("w", "y", "z", "x")
_INTENSITY = ("intensity_y", "intensity_z", "intensity_x")
FEATURES: dict[str, tuple[Callable[[ComplexArray, FilterBank | None], FloatArray], Sequence[str]]] = {
    "logmel_iv": (logmel_iv, (*(f"logmel_{c}" for c in _FOA), *_INTENSITY)),
    "logpower_phase_iv": (
        logpower_phase_iv,
        (*(f"logpower_{c}" for c in _FOA), *(f"phase_{c}" for c in _FOA), *_INTENSITY),
    ),
}

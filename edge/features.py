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
            mel_filters(stft.sample_rate_hz, stft.nfft, settings.bands) if settings.kind == "logmel_iv" else None
        )

    def __call__(self, spectra: Spectra) -> FeatureFrames:
        """Spectra (frames, 4, bins) -> normalised maps (frames, bands, maps)."""
        maps = self._maps(spectra.bins, self._mel)
        maps -= self._mean
        maps *= self._scale
        return FeatureFrames(maps, spectra.start)


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
    return bins.real**2 + bins.imag**2


def intensity(bins: ComplexArray, power: FloatArray) -> FloatArray:
    """Normalised active intensity (frames, 3, bins) of FOA spectra (frames, 4, bins), in channel order Y, Z, X.

    I = Re(conj(W) V) / (|W|^2 + (|X|^2 + |Y|^2 + |Z|^2) / 3), which for a single plane wave is 3/4 of the unit vector
    toward its source (DCASE 2022 baseline; Cao et al. 2019).
    """
    w, v = bins[:, :1], bins[:, 1:]
    energy = INTENSITY_FLOOR + power[:, :1] + power[:, 1:].sum(axis=1, keepdims=True) / np.float32(3.0)
    return (w.real * v.real + w.imag * v.imag) / energy


def logmel_iv(bins: ComplexArray, mel: FloatArray | None) -> FloatArray:
    """(frames, 4, bins) -> (frames, bands, 7): log-mel of W, Y, Z, X in dB, then mel intensity y, z, x."""
    assert mel is not None
    bin_power = power(bins)
    log_mel = _decibel(bin_power @ mel)  # (frames, 4, bands)
    maps = np.concatenate([log_mel, intensity(bins, bin_power) @ mel], axis=1)  # (frames, 7, bands)
    return np.ascontiguousarray(maps.transpose(0, 2, 1))


def logpower_phase_iv(bins: ComplexArray, _mel: FloatArray | None = None) -> FloatArray:
    """(frames, 4, bins) -> (frames, bins, 11): log-power in dB, phase in radians, intensity y, z, x (CoLoC, 3.6)."""
    bin_power = power(bins)
    maps = np.concatenate([_decibel(bin_power), np.angle(bins), intensity(bins, bin_power)], axis=1)
    return np.ascontiguousarray(maps.transpose(0, 2, 1))


def _decibel(power: FloatArray) -> FloatArray:
    return np.float32(10.0) * np.log10(np.maximum(power, POWER_FLOOR))


_FOA = ("w", "y", "z", "x")
_INTENSITY = ("intensity_y", "intensity_z", "intensity_x")
FEATURES: dict[str, tuple[Callable[[ComplexArray, FloatArray | None], FloatArray], Sequence[str]]] = {
    "logmel_iv": (logmel_iv, (*(f"logmel_{c}" for c in _FOA), *_INTENSITY)),
    "logpower_phase_iv": (
        logpower_phase_iv,
        (*(f"logpower_{c}" for c in _FOA), *(f"phase_{c}" for c in _FOA), *_INTENSITY),
    ),
}

"""Samples of four capsules (n, 4) -> maps (frames, bands, maps) of a published real-time system.

The features are written from their definitions and computed as librosa does: a centred transform of the whole window,
one channel after the other, with frames in columns; dense products with the mel filters; an inverse transform per pair
of channels. All is in single precision, and the checks and copies of librosa are left out, which only favours the
published system.

SALSA-Lite is of Nguyen et al., ICASSP 2022, and `thomeou/SALSA`. SALSA-Mel, MelGCC, all sizes and the window of 2 s
every second are of "Real-Time Sound Event Localization and Detection: Deployment Challenges on Edge Devices" (2025) and
`itsjunwei/Realtime-SELD-Edge`: 24 kHz, Hann window and transform of 512 samples, hop 300; 128 mel bands from 50 Hz;
spectrograms to 9 kHz; phases to 4 kHz. Both ends are reflected for SALSA, and silent for MelGCC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Literal

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from edge.frontend.mel import hz_to_mel, mel_to_hz
from edge.geometry import SPEED_OF_SOUND_M_S
from edge.types import ComplexArray, FloatArray

SAMPLE_RATE_HZ = 24000
WINDOW_S, HOP_S = 2.0, 1.0
NFFT, HOP, BANDS = 512, 300, 128
LOWEST_HZ, PHASE_HZ, HIGHEST_HZ = 50.0, 4000.0, 9000.0

_POWER_FLOOR, _RANGE_DB = np.float32(1e-10), 80.0
_BINS = NFFT // 2 + 1
_FIRST, _PHASE_END, _END = (int(hz * NFFT / SAMPLE_RATE_HZ) for hz in (LOWEST_HZ, PHASE_HZ, HIGHEST_HZ))
_WINDOW = scipy.signal.get_window("hann", NFFT).astype(np.float32)[:, None]
_WAVE_NUMBER = (  # phase of a wave per metre, by bin; 0 Hz counts as the first bin
    2.0 * np.pi * SAMPLE_RATE_HZ / NFFT / SPEED_OF_SOUND_M_S * np.maximum(np.arange(_BINS), 1)
)[:, None, None]


def stft(channel: FloatArray, edges: Literal["reflect", "constant"] = "reflect") -> ComplexArray:
    """Transform samples (n,) to spectra (bins, frames); `edges` says how numpy pads both ends."""
    padded = np.pad(channel, NFFT // 2, mode=edges)
    columns = np.lib.stride_tricks.sliding_window_view(padded, NFFT)[::HOP].T
    spectra = np.empty((_BINS, columns.shape[1]), np.complex64, order="F")
    spectra[:] = scipy.fft.rfft(_WINDOW * columns, axis=0)
    return spectra


def mel_filters() -> FloatArray:
    """Return Slaney's filters of unit area (bins, bands), from 50 Hz to half the sample rate, each band contiguous."""
    highest_hz = SAMPLE_RATE_HZ / 2.0
    edges_hz = mel_to_hz(np.linspace(hz_to_mel(LOWEST_HZ), hz_to_mel(highest_hz), BANDS + 2))
    bins_hz = np.linspace(0.0, highest_hz, _BINS)[:, None]
    rise = (bins_hz - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    fall = (edges_hz[2:] - bins_hz) / np.diff(edges_hz)[1:]
    filters = np.maximum(0.0, np.minimum(rise, fall)) * 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return np.asfortranarray(filters, np.float32)


def decibel(power: FloatArray, range_db: float | None = None) -> FloatArray:
    """Convert power to dB, limited to `range_db` below the largest value."""
    level = np.float32(10.0) * np.log10(np.maximum(_POWER_FLOOR, power))
    return level if range_db is None else np.maximum(level, level.max() - np.float32(range_db))


_MEL = mel_filters()


def salsa_lite(samples: FloatArray) -> NDArray[np.float32]:
    """Return four log spectrograms and the phases of three capsules against the first, in metres: (frames, 191, 7)."""
    spectra, levels = _spectra_and_levels(samples, None)
    ways = _ways(spectra)[_FIRST:_END]
    ways[_PHASE_END:] = 0.0
    return np.concatenate([levels[_FIRST:_END], ways], axis=-1, dtype=np.float32).transpose(1, 0, 2)


def salsa_mel(samples: FloatArray) -> NDArray[np.float32]:
    """Return the maps of `salsa_lite` in mel bands: (frames, 128, 7)."""
    spectra, levels = _spectra_and_levels(samples, _MEL)
    ways = _ways(spectra)
    ways[_PHASE_END:] = 0.0
    mel_ways = np.dot(ways.T, _MEL).T
    return np.concatenate([levels, mel_ways], axis=-1, dtype=np.float32).transpose(1, 0, 2)


def mel_gcc(samples: FloatArray) -> NDArray[np.float32]:
    """Return four log-mel spectrograms and the GCC-PHAT of the six pairs of capsules: (frames, 128, 10).

    Lag 0 is in the middle of the 128 lags.
    """
    spectra = np.stack([stft(channel, "constant") for channel in samples.T]).T  # (frames, bins, 4)
    channels = range(samples.shape[1])
    maps = [decibel(np.dot(np.abs(spectra[..., channel]) ** 2, _MEL), _RANGE_DB) for channel in channels]
    for one, other in combinations(channels, 2):
        cross = np.conj(spectra[..., one]) * spectra[..., other]
        lags = scipy.fft.irfft(np.exp(1j * np.angle(cross)), axis=-1)
        maps.append(np.concatenate([lags[:, -BANDS // 2 :], lags[:, : BANDS // 2]], axis=-1))
    return np.stack(maps, axis=-1)


def _spectra_and_levels(samples: FloatArray, mel: FloatArray | None) -> tuple[ComplexArray, FloatArray]:
    """Spectra (bins, frames, 4) and levels (bins or bands, frames, 4) in dB."""
    spectra, levels = [], []
    for channel in samples.T:
        spectrum = stft(channel)
        power = np.abs(spectrum) ** 2
        spectra.append(spectrum)
        levels.append(decibel(power if mel is None else np.dot(power.T, mel).T))
    return np.stack(spectra).transpose(1, 2, 0), np.stack(levels).transpose(1, 2, 0)


def _ways(spectra: ComplexArray) -> NDArray[np.float64]:
    """Distances in metres by which the other capsules are nearer to the source than the first (bins, frames, 3)."""
    return np.angle(spectra[:, :, 1:] * np.conj(spectra[:, :, :1])) / _WAVE_NUMBER


PEER_FEATURES: Mapping[str, Callable[[FloatArray], NDArray[np.float32]]] = {
    "salsa_lite": salsa_lite,
    "salsa_mel": salsa_mel,
    "mel_gcc": mel_gcc,
}

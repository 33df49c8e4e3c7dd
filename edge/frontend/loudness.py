"""FOA spectra of a label frame -> its A-weighted power, and the direction from which that comes.

The A curve is that of IEC 61672-1 (annex E). 0 dB is a sine of full scale at 1 kHz.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from edge.frontend.least_squares import non_negative
from edge.frontend.quantities import POWER_FLOOR, power
from edge.frontend.stft import StftSettings
from edge.types import ComplexArray

POLES_HZ = (20.598997, 107.65265, 737.86223, 12194.217)
"""Poles of the A curve; the first and the last one are double."""

_FOA_CHANNELS = 4
_TONES_HZ = (20.0, 1000.0)  # the weights of the bins are fitted to tones from here
_FITTED_HZ = 750.0  # up to here
_TONES = 120


class Heard(NamedTuple):
    """What a label frame sounds like as a whole."""

    power: float  # A-weighted; 1 is a sine of full scale at 1 kHz
    # (3,) x, y, z toward the sound, 1 long for a single plane wave, else less; None where it is not wanted
    vector: NDArray[np.float64] | None = None


class Loudness:
    """Measures one label frame after the other. Each result depends on the spectra of its call alone."""

    def __init__(self, stft: StftSettings, directions: bool = False) -> None:
        """Prepare the weights of the bins.

        Args:
            stft: Transform of the spectra.
            directions: Whether directions are wanted, too: they cost more than the power.
        """
        self._weights = 2.0 * bin_weights(stft) / stft.frames_per_label  # a sine of full scale has a power of 1/2
        self._directions = directions

    def __call__(self, bins: ComplexArray) -> Heard:
        """Measure spectra (frames, channels, bins) whose first four channels are FOA."""
        if not self._directions:
            return Heard(float(power(bins[:, 0]).sum(axis=0) @ self._weights))
        foa = bins[:, :_FOA_CHANNELS]
        powers = power(foa).sum(axis=0) @ self._weights  # (4,) of W, Y, Z, X
        w, others = foa[:, :1], foa[:, 1:]
        active = (w.real * others.real + w.imag * others.imag).sum(axis=0) @ self._weights  # (3,) y, z, x
        energy = (powers[0] + powers[1:].sum()) / 2.0  # both halves are equal for a plane wave
        vector = active[[2, 0, 1]] / max(energy, float(POWER_FLOOR))
        return Heard(float(powers[0]), vector)


def level_db(power: float) -> float:
    """Compute the level of a power; that of silence is -100 dB."""
    return 10.0 * float(np.log10(max(power, float(POWER_FLOOR))))


def a_weighting_db(frequency_hz: ArrayLike) -> NDArray[np.float64]:
    """Compute the A curve (IEC 61672-1, annex E), which is 0 dB at 1 kHz.

    Args:
        frequency_hz: Frequencies (...), above 0.

    Returns:
        Weights (...) in dB.
    """

    def gain_db(hz: ArrayLike) -> NDArray[np.float64]:
        square = np.square(np.asarray(hz, np.float64))
        low, first, second, high = np.square(POLES_HZ)
        below = (square + low) * np.sqrt((square + first) * (square + second)) * (square + high)
        decibels: NDArray[np.float64] = 20.0 * np.log10(high * square**2 / below)
        return decibels

    return gain_db(frequency_hz) - gain_db(1000.0)


def bin_weights(stft: StftSettings) -> NDArray[np.float64]:
    """Compute weights whose sum over the squared magnitudes of a frame is its A-weighted mean square.

    Where the curve is steep, below some 100 Hz, a tone leaks into bins that weigh far more than it should: 5 dB at
    31.5 Hz. So the weights of low bins are fitted by non-negative least squares, so that tones get what the curve says.

    Returns:
        Weights (bins,), none negative.
    """
    frequencies_hz = np.arange(stft.bins) * stft.sample_rate_hz / stft.nfft
    curve = np.zeros(stft.bins)
    curve[1:] = _as_power(a_weighting_db(frequencies_hz[1:]))
    tones_hz = np.geomspace(*_TONES_HZ, _TONES)
    leaked = _powers_of_tones(stft, tones_hz) / _as_power(a_weighting_db(tones_hz))[:, None]
    low = frequencies_hz < _FITTED_HZ
    curve[low] = non_negative(leaked[:, low], 1.0 - leaked[:, ~low] @ curve[~low])
    return curve * _scale(stft)


def _powers_of_tones(stft: StftSettings, tones_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share (tones, bins) of the power of a tone that is found in each bin, as the mean over its phases."""
    times_s = np.arange(stft.window_samples) / stft.sample_rate_hz
    turning = _window(stft) * np.exp(2j * np.pi * tones_hz[:, None] * times_s)
    powers = np.abs(scipy.fft.fft(turning, stft.nfft)) ** 2
    both = powers[:, : stft.bins] + np.roll(powers[:, ::-1], 1, axis=1)[:, : stft.bins]  # of positive and negative ones
    shares: NDArray[np.float64] = both / 2.0 * _scale(stft)
    return shares


def _scale(stft: StftSettings) -> NDArray[np.float64]:
    """Factors (bins,) from squared magnitudes to the mean square of the samples in a window (Parseval)."""
    both_sides = np.full(stft.bins, 2.0)
    both_sides[0] = 1.0
    if stft.nfft % 2 == 0:
        both_sides[-1] = 1.0
    scale: NDArray[np.float64] = both_sides / (stft.nfft * np.sum(_window(stft) ** 2))
    return scale


def _window(stft: StftSettings) -> NDArray[np.float64]:
    window: NDArray[np.float64] = np.hanning(stft.window_samples + 1)[:-1]
    return window


def _as_power(decibels: NDArray[np.float64]) -> NDArray[np.float64]:
    power: NDArray[np.float64] = 10.0 ** (decibels / 10.0)
    return power

"""A length and a level -> noise of the microphones themselves: self-noise, mains hum of the electronics, wind.

None of it is a sound wave, so it has no direction: self-noise and wind differ from capsule to capsule, hum is the same
in all. For scenes in FOA the four channels stand for the capsules.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from edge.types import FloatArray

_FLICKER_HZ = (100.0, 500.0)  # below this, self-noise grows
_HUM_HARMONICS = 20
_PERIOD_POINTS = 4096


def self_noise(length: int, channels: int, rate_hz: int, rng: np.random.Generator) -> FloatArray:
    """Draw the noise of capsules and converters: white, and more of it at low frequencies.

    Returns:
        Samples (length, channels), whose RMS is 1 in the mean and differs by some 0.7 dB from channel to channel.
    """
    white = rng.standard_normal((length, channels), np.float32)
    low = _low_pass(white, rng.uniform(*_FLICKER_HZ), rate_hz)
    low *= np.float32(10 ** (rng.uniform(-10, 3) / 20)) / _rms(low)
    noise = white + low
    gains_db = rng.normal(0.0, 0.7, channels)
    return noise * ((10 ** (gains_db / 20)).astype(np.float32) / _rms(noise))


def mains_hum(length: int, channels: int, rate_hz: int, rng: np.random.Generator) -> FloatArray:
    """Draw the hum of a power supply: harmonics of 50 or 60 Hz, the odd ones stronger, in phase in all channels.

    Returns:
        Samples (length, channels); the RMS over all of them is 1.
    """
    mains_hz = rng.choice([50.0, 60.0]) * (1 + rng.normal(0.0, 5e-4))
    order = np.arange(1, min(_HUM_HARMONICS, int(0.45 * rate_hz / mains_hz)) + 1)
    slope_db = -rng.uniform(2.0, 8.0) * np.log2(order)
    amplitudes = 10 ** ((slope_db + rng.normal(0.0, 5.0, len(order)) - np.where(order % 2, 0.0, 6.0)) / 20)
    phases = rng.uniform(0, 2 * np.pi, len(order))
    points = np.arange(_PERIOD_POINTS + 1) / _PERIOD_POINTS
    period = amplitudes @ np.cos(2 * np.pi * order[:, None] * points + phases[:, None])
    wave = np.interp((np.arange(length) * (mains_hz / rate_hz)) % 1, points, period)
    hum = (wave[:, None] * 10 ** (rng.normal(0.0, 1.5, channels) / 20)).astype(np.float32)
    return hum / _rms(hum)


def wind(length: int, channels: int, rate_hz: int, rng: np.random.Generator) -> FloatArray:
    """Draw the turbulence of wind at the capsules: low frequencies in gusts, independent from capsule to capsule.

    Eddies are smaller than the distance of two capsules at all but the lowest frequencies, so that the noise is
    uncorrelated. It falls by 6 dB an octave from some 40 Hz and by 12 from some 200 Hz.

    Returns:
        Samples (length, channels); the RMS over all of them is 1.
    """
    noise = rng.standard_normal((length, channels), np.float32)
    for corner_hz in (rng.uniform(20, 60), rng.uniform(100, 300)):
        noise = _low_pass(noise, corner_hz, rate_hz)
    knots = max(2, int(length / rate_hz / rng.uniform(0.4, 1.5)))
    gusts_db = np.interp(np.linspace(0, knots - 1, length), np.arange(knots), rng.normal(0.0, 6.0, knots))
    noise *= (10 ** (gusts_db / 20)).astype(np.float32)[:, None]
    return noise / _rms(noise)


def _low_pass(samples: FloatArray, corner_hz: float, rate_hz: int) -> FloatArray:
    """Filter samples (n, channels) by a low-pass of first order."""
    pole = np.exp(-2 * np.pi * corner_hz / rate_hz)
    filtered = lfilter(np.array([1 - pole], np.float32), np.array([1, -pole], np.float32), samples, axis=0)
    return np.asarray(filtered, np.float32)


def _rms(samples: FloatArray) -> np.float32:
    return np.sqrt(np.mean(np.square(samples)) + np.float32(1e-30))

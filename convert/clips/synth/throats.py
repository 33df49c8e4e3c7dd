"""Pitch, effort and the size of a vocal tract -> voiced and breathed sounds (n,) at 24 kHz, of people and animals.

This is the source-filter model with what shouting, coughing and barking throats do beside it: subharmonics, period
doubling, chaos, and turbulence that follows the flow.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from convert.clips.synth.tools import SAMPLE_RATE_HZ, Signal, noise, wander


def tube_hz(length_cm: float, count: int = 6) -> Signal:
    """Compute the formants of a uniform tube, closed at the glottis: odd multiples of c / 4 L, c = 350 m/s."""
    return np.asarray(35_000.0 / (4 * length_cm) * (2 * np.arange(count) + 1.0), dtype=np.float64)


def vowel_hz(length_cm: float, openness: float, frontness: float, count: int = 6) -> Signal:
    """Shift the first two formants of a tube to a vowel.

    Args:
        length_cm: length of the tract.
        openness: -1 for a closed mouth (i, u), 1 for an open one (a).
        frontness: -1 for a tongue at the back (u, o), 1 at the front (i, e).
        count: number of formants.
    """
    hz = tube_hz(length_cm, count)
    hz[0] *= 1.0 + 0.45 * openness
    hz[1] *= 1.0 + 0.38 * frontness - 0.08 * abs(openness)
    return hz


def voice(
    rng: np.random.Generator,
    f0_hz: Signal,
    tilt_db: float = -12.0,
    jitter: float = 0.01,
    breath: float = 0.05,
    subharmonic: Signal | float = 0.0,
) -> Signal:
    """Make the radiated source: one pulse a period, with the spectral tilt of its effort, without aliasing.

    Args:
        rng: the source of randomness.
        f0_hz: pitch (n,).
        tilt_db: slope per octave above about 4 f0: -18 soft, -12 normal, -6 shouted.
        jitter: relative deviation of periods and of their strengths.
        breath: turbulence, relative to the pulses.
        subharmonic: how much every second pulse is weaker, 0 to 1, number or curve (n,).
    """
    n = len(f0_hz)
    cycles = np.cumsum(f0_hz * (1.0 + jitter * wander(rng, n, 60.0))) / SAMPLE_RATE_HZ + rng.random()
    places = np.flatnonzero(np.diff(np.floor(cycles), prepend=np.floor(cycles[0])) > 0)
    pulses = np.zeros(n + 1)
    strength = np.exp(3 * jitter * rng.standard_normal(len(places)))
    strength *= 1.0 - np.broadcast_to(subharmonic, n)[places] * (np.arange(len(places)) % 2)
    early = (cycles[places] - np.floor(cycles[places])) / np.maximum(f0_hz[places] / SAMPLE_RATE_HZ, 1e-9)
    early = np.clip(early, 0.0, 1.0)  # the period ended so many samples before this one
    np.add.at(pulses, places, strength * (1 - early))
    np.add.at(pulses, np.maximum(places - 1, 0), strength * early)
    x = _tilted(pulses[:n], 4.0 * float(np.median(f0_hz)), tilt_db)
    x /= max(float(np.std(x)), 1e-9)
    opened = 0.5 - 0.5 * np.cos(2 * np.pi * cycles)
    air = noise(rng, n, [(200, -12), (1000, -3), (3000, 0), (8000, -3)])
    return x + breath * air * (0.5 + opened)


def tract(x: Signal, formants_hz: Signal, widths: float = 1.0, to_hz: Signal | None = None) -> Signal:
    """Filter by a vocal tract that may change its shape from `formants_hz` to `to_hz` along the sound.

    Args:
        x: source (n,).
        formants_hz: formants at the start.
        widths: factor of their bandwidths; shouting throats are wide and damped.
        to_hz: formants at the end.
    """
    first = _cascade(x, formants_hz, widths)
    if to_hz is None:
        return first
    part = np.linspace(0.0, 1.0, len(x))
    return (1 - part) * first + part * _cascade(x, to_hz, widths)


def _cascade(x: Signal, formants_hz: Signal, widths: float) -> Signal:
    for hz in formants_hz:
        if hz < 0.46 * SAMPLE_RATE_HZ:
            width_hz = widths * (50.0 + 0.05 * hz + 1.5e-6 * hz**2)
            r = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ)
            a1, a2 = -2 * r * np.cos(2 * np.pi * hz / SAMPLE_RATE_HZ), r * r
            x = signal.lfilter([1 + a1 + a2], [1.0, a1, a2], x)
    return x


def _tilted(x: Signal, corner_hz: float, tilt_db: float) -> Signal:
    """Make a spectrum rise gently to the corner (the radiation of the mouth) and fall by `tilt_db` an octave above."""
    n = len(x)
    bins = np.fft.rfftfreq(2 * n, 1 / SAMPLE_RATE_HZ)
    ratio = np.maximum(bins, 20.0) / max(corner_hz, 100.0)
    gain = ratio**0.5 / (1 + ratio ** (2 * (0.5 - tilt_db / 6.02))) ** 0.5
    return np.fft.irfft(np.fft.rfft(x, 2 * n) * gain)[:n]

"""A random generator and parameters -> elementary mono signals (n,) at 24 kHz, the building blocks of the synthesis.

Among them are noise with a given spectrum, decaying modes, a glottal source with formants, envelopes, and a mixer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, signal

SAMPLE_RATE_HZ = 24_000

Signal = NDArray[np.float64]  # (n,)
Range = tuple[float, float]


def length(seconds: float) -> int:
    """Convert seconds to a number of samples, at least one."""
    return max(1, round(seconds * SAMPLE_RATE_HZ))


def time_s(n: int) -> Signal:
    """Return the time in seconds of each of n samples."""
    return np.arange(n) / SAMPLE_RATE_HZ


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number with a uniform logarithm, as suits frequencies, durations and decay times."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def pick(rng: np.random.Generator, items: Sequence[str]) -> str:
    """Draw one of the items."""
    return items[int(rng.integers(len(items)))]


def peak(x: ArrayLike, level: float = 1.0) -> Signal:
    """Scale a signal to a largest magnitude of `level`; silence is left unchanged."""
    x64 = np.asarray(x, dtype=np.float64)
    top = float(np.max(np.abs(x64), initial=0.0))
    return x64 * (level / top) if top > 0 else x64


def curve(n: int, points: Sequence[tuple[float, float]]) -> Signal:
    """Interpolate linearly between points (position 0 to 1, value), over n samples."""
    position, value = zip(*points, strict=True)
    return np.interp(np.linspace(0.0, 1.0, n), position, value)


def fade(x: Signal, in_s: float = 0.003, out_s: float = 0.01) -> Signal:
    """Fade a signal in and out by raised cosines, each over at most half of it."""
    y = x.copy()
    head, tail = min(length(in_s), len(x) // 2), min(length(out_s), len(x) // 2)
    y[:head] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(head) / max(head, 1))
    y[len(y) - tail :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(tail) / max(tail, 1))
    return y


def decay(n: int, t60_s: float, attack_s: float = 0.001) -> Signal:
    """Make an envelope of n samples: a linear attack, then an exponential decay by 60 dB in t60_s."""
    t = time_s(n)
    return np.minimum(t / max(attack_s, 1e-6), 1.0) * 10.0 ** (-3.0 * np.maximum(t - attack_s, 0.0) / t60_s)


def lay(pieces: Iterable[tuple[float, Signal]], tail_s: float = 0.0) -> Signal:
    """Mix sounds, given as (start in seconds, sound), into one signal that ends `tail_s` after the last of them."""
    placed = [(round(start * SAMPLE_RATE_HZ), sound) for start, sound in pieces]
    mix = np.zeros(max(start + len(sound) for start, sound in placed) + round(tail_s * SAMPLE_RATE_HZ))
    for start, sound in placed:
        mix[start : start + len(sound)] += sound
    return mix


def wander(rng: np.random.Generator, n: int, rate_hz: float) -> Signal:
    """Draw a smooth random curve of mean 0 and deviation about 1 with about rate_hz extremes per second."""
    knots = rng.standard_normal(int(n / SAMPLE_RATE_HZ * rate_hz) + 4)
    position = np.arange(n) * (rate_hz / SAMPLE_RATE_HZ) + rng.uniform(0.0, 1.0)
    floor = position.astype(np.int64)
    blend = 0.5 - 0.5 * np.cos(np.pi * (position - floor))
    return knots[floor] * (1.0 - blend) + knots[floor + 1] * blend


def equalise(x: Signal, points: Sequence[tuple[float, float]]) -> Signal:
    """Filter with zero phase by a gain that is linear between points (Hz, dB) over the logarithm of frequency."""
    size = fft.next_fast_len(len(x) + SAMPLE_RATE_HZ // 10, real=True)
    bins = fft.rfftfreq(size, 1.0 / SAMPLE_RATE_HZ)
    hz, db = zip(*points, strict=True)
    gain = 10.0 ** (np.interp(np.log(np.maximum(bins, 1.0)), np.log(hz), db) / 20.0)
    return np.asarray(fft.irfft(fft.rfft(x, size) * gain, size)[: len(x)], dtype=np.float64)


def noise(rng: np.random.Generator, n: int, points: Sequence[tuple[float, float]]) -> Signal:
    """Draw Gaussian noise of deviation 1 whose spectral density follows points (Hz, dB)."""
    x = equalise(rng.standard_normal(n), points)
    return x / max(float(np.std(x)), 1e-12)


def bandpass(x: Signal, low_hz: float, high_hz: float, order: int = 2) -> Signal:
    """Filter by a Butterworth band-pass; a lower edge of 0 Hz or an upper edge near 12 kHz is left open."""
    high_hz = min(high_hz, 0.495 * SAMPLE_RATE_HZ)
    if low_hz > 0 and high_hz < 11_800:
        sos = signal.butter(order, (low_hz, high_hz), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    elif low_hz > 0:
        sos = signal.butter(order, low_hz, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    else:
        sos = signal.butter(order, high_hz, "lowpass", fs=SAMPLE_RATE_HZ, output="sos")
    return np.asarray(signal.sosfilt(sos, x), dtype=np.float64)


def resonate(x: Signal, centre_hz: float, width_hz: float) -> Signal:
    """Filter by one two-pole resonator with gain 1 at 0 Hz, a formant of a cascade."""
    radius = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ)
    a1 = -2.0 * radius * np.cos(2.0 * np.pi * min(centre_hz, 11_500.0) / SAMPLE_RATE_HZ)
    a2 = radius**2
    return np.asarray(signal.lfilter([1.0 + a1 + a2], [1.0, a1, a2], x), dtype=np.float64)


def formants(x: Signal, centres_hz: Sequence[float], widths_hz: Sequence[float] | None = None) -> Signal:
    """Filter by a vocal tract: a cascade of resonators.

    Above the last given formant, more follow up to 11 kHz at the spacing of a uniform tube, for a natural treble.

    Args:
        x: the excitation (n,).
        centres_hz: frequencies of the formants.
        widths_hz: their bandwidths; by default 60 Hz plus 6 % of the frequency.
    """
    widths = widths_hz or [60.0 + 0.06 * hz for hz in centres_hz]
    for centre, width in zip(centres_hz, widths, strict=True):
        x = resonate(x, centre, width)
    spacing = centres_hz[-1] / (len(centres_hz) - 0.5)
    for centre in np.arange(centres_hz[-1] + spacing, 11_000.0, spacing):
        x = resonate(x, float(centre), 0.12 * float(centre))
    return x


def glottis(
    rng: np.random.Generator, f0_hz: Signal, roughness: float = 0.01, breath: float = 0.05, open_part: float = 0.6
) -> Signal:
    """Make glottal pulses: the derivative of Rosenberg's glottal flow, with jitter and breath noise.

    Args:
        rng: the source of randomness.
        f0_hz: pitch curve (n,).
        roughness: relative deviation of pitch and loudness.
        breath: level of the noise relative to the pulses.
        open_part: share of a period in which the glottis is open.
    """
    n = len(f0_hz)
    phase = np.cumsum(f0_hz * (1.0 + roughness * wander(rng, n, 40.0))) / SAMPLE_RATE_HZ % 1.0
    rise = 0.67 * open_part
    opening = 0.5 * np.pi / rise * np.sin(np.pi * phase / rise)
    closing = -0.5 * np.pi / (open_part - rise) * np.sin(0.5 * np.pi * (phase - rise) / (open_part - rise))
    flow = np.where(phase < rise, opening, np.where(phase < open_part, closing, 0.0))
    pulses = flow / max(float(np.std(flow)), 1e-9) * (1.0 + 4.0 * roughness * wander(rng, n, 30.0))
    puffs = rng.standard_normal(n) * (0.4 + 0.6 * (phase < open_part))
    return pulses + breath * np.diff(puffs, prepend=0.0)


def modes(
    rng: np.random.Generator, n: int, hz: Iterable[float], t60_s: Iterable[float], gains: Iterable[float]
) -> Signal:
    """Make the sound of a struck body: decaying sines with random phases; those above 11.5 kHz are left out."""
    t = time_s(n)
    out = np.zeros(n)
    for centre, fall, gain in zip(hz, t60_s, gains, strict=True):
        if centre < 11_500:
            out += gain * np.sin(2 * np.pi * centre * t + rng.uniform(0, 2 * np.pi)) * 10.0 ** (-3.0 * t / fall)
    return out


def harmonics(f0_hz: Signal, gains: Sequence[float], phase: float = 0.0) -> Signal:
    """Add sines at 1, 2, 3... times a pitch curve (n,); those above 11.5 kHz are left out."""
    turn = 2 * np.pi * np.cumsum(f0_hz) / SAMPLE_RATE_HZ
    out = np.zeros(len(f0_hz))
    for k, gain in enumerate(gains, start=1):
        if k * float(np.max(f0_hz)) < 11_500 and gain:
            out += gain * np.sin(k * (turn + phase))
    return out


def play_at(x: Signal, speed: ArrayLike) -> Signal:
    """Play at another speed; above 1 is faster and higher. `speed` is a number or a curve over the input samples."""
    steps = np.broadcast_to(np.asarray(speed, dtype=np.float64), x.shape)
    clock = np.cumsum(1.0 / steps)
    return np.interp(np.arange(0.0, clock[-1]), clock, x)

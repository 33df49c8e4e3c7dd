"""A random generator -> a short piece of music (n,) at 24 kHz.

Key, mode, chord progression and tempo are drawn, and one of five ensembles plays the piece: plucked strings (Karplus
and Strong), a piano with stretched partials, a pad of strings or organ, a flute, bass and drums.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import signal

from convert.clips.synth.tools import (
    SAMPLE_RATE_HZ,
    Signal,
    decay,
    equalise,
    fade,
    harmonics,
    lay,
    length,
    modes,
    noise,
    peak,
    time_s,
    wander,
)

Instrument = Callable[[np.random.Generator, float, float], Signal]  # rng, pitch in Hz, seconds -> (n,)
Piece = list[tuple[float, Signal]]  # start in seconds, sound

MODES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10)}
PROGRESSIONS = ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (5, 3, 0, 4), (0, 1, 4, 0), (0, 6, 5, 4))


def music(rng: np.random.Generator) -> Signal:
    """Make four to seven seconds of music by one ensemble in a random key."""
    ensemble = int(rng.integers(5))
    beat_s, seconds = 60.0 / rng.uniform(70, 150), rng.uniform(4.0, 7.0)
    scale = MODES[("major", "minor", "dorian")[int(rng.integers(3))]]
    key_hz = 110.0 * 2 ** (int(rng.integers(12)) / 12)
    degrees = PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))]

    def pitch(degree: int) -> float:
        octave, step = divmod(degree, 7)
        return float(key_hz * 2 ** (octave + scale[step] / 12))

    piece: Piece = []
    for bar in range(int(np.ceil(seconds / (2 * beat_s)))):
        start, root = bar * 2 * beat_s, degrees[bar % 4]
        chord = [root, root + 2, root + 4, root + 7]
        if ensemble == 0:
            piece += _arpeggio(rng, pluck, [pitch(d) for d in chord], start, beat_s / 2, 4)
        elif ensemble == 1:
            piece += [(start, 0.6 * piano(rng, pitch(d), 2.2 * beat_s)) for d in chord[:3]]
            piece += _melody(rng, piano, [pitch(root + 7 + int(d)) for d in rng.integers(0, 7, 4)], start, beat_s / 2)
        elif ensemble == 2:
            piece += [(start, 0.5 * pad(rng, pitch(d), 2.1 * beat_s)) for d in chord[:3]]
            piece += _melody(rng, flute, [pitch(root + 7 + int(d)) for d in rng.integers(0, 6, 2)], start, beat_s)
        elif ensemble == 3:
            piece += [(start + b * beat_s, 0.9 * bass(rng, pitch(root) / 2, beat_s)) for b in range(2)]
            piece += [(start + beat_s / 2, 0.4 * pluck(rng, pitch(d), beat_s)) for d in chord[:3]]
            piece += _drums(rng, start, beat_s)
        else:
            piece += [(start, 0.4 * pad(rng, pitch(d), 2.1 * beat_s)) for d in chord[:3]]
            piece += _arpeggio(rng, piano, [pitch(d + 7) for d in chord], start, beat_s / 2, 4)
            piece += _drums(rng, start, beat_s) if bar % 4 else []
            piece.append((start, bass(rng, pitch(root) / 2, 2 * beat_s)))
    mix = lay(piece)[: length(seconds)]
    return equalise(fade(mix, 0.02, 0.4), [(60, 0), (500, 0), (2500, rng.uniform(-4, 6)), (9000, rng.uniform(-12, 6))])


def pluck(rng: np.random.Generator, hz: float, seconds: float) -> Signal:
    """Pluck a string: a noise burst in a damped delay loop (Karplus and Strong, 1983)."""
    n, period = length(seconds + 0.5), SAMPLE_RATE_HZ / hz
    whole = int(period - 0.5)
    part = period - 0.5 - whole  # the two-point average delays by half a sample
    loop = np.zeros(whole + 3)
    loop[0] = 1.0
    loop[whole : whole + 3] -= 0.996 * np.convolve([1 - part, part], [0.5, 0.5])
    burst = np.zeros(n)
    burst[: whole + 1] = noise(rng, whole + 1, [(200, 0), (2500, -4), (9000, -20)])
    return fade(peak(signal.lfilter([1.0], loop, burst)), 0.001, 0.2)


def piano(rng: np.random.Generator, hz: float, seconds: float) -> Signal:
    """Strike a string: slightly stretched partials, of which the high ones decay first."""
    n, k = length(seconds + 0.4), np.arange(1, 11)
    partials = hz * k * np.sqrt(1 + 4e-4 * k**2)
    tone = modes(rng, n, [*partials], [*(3.5 / k**0.6)], [*(k**-1.3 * rng.uniform(0.6, 1.2, 10))])
    thump = 0.15 * noise(rng, n, [(80, 0), (800, -10), (4000, -40)]) * decay(n, 0.06)
    return fade(peak(tone + thump) * rng.uniform(0.6, 1.0), 0.003, 0.15)


def pad(rng: np.random.Generator, hz: float, seconds: float) -> Signal:
    """Hold a note of strings or organ: three detuned series of harmonics that fade in."""
    n, gains = length(seconds), 1.0 / np.arange(1, 13) ** 1.4
    voices = [
        harmonics(hz * d * (1 + 0.002 * wander(rng, n, 4.0)), [*gains], rng.uniform(0, 6)) for d in (0.997, 1.0, 1.003)
    ]
    return fade(np.sum(voices, axis=0) / 4, 0.12, 0.2)


def flute(rng: np.random.Generator, hz: float, seconds: float) -> Signal:
    """Blow a note: a few harmonics with vibrato and breath noise."""
    n = length(seconds)
    vibrato = 1 + 0.006 * np.sin(2 * np.pi * rng.uniform(4.5, 6) * time_s(n)) * np.minimum(time_s(n) / 0.3, 1)
    air = 0.03 * noise(rng, n, [(500, -10), (2000, 0), (8000, -10)])
    return fade(harmonics(hz * vibrato, [0.7, 0.35, 0.15, 0.06, 0.03]) + air, 0.06, 0.08)


def bass(rng: np.random.Generator, hz: float, seconds: float) -> Signal:
    """Play a bass note with a soft attack."""
    n = length(seconds)
    return fade(
        harmonics(np.full(n, hz), [0.8, 0.5, 0.25, 0.12, 0.06], rng.uniform(0, 1)) * decay(n, 1.5, 0.008), 0.002, 0.05
    )


def _arpeggio(
    rng: np.random.Generator, play: Instrument, chord: list[float], start: float, step_s: float, count: int
) -> Piece:
    order = rng.permutation(len(chord)) if rng.random() < 0.4 else np.arange(len(chord))
    return [(start + i * step_s, 0.8 * play(rng, chord[int(order[i % len(chord)])], 3 * step_s)) for i in range(count)]


def _melody(rng: np.random.Generator, play: Instrument, pitches: list[float], start: float, step_s: float) -> Piece:
    return [(start + i * step_s, 0.6 * play(rng, hz, step_s)) for i, hz in enumerate(pitches) if rng.random() < 0.8]


def _drums(rng: np.random.Generator, start: float, beat_s: float) -> Piece:
    n = length(0.25)
    kick = harmonics(45 + 90 * np.exp(-time_s(n) / 0.03), [1.0]) * decay(n, 0.25)
    snare = noise(rng, n, [(150, -3), (1000, 0), (6000, 0), (12000, -6)]) * decay(n, 0.18)
    hat = noise(rng, length(0.08), [(3000, -24), (7000, 0), (12000, 0)]) * decay(length(0.08), 0.06)
    ticks = [(start + i * beat_s / 2, 0.12 * hat) for i in range(4)]
    return [(start, 0.9 * kick), (start + beat_s, 0.22 * snare), *ticks]

"""Instruments and ensembles -> phrases of one instrument, and music (n,) at 24 kHz."""

from __future__ import annotations

import numpy as np

from convert.clips.synth import music as ensembles
from convert.clips.synth.bells import shell_bell
from convert.clips.synth.bodies import bar, blows, body, ring
from convert.clips.synth.music import MODES, Instrument
from convert.clips.synth.tools import (
    Signal,
    bandpass,
    curve,
    decay,
    equalise,
    fade,
    harmonics,
    lay,
    length,
    log_uniform,
    noise,
    peak,
    time_s,
    wander,
)


def piece(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Play four to seven seconds by an ensemble; the take decides on the key and the ensemble too."""
    return equalise(ensembles.music(take), [(80, thing.uniform(-6, 3)), (800, 0), (8000, thing.uniform(-9, 3))])


def strings(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Pluck a guitar, a harp or a lute."""
    body_hz, share = log_uniform(thing, 90, 260) * np.array([1.0, 1.9, 3.1, 4.4]), thing.uniform(0.0, 0.6)
    wood = body(body_hz, 0.12, [1.0, 0.7, 0.5, 0.3])

    def play(rng: np.random.Generator, hz: float, seconds: float) -> Signal:
        string = ensembles.pluck(rng, hz, seconds)
        return string + share * peak(ring(wood, string))

    return _phrase(thing, take, play, 80, 400)


def keys(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Play a piano or an electric piano."""
    return _phrase(thing, take, ensembles.piano, 100, 600)


def mallets(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Play a xylophone, a marimba, a vibraphone or a glockenspiel: bars whose second mode is tuned."""
    second, long_s, hard_s = (
        thing.choice([3.0, 3.97, 2.76]),
        log_uniform(thing, 0.15, 2.5),
        log_uniform(thing, 0.0003, 0.003),
    )

    def play(rng: np.random.Generator, hz: float, seconds: float) -> Signal:
        bars = body(hz * np.array([1.0, second, 9.2]), long_s * np.array([1.0, 0.35, 0.12]), [1.0, 0.5, 0.25])
        return peak(ring(bars, blows(length(seconds + 0.4), [0.0], hard_s)))

    return _phrase(thing, take, play, 200, 1100)


def winds(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Blow a flute, a clarinet, an oboe or a brass instrument."""
    odd, slope, breath = float(thing.choice([0.1, 1.0, 1.0])), thing.uniform(0.5, 1.8), log_uniform(thing, 0.005, 0.08)
    vibrato_hz, depth, brass = thing.uniform(4.0, 6.5), thing.uniform(0.0, 0.01), thing.random() < 0.4

    def play(rng: np.random.Generator, hz: float, seconds: float) -> Signal:
        n = length(seconds)
        k = np.arange(1, 25.0)
        gains = np.where(k % 2 == 0, odd, 1.0) * k**-slope
        wave = 1 + depth * np.sin(2 * np.pi * vibrato_hz * time_s(n)) * np.minimum(time_s(n) / 0.3, 1)
        tone = harmonics(hz * wave * (1 + 0.002 * wander(rng, n, 6)), [*gains])
        if brass:  # the spectrum opens with the effort
            effort = curve(n, [(0, 0), (0.12, 1), (0.7, 0.8), (1, 0)])
            tone = effort * tone + (1 - effort) * bandpass(tone, 0.0, 2.5 * hz)
        air = breath * noise(rng, n, [(500, -8), (2000, 0), (8000, -10)])
        return fade(peak(tone) + air, 0.04, 0.06)

    return _phrase(thing, take, play, 150, 800)


def bows(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Bow a violin, a viola or a cello: a saw-tooth through the modes of the body, with vibrato."""
    size = log_uniform(thing, 0.5, 1.1)
    wood = body(size * np.array([280, 460, 550, 950, 1600, 2500, 3300]), 0.03, thing.uniform(0.3, 1.0, 7))
    vibrato_hz, depth = thing.uniform(4.5, 6.5), thing.uniform(0.002, 0.012)

    def play(rng: np.random.Generator, hz: float, seconds: float) -> Signal:
        n = length(seconds + 0.05)
        wave = 1 + depth * np.sin(2 * np.pi * vibrato_hz * time_s(n)) * np.minimum(time_s(n) / 0.4, 1)
        saw = harmonics(hz * wave * (1 + 0.003 * wander(rng, n, 8)), [*(1 / np.arange(1, 33.0))])
        rosin = 0.04 * noise(rng, n, [(500, -9), (3000, 0), (9000, -9)])
        return fade(peak(ring(wood, saw + rosin)) + 0.3 * peak(saw), 0.06, 0.08)

    return _phrase(thing, take, play, 130 / size**0.5, 700)


def reeds(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Play an organ, an accordion or a harmonica: steady harmonics of two reeds that beat."""
    slope, beat_hz = thing.uniform(0.4, 1.4), thing.uniform(0.3, 6.0)
    gains = np.arange(1, 17.0) ** -slope * thing.uniform(0.2, 1.0, 16)

    def play(rng: np.random.Generator, hz: float, seconds: float) -> Signal:
        n = length(seconds)
        both = harmonics(np.full(n, hz), [*gains]) + harmonics(np.full(n, hz + beat_hz), [*gains], 1.0)
        return fade(peak(both), 0.03, 0.05)

    return _phrase(thing, take, play, 130, 700, True)


def drums(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Play a drum kit, hand drums or a shaker: membranes at the zeros of Bessel functions, and noise."""
    low_hz, beat_s = log_uniform(thing, 50, 200), thing.uniform(0.3, 0.6)
    skins = [
        body(low_hz * f * np.array([1, 1.59, 2.14, 2.30, 2.65, 2.92]), thing.uniform(0.1, 0.5), 1.0)
        for f in (1.0, 1.6, 2.4)
    ]
    metal = shell_bell(thing, log_uniform(thing, 2500, 4500), log_uniform(thing, 0.1, 1.0), 1 + 0.37 * np.arange(12.0))
    pattern = thing.integers(0, 5, 16)
    pieces = []
    for step in range(int(take.integers(8, 24))):
        start, what = step * beat_s / 2, pattern[step % 16]
        n, gain = length(0.5), take.uniform(0.4, 1.0)
        if what < 3:
            pieces.append((start, gain * peak(ring(skins[what], blows(n, [0.0], 0.004)))))
        elif what == 3:
            snare = noise(take, n, [(150, -4), (1500, 0), (6000, 0), (12_000, -6)]) * decay(n, 0.2)
            pieces.append((start, 0.4 * gain * (peak(snare) + peak(ring(skins[1], blows(n, [0.0], 0.001))))))
        else:
            pieces.append((start, 0.3 * gain * peak(ring(metal, blows(n, [0.0], 0.0002)))))
    return fade(lay(pieces), 0.0, 0.2)


def _phrase(
    thing: np.random.Generator,
    take: np.random.Generator,
    play: Instrument,
    low_hz: float,
    high_hz: float,
    chords: bool = False,
) -> Signal:
    """Play a phrase of 3 to 14 notes of a scale in the compass of an instrument; some instruments play chords."""
    scale = MODES[("major", "minor", "dorian")[int(take.integers(3))]]
    root = log_uniform(take, low_hz, high_hz / 2)
    step_s = 60.0 / take.uniform(60, 160) * take.choice([0.5, 1.0])
    chords = chords or thing.random() < 0.2
    pieces, start, degree = [], 0.0, int(take.integers(0, 7))
    for _ in range(int(take.integers(3, 15))):
        beats = float(take.choice([0.5, 1, 1, 1, 2]))
        for third in range(3 if chords and take.random() < 0.5 else 1):
            octave, place = divmod(degree + 2 * third, 7)
            hz = root * 2 ** (octave + scale[place] / 12)
            pieces.append((start, take.uniform(0.5, 1.0) * play(take, min(hz, 2 * high_hz), step_s * beats)))
        start += step_s * beats
        degree = int(np.clip(degree + take.integers(-3, 4), 0, 11))
        if start > 6.5:
            break
    return fade(lay(pieces)[: length(7.5)], 0.0, 0.1)


def music_box(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Turn a music box or a toy piano: thin, bright bars."""
    long_s = log_uniform(thing, 0.4, 1.5)

    def play(rng: np.random.Generator, hz: float, seconds: float) -> Signal:
        comb = bar(np.random.default_rng(round(hz)), hz, long_s)
        return peak(ring(comb, blows(length(seconds + 0.6), [0.0], 0.0004)))

    return _phrase(thing, take, play, 500, 1500)

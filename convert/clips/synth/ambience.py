"""A random generator -> sounds (n,) at 24 kHz that belong to no class, as distractors for a detector."""

from __future__ import annotations

import numpy as np

from convert.clips.synth.tools import (
    Signal,
    bandpass,
    curve,
    decay,
    fade,
    harmonics,
    lay,
    length,
    log_uniform,
    modes,
    noise,
    time_s,
    wander,
)


def interferer(rng: np.random.Generator) -> Signal:
    """Make rain, wind, waves, an engine, a clock, a keyboard, birds, crickets, a fire or paper, 1.5-6 s."""
    kinds = (_rain, wind, _waves, _engine, _clock, _keyboard, _birds, _crickets, _fire, _paper)
    return kinds[int(rng.integers(len(kinds)))](rng)


def background(_thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Make one of the sounds of `interferer`; the thing is only the place where it is recorded."""
    return interferer(take)


def wind(rng: np.random.Generator, seconds: float | None = None) -> Signal:
    """Make gusts of wind with a low whistle, 2-6 s unless `seconds` is given."""
    n = length(seconds or rng.uniform(2.0, 6.0))
    gusts = np.exp(0.7 * wander(rng, n, 0.8))
    low = noise(rng, n, [(50, 0), (200, -3), (800, -15), (4000, -32)])
    whistle = bandpass(rng.standard_normal(n), *(log_uniform(rng, 350, 800) * np.array([0.95, 1.05])))
    return fade(gusts * (low + rng.uniform(0.0, 2.0) * gusts * whistle), 0.2, 0.3)


def _rain(rng: np.random.Generator) -> Signal:
    n = length(rng.uniform(2.0, 6.0))
    drops = np.zeros(n)
    count = int(n / 24_000 * log_uniform(rng, 40, 600))
    drops[rng.integers(0, n, count)] = rng.exponential(1.0, count) * 6
    bed = noise(rng, n, [(80, -6), (400, -8), (1500, 0), (6000, -3), (12000, -12)])
    return fade(bed + bandpass(drops, 1200, 7000), 0.1, 0.2)


def _waves(rng: np.random.Generator) -> Signal:
    n = length(rng.uniform(3.0, 6.0))
    swell = np.exp(1.2 * np.sin(2 * np.pi * rng.uniform(0.12, 0.35) * time_s(n) + rng.uniform(0, 6)))
    deep = noise(rng, n, [(60, 0), (500, 0), (2000, -6), (6000, -16), (12000, -26)])
    return fade(deep * swell + 0.15 * noise(rng, n, [(800, -9), (4000, 0), (12000, -9)]) * swell**2, 0.2, 0.3)


def _engine(rng: np.random.Generator) -> Signal:
    n, count = length(rng.uniform(2.0, 6.0)), 40
    revs = log_uniform(rng, 18, 110) * np.exp(0.15 * wander(rng, n, rng.uniform(0.4, 1.5)))
    firing = harmonics(revs, [*(np.arange(1, count + 1.0) ** -rng.uniform(0.4, 1.0) * rng.uniform(0.2, 1.0, count))])
    roar = noise(rng, n, [(50, 0), (300, 0), (1500, -10), (6000, -20)]) * (
        1 + 0.5 * np.sin(2 * np.pi * np.cumsum(revs) / 24_000)
    )
    return fade(firing / np.std(firing) + rng.uniform(0.2, 1.2) * roar, 0.2, 0.3)


def _clock(rng: np.random.Generator) -> Signal:
    period, base, ticks = rng.choice([0.25, 0.5, 1.0]), log_uniform(rng, 900, 3200), []
    for i in range(int(rng.uniform(2.0, 5.0) / period)):
        n = length(0.15)
        hz = base * (1.0 if i % 2 else rng.uniform(0.85, 0.95)) * np.array([1, 1.47, 2.3, 3.2])
        tick = modes(rng, n, hz, [0.05, 0.06, 0.03, 0.02], [1, 0.7, 0.5, 0.3])
        ticks.append(
            (i * period, fade(tick + 0.3 * noise(rng, n, [(500, -6), (3000, 0), (9000, -9)]) * decay(n, 0.02), 0.0005))
        )
    return lay(ticks)


def _keyboard(rng: np.random.Generator) -> Signal:
    keys, start, end = [], 0.0, rng.uniform(1.5, 4.5)
    bright = rng.uniform(-8, 3)
    while start < end:
        for lag, gain in ((0.0, 1.0), (rng.uniform(0.06, 0.11), 0.5)):  # the key goes down and up again
            n = length(0.06)
            click = noise(rng, n, [(150, -4), (600, -8), (2500, 0), (6000, bright), (12000, bright - 10)]) * decay(
                n, 0.035
            )
            keys.append((start + lag, click * gain * rng.uniform(0.5, 1.0)))
        start += log_uniform(rng, 0.07, 0.4)
    return lay(keys)


def _birds(rng: np.random.Generator) -> Signal:
    songs, start, end = [], 0.0, rng.uniform(1.5, 5.0)
    base = log_uniform(rng, 1800, 4500)
    while start < end:
        chirps, bends = int(rng.integers(1, 7)), [(p, rng.uniform(0.8, 1.3)) for p in (0.0, 0.35, 0.7, 1.0)]
        n = length(rng.uniform(0.04, 0.2))
        for _ in range(chirps):
            chirp = harmonics(base * curve(n, bends), [1.0, 0.15]) * curve(n, [(0, 0), (0.3, 1), (1, 0)])
            songs.append((start, chirp * rng.uniform(0.6, 1.0)))
            start += n / 24_000 + rng.uniform(0.02, 0.06)
        start += rng.uniform(0.15, 0.9)
    return lay(songs)


def _crickets(rng: np.random.Generator) -> Signal:
    n = length(rng.uniform(2.0, 5.0))
    t, hz = time_s(n), rng.uniform(3800, 5500)
    pulses = np.maximum(np.sin(2 * np.pi * rng.uniform(25, 40) * t), 0) * (
        np.sin(2 * np.pi * rng.uniform(1.2, 3.0) * t) > -0.3
    )
    return fade(harmonics(hz * (1 + 0.004 * wander(rng, n, 20.0)), [1.0, 0.1]) * pulses, 0.05, 0.1)


def _fire(rng: np.random.Generator) -> Signal:
    n = length(rng.uniform(2.0, 6.0))
    pops = np.zeros(n)
    count = int(n / 24_000 * rng.uniform(8, 40))
    pops[rng.integers(0, n, count)] = rng.exponential(1.0, count) ** 2 * 12
    bed = noise(rng, n, [(50, 4), (200, 0), (1000, -12), (5000, -18), (12000, -24)]) * np.exp(0.3 * wander(rng, n, 4.0))
    return fade(bed + bandpass(pops, 900, 9000), 0.1, 0.2)


def _paper(rng: np.random.Generator) -> Signal:
    n = length(rng.uniform(1.0, 3.0))
    crackle = noise(rng, n, [(200, -14), (1500, -4), (5000, 0), (12000, -4)])
    return fade(crackle * np.maximum(wander(rng, n, 90.0), 0) ** 2 * np.exp(0.8 * wander(rng, n, 3.0)), 0.05, 0.1)

"""Hands -> claps (n,) at 24 kHz, of one person, of a few, and of an audience that may fall into step.

Repp (The sound of two hands clapping, 1987) describes eight positions of the hands: P1 to P3 in parallel, from palm on
palm to fingers on palm; A1 to A3 at an angle; A1+ cupped and A1- flat. Peltola et al. (Synthesis of hand clapping
sounds, 2007) synthesize each as a noise pulse through one resonator. It is the air between the hands that resonates.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from convert.clips.synth.bodies import helmholtz_hz, rhythm
from convert.clips.synth.tools import (
    SAMPLE_RATE_HZ,
    Signal,
    equalise,
    length,
    log_uniform,
    noise,
    peak,
    resonate,
    time_s,
)

# Air between the hands in ml, and the gap through which it leaves in cm2: cupped hands hold much air.
POSITIONS = {
    "P1": (38.0, 6.0),
    "P2": (20.0, 7.0),
    "P3": (7.0, 7.5),
    "A1": (30.0, 7.0),
    "A2": (16.0, 7.0),
    "A3": (6.0, 8.0),
    "A1+": (75.0, 5.0),
    "A1-": (12.0, 9.0),
}
NECK_M = 0.012  # half the thickness of a hand


def clap_hz(position: str, size: float = 1.0) -> float:
    """Compute the resonance of hands in a position of `POSITIONS`; `size` scales lengths: 0.7 is a child."""
    millilitres, square_cm = POSITIONS[position]
    return float(helmholtz_hz(millilitres * 1e-6 * size**3, square_cm * 1e-4 * size**2, NECK_M * size))


def one_person(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Clap 1 to 14 times: slowly, steadily or with enthusiasm."""
    position, size = _hands(thing)
    period_s = thing.choice([0.24, 0.32, 0.5]) * thing.uniform(0.85, 1.2)
    count = int(take.integers(1, 15))
    times = rhythm(take, count, period_s * take.uniform(0.95, 1.05), thing.uniform(0.02, 0.08))
    return _applause(take, [(position, size)], [times], [1.0])


def few(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Let three to nine people of different distance clap."""
    people = [_hands(thing) for _ in range(int(thing.integers(3, 10)))]
    gains = [log_uniform(thing, 0.2, 1.0) for _ in people]
    seconds = take.uniform(1.5, 5.0)
    rates = [thing.normal(0.25, 0.04) for _ in people]
    times = [rhythm(take, int(seconds / r) + 1, abs(r), 0.05, take.uniform(0, 0.5)) for r in rates]
    return _applause(take, people, times, gains)


def audience(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Let 20 to 150 people applaud, each at about 4 claps a second; it swells and may die away."""
    people = [_hands(thing) for _ in range(int(log_uniform(thing, 20, 150)))]
    gains = [log_uniform(thing, 0.03, 1.0) for _ in people]
    seconds = take.uniform(2.0, 6.0)
    rates = [float(np.clip(thing.normal(0.26, 0.045), 0.15, 0.5)) for _ in people]
    late, early = thing.choice([0.1, 1.0]) * seconds * 0.4, thing.choice([0.0, 0.5]) * seconds
    times = [
        rhythm(
            take, int((seconds - take.uniform(0, early)) / r) + 1, r, 0.06, take.uniform(0, late) + take.uniform(0, r)
        )
        for r in rates
    ]
    return _crowd(take, people, times, gains)


def in_step(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Let an audience clap together: the period doubles, and the phases close up (Neda et al., 2000)."""
    people = [_hands(thing) for _ in range(int(log_uniform(thing, 8, 60)))]
    gains = [log_uniform(thing, 0.1, 1.0) for _ in people]
    seconds, period_s = take.uniform(2.5, 6.0), thing.uniform(0.38, 0.62)
    beats = rhythm(take, int(seconds / period_s) + 2, period_s, 0.01)
    apart_s = np.linspace(thing.uniform(0.03, 0.12), thing.uniform(0.015, 0.04), len(beats))
    times = [np.maximum(beats + apart_s * take.standard_normal(len(beats)), 0) for _ in people]
    return _crowd(take, people, times, gains)


def _hands(thing: np.random.Generator) -> tuple[str, float]:
    return tuple(POSITIONS)[int(thing.integers(len(POSITIONS)))], thing.uniform(0.75, 1.12)


def _clap(take: np.random.Generator, position: str, size: float) -> Signal:
    """Make one clap: a pulse of noise, of which the air between the hands and the flesh of the palms keep a part."""
    n = length(0.06)
    hz = clap_hz(position, size) * np.exp(0.06 * take.standard_normal())
    soft = 1.0 if position.startswith("P") or position == "A1+" else 0.6
    burst = (
        take.standard_normal(n) * np.minimum(time_s(n) / 0.0004, 1.0) * np.exp(-time_s(n) / take.uniform(0.0018, 0.005))
    )
    cavity = resonate(burst, hz, hz / take.uniform(1.6, 3.5))
    slap = equalise(burst, [(200, -18), (1000, -6 * soft), (3000, 0), (9000, -4 - 6 * soft)])
    shock = np.zeros(n)
    shock[:3] = [1.0, -0.6, -0.4]
    return peak(peak(cavity) + take.uniform(0.15, 0.5) * peak(slap) + 0.15 * shock)


def _applause(
    take: np.random.Generator, people: list[tuple[str, float]], times: list[Signal], gains: list[float]
) -> Signal:
    out = np.zeros(length(max(float(t[-1]) for t in times) + 0.1))
    for (position, size), at_s, gain in zip(people, times, gains, strict=True):
        for start in at_s:
            first = int(start * SAMPLE_RATE_HZ)
            clap = gain * np.exp(0.2 * take.standard_normal()) * _clap(take, position, size)
            out[first : first + len(clap)] += clap[: len(out) - first]
    return out


def _crowd(
    take: np.random.Generator, people: list[tuple[str, float]], times: list[Signal], gains: list[float]
) -> Signal:
    """Mix a crowd: each position of the hands has a few claps, and each person uses those of their position."""
    out = np.zeros(length(min(max(float(t[-1]) for t in times), 8.0) + 0.1))
    for position in POSITIONS:
        for variant in range(3):
            hits = np.zeros(len(out))
            for number, ((own, _), at_s, gain) in enumerate(zip(people, times, gains, strict=True)):
                if own == position and number % 3 == variant:
                    places = (at_s * SAMPLE_RATE_HZ).astype(int)
                    places = places[places < len(out)]
                    np.add.at(hits, places, gain * np.exp(0.2 * take.standard_normal(len(places))))
            if hits.any():
                clap = _clap(take, position, take.uniform(0.8, 1.1))
                out += signal.oaconvolve(hits, clap)[: len(out)]
    hall = noise(take, length(0.25), [(100, 0), (2000, 0), (9000, -9)]) * np.exp(-time_s(length(0.25)) / 0.07)
    diffuse = signal.oaconvolve(out, hall / np.linalg.norm(hall))[: len(out)]
    return out + take.uniform(0.3, 0.9) * diffuse

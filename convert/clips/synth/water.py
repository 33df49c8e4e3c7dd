"""A tap and a basin -> running, dripping and filling water (n,) at 24 kHz.

Water sounds by the bubbles that it carries along: each rings at Minnaert's frequency and dies away by radiation and
heat (van den Doel, Physically based models for liquid sounds, 2005). A jet adds the noise of its impact, and what it
hits rings along.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from convert.clips.synth.bodies import MATERIALS, Body, body, plate, ring, scaled
from convert.clips.synth.tools import (
    SAMPLE_RATE_HZ,
    Signal,
    curve,
    fade,
    lay,
    length,
    log_uniform,
    noise,
    time_s,
    wander,
)

SIZES = 40  # classes of bubbles in a dense stream


def minnaert_hz(radius_m: Signal | float) -> Signal:
    """Compute the pitch of an air bubble in water at normal pressure: 3.26 m/s over its radius (Minnaert, 1933)."""
    return 3.26 / np.asarray(radius_m, dtype=np.float64)


def bubble_decay_per_s(radius_m: Signal | float) -> Signal:
    """Compute how fast a bubble dies away: d = 0.13 / r + 0.0072 r^-3/2 (van den Doel, 2005, eq. 3)."""
    radius = np.asarray(radius_m, dtype=np.float64)
    return 0.13 / radius + 0.0072 * radius**-1.5


def bubble(radius_m: float, rise: float = 0.1) -> Signal:
    """Make one bubble; near the surface its pitch rises by `rise` per decay time."""
    decay = float(bubble_decay_per_s(radius_m))
    t = time_s(length(min(6.0 / decay, 0.3)))
    return np.sin(2 * np.pi * minnaert_hz(radius_m) * t * (1 + rise * decay * t)) * np.exp(-decay * t)


def tap_on_basin(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Run a tap on a sink of steel, ceramic or plastic: splashes, spray, and the drumming of the sheet."""
    sink = _sink(thing)
    bright, flow = thing.uniform(-12, 4), log_uniform(thing, 0.3, 1.0)
    n = length(take.uniform(2.0, 7.0))
    stream = _stream(take, n, flow)
    hiss = noise(take, n, [(100, -22), (400, -12), (1500, -4), (4000, 0), (8000, bright / 2), (12_000, bright)])
    drops = _bubbles(take, n, (0.0004, 0.004), log_uniform(thing, 400, 3000), 2.2, stream)
    drum = ring(sink, take.standard_normal(n) * stream * np.maximum(1 + 0.5 * wander(take, n, 80), 0))
    mix = _mix([(1.0, hiss * stream), (thing.uniform(0.3, 1.2), drops), (log_uniform(thing, 0.05, 0.8), drum)])
    return _turned(thing, take, mix)


def tap_in_water(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Run a tap into a full basin or a bath: a dense stream of bubbles up to a centimetre."""
    flow, depth = log_uniform(thing, 0.3, 1.0), thing.uniform(0.002, 0.009)
    n = length(take.uniform(2.0, 7.0))
    stream = _stream(take, n, flow)
    drops = _bubbles(take, n, (0.0005, depth), log_uniform(thing, 300, 2000), thing.uniform(1.6, 2.4), stream)
    hiss = noise(take, n, [(100, -12), (600, -4), (2500, 0), (7000, -6), (12_000, -14)]) * stream
    large = _single_bubbles(take, n, log_uniform(thing, 5, 40), (0.002, depth * 1.2))
    mix = _mix([(1.0, drops), (log_uniform(thing, 0.15, 1.2), hiss), (thing.uniform(0.2, 0.8), large)])
    return _turned(thing, take, mix)


def shower(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Let many thin jets fall on tiles or a tub: hiss with the patter of drops."""
    bright, sink = thing.uniform(-9, 3), _sink(thing)
    n = length(take.uniform(2.5, 7.0))
    hiss = noise(take, n, [(100, -20), (500, -9), (2000, -1), (5000, 0), (12_000, bright)])
    patter = _bubbles(take, n, (0.0003, 0.002), log_uniform(thing, 1500, 6000), 2.5, np.ones(n))
    tub = ring(scaled(sink, 1.0, 0.6), take.standard_normal(n))
    moves = np.exp(0.25 * wander(take, n, 0.8))
    return fade(
        moves * _mix([(1.0, hiss), (thing.uniform(0.2, 0.8), patter), (log_uniform(thing, 0.03, 0.3), tub)]), 0.1, 0.2
    )


def filling(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Fill a glass, a bottle or a kettle: the air column above the water shortens and its resonance rises."""
    height_m, seconds = thing.uniform(0.08, 0.3), take.uniform(2.0, 6.0)
    n = length(seconds)
    air_m = height_m * curve(n, [(0, 1.0), (1, take.uniform(0.15, 0.45))])
    column_hz = 343.0 / (4 * (air_m + 0.02))
    stream = _stream(take, n, log_uniform(thing, 0.3, 1.0))
    drops = _bubbles(take, n, (0.0006, 0.005), log_uniform(thing, 200, 1200), 2.0, stream)
    splash = drops + 0.5 * np.std(drops) * noise(take, n, [(200, -6), (1500, 0), (6000, -8), (12_000, -16)]) * stream
    column = _moving_resonance(splash, column_hz, thing.uniform(5, 15))
    third = _moving_resonance(splash, 3 * column_hz, thing.uniform(5, 15))
    mix = _mix([(1.0, splash), (thing.uniform(0.5, 2.0), column), (thing.uniform(0.1, 0.6), third)])
    return _turned(thing, take, mix)


def dripping(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Let drops fall into water or on a sink: a tick of the impact, then the bubble that it traps."""
    period_s, radius_m, sink = log_uniform(thing, 0.15, 1.2), log_uniform(thing, 0.0008, 0.004), _sink(thing)
    on_sink = thing.random() < 0.4
    drops, start = [], 0.0
    for _ in range(max(3, int(take.uniform(2.0, 5.0) / period_s))):
        tick = np.zeros(length(0.2))
        tick[: length(0.002)] = take.standard_normal(length(0.002)) * np.exp(-time_s(length(0.002)) / 0.0005)
        drops.append((start, 0.25 * tick if not on_sink else ring(sink, tick)))
        if not on_sink or take.random() < 0.5:
            rise = take.uniform(0.05, 0.3)
            drops.append(
                (start + take.uniform(0.01, 0.03), bubble(radius_m * np.exp(0.2 * take.standard_normal()), rise))
            )
        start += period_s * np.exp(0.1 * take.standard_normal())
    return lay(drops, 0.1)


def spluttering(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Open and close a tap with air in its pipe: gushes, gurgling, and a pipe that hums."""
    n = length(take.uniform(1.5, 5.0))
    gush = np.maximum(wander(take, n, thing.uniform(4, 12)) + 0.4, 0.03) ** 1.5
    hiss = noise(take, n, [(100, -16), (800, -4), (3000, 0), (12_000, thing.uniform(-14, 0))]) * gush
    drops = _bubbles(take, n, (0.0008, 0.008), log_uniform(thing, 200, 1000), 1.8, gush)
    pipe = ring(
        body(log_uniform(thing, 150, 600) * np.array([1, 2.1, 3.2, 5.0]), 0.06, 0.2), take.standard_normal(n) * gush
    )
    return fade(_mix([(1.0, hiss), (thing.uniform(0.4, 1.2), drops), (log_uniform(thing, 0.1, 0.7), pipe)]), 0.01, 0.05)


def _sink(thing: np.random.Generator) -> Body:
    name, thick = (("steel", 0.0008), ("ceramic", 0.009), ("plastic", 0.004), ("steel", 0.0012))[int(thing.integers(4))]
    size = (thing.uniform(0.25, 0.45), thing.uniform(0.3, 0.6))
    return plate(thing, MATERIALS[name], size, thick, log_uniform(thing, 0.03, 0.15))


def _stream(take: np.random.Generator, n: int, flow: float) -> Signal:
    """Draw the flow over time: turbulence is quick and weak, the pressure of the pipe slow."""
    return flow**0.3 * np.exp(0.08 * wander(take, n, 1.2) + 0.12 * wander(take, n, 15.0))


def _bubbles(
    take: np.random.Generator, n: int, radii_m: tuple[float, float], per_s: float, steep: float, flow: Signal
) -> Signal:
    """Make a dense stream of bubbles: each class of sizes is one resonator that is kicked at random times.

    Args:
        take: the source of randomness.
        n: samples.
        radii_m: smallest and largest radius.
        per_s: bubbles per second at a flow of 1.
        steep: the number of bubbles falls with this power of their radius.
        flow: the flow (n,).
    """
    radii = np.geomspace(*radii_m, SIZES)
    share = radii ** (1.0 - steep)
    share /= share.sum()
    # A large bubble is louder, but rarely driven to its limit: loudness grows with about r^1.5.
    gain = (radii / radii[0]) ** 1.5
    turn = 2 * np.pi * minnaert_hz(radii) / SAMPLE_RATE_HZ
    radius = np.exp(-bubble_decay_per_s(radii) / SAMPLE_RATE_HZ)
    out = np.zeros(n)
    level = flow / max(float(flow.mean()), 1e-9)
    for w, r, part, loud in zip(turn, radius, share, gain, strict=True):
        if w < 2.9:
            count = take.poisson(per_s * part * n / SAMPLE_RATE_HZ)
            kicks = np.zeros(n)
            places = take.integers(0, n, count)
            kicks[places] = (
                loud * np.exp(0.8 * take.standard_normal(count)) * take.choice([-1, 1], count) * level[places]
            )
            out += signal.lfilter([np.sin(w)], [1.0, -2 * r * np.cos(w), r * r], kicks)
    return out


def _single_bubbles(take: np.random.Generator, n: int, per_s: float, radii_m: tuple[float, float]) -> Signal:
    out = np.zeros(n + SAMPLE_RATE_HZ)
    for place in take.integers(0, n, take.poisson(per_s * n / SAMPLE_RATE_HZ)):
        radius_m = log_uniform(take, *radii_m)
        one = bubble(radius_m, take.uniform(0.02, 0.2)) * (radius_m / radii_m[0]) ** 1.5 * take.exponential()
        out[place : place + len(one)] += one
    return out[:n]


def _moving_resonance(x: Signal, hz: Signal, quality: float, hop: int = 480) -> Signal:
    """Filter by a resonator whose frequency follows a curve (n,); the coefficients change every 20 ms."""
    out, state = np.zeros(len(x)), np.zeros(2)
    for first in range(0, len(x), hop):
        w = 2 * np.pi * min(hz[first], 11_000.0) / SAMPLE_RATE_HZ
        r = np.exp(-0.5 * w / quality)
        part = slice(first, first + hop)
        out[part], state = signal.lfilter([1 - r], [1.0, -2 * r * np.cos(w), r * r], x[part], zi=state)
    return out


def _mix(parts: list[tuple[float, Signal]]) -> Signal:
    """Add sounds, each scaled to the same loudness times its gain."""
    return np.sum([gain * x / max(float(np.std(x)), 1e-12) for gain, x in parts], axis=0)


def _turned(thing: np.random.Generator, take: np.random.Generator, x: Signal) -> Signal:
    """Turn the tap on and off within the clip, as some recordings have it, or cut it out of a longer one."""
    if thing.random() < 0.5:
        return fade(x, 0.01, 0.01)
    on, off = take.uniform(0.02, 0.12), take.uniform(0.85, 0.98)
    return x * curve(len(x), [(0, 0), (on, 1), (off, 1), (1, take.choice([0.0, 0.05]))])

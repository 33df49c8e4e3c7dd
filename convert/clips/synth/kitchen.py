"""A kitchen -> what is handled in it (n,) at 24 kHz: dishes, cutlery, glasses, pans, food, and what is put down."""

from __future__ import annotations

import numpy as np

from convert.clips.synth.bodies import (
    MATERIALS,
    Body,
    blows,
    body,
    bounces,
    grains,
    helmholtz_hz,
    join,
    normalised,
    plate,
    rhythm,
    ring,
    scaled,
)
from convert.clips.synth.tools import Signal, curve, decay, fade, lay, length, log_uniform, noise, peak, time_s, wander


def dishes(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Stack and clear plates, bowls and cups: they strike each other, settle, and touch the table."""
    pieces = [_dish(thing) for _ in range(int(thing.integers(2, 6)))]
    return _clatter(take, pieces, _table(thing), thing.uniform(1.0, 6.0), (0.0002, 0.0009))


def cutlery(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Sort forks, knives and spoons, or eat with them from a plate."""
    pieces = []
    for _ in range(int(thing.integers(3, 7))):
        hz = log_uniform(thing, 1300, 4200)
        ratio = np.array([1.0, 1.83, 2.76, 3.9, 5.4]) * np.exp(0.08 * thing.standard_normal(5))
        pieces.append(body(hz * ratio, log_uniform(thing, 0.08, 0.5) / ratio**0.5, thing.uniform(0.3, 1.0, 5)))
    if thing.random() < 0.5:
        pieces.append(_dish(thing))
    return _clatter(take, pieces, _table(thing), thing.uniform(2.0, 10.0), (0.0001, 0.0005))


def glasses(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Clink glasses and bottles, or stir a cup: rim modes at about the squares of 2, 3, 4, 5."""
    pieces = []
    for _ in range(int(thing.integers(1, 4))):
        hz, ratio = log_uniform(thing, 600, 2400), (np.array([2.0, 3.0, 4.0, 5.0, 6.0]) / 2) ** 2
        pieces.append(body(hz * ratio, log_uniform(thing, 0.15, 1.2) / ratio**0.7, thing.uniform(0.3, 1.0, 5)))
    if thing.random() < 0.4:  # a spoon that stirs
        period_s = thing.uniform(0.12, 0.3)
        times = rhythm(take, int(take.integers(8, 22)), period_s, 0.12)
        n = length(times[-1] + 0.5)
        scrape = 0.004 * take.standard_normal(n) * np.maximum(wander(take, n, 8), 0)
        return ring(pieces[0], blows(n, times, 0.0004, take.uniform(0.2, 1.0, len(times))) + scrape)
    return _clatter(take, pieces, _table(thing), thing.uniform(0.8, 3.0), (0.00015, 0.0006))


def pans(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Handle pots, lids and baking trays of metal."""
    pieces = []
    for _ in range(int(thing.integers(1, 4))):
        metal = MATERIALS[("steel", "aluminium")[int(thing.integers(2))]]
        side = thing.uniform(0.16, 0.34)
        pieces.append(
            plate(
                thing,
                metal,
                (side, side * thing.uniform(0.9, 1.2)),
                thing.uniform(0.0012, 0.005),
                log_uniform(thing, 0.003, 0.03),
            )
        )
    return _clatter(take, pieces, _table(thing), thing.uniform(0.8, 4.0), (0.0003, 0.002))


def chopping(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Chop on a board: the blade cuts, then strikes the wood."""
    side = thing.uniform(0.2, 0.35)
    board = plate(
        thing,
        MATERIALS["pine" if thing.random() < 0.7 else "plastic"],
        (side, 1.5 * side),
        thing.uniform(0.01, 0.03),
        log_uniform(thing, 0.05, 0.15),
    )
    blade = body(log_uniform(thing, 1500, 4000) * np.array([1, 1.7, 2.6]), 0.04, 0.3)
    crisp, contact = thing.uniform(0.1, 1.0), log_uniform(thing, 0.0004, 0.002)
    times = rhythm(take, int(take.integers(4, 16)), thing.uniform(0.13, 0.5), 0.07, 0.03)
    n = length(times[-1] + 0.3)
    strength = np.exp(0.2 * take.standard_normal(len(times)))
    hit = ring(join(normalised(board), blade), blows(n, times, contact, strength))
    cuts = np.zeros(n)
    for start in times:
        cuts += _slice(take, n, start - 0.025, 0.03)
    return peak(hit) + 0.4 * crisp * cuts


def frying(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Fry or boil: thousands of small bursts of steam, and some larger ones that spit."""
    drop = body(log_uniform(thing, 1500, 4500) * np.array([1, 1.6, 2.4]), 0.003, [0.6, 1.0, 0.7])
    per_s, spits = log_uniform(thing, 800, 8000), log_uniform(thing, 2, 30)
    boils, low = thing.random() < 0.3, thing.uniform(-24, -6)
    n = length(take.uniform(2.5, 7.0))
    heat = np.exp(0.25 * wander(take, n, 2.0))
    sizzle = ring(drop, grains(take, per_s * heat, 0.8))
    hiss = noise(take, n, [(150, low), (1000, -8), (4000, -1), (8000, 0), (12_000, -3)]) * heat
    crack = ring(drop, grains(take, spits * np.ones(n), 1.2))
    x = sizzle / np.std(sizzle) + thing.uniform(0.2, 1.0) * hiss + 0.6 * peak(crack) * 4
    if boils:
        x += 3 * noise(take, n, [(80, 0), (250, 2), (600, -6), (2000, -20)]) * np.maximum(wander(take, n, 9), 0)
    return fade(x, 0.05, 0.05)


def switch(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Press switches, set down cups, lids and keys, open a can or a bottle: single small events."""
    small = body(
        log_uniform(thing, 1200, 4000) * np.array([1, 1.6, 2.5, 3.4]),
        log_uniform(thing, 0.01, 0.06),
        [0.8, 0.7, 0.5, 0.4],
    )
    bottle_hz = float(helmholtz_hz(log_uniform(thing, 5e-5, 8e-4), 3e-4, 0.03))
    opens, top, pieces, start = thing.random() < 0.3, _table(thing), [], 0.0
    for _ in range(int(take.integers(1, 5))):
        times = np.array([0.0, take.uniform(0.01, 0.12), take.uniform(0.1, 0.25)])[: int(take.integers(1, 4))]
        n = length(0.5)
        click = ring(
            join(small, scaled(top, take.uniform(0.1, 1.0))),
            blows(n, times, 0.0004, take.uniform(0.4, 1.0, len(times))),
        )
        pieces.append((start, peak(click)))
        if opens:
            pop = np.sin(2 * np.pi * bottle_hz * time_s(n)) * decay(n, 0.08, 0.001)
            gas = noise(take, n, [(500, -14), (3000, 0), (9000, -2)]) * decay(n, take.uniform(0.2, 0.8), 0.01)
            pieces.append((start + 0.02, 0.7 * pop + take.uniform(0.05, 0.4) * gas))
        start += take.uniform(0.25, 1.2)
    return lay(pieces)


def _dish(thing: np.random.Generator) -> Body:
    """Make a plate or a bowl of ceramic or glass: stiff shells with few, high modes."""
    hz, ratio = log_uniform(thing, 650, 2800), np.array([1.0, 1.62, 2.31, 2.95, 3.8, 4.9, 6.1])
    ratio = ratio * np.exp(0.06 * thing.standard_normal(7))
    return body(hz * ratio, log_uniform(thing, 0.06, 0.5) / ratio**0.6, thing.uniform(0.2, 1.0, 7))


def _table(thing: np.random.Generator) -> Body:
    """Make what things are set down on, with a largest gain of 1."""
    name = ("pine", "chipboard", "steel")[int(thing.integers(3))]
    thick = 0.0012 if name == "steel" else thing.uniform(0.018, 0.04)
    top = plate(
        thing, MATERIALS[name], (thing.uniform(0.4, 0.9), thing.uniform(0.6, 1.6)), thick, log_uniform(thing, 0.06, 0.2)
    )
    return normalised(top)


def _clatter(
    take: np.random.Generator, pieces: list[Body], top: Body, per_s: float, contact_s: tuple[float, float]
) -> Signal:
    """Let things strike each other and the table in bursts; each blow may bounce."""
    seconds, start, parts = take.uniform(1.0, 5.0), 0.0, []
    while start < seconds:
        one = pieces[int(take.integers(len(pieces)))]
        times, strengths = bounces(take, 0.0, take.uniform(0.02, 0.09), int(take.choice([1, 1, 2, 3, 5])))
        n = length(float(times[-1]) + min(1.2 * float(one.t60_s.max()), 0.8))
        force = blows(n, times, log_uniform(take, *contact_s), strengths * log_uniform(take, 0.1, 1.0))
        touched = Body(
            one.hz, one.t60_s * take.uniform(0.3, 1.0), one.gain * np.exp(0.4 * take.standard_normal(len(one.gain)))
        )
        x = ring(touched, force)
        if take.random() < 0.4:
            x += take.uniform(0.2, 1.5) * ring(top, blows(n, times, 0.0015, strengths))
        parts.append((start, x))
        start += take.exponential(1.0 / per_s) + 0.02
    return fade(lay(parts), 0.0, 0.05)


def _slice(take: np.random.Generator, n: int, start_s: float, seconds: float) -> Signal:
    out, first = np.zeros(n), max(int(start_s * 24_000), 0)
    m = min(length(seconds), n - first)
    out[first : first + m] = noise(take, length(seconds), [(300, -8), (2500, 0), (8000, -6)])[:m] * curve(
        m, [(0, 0.1), (1, 1)]
    )
    return out

"""A thing in a household -> the sound of its use (n,) at 24 kHz: keyboards, furniture, zips, paper, brooms."""

from __future__ import annotations

import numpy as np

from convert.clips.synth.bodies import (
    MATERIALS,
    blows,
    body,
    bounces,
    grains,
    join,
    lengthened,
    normalised,
    plate,
    rhythm,
    ring,
    scaled,
    stick_slip,
)
from convert.clips.synth.tools import Signal, curve, fade, lay, length, log_uniform, noise, peak, wander


def typing(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Type on a keyboard: each key strikes its stop going down and coming up."""
    case = plate(thing, MATERIALS["plastic"], (0.15, 0.4), thing.uniform(0.002, 0.004), log_uniform(thing, 0.05, 0.2))
    key = body(
        log_uniform(thing, 1500, 4500) * np.array([1, 1.5, 2.2, 3.1]),
        log_uniform(thing, 0.008, 0.03),
        [0.6, 0.8, 0.6, 0.4],
    )
    speed_s, contact = thing.uniform(0.09, 0.25), log_uniform(thing, 0.0003, 0.0015)
    downs = rhythm(take, int(take.uniform(1.5, 5.0) / speed_s), speed_s, 0.35)
    downs = downs[downs < 6.0]
    ups = downs + take.uniform(0.05, 0.11, len(downs))
    n = length(downs[-1] + 0.4)
    force = blows(n, downs, contact, np.exp(0.3 * take.standard_normal(len(downs))))
    force += blows(n, ups, contact, 0.5 * np.exp(0.3 * take.standard_normal(len(ups))))
    return ring(join(normalised(case, 0.6), key), force)


def drawer(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Pull out and push in a drawer with things in it."""
    front = plate(
        thing,
        MATERIALS["chipboard"],
        (thing.uniform(0.3, 0.6), thing.uniform(0.12, 0.3)),
        0.016,
        log_uniform(thing, 0.05, 0.12),
    )
    front, things = (
        normalised(front),
        body(log_uniform(thing, 1500, 4000) * np.array([1, 1.5, 2.3, 3.2]), 0.05, 0.4),
    )
    dry, bumps_hz = thing.uniform(0.0, 0.6), thing.uniform(15, 60)
    pieces, start = [], 0.0
    for _ in range(int(take.integers(1, 3))):
        n = length(take.uniform(0.3, 0.9))
        speed = np.maximum(curve(n, [(0, 0), (0.3, 1), (1, 0.5)]), 0.02)
        roll = noise(take, n, [(80, 0), (400, 0), (1500, -8), (6000, -20)]) * speed
        squeal = stick_slip(take, bumps_hz * 6 * speed, 0.3)
        shaken = ring(things, grains(take, 60 * speed, 0.8))
        moved = peak(ring(front, roll)) + dry * peak(ring(front, squeal)) + take.uniform(0.1, 0.8) * peak(shaken)
        times, strengths = bounces(take, 0.0, 0.05, 3)
        stop = ring(join(front, scaled(things, 0.3)), blows(length(0.4), times, 0.002, strengths))
        pieces += [(start, 0.5 * moved), (start + n / 24_000, take.uniform(0.6, 1.5) * peak(stop))]
        start += n / 24_000 + take.uniform(0.3, 1.0)
    return lay(pieces)


def chair(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Push a chair or a table over the floor: it sticks, slips and groans; then it stands."""
    frame = plate(thing, MATERIALS["pine"], (0.4, 0.45), thing.uniform(0.012, 0.03), log_uniform(thing, 0.04, 0.12))
    frame, rate_hz, irregular = (
        normalised(frame),
        log_uniform(thing, 40, 350),
        log_uniform(thing, 0.05, 0.5),
    )
    rough = log_uniform(thing, 0.02, 0.5)
    pieces, start = [], 0.0
    for _ in range(int(take.integers(1, 4))):
        n = length(take.uniform(0.25, 1.0))
        speed = np.maximum(curve(n, [(0, 0.2), (0.3, 1), (0.8, 0.8), (1, 0.1)]) * (1 + 0.3 * wander(take, n, 8)), 0.03)
        rub = rough * noise(take, n, [(150, -6), (800, 0), (3000, -3), (9000, -14)]) * speed
        moved = ring(frame, lengthened(stick_slip(take, rate_hz * speed, irregular) + rub, 0.1))
        pieces += [(start, fade(peak(moved), 0.01, 0.05))]
        start += n / 24_000
        if take.random() < 0.6:
            times, strengths = bounces(take, 0.0, 0.06, 3)
            pieces.append(
                (start, take.uniform(0.4, 1.2) * peak(ring(frame, blows(length(0.4), times, 0.002, strengths))))
            )
        start += take.uniform(0.2, 0.8)
    return lay(pieces)


def zip_or_velcro(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Open and close a zip, tear adhesive tape or a hook fastener: teeth at 100 to 900 a second, or chaos."""
    regular, teeth_hz = thing.random() < 0.6, log_uniform(thing, 120, 700)
    cloth = body(log_uniform(thing, 900, 3500) * np.array([1, 1.6, 2.4, 3.3]), 0.006, [0.6, 1.0, 0.8, 0.5])
    pieces, start = [], 0.0
    for _ in range(int(take.integers(1, 4))):
        n = length(take.uniform(0.2, 1.0))
        speed = np.maximum(curve(n, [(0, 0.2), (0.4, 1), (0.9, 0.8), (1, 0.1)]) + 0.1 * wander(take, n, 9), 0.05)
        force = stick_slip(take, teeth_hz * speed, 0.1) if regular else grains(take, 5000 * speed, 0.9)
        pieces.append((start, peak(ring(cloth, lengthened(force * speed, 0.02)), take.uniform(0.5, 1.0))))
        start += n / 24_000 + take.uniform(0.1, 0.6)
    return lay(pieces)


def paper(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Crumple, turn or tear paper, foil or a plastic bag: crackles of many strengths in bursts."""
    stiff = log_uniform(thing, 700, 4500)
    sheet = body(stiff * np.array([0.6, 1, 1.5, 2.2, 3.1]), log_uniform(thing, 0.002, 0.008), [0.4, 1, 1, 0.8, 0.6])
    per_s, spread, gusts_hz = log_uniform(thing, 300, 4000), thing.uniform(0.8, 1.7), thing.uniform(2, 9)
    n = length(take.uniform(1.0, 4.5))
    moves = np.maximum(wander(take, n, gusts_hz) + 0.3, 0) ** 1.5
    rub = noise(take, n, [(200, -14), (1500, -4), (5000, 0), (12_000, -4)]) * moves
    crackle = ring(sheet, grains(take, per_s * moves, spread))
    return fade(crackle / max(float(np.std(crackle)), 1e-9) + thing.uniform(0.1, 0.7) * rub, 0.01, 0.03)


def sweeping(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Sweep, brush, scrub or wipe in strokes."""
    colour = [
        (150, -16),
        (log_uniform(thing, 500, 2500), 0),
        (7000, thing.uniform(-12, 0)),
        (12_000, thing.uniform(-20, -4)),
    ]
    period_s, grit = thing.uniform(0.35, 1.1), log_uniform(thing, 0.05, 0.8)
    bits = body(log_uniform(thing, 2000, 5000) * np.array([1, 1.5, 2.2]), 0.004, 1.0)
    pieces = []
    for i, start in enumerate(rhythm(take, int(take.integers(2, 8)), period_s, 0.06)):
        n = length(period_s * take.uniform(0.5, 0.8))
        stroke = curve(n, [(0, 0), (0.3, 0.7), (0.7, 1), (1, 0)]) * np.maximum(1 + 0.4 * wander(take, n, 45), 0)
        x = noise(take, n, colour) * stroke + grit * peak(ring(bits, grains(take, 400 * stroke, 0.8)))
        pieces.append((float(start), x * (1.0 if i % 2 else 0.8)))
    return lay(pieces)

"""A person, shoes and a floor -> footsteps (n,) at 24 kHz.

A step is a blow of the heel, friction while the foot rolls, and a softer blow of the ball. Hard floors answer as
plates, loose ones as crowds of grains that collide (Cook, Modeling Bill's gait, 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from convert.clips.synth.bodies import (
    MATERIALS,
    Body,
    blows,
    body,
    grains,
    join,
    lengthened,
    plate,
    rhythm,
    ring,
    stick_slip,
)
from convert.clips.synth.tools import Signal, bandpass, curve, decay, lay, length, log_uniform, noise, peak, wander


@dataclass(frozen=True, slots=True)
class Walker:
    """One person in one pair of shoes."""

    step_s: float  # 0.28 when running, 0.5 when walking, 0.7 when strolling
    roll_s: float  # from heel to ball
    heel_contact_s: float  # 0.3 ms for a hard heel, 8 ms for a bare foot
    ball: float  # loudness of the ball relative to the heel
    scuff: float  # how much the sole rubs
    limp: float  # difference between left and right


Step = Callable[[np.random.Generator, Walker, float], Signal]  # take, walker, strength -> (n,)


def on_wood(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Walk on boards or parquet, which boom and sometimes creak."""
    floor = plate(
        thing, MATERIALS["pine"], (thing.uniform(0.5, 1.2), thing.uniform(1.5, 3.0)), thing.uniform(0.015, 0.035),
        log_uniform(thing, 0.05, 0.2),
    )  # fmt: skip
    creaky = thing.random() < 0.3
    hinge = body(log_uniform(thing, 300, 900) * np.array([1, 1.7, 2.6]), 0.03, 1.0)

    def step(take: np.random.Generator, walker: Walker, strength: float) -> Signal:
        hit = _hard_step(take, walker, floor, strength, [(150, 0), (800, -4), (3000, -12), (9000, -26)])
        if creaky and take.random() < 0.3:
            n = length(take.uniform(0.1, 0.3))
            slips = stick_slip(take, log_uniform(take, 40, 150) * curve(n, [(0, 0.6), (1, 1.2)]), 0.3)
            hit = lay([(0.0, hit), (take.uniform(0.05, 0.2), 0.1 * peak(ring(hinge, lengthened(slips, 0.05))))])
        return hit

    return _walk(thing, take, step)


def on_tiles(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Walk on tiles, stone, concrete or asphalt: little of the floor is heard, and much of the shoe."""
    stone = plate(thing, MATERIALS["concrete"], (1.5, 1.5), thing.uniform(0.08, 0.2), log_uniform(thing, 0.1, 0.3))
    shoe = body(
        log_uniform(thing, 350, 1600) * np.array([1, 1.8, 2.9, 4.3]), thing.uniform(0.015, 0.05), [0.5, 0.4, 0.35, 0.25]
    )
    treble = thing.uniform(-14, -2)
    colour = [(150, -6), (800, 0), (3000, -2), (7000, treble), (11_000, treble - 8)]
    return _walk(thing, take, lambda t, w, s: _hard_step(t, w, join(stone, shoe), s, colour))


def on_carpet(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Walk on carpet, or barefoot: dull thuds with the rustle of cloth."""
    base = plate(thing, MATERIALS["concrete"], (2.0, 2.0), 0.15, log_uniform(thing, 0.2, 0.5))
    thud = body(log_uniform(thing, 60, 130) * np.array([1, 2.1, 3.3]), 0.08, [1.0, 0.5, 0.3])
    cloth = thing.uniform(0.05, 0.4)

    def step(take: np.random.Generator, walker: Walker, strength: float) -> Signal:
        soft = Walker(walker.step_s, walker.roll_s, 0.008, walker.ball, 0.3 * walker.scuff, walker.limp)
        hit = _hard_step(take, soft, join(base, thud), strength, [(100, 0), (500, -6), (2000, -16), (8000, -30)])
        rustle = noise(take, len(hit), [(300, -10), (2000, 0), (8000, -8)]) * curve(
            len(hit), [(0, 0), (0.5, 1), (1, 0)]
        )
        return peak(hit) + cloth * 0.1 * rustle

    return _walk(thing, take, step)


def on_gravel(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Walk on gravel, sand, snow or leaves: crunching grains."""
    centre_hz, size = log_uniform(thing, 900, 4500), thing.uniform(0.6, 1.4)
    grain = body(
        centre_hz * size * np.array([0.6, 1.0, 1.5, 2.2, 3.1]),
        log_uniform(thing, 0.003, 0.012),
        [0.4, 1.0, 0.9, 0.7, 0.5],
    )
    per_s, spread, low = log_uniform(thing, 400, 5000), thing.uniform(0.4, 1.3), thing.uniform(0.0, 0.3)

    def step(take: np.random.Generator, walker: Walker, strength: float) -> Signal:
        n = length(walker.step_s * take.uniform(0.6, 0.85))
        heel, ball = take.uniform(0.1, 0.2), take.uniform(0.45, 0.6)
        load = curve(n, [(0, 0), (heel, 1), (heel + 0.15, 0.4), (ball, 0.9), (0.8, 0.2), (1, 0)])
        load = load * np.maximum(1 + 0.5 * wander(take, n, 25), 0)
        crunch = ring(grain, lengthened(grains(take, per_s * load, spread) * load, 0.03))
        thud = low * peak(noise(take, n, [(50, 0), (150, 0), (600, -20)]) * load)
        return lay([(0.0, strength * peak(crunch)), (0.0, strength * thud)])

    return _walk(thing, take, step)


def on_stairs(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Walk on stairs of wood or metal: short, loud boards."""
    metal = thing.random() < 0.35
    material, thick = (
        (MATERIALS["steel"], thing.uniform(0.002, 0.005)) if metal else (MATERIALS["pine"], thing.uniform(0.02, 0.04))
    )
    damping = log_uniform(thing, 0.01, 0.05) if metal else log_uniform(thing, 0.04, 0.12)
    treads = [plate(thing, material, (0.28, thing.uniform(0.7, 1.1)), thick, damping) for _ in range(4)]

    def step(take: np.random.Generator, walker: Walker, strength: float) -> Signal:
        tread = treads[int(take.integers(len(treads)))]
        return _hard_step(take, walker, tread, strength, [(150, 0), (800, -2), (3000, -8), (9000, -20)])

    return _walk(thing, take, step)


def in_heels(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Walk with hard heels: a sharp click, and a weaker one of the sole, on any hard floor."""
    wood = thing.random() < 0.5
    floor = plate(
        thing,
        MATERIALS["pine" if wood else "concrete"],
        (1.0, 2.0),
        0.03 if wood else 0.1,
        log_uniform(thing, 0.06, 0.2),
    )
    heel = body(log_uniform(thing, 900, 2800) * np.array([1, 1.6, 2.4, 3.7]), 0.02, [0.8, 0.7, 0.5, 0.3])
    hard = Walker(
        thing.uniform(0.42, 0.62),
        thing.uniform(0.05, 0.09),
        log_uniform(thing, 0.0003, 0.0009),
        0.3,
        thing.uniform(0, 0.3),
        0.1,
    )
    colour = [(200, -8), (1000, 0), (4000, -3), (10_000, -14)]
    return _walk(thing, take, lambda t, w, s: _hard_step(t, w, join(floor, heel), s, colour), hard)


def _walker(thing: np.random.Generator) -> Walker:
    runs = thing.random() < 0.2
    return Walker(
        thing.uniform(0.27, 0.38) if runs else thing.uniform(0.42, 0.75),
        thing.uniform(0.02, 0.06) if runs else thing.uniform(0.06, 0.16),
        log_uniform(thing, 0.0008, 0.008),
        thing.uniform(0.3, 1.0),
        thing.choice([0.1, 0.5, 1.0]) * thing.uniform(0.5, 1.0),
        thing.uniform(0.0, 0.3),
    )


def _hard_step(
    take: np.random.Generator, walker: Walker, floor: Body, strength: float, colour: Sequence[tuple[float, float]]
) -> Signal:
    """Make one step on a floor that does not give: heel, roll, ball."""
    roll_s = walker.roll_s * take.uniform(0.85, 1.15)
    n = length(roll_s + 0.35)
    contact = walker.heel_contact_s * np.exp(0.15 * take.standard_normal())
    ball = walker.ball * take.uniform(0.6, 1.2)
    force = blows(n, [0.004, 0.004 + roll_s], [contact, 2.0 * contact], [strength, strength * ball])
    moved = Body(floor.hz, floor.t60_s, floor.gain * np.exp(0.3 * take.standard_normal(len(floor.gain))))
    hit = peak(ring(moved, force), strength)
    n_slap = length(0.08)
    slap = noise(take, n_slap, colour) * decay(n_slap, take.uniform(0.02, 0.06), 0.0005 + contact / 2)
    rub = noise(take, n, [(300, -12), (1500, -2), (4000, 0), (9000, -8)])
    rub *= curve(n, [(0, 0), (0.1, 0.6), (0.3, 1.0), (0.6, 0.2), (1, 0)]) * np.maximum(1 + wander(take, n, 60), 0)
    return lay(
        [
            (0.0, hit),
            (0.004, 0.5 * strength * peak(slap)),
            (0.004 + roll_s, 0.4 * ball * strength * peak(slap)),
            (0.0, 0.12 * walker.scuff * strength * peak(rub)),
        ]
    )


def _walk(thing: np.random.Generator, take: np.random.Generator, step: Step, walker: Walker | None = None) -> Signal:
    """Walk 1 to 12 steps; left and right differ, and the steps come nearer or go away."""
    walker = walker or _walker(thing)
    count = int(take.integers(1, 3) if take.random() < 0.5 else take.integers(4, 13))
    times = rhythm(take, count, walker.step_s * take.uniform(0.92, 1.08), 0.03)
    nearer = np.linspace(1.0, log_uniform(take, 0.5, 2.0), count)
    parts = []
    for i, start in enumerate(times):
        strength = nearer[i] * (1 - walker.limp * (i % 2)) * np.exp(0.15 * take.standard_normal())
        parts.append((float(start), step(take, walker, float(strength))))
    return bandpass(lay(parts), 35.0, 12_000.0)

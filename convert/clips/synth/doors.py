"""A door -> what is heard of it (n,) at 24 kHz: latch, handle, hinges, slam, lock, bolt, rollers.

The panel, the lock and the frame are bodies; a slam is a long contact, a latch a few short ones, and a squeaking hinge
is friction that sticks and slips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert.clips.synth.bodies import (
    MATERIALS,
    Body,
    blows,
    body,
    bounces,
    grains,
    join,
    lengthened,
    normalised,
    plate,
    ring,
    stick_slip,
)
from convert.clips.synth.tools import Signal, curve, decay, fade, lay, length, log_uniform, noise, peak, time_s, wander


@dataclass(frozen=True, slots=True)
class Door:
    """One door with its parts."""

    panel: Body
    lock: Body
    air_hz: float  # the lowest mode of the air that a slam pushes
    rattle: float  # how loose frame and handle are, 0 to 1
    weight: float  # 0.3 for a cupboard, 1 for a room door, 2 for a gate


def slam(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Shut a door with force; it may creak before, and the latch clicks with or after the blow."""
    door, creaks = _door(thing), thing.random() < 0.3
    parts, start = [], 0.0
    if creaks:
        creak = 0.15 * peak(_creak(thing, take, door, take.uniform(0.3, 0.9)))
        parts.append((start, creak))
        start += len(creak) / 24_000 * take.uniform(0.9, 1.0)
    parts.append((start, _slam(take, door, take.uniform(0.5, 1.0))))
    if take.random() < 0.6:
        parts.append((start + take.uniform(0.01, 0.12), take.uniform(0.05, 0.3) * peak(_latch(take, door))))
    return lay(parts)


def shut_gently(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Close or open a door by its handle: the handle turns, the bolt springs, the panel meets the seal."""
    door, handle = _door(thing), _handle_body(thing)
    parts = [(0.0, 0.4 * peak(_handle(take, handle)))]
    start = take.uniform(0.1, 0.35)
    parts.append((start, 0.8 * peak(_latch(take, door))))
    if take.random() < 0.6:
        parts.append((start + 0.05, take.uniform(0.02, 0.1) * peak(_brush(take, take.uniform(0.3, 1.0)))))
    start += take.uniform(0.1, 0.9)
    parts.append((start, take.uniform(0.3, 1.0) * peak(_slam(take, door, take.uniform(0.05, 0.25)))))
    if take.random() < 0.7:
        parts.append((start + take.uniform(0.02, 0.2), 0.6 * peak(_latch(take, door))))
    return lay(parts)


def creak(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Move a door on dry hinges, slowly; it may fall shut at the end."""
    door = _door(thing)
    moan = peak(_creak(thing, take, door, take.uniform(0.7, 3.0)))
    parts = [(0.0, moan)]
    if take.random() < 0.4:
        parts.append((len(moan) / 24_000, take.uniform(0.5, 1.5) * peak(_slam(take, door, take.uniform(0.1, 0.6)))))
    return lay(parts)


def lock(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Turn a key in a lock, with a bunch of keys on it; or throw a bolt."""
    door = _door(thing)
    bunch = body(log_uniform(thing, 2800, 6000) * np.array([1, 1.31, 1.72, 2.05, 2.6]), 0.05, [0.6, 0.8, 0.7, 0.5, 0.3])
    seconds = take.uniform(0.5, 1.8)
    n = length(seconds)
    jingle = ring(bunch, grains(take, np.maximum(wander(take, n, 6), 0) * thing.uniform(15, 60), 0.7))
    pins = np.sort(take.uniform(0.0, 0.3 * seconds, int(take.integers(4, 7))))
    clicks = ring(door.lock, blows(n, pins, 0.0002, take.uniform(0.05, 0.2, len(pins))))
    parts = [(0.0, peak(jingle, take.uniform(0.1, 0.5))), (0.0, 0.3 * peak(clicks))]
    for turn in range(int(take.integers(1, 3))):
        parts.append((0.35 * seconds + turn * take.uniform(0.3, 0.5), peak(_latch(take, door))))
    return lay(parts)


def sliding(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Roll a door along its rail until it stops: a wardrobe, a balcony, a shed."""
    door = _door(thing)
    rollers, bumps_hz = thing.uniform(0.2, 1.0), thing.uniform(6, 25)
    n = length(take.uniform(0.5, 1.8))
    speed = np.maximum(curve(n, [(0, 0), (0.25, 1), (0.8, 0.9), (1, 0.5)]) + 0.1 * wander(take, n, 4), 0.02)
    turn = np.cumsum(speed) * bumps_hz / 24_000
    bumps = np.diff(np.floor(turn), prepend=0.0) * np.exp(0.3 * take.standard_normal(n))
    rumble = noise(take, n, [(60, 0), (300, 0), (1200, -8), (5000, -22)]) * speed
    panel = normalised(door.panel, 0.1)
    moved = peak(ring(panel, rumble + rollers * 30 * bumps)) + 0.15 * peak(_brush(take, n / 24_000))
    return lay([(0.0, moved), (n / 24_000, take.uniform(0.6, 1.6) * peak(_slam(take, door, take.uniform(0.1, 0.5))))])


def gate(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Shut a door of metal: a locker, a gate, an oven, a car."""
    size, thick = (thing.uniform(0.3, 1.2), thing.uniform(0.4, 1.9)), thing.uniform(0.0008, 0.003)
    sheet = plate(thing, MATERIALS["steel"], size, thick, log_uniform(thing, 0.008, 0.06))
    door = Door(sheet, _lock_body(thing), thing.uniform(40, 90), thing.uniform(0.2, 1.0), thing.uniform(0.5, 2.0))
    parts = [(0.0, _slam(take, door, take.uniform(0.3, 1.0)))]
    if take.random() < 0.5:
        parts.append((take.uniform(0.01, 0.1), 0.4 * peak(_latch(take, door))))
    if take.random() < 0.25:
        shifted = 0.2 * peak(_creak(thing, take, door, take.uniform(0.4, 1.2)))
        parts = [(0.0, shifted), *((start + len(shifted) / 24_000, sound) for start, sound in parts)]
    return lay(parts)


def _door(thing: np.random.Generator) -> Door:
    kind = thing.random()
    if kind < 0.25:  # a cupboard
        size, thick, weight = (thing.uniform(0.3, 0.6), thing.uniform(0.4, 0.9)), thing.uniform(0.012, 0.022), 0.3
    else:
        size, thick = (thing.uniform(0.7, 1.0), thing.uniform(1.9, 2.2)), thing.uniform(0.012, 0.05)
        weight = thing.uniform(0.6, 1.6)
    material = MATERIALS[("pine", "chipboard", "plywood")[int(thing.integers(3))]]
    panel = plate(thing, material, size, thick, log_uniform(thing, 0.03, 0.1))
    return Door(panel, _lock_body(thing), thing.uniform(35, 90), thing.uniform(0.0, 1.0), weight)


def _lock_body(thing: np.random.Generator) -> Body:
    """Make the case, the bolt and the spring of a lock: small pieces of steel in wood."""
    base = log_uniform(thing, 900, 2600)
    ratio = np.array([1, 1.47, 2.09, 2.56, 3.4, 4.3]) * np.exp(0.05 * thing.standard_normal(6))
    metal = body(base * ratio, log_uniform(thing, 0.02, 0.09), thing.uniform(0.3, 1.0, 6))
    wood = body(
        log_uniform(thing, 150, 450) * np.array([1, 1.9, 3.1]), 0.05, thing.uniform(0.3, 1.2) * np.array([1, 0.7, 0.4])
    )
    return join(metal, wood)


def _handle_body(thing: np.random.Generator) -> Body:
    return body(log_uniform(thing, 600, 1800) * np.array([1, 2.2, 3.7, 5.1]), 0.07, [0.5, 0.6, 0.4, 0.3])


def _latch(take: np.random.Generator, door: Door) -> Signal:
    """Let the bolt slide over the strike plate and snap into it: two to four blows within 150 ms."""
    count = int(take.integers(2, 5))
    times = np.concatenate([[0.005], 0.005 + np.cumsum(take.uniform(0.008, 0.06, count - 1))])
    strength = take.uniform(0.2, 0.7, count)
    strength[-1] = 1.0
    force = blows(length(times[-1] + 0.25), times, take.uniform(0.0002, 0.0009), strength)
    panel = normalised(door.panel, take.uniform(0.2, 0.8))
    scrape = ring(
        door.lock, 0.01 * take.standard_normal(len(force)) * curve(len(force), [(0, 0), (0.2, 1), (0.4, 0), (1, 0)])
    )
    return ring(door.lock, force) + ring(panel, force) + take.uniform(0.1, 0.6) * scrape


def _handle(take: np.random.Generator, handle: Body) -> Signal:
    """Press a handle: its spring creaks and it strikes its stop."""
    n = length(take.uniform(0.15, 0.4))
    spring = stick_slip(take, take.uniform(80, 400) * curve(n, [(0, 0.3), (0.5, 1), (1, 0.4)]), 0.4)
    stop = blows(n, [0.8 * n / 24_000], 0.0006, 8.0)
    return ring(handle, lengthened(take.uniform(0.3, 1.0) * spring + stop, 0.15))


def _brush(take: np.random.Generator, seconds: float) -> Signal:
    """Make the rush of air and of a seal along the floor."""
    n = length(seconds)
    return noise(take, n, [(100, -4), (500, 0), (3000, -6), (9000, -14)]) * curve(n, [(0, 0), (0.5, 1), (1, 0.2)])


def _creak(thing: np.random.Generator, take: np.random.Generator, door: Door, seconds: float) -> Signal:
    """Turn a dry hinge: slips at 20 to 500 a second, as fast as the door moves, sound through hinge and panel."""
    low, high = log_uniform(thing, 20, 90), log_uniform(thing, 120, 520)
    hinge_hz, irregular = log_uniform(thing, 500, 1600), log_uniform(thing, 0.03, 0.4)
    n = length(seconds)
    speed = np.clip(0.5 + 0.5 * wander(take, n, thing.uniform(1.0, 3.5)), 0.0, 1.3)
    speed *= curve(n, [(0, 0.2), (0.2, 1), (0.8, 0.9), (1, 0.1)])
    force = stick_slip(take, low * (high / low) ** speed, irregular) * np.clip(0.25 + speed, 0.0, 1.0)
    ratio = np.array([1.0, 1.6, 2.3, 3.4, 4.6]) * np.exp(0.1 * thing.standard_normal(5))
    hinge = body(hinge_hz * ratio, 0.02, thing.uniform(0.3, 1.0, 5))
    panel = normalised(door.panel, 0.4)
    return fade(ring(join(hinge, panel), lengthened(force, 0.1)), 0.02, 0.08)


def _slam(take: np.random.Generator, door: Door, force_part: float) -> Signal:
    """Stop a moving door by its frame: blows of panel on frame, the pushed air, and loose parts that rattle.

    Args:
        take: the source of randomness.
        door: the door.
        force_part: 0.05 for a door that is led to its frame, 1 for one that is thrown.
    """
    n = length(take.uniform(0.5, 1.0))
    contact_s = take.uniform(0.002, 0.008) / (0.5 + force_part)
    times, strengths = bounces(take, 0.004, take.uniform(0.015, 0.06), int(take.integers(1, 4)))
    hit = ring(door.panel, blows(n, times, contact_s, strengths))
    crack = noise(take, n, [(60, 3), (300, 0), (1500, -8), (5000, -16), (11_000, -28)]) * decay(
        n, take.uniform(0.06, 0.2), 0.003
    )
    air = np.sin(2 * np.pi * door.air_hz * time_s(n)) * decay(n, take.uniform(0.15, 0.4), 0.006)
    shaken = np.abs(hit) / max(float(np.max(np.abs(hit))), 1e-9)
    loose = ring(door.lock, grains(take, 400.0 * shaken * decay(n, 0.5)))
    metal = ring(door.lock, blows(n, times[:1], 0.0004))
    return (
        peak(hit)
        + take.uniform(0.2, 0.8) * peak(crack)
        + 0.7 * door.weight * force_part * peak(air)
        + take.uniform(0.1, 0.6) * door.rattle * peak(loose)
        + take.uniform(0.05, 0.35) * peak(metal)
    )

"""A door and a hand -> knocks (n,) at 24 kHz: on wood, glass, metal, furniture and walls."""

from __future__ import annotations

import numpy as np

from convert.clips.synth.bodies import MATERIALS, Body, blows, body, join, plate, ring, scaled
from convert.clips.synth.tools import Signal, length, log_uniform, noise

# Patterns as units of time between knocks; "shave and a haircut" is one of them.
PATTERNS = ((1, 1), (1, 1, 1), (1, 1, 1, 1), (1, 1, 2, 1, 1), (2, 1, 1, 2, 4, 2), (1, 1, 1, 1, 1), (1, 3, 1), (1,))


def wooden_door(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Knock on a solid door of 30 to 60 mm."""
    material = MATERIALS[("pine", "chipboard", "plywood")[int(thing.integers(3))]]
    size, thick = (thing.uniform(0.7, 1.0), thing.uniform(1.9, 2.2)), thing.uniform(0.03, 0.06)
    panel = plate(thing, material, size, thick, log_uniform(thing, 0.02, 0.09), _height_of_hand(thing))
    return _knocks(thing, take, join(panel, _air(thing, 0.3)), log_uniform(thing, 0.0012, 0.004))


def hollow_door(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Knock on a door of two thin boards over honeycomb paper, which booms."""
    size, thick = (thing.uniform(0.6, 0.9), thing.uniform(1.9, 2.1)), thing.uniform(0.006, 0.018)
    panel = plate(thing, MATERIALS["plywood"], size, thick, log_uniform(thing, 0.03, 0.12), _height_of_hand(thing))
    return _knocks(thing, take, join(panel, _air(thing, 1.0)), log_uniform(thing, 0.0015, 0.005))


def glass_door(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Knock on a pane in a frame: a window, a shop door, a shower."""
    size, thick = (thing.uniform(0.4, 1.0), thing.uniform(0.5, 2.0)), thing.uniform(0.003, 0.010)
    pane = plate(thing, MATERIALS["glass"], size, thick, log_uniform(thing, 0.015, 0.06))
    return _knocks(thing, take, join(pane, _air(thing, 0.1)), log_uniform(thing, 0.0004, 0.002))


def metal_door(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Knock on sheet steel over a frame: a cellar door, a locker, a container."""
    size, thick = (thing.uniform(0.3, 1.0), thing.uniform(0.6, 2.0)), thing.uniform(0.0010, 0.004)
    sheet = plate(thing, MATERIALS["steel"], size, thick, log_uniform(thing, 0.008, 0.04))
    return _knocks(thing, take, join(sheet, _air(thing, 0.5)), log_uniform(thing, 0.0006, 0.0025))


def table(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Knock on a table top, a desk or a shelf."""
    material = MATERIALS[("pine", "chipboard", "plywood")[int(thing.integers(3))]]
    size, thick = (thing.uniform(0.5, 0.9), thing.uniform(0.7, 1.8)), thing.uniform(0.015, 0.035)
    top = plate(thing, material, size, thick, log_uniform(thing, 0.03, 0.1))
    return _knocks(thing, take, top, log_uniform(thing, 0.0008, 0.003))


def box(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Knock on a cupboard, a drawer front or a wooden box with air inside."""
    size, thick = (thing.uniform(0.2, 0.6), thing.uniform(0.2, 0.9)), thing.uniform(0.006, 0.018)
    front = plate(thing, MATERIALS["plywood"], size, thick, log_uniform(thing, 0.02, 0.08))
    return _knocks(
        thing, take, join(front, scaled(_air(thing, 1.0), 1.0, thing.uniform(1, 3))), thing.uniform(1e-3, 3e-3)
    )


def wall(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Knock on plasterboard, or on a wall of stone, which only thuds."""
    hollow = thing.random() < 0.6
    thick = thing.uniform(0.010, 0.025) if hollow else thing.uniform(0.08, 0.15)
    board = plate(
        thing, MATERIALS["plaster" if hollow else "concrete"], (1.2, 2.5), thick, log_uniform(thing, 0.05, 0.15)
    )
    return _knocks(thing, take, join(board, _air(thing, 0.5)), log_uniform(thing, 0.002, 0.006))


def knocker(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Strike a door with a ring or a hammer of metal, or with a stick."""
    door = plate(
        thing, MATERIALS["pine"], (0.9, 2.1), thing.uniform(0.035, 0.06), log_uniform(thing, 0.02, 0.05), (0.5, 0.65)
    )
    iron = body(log_uniform(thing, 900, 2600) * np.array([1, 1.7, 2.9, 4.1]), 0.08, [0.5, 0.4, 0.3, 0.2])
    return _knocks(thing, take, join(door, iron), log_uniform(thing, 0.0002, 0.001))


def _height_of_hand(thing: np.random.Generator) -> tuple[float, float]:
    return thing.uniform(0.25, 0.75), thing.uniform(0.55, 0.75)


def _air(thing: np.random.Generator, gain: float) -> Body:
    """Make the lowest modes of the air behind the panel, of a small room or a cavity."""
    return body(log_uniform(thing, 55, 130) * np.array([1.0, 1.4, 1.9, 2.7]), thing.uniform(0.08, 0.25), gain * 0.12)


def _knocks(thing: np.random.Generator, take: np.random.Generator, struck: Body, contact_s: float) -> Signal:
    """Knock in the rhythm of one person; the knuckles hit a little harder, softer and elsewhere each time."""
    unit_s, click = thing.uniform(0.11, 0.24), log_uniform(thing, 0.002, 0.05)
    favourite = int(thing.integers(len(PATTERNS)))
    times, start = [], 0.0
    for _ in range(int(take.choice([1, 1, 1, 2]))):
        pattern = PATTERNS[favourite if take.random() < 0.5 else int(take.integers(len(PATTERNS)))]
        tempo = unit_s * take.uniform(0.85, 1.2)
        for step in (0, *pattern):
            start += tempo * step * np.exp(0.06 * take.standard_normal())
            times.append(start)
        start += take.uniform(0.4, 1.0)
    n = length(times[-1] + 0.6)
    strength = np.exp(0.2 * take.standard_normal(len(times)))
    force = blows(n, times, contact_s * strength**-0.2, strength)  # harder blows touch for a shorter time
    moved = Body(struck.hz, struck.t60_s, struck.gain * np.exp(0.25 * take.standard_normal(len(struck.gain))))
    skin = force * noise(take, n, [(200, 0), (1500, 0), (6000, -12)])
    return ring(moved, force) + click * np.max(np.abs(struck.gain), initial=0.0) * skin

"""A machine of a household -> the sound of its motor, its air and what it moves (n,) at 24 kHz."""

from __future__ import annotations

import numpy as np

from convert.clips.synth.bodies import body, grains, ring
from convert.clips.synth.tools import (
    Signal,
    curve,
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


def vacuum_cleaner(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Vacuum: a motor of 200 to 500 turns a second, its blades, broad air noise, and the strokes over the floor."""
    turns_hz, blades = thing.uniform(180, 520), int(thing.integers(5, 10))
    tone, tilt = log_uniform(thing, 0.05, 1.0), thing.uniform(-5, 3)
    of_turns, of_blades = _gains(thing, 12, 0.8), _gains(thing, 4, 1.0)
    n = length(take.uniform(2.0, 7.0))
    starts = take.random() < 0.2
    spin = (1 + 0.008 * wander(take, n, 1.0)) * curve(n, [(0, 0.3 if starts else 1.0), (0.2, 1), (1, 1)])
    motor = _motor(take, turns_hz, of_turns, spin) + 0.7 * _motor(take, turns_hz * blades, of_blades, spin)
    air = noise(take, n, [(60, -8), (200, -2), (600, 0), (1500, 1 + tilt), (4000, -3 + tilt), (12_000, -14 + tilt)])
    strokes = np.exp(
        0.25 * np.sin(2 * np.pi * take.uniform(0.3, 0.9) * time_s(n) + take.uniform(0, 6)) + 0.1 * wander(take, n, 3)
    )
    return fade((air * strokes + tone * motor) * (0.2 + 0.8 * spin**3), 0.05, 0.05)


def kitchen_machine(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Run a blender, a mixer, a coffee grinder or a food processor in short bursts."""
    turns_hz, grind = log_uniform(thing, 60, 330), log_uniform(thing, 0.02, 1.0)
    cup = body(log_uniform(thing, 300, 1400) * np.array([1, 1.7, 2.5, 3.8]), 0.03, [0.7, 0.6, 0.4, 0.3])
    gains, airy, pieces, start = _gains(thing, 30, 0.6), thing.uniform(0.2, 0.9), [], 0.0
    for _ in range(int(take.integers(1, 4))):
        n = length(take.uniform(0.8, 3.0))
        load = 1 + 0.03 * wander(take, n, 4)
        spin = curve(n, [(0, 0.2), (0.1, 1), (0.9, 1), (1, 0.3)]) * load
        whir = _motor(take, turns_hz, gains, spin)
        air = noise(take, n, [(150, -10), (800, 0), (3000, 0), (7000, -4), (12_000, -12)])
        bits = ring(cup, grains(take, 1500 * np.maximum(wander(take, n, 12) + 0.5, 0), 0.8))
        x = whir + airy * air + grind * bits / max(float(np.std(bits)), 1e-9)
        pieces.append((start, fade(x * spin**2, 0.03, 0.1)))
        start += n / 24_000 + take.uniform(0.2, 0.7)
    return lay(pieces)


def washing_machine(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Wash, rinse or spin: a rumbling drum, sloshing water, and the pitch of the motor."""
    spins = thing.random() < 0.5
    drum_hz = thing.uniform(8, 20) if spins else thing.uniform(0.6, 1.2)
    motor_hz, knock = log_uniform(thing, 60, 320), thing.uniform(0.0, 1.0)
    n = length(take.uniform(3.0, 7.0))
    phase = 2 * np.pi * np.cumsum(drum_hz * (1 + 0.02 * wander(take, n, 0.5))) / 24_000
    rumble = noise(take, n, [(30, 0), (100, 3), (300, -3), (1000, -14), (5000, -28), (12_000, -34)]) * (
        1 + 0.4 * np.sin(phase)
    )
    slosh = noise(take, n, [(150, -10), (500, 0), (2000, -3), (8000, -16)]) * np.maximum(
        np.sin(phase) + 0.5 * wander(take, n, 6), 0
    )
    motor = _motor(take, motor_hz, _gains(thing, 14, 0.9), 1 + 0.005 * wander(take, n, 1))
    cabinet = body(log_uniform(thing, 40, 90) * np.array([1, 1.6, 2.3, 3.6]), 0.12, 1.0)
    thumps = ring(cabinet, np.diff(np.floor(phase / 2 / np.pi), prepend=0) * np.exp(0.3 * take.standard_normal(n)))
    return fade(
        rumble + (0.1 if spins else 0.8) * slosh + thing.uniform(0.1, 0.9) * motor + 2 * knock * peak(thumps),
        0.05,
        0.05,
    )


def fan(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Let a cooker hood, a fan, a heater, a fridge or a microwave oven run; an oven beeps at the end."""
    hum_hz, blades_hz = float(thing.choice([50.0, 60.0])), log_uniform(thing, 60, 300)
    dark, hum, beeps = thing.uniform(-30, -10), log_uniform(thing, 0.05, 1.0), thing.random() < 0.3
    n = length(take.uniform(2.5, 7.0))
    air = noise(take, n, [(40, -3), (150, 0), (600, -4), (2000, -10), (6000, dark), (12_000, dark - 8)])
    buzz = _motor(take, 2 * hum_hz, _gains(thing, 12, 0.9), np.ones(n))
    blade = _motor(take, blades_hz, _gains(thing, 5, 1.2), 1 + 0.003 * wander(take, n, 0.7))
    run = fade(air * (1 + 0.06 * wander(take, n, 2)) + hum * buzz + thing.uniform(0, 0.5) * blade, 0.05, 0.1)
    if not beeps:
        return run
    pitch, beep_s = log_uniform(thing, 900, 3200), thing.uniform(0.12, 0.5)
    beep = fade(harmonics(np.full(length(beep_s), pitch), [1.0, 0.1, 0.2]), 0.005, 0.01)
    return lay([(0.0, run), *((n / 24_000 + 0.1 + i * 1.8 * beep_s, 1.5 * beep) for i in range(3))])


def hair_dryer(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Blow hair, shave, or brush teeth: a small motor close to the ear."""
    buzzes = thing.random() < 0.5
    hz, share = log_uniform(thing, 90, 260) if buzzes else log_uniform(thing, 150, 450), log_uniform(thing, 0.1, 1.0)
    n = length(take.uniform(2.0, 6.0))
    gains = _gains(thing, 40 if buzzes else 12, 0.5 if buzzes else 0.9)
    motor = _motor(take, hz, gains, 1 + 0.01 * wander(take, n, 2))
    air = noise(take, n, [(100, -10), (400, 0), (1500, 0), (4000, -2), (9000, -8), (12_000, -16)])
    return fade((0.15 if buzzes else 1.0) * air * (1 + 0.15 * wander(take, n, 1.5)) + share * motor, 0.03, 0.05)


def _gains(thing: np.random.Generator, count: int, fall: float) -> Signal:
    """Draw the strengths of the harmonics of a machine; they fall with a power of their order."""
    return np.arange(1, count + 1.0) ** -fall * thing.uniform(0.1, 1.0, count)


def _motor(take: np.random.Generator, hz: float, gains: Signal, spin: Signal) -> Signal:
    """Make the tone of a motor, of deviation 1; `spin` (n,) is its speed relative to the usual one."""
    tone = harmonics(hz * spin, [*gains], take.uniform(0, 6))
    return tone / max(float(np.std(tone)), 1e-9)

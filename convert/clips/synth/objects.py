"""A random generator -> sounds of things in a house (n,) at 24 kHz.

These are knocks, footsteps, doors, telephones, water taps, and the appliances and dishes of the class `domestic`.
"""

from __future__ import annotations

import numpy as np

from convert.clips.synth.tools import (
    Signal,
    bandpass,
    curve,
    decay,
    equalise,
    fade,
    formants,
    glottis,
    harmonics,
    lay,
    length,
    log_uniform,
    modes,
    noise,
    peak,
    time_s,
    wander,
)


def knock(rng: np.random.Generator) -> Signal:
    """Make two to five knocks on wood, each of a few low modes and a dull click, 0.3-1.5 s."""
    body = np.array([1.0, 1.62, 2.4, 3.7, 5.9]) * log_uniform(rng, 110, 230)
    falls = [log_uniform(rng, 0.5, 1.3) * log_uniform(rng, 0.1, 0.3) for _ in body]
    levels = np.array([1.0, 0.6, 0.4, 0.25, 0.12]) * rng.uniform(0.5, 1.3, len(body))
    period, click, pieces, start = rng.uniform(0.14, 0.33), rng.uniform(0.1, 0.5), [], 0.0
    for _ in range(int(rng.integers(2, 6))):
        n = length(0.3)
        blow = modes(rng, n, body * rng.uniform(0.99, 1.01), falls, levels * rng.uniform(0.7, 1.2, len(body)))
        tap = noise(rng, n, [(80, 0), (400, -3), (1500, -14), (6000, -40)]) * decay(n, 0.04)
        pieces.append((start, fade(blow + 2 * click * tap, 0.001, 0.08) * rng.uniform(0.7, 1.0)))
        start += period * rng.uniform(0.9, 1.12)
    return lay(pieces)


def footsteps(rng: np.random.Generator) -> Signal:
    """Make one to ten steps of one person on one floor: heel, toe, and the noise of the ground, 0.3-6 s."""
    heel_hz, brightness = log_uniform(rng, 60, 160), rng.uniform(-14.0, 2.0)
    grit, hard = rng.choice([0.2, 0.6, 1.5]) * rng.uniform(0.6, 1.4), rng.uniform(0.2, 1.0)
    period, roll = rng.uniform(0.4, 0.75), rng.uniform(0.05, 0.12)
    colour = [(100.0, -8.0), (500.0, -4.0), (1500.0, -1.0), (4000.0, brightness - 3), (11000.0, brightness - 16)]
    pieces, start = [], 0.0
    for i in range(int(rng.integers(1, 3) if rng.random() < 0.35 else rng.integers(3, 11))):
        n = length(0.32)
        thud = modes(rng, n, [heel_hz, heel_hz * 2.3, heel_hz * 4.1], [0.12, 0.08, 0.05], [0.6, 0.5 * hard, 0.4 * hard])
        click = noise(rng, n, colour) * decay(n, log_uniform(rng, 0.03, 0.08)) * hard
        scuff = noise(rng, n, colour) * curve(n, [(0, 0), (0.1, 0.5), (0.3, 1), (0.6, 0.2), (1, 0)])
        scuff *= np.maximum(1 + 0.8 * wander(rng, n, 60.0), 0)
        toe = 0.5 * (0.4 * thud + 0.8 * click)
        step = lay([(0.0, thud + 0.6 * click), (0.0, 0.25 * grit * scuff), (roll * rng.uniform(0.9, 1.1), toe)])
        pieces.append((start, step * rng.uniform(0.7, 1.0) * (0.9 if i % 2 else 1.0)))
        start += period * rng.uniform(0.93, 1.07)
    return bandpass(fade(lay(pieces), 0.001, 0.05), 50.0, 12_000.0)


def door(rng: np.random.Generator) -> Signal:
    """Make a door that opens, closes or both: latch, creak and slam, 0.4-4 s."""
    kind, pieces, start = rng.random(), [], 0.0
    if kind < 0.75:
        pieces.append((start, _latch(rng) * rng.uniform(0.3, 0.8)))
        start += rng.uniform(0.15, 0.4)
    if kind < 0.45 or kind > 0.9:
        creak = _creak(rng)
        pieces.append((start, creak * rng.uniform(0.25, 0.7)))
        start += len(creak) / 24_000 + rng.choice([0.1, 1.0]) * rng.uniform(0.0, 1.5)
    if kind > 0.25:
        pieces.append((start, _slam(rng)))
        if rng.random() < 0.5:
            pieces.append((start + rng.uniform(0.03, 0.15), _latch(rng) * rng.uniform(0.2, 0.6)))
    return lay(pieces)


def _latch(rng: np.random.Generator) -> Signal:
    base = log_uniform(rng, 900, 2400)
    clicks, start = [], 0.0
    for _ in range(int(rng.integers(2, 4))):
        n = length(0.12)
        metal = modes(rng, n, base * np.array([1, 1.53, 2.41, 3.3]), [0.05, 0.04, 0.05, 0.03], rng.uniform(0.2, 1, 4))
        wood = modes(rng, n, [log_uniform(rng, 120, 350), log_uniform(rng, 350, 700)], [0.09, 0.06], [1.2, 0.8])
        clicks.append((start, fade(metal + wood, 0.0005, 0.05) * rng.uniform(0.4, 1.0)))
        start += rng.uniform(0.03, 0.13)
    return peak(lay(clicks))


def _creak(rng: np.random.Generator) -> Signal:
    n = length(rng.uniform(0.5, 1.8))
    f0 = log_uniform(rng, 60, 260) * np.exp(0.35 * wander(rng, n, 3.0)) * curve(n, [(0, 0.7), (0.5, 1.2), (1, 0.8)])
    resonances = np.sort([log_uniform(rng, 500, 1200), log_uniform(rng, 1200, 2200), log_uniform(rng, 2500, 4500)])
    stick = glottis(rng, f0, 0.12, 0.1, 0.25)
    return peak(
        fade(
            formants(stick, [*resonances], [80, 90, 140]) * np.maximum(0.6 + 0.5 * wander(rng, n, 5.0), 0.05),
            0.08,
            0.08,
        )
    )


def _slam(rng: np.random.Generator) -> Signal:
    n = length(rng.uniform(0.35, 0.7))
    panel = np.array([1.0, 1.7, 2.6, 4.2, 6.5]) * log_uniform(rng, 55, 120)
    boom = modes(rng, n, panel, log_uniform(rng, 0.2, 0.5) * np.array([1.4, 1, 0.8, 0.6, 0.5]), [1, 0.8, 0.6, 0.4, 0.3])
    crack = noise(rng, n, [(60, 4), (300, 0), (2000, -8), (6000, -13), (12000, -24)]) * decay(n, rng.uniform(0.12, 0.3))
    rattle = noise(rng, n, [(300, -10), (2500, 0), (9000, -8)]) * decay(n, 0.3) * np.maximum(wander(rng, n, 35.0), 0)
    return peak(fade(boom + rng.uniform(0.8, 1.6) * crack + rng.uniform(0.05, 0.4) * rattle, 0.001, 0.1))


def telephone(rng: np.random.Generator) -> Signal:
    """Make a telephone with a mechanical bell, an electronic trill or a melody, 0.8-5 s."""
    return (_bell_phone, _trill_phone, _melody_phone)[int(rng.integers(3))](rng)


def _bell_phone(rng: np.random.Generator) -> Signal:
    gongs = log_uniform(rng, 900, 1500) * np.array([1.0, rng.uniform(1.1, 1.3)])
    rate, pieces = rng.uniform(18, 28), []
    ratios, on_s, off_s, start = (
        np.array([1.0, 2.32, 3.87, 5.6, 7.1]),
        rng.uniform(0.7, 1.6),
        rng.uniform(0.3, 1.2),
        0.0,
    )
    for _ in range(int(rng.integers(1, 3))):
        strokes = []
        for i in range(int(on_s * rate)):
            n = length(0.6)
            gains = np.array([0.4, 0.5, 0.9, 1.0, 0.7]) * rng.uniform(0.8, 1.2, 5)
            strokes.append((i / rate, modes(rng, n, gongs[i % 2] * ratios, [0.9, 0.6, 0.45, 0.3, 0.2], gains)))
        ring = lay(strokes)
        pieces.append((start, fade(ring, 0.001, 0.3)))
        start += on_s + off_s
    return lay(pieces)


def _trill_phone(rng: np.random.Generator) -> Signal:
    low = log_uniform(rng, 420, 1700)
    high, rate = low * rng.choice([1.125, 1.2, 1.25, 1.333]), rng.uniform(12, 26)
    gains = rng.choice([0.3, 0.7, 0.95]) ** np.arange(16) * np.array([1, 0.4] * 8)
    on_s, off_s, tones = rng.uniform(0.4, 1.1), rng.uniform(0.15, 0.9), []
    for i in range(int(rng.integers(1, 4))):
        n = length(on_s)
        f0 = np.where(np.sin(2 * np.pi * rate * time_s(n)) > 0, high, low)
        tones.append((i * (on_s + off_s), fade(harmonics(f0, [*gains]), 0.005, 0.02)))
    return equalise(lay(tones), [(300, -12), (1000, -3), (2500, 0), (5000, rng.uniform(0, 12)), (9000, 0)])


def _melody_phone(rng: np.random.Generator) -> Signal:
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16])
    root, step_s = log_uniform(rng, 520, 1300), rng.choice([0.09, 0.125, 0.16, 0.2])
    motif = [(int(rng.integers(len(scale))), int(rng.choice([1, 1, 1, 2]))) for _ in range(int(rng.integers(5, 10)))]
    gains, fall = rng.choice([0.1, 0.4, 0.8]) ** np.arange(8), rng.choice([0.4, 1.0, 4.0])
    notes, start = [], 0.0
    for _ in range(int(rng.integers(1, 4))):
        for degree, beats in motif:
            n = length(step_s * beats)
            tone = harmonics(np.full(n, root * 2 ** (scale[degree] / 12)), [*gains]) * decay(n, fall, 0.004)
            notes.append((start, fade(tone, 0.002, 0.01)))
            start += step_s * beats
        start += rng.choice([0.0, step_s * 2])
    return lay(notes)


def water_tap(rng: np.random.Generator) -> Signal:
    """Make water that runs into a basin: hiss, bubbles, and a slow change of the stream, 1.5-6 s."""
    n = length(rng.uniform(1.5, 6.0))
    bright = rng.uniform(-15.0, 4.0)
    stream = noise(rng, n, [(80, -16), (300, -13), (1200, -8), (3500, 0), (7000, bright), (12000, bright - 8)])
    low = noise(rng, n, [(60, 0), (250, 0), (700, -12), (3000, -40)])
    flow = np.exp(0.12 * wander(rng, n, 1.5) + 0.15 * wander(rng, n, 14.0))
    stream = stream * flow + rng.uniform(0.1, 0.7) * low * np.exp(0.2 * wander(rng, n, 6.0))
    bubbles = np.zeros(n + 2400)
    for at in rng.integers(0, n, int(n / 24_000 * rng.uniform(15, 90))):
        m = length(rng.uniform(0.008, 0.04))
        f0 = log_uniform(rng, 400, 2800) * curve(m, [(0, 1), (1, rng.uniform(1.0, 1.6))])
        bubbles[at : at + m] += harmonics(f0, [1.0]) * decay(m, m / 24_000) * rng.exponential(1.0)
    mixed = stream + rng.uniform(0.1, 0.5) * bubbles[:n]
    turn = (
        curve(n, [(0, 0), (rng.uniform(0.02, 0.08), 1), (rng.uniform(0.9, 0.97), 1), (1, 0)])
        if rng.random() < 0.7
        else 1.0
    )
    return fade(mixed * turn, 0.02, 0.05)


def domestic(rng: np.random.Generator) -> Signal:
    """Make a vacuum cleaner, mixer, washing machine, fan hood, dishes, chopping, sweeping or frying, 1-6 s."""
    return _APPLIANCES[int(rng.integers(len(_APPLIANCES)))](rng)


def _motor(rng: np.random.Generator, n: int, hz: float, count: int, fall: float, spin: Signal) -> Signal:
    gains = np.arange(1, count + 1.0) ** -fall * rng.uniform(0.2, 1.0, count)
    hum = harmonics(hz * spin, [*gains], rng.uniform(0, 6))
    return hum / max(float(np.std(hum)), 1e-9)


def _vacuum(rng: np.random.Generator) -> Signal:
    n = length(rng.uniform(2.0, 6.0))
    spin = (1 + 0.01 * wander(rng, n, 1.5)) * curve(n, [(0, rng.choice([0.4, 1.0])), (0.15, 1), (1, 1)])
    motor = _motor(rng, n, log_uniform(rng, 180, 420), 24, rng.uniform(0.3, 0.9), spin)
    air = noise(rng, n, [(80, -6), (300, 0), (1200, -2), (4000, -4), (12000, -16)])
    strokes = 1 + 0.25 * np.sin(2 * np.pi * rng.uniform(0.4, 1.0) * time_s(n) + rng.uniform(0, 6))
    return fade(air * strokes + rng.uniform(0.3, 1.0) * motor, 0.15, 0.2)


def _mixer(rng: np.random.Generator) -> Signal:
    pieces, start = [], 0.0
    hz = log_uniform(rng, 90, 260)
    for _ in range(int(rng.integers(1, 3))):
        n = length(rng.uniform(1.0, 3.0))
        spin = curve(n, [(0, 0.3), (0.12, 1), (0.5, rng.uniform(0.95, 1.05)), (0.92, 1), (1, 0.5)]) + 0.015 * wander(
            rng, n, 8.0
        )
        whir = _motor(rng, n, hz, 36, rng.uniform(0.0, 0.6), spin)
        air = noise(rng, n, [(200, -12), (1000, -2), (3000, 0), (7000, -4), (12000, -14)])
        chug = np.maximum(1 + 0.3 * wander(rng, n, 25.0), 0)
        pieces.append((start, fade(whir * rng.uniform(0.4, 1.2) + air * chug, 0.06, 0.15)))
        start += n / 24_000 + rng.uniform(0.2, 0.6)
    return lay(pieces)


def _washing_machine(rng: np.random.Generator) -> Signal:
    n = length(rng.uniform(2.5, 6.0))
    drum_hz = rng.uniform(0.8, 2.5) if rng.random() < 0.6 else rng.uniform(8, 18)
    turn = np.sin(2 * np.pi * drum_hz * time_s(n))
    rumble = noise(rng, n, [(40, 0), (120, 2), (300, -4), (1000, -18), (5000, -34)]) * (1 + 0.4 * turn)
    slosh = noise(rng, n, [(150, -8), (500, 0), (2000, -3), (8000, -18)]) * np.maximum(
        turn + 0.5 * wander(rng, n, 6.0), 0
    )
    motor = _motor(rng, n, log_uniform(rng, 48, 120), 12, 0.9, 1 + 0.004 * wander(rng, n, 2.0))
    return fade(rumble + rng.uniform(0.1, 0.6) * slosh + rng.uniform(0.2, 0.8) * motor, 0.2, 0.2)


def _hood(rng: np.random.Generator) -> Signal:
    n = length(rng.uniform(2.0, 6.0))
    fan = noise(rng, n, [(50, 0), (200, 0), (800, -7), (3000, -16), (12000, -34)]) * (1 + 0.05 * wander(rng, n, 3.0))
    hum = _motor(rng, n, rng.choice([50.0, 60.0, 100.0, 120.0]), 10, 0.8, np.ones(n))
    return fade(fan + rng.uniform(0.2, 0.9) * hum, 0.15, 0.2)


def _dishes(rng: np.random.Generator) -> Signal:
    metal, pieces, start, end = rng.random() < 0.4, [], 0.0, rng.uniform(1.2, 5.0)
    plates = [log_uniform(rng, 1800, 4200) if metal else log_uniform(rng, 650, 2600) for _ in range(4)]
    while start < end:
        n = length(0.45)
        ratios = np.array([1.0, 1.58, 2.24, 2.92, 3.9, 5.1]) * rng.uniform(0.98, 1.02, 6)
        falls = np.array([0.35, 0.3, 0.25, 0.2, 0.14, 0.1]) * log_uniform(rng, 0.3, 1.6)
        ring = modes(rng, n, plates[int(rng.integers(4))] * ratios, falls, rng.uniform(0.1, 1.0, 6))
        tick = noise(rng, n, [(100, -6), (1000, -6), (4000, 0), (12000, -6)]) * decay(n, 0.05)
        table = modes(rng, n, [log_uniform(rng, 120, 300)], [0.12], [rng.uniform(0.0, 1.2) * (not metal)])
        pieces.append((start, fade(ring + rng.uniform(0.4, 1.6) * tick + table, 0.001, 0.1) * rng.uniform(0.2, 1.0)))
        start += rng.exponential(0.25) + 0.04
    return lay(pieces)


def _chopping(rng: np.random.Generator) -> Signal:
    board, period, pieces = log_uniform(rng, 180, 420), rng.uniform(0.16, 0.45), []
    for i in range(int(rng.integers(4, 14))):
        n = length(0.2)
        thump = modes(rng, n, board * np.array([1, 2.1, 3.6]), [0.09, 0.06, 0.04], rng.uniform(0.4, 1, 3))
        slice_ = noise(rng, n, [(200, -8), (1500, 0), (5000, -6), (12000, -16)]) * decay(n, rng.uniform(0.04, 0.12))
        pieces.append((i * period * rng.uniform(0.97, 1.03), fade(thump + rng.uniform(0.5, 1.4) * slice_, 0.001, 0.05)))
    return lay(pieces)


def _sweeping(rng: np.random.Generator) -> Signal:
    pieces, start = [], 0.0
    for _ in range(int(rng.integers(2, 6))):
        n = length(rng.uniform(0.35, 0.8))
        bristle = noise(rng, n, [(200, -20), (1500, -9), (5000, 0), (9000, -3), (12000, -8)])
        stroke = curve(n, [(0, 0), (0.3, 0.7), (0.7, 1), (1, 0)]) * np.maximum(1 + 0.4 * wander(rng, n, 50.0), 0)
        pieces.append((start, bristle * stroke * rng.uniform(0.6, 1.0)))
        start += n / 24_000 + rng.uniform(0.05, 0.35)
    return lay(pieces)


def _frying(rng: np.random.Generator) -> Signal:
    n = length(rng.uniform(2.0, 6.0))
    sizzle = noise(rng, n, [(150, -18), (1000, -12), (4000, -2), (7000, 0), (12000, -3)]) * np.exp(
        0.25 * wander(rng, n, 5.0)
    )
    spits = np.zeros(n)
    spits[rng.integers(0, n, n // 800)] = rng.exponential(1.0, n // 800) * 12
    return fade(sizzle + bandpass(spits, 2500, 9000), 0.1, 0.2)


_APPLIANCES = (
    *(_vacuum, _mixer, _washing_machine, _hood, _sweeping, _frying),
    *(_dishes, _dishes, _chopping),
)

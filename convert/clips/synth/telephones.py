"""A telephone -> how it rings, dials and vibrates (n,) at 24 kHz.

Cadences and tones follow the telephone networks (ITU-T E.180 and its supplement 2, Q.23 for DTMF).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convert.clips.synth.bells import SHELL, shell_bell
from convert.clips.synth.bodies import MATERIALS, blows, body, grains, plate, ring
from convert.clips.synth.tools import (
    Signal,
    bandpass,
    decay,
    equalise,
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

DTMF_HZ = ((697, 770, 852, 941), (1209, 1336, 1477, 1633))  # rows and columns of the keypad
# Tones in Hz, then seconds on and off: ringing of North America, Europe, Britain, Japan, Australia, France
RING_BACK = (
    ((440.0, 480.0), (2.0, 4.0)),
    ((425.0,), (1.0, 4.0)),
    ((400.0, 450.0), (0.4, 0.2, 0.4, 2.0)),
    ((400.0, 416.0), (1.0, 2.0)),
    ((400.0, 425.0), (0.4, 0.2, 0.4, 2.0)),
    ((440.0,), (1.5, 3.5)),
)
BUSY = (((480.0, 620.0), (0.5, 0.5)), ((425.0,), (0.48, 0.48)), ((400.0,), (0.375, 0.375)), ((425.0,), (0.25, 0.25)))
CADENCES_S = ((1.0, 4.0), (2.0, 4.0), (0.4, 0.2, 0.4, 2.0), (1.5, 3.5), (0.8, 0.8), (0.3, 0.3), (0.6, 0.3, 0.6, 1.2))
SCALES = ((0, 2, 4, 5, 7, 9, 11, 12), (0, 3, 5, 7, 10, 12), (0, 2, 4, 7, 9, 12), (0, 2, 3, 5, 7, 8, 11, 12))


def mechanical(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Ring an old telephone: a hammer between two gongs, 20 to 25 cycles a second, in a case that resounds."""
    gongs = [
        shell_bell(thing, hz, log_uniform(thing, 0.4, 1.5), SHELL, 0.5)
        for hz in log_uniform(thing, 750, 1700) * np.array([1.0, thing.uniform(1.1, 1.33)])
    ]
    case = body(log_uniform(thing, 250, 900) * np.array([1, 1.8, 2.7]), 0.05, 0.5)
    rate_hz, cadence, contact_s = thing.uniform(17, 25), _cadence(thing), log_uniform(thing, 0.0001, 0.0005)
    pieces = []
    for start, seconds in _spans(take, cadence, 5.5):
        n = length(seconds + 0.8)
        strokes = np.arange(0.0, seconds, 0.5 / rate_hz) + 0.0015 * take.standard_normal(
            int(np.ceil(2 * rate_hz * seconds))
        )
        strokes = np.abs(strokes)
        size = np.exp(0.15 * take.standard_normal(len(strokes)))
        left = blows(n, strokes[::2], contact_s, size[::2])
        right = blows(n, strokes[1::2], contact_s, size[1::2])
        pieces.append((start, ring(gongs[0], left) + ring(gongs[1], right) + ring(case, left + right)))
    return fade(lay(pieces), 0.0, 0.15)


def warble(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Ring an electronic desk telephone: two or three square tones in turn, through a small sounder."""
    low = log_uniform(thing, 420, 2200)
    steps = np.array([1.0, thing.choice([1.125, 1.19, 1.25, 1.333, 1.5]), thing.choice([1.0, 1.5, 0.8])])
    steps = steps[: int(thing.choice([2, 2, 3]))]
    rate_hz, cadence = log_uniform(thing, 8, 32), _cadence(thing)
    sounder, square = _sounder(thing), thing.uniform(0.3, 1.0)
    pieces = []
    for start, seconds in _spans(take, cadence, 5.0):
        n = length(seconds)
        which = (time_s(n) * rate_hz * len(steps)).astype(int) % len(steps)
        tone = _square(low * steps[which], square)
        pieces.append((start, fade(tone, 0.004, 0.02)))
    return sounder(lay(pieces, 0.02))


def beeper(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Ring by short beeps of one pitch, in groups; a cordless telephone or an early mobile one."""
    hz, beep_s = log_uniform(thing, 700, 3200), log_uniform(thing, 0.04, 0.2)
    count, gap = int(thing.integers(2, 7)), thing.uniform(0.4, 1.2)
    rest_s, square, sounder = thing.uniform(0.3, 1.2), thing.uniform(0.0, 1.0), _sounder(thing)
    slide = thing.choice([1.0, 1.0, 1.25, 0.8])
    pieces, start = [], 0.0
    for _ in range(int(take.integers(1, 4))):
        for i in range(count):
            n = length(beep_s)
            pitch = np.full(n, hz * slide ** (i % 2))
            pieces.append((start, fade(_square(pitch, square), 0.003, 0.006)))
            start += beep_s * (1 + gap)
        start += rest_s
    return sounder(lay(pieces, 0.02))


def melody(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Play a ring tone: a motif of one voice or with a bass, by squares, FM bells, marimba or soft sines."""
    scale = SCALES[int(thing.integers(len(SCALES)))]
    root, step_s = log_uniform(thing, 400, 1300), float(thing.choice([0.07, 0.1, 0.125, 0.16, 0.22]))
    count, timbre = int(thing.integers(4, 13)), int(thing.integers(4))
    notes = [(int(thing.integers(len(scale))), int(thing.choice([1, 1, 1, 2, 3]))) for _ in range(count)]
    has_bass, sounder, fall_s = thing.random() < 0.4, _sounder(thing), log_uniform(thing, 0.15, 1.2)
    ratio, depth = thing.choice([1.0, 1.41, 2.0, 3.5]), thing.uniform(1, 5)
    pieces: list[tuple[float, Signal]] = []
    start, end = 0.0, take.uniform(1.2, 5.5)
    place = int(take.integers(count))
    while start < end:
        degree, beats = notes[place % count]
        n = length(step_s * beats + (0.25 if timbre else 0.0))
        hz = root * 2 ** (scale[degree] / 12)
        t = time_s(n)
        if timbre == 0:
            tone = _square(np.full(n, hz), 0.8)
        elif timbre == 1:
            index = depth * np.exp(-t / 0.15)
            tone = np.sin(2 * np.pi * hz * t + index * np.sin(2 * np.pi * hz * ratio * t)) * decay(n, fall_s, 0.002)
        elif timbre == 2:
            tone = (np.sin(2 * np.pi * hz * t) + 0.3 * np.sin(8 * np.pi * hz * t) * decay(n, 0.1)) * decay(
                n, fall_s, 0.002
            )
        else:
            tone = harmonics(np.full(n, hz), [1.0, 0.3, 0.1]) * decay(n, 3 * fall_s, 0.01)
        pieces.append((start, fade(tone, 0.002, 0.02)))
        if has_bass and place % 4 == 0:
            low = harmonics(np.full(n, root / 2), [1.0, 0.5, 0.3, 0.2])
            pieces.append((start, 0.5 * fade(low * decay(n, 0.6), 0.002, 0.02)))
        start += step_s * beats
        place += 1
        if place % count == 0:
            start += step_s * float(thing.choice([0, 2, 6]))
    return sounder(lay(pieces, 0.05))


def vibration(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Vibrate on a table: the motor at 130 to 230 turns a second, its harmonics, and the case that chatters."""
    turns_hz, on_s, off_s = log_uniform(thing, 125, 235), thing.uniform(0.25, 1.6), thing.uniform(0.2, 1.6)
    material = MATERIALS[("pine", "chipboard", "glass", "steel")[int(thing.integers(4))]]
    top = plate(
        thing, material, (thing.uniform(0.4, 0.9), thing.uniform(0.6, 1.6)), 0.018, log_uniform(thing, 0.05, 0.2)
    )
    chatter, loose = (
        log_uniform(thing, 0.05, 1.0),
        body(log_uniform(thing, 900, 3500) * np.array([1, 1.6, 2.4]), 0.015, 0.6),
    )
    pieces = []
    for start, seconds in _spans(take, (on_s, off_s), 5.0):
        n = length(seconds)
        hz = turns_hz * (1 - 0.6 * np.exp(-time_s(n) / 0.04)) * (1 + 0.01 * wander(take, n, 5))
        motor = harmonics(hz, [*(1.0 / np.arange(1, 13) ** 0.9 * take.uniform(0.5, 1.0, 12))])
        touch = np.maximum(np.sin(2 * np.pi * np.cumsum(hz) / 24_000 + wander(take, n, 20)), 0) ** 6
        hits = grains(take, 2500 * touch * np.maximum(1 + wander(take, n, 8), 0), 0.5)
        x = peak(ring(top, motor)) + 0.5 * peak(motor) + chatter * peak(ring(loose, hits))
        pieces.append((start, fade(x, 0.03, 0.06)))
    return lay(pieces, 0.02)


def dialling(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Press keys and hear their DTMF tones, perhaps over a dial tone."""
    tone_s, gap_s, sounder = thing.uniform(0.07, 0.25), thing.uniform(0.05, 0.3), _sounder(thing)
    twist, regular = thing.uniform(0.6, 1.0), thing.random() < 0.5
    pieces, start = [], 0.0
    for _ in range(int(take.integers(3, 12))):
        n = length(tone_s * (1.0 if regular else take.uniform(0.7, 1.8)))
        row, column = DTMF_HZ[0][int(take.integers(4))], DTMF_HZ[1][int(take.integers(3))]
        tone = twist * np.sin(2 * np.pi * row * time_s(n)) + np.sin(2 * np.pi * column * time_s(n))
        pieces.append((start, fade(tone, 0.003, 0.005)))
        start += n / 24_000 + gap_s * (1.0 if regular else take.uniform(0.6, 2.0))
    return sounder(lay(pieces, 0.02))


def network_tone(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Hear the ringing or busy tone of a network in the receiver or the loudspeaker of a telephone."""
    tones = RING_BACK if thing.random() < 0.55 else BUSY
    hz, cadence = tones[int(thing.integers(len(tones)))]
    line = noise(take, length(7.5), [(300, 0), (1500, -3), (3400, -12)])
    pieces = []
    for start, seconds in _spans(take, cadence, 5.5):
        n = length(seconds)
        pieces.append((start, fade(np.sum([np.sin(2 * np.pi * f * time_s(n)) for f in hz], axis=0), 0.005, 0.01)))
    x = lay(pieces)
    x += log_uniform(thing, 0.002, 0.03) * line[: len(x)]
    driven = thing.uniform(0.5, 3.0)
    return equalise(bandpass(np.tanh(driven * x), 250, 3600, 2), [(300, -6), (1000, 0), (2500, thing.uniform(0, 8))])


def _cadence(thing: np.random.Generator) -> tuple[float, ...]:
    return CADENCES_S[int(thing.integers(len(CADENCES_S)))]


def _spans(take: np.random.Generator, cadence: tuple[float, ...], longest_s: float) -> list[tuple[float, float]]:
    """List the sounding spans of a cadence (on, off, on, off...) as (start, seconds), cut somewhere within it."""
    spans, start, i = [], 0.0, 0
    end = take.uniform(0.5, 1.0) * longest_s
    while start < end:
        seconds = cadence[i % len(cadence)]
        if i % 2 == 0:
            spans.append((start, max(min(seconds, longest_s - start), 0.1)))
        start += seconds if i % 2 == 0 else min(seconds, 1.5)
        i += 1
    return spans


def _square(hz: Signal, odd: float) -> Signal:
    """Make a tone between a sine (odd 0) and a square wave (odd 1), with as many harmonics as fit below 11.5 kHz."""
    count = max(1, int(11_500 / float(np.max(hz))))
    gains = [
        odd ** (0.5 * (k > 1)) * odd ** (0.05 * k) / k if k % 2 else 0.15 * odd / k
        for k in range(1, min(count, 24) + 1)
    ]
    return harmonics(hz, gains)


def _sounder(thing: np.random.Generator) -> Callable[[Signal], Signal]:
    """Draw a small loudspeaker or a piezo disc: two or three peaks, little bass, and some distortion."""
    first_hz = log_uniform(thing, 600, 1500)
    points = [(first_hz / 3, thing.uniform(-30, -15)), (first_hz, thing.uniform(0, 6)), (2 * first_hz, -3.0)]
    points += [(3.3 * first_hz, thing.uniform(0, 9)), (9000.0, thing.uniform(-12, 0)), (12_000.0, -18.0)]
    driven = thing.choice([0.0, 0.0, 1.0, 3.0])

    def play(x: Signal) -> Signal:
        loud = np.tanh(driven * peak(x)) if driven else x
        return equalise(loud, points)

    return play

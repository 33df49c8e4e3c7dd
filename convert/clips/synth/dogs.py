"""A dog -> barks, yaps, growls, whines and howls (n,) at 24 kHz.

Pitch and formants fall with the size of a dog (Riede and Fitch, Vocal tract length and acoustics of vocalization in the
domestic dog, 1999); barks are short, harsh, and come in bouts (Yin and McCowan, 2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert.clips.synth.throats import tract, tube_hz, voice
from convert.clips.synth.tools import Signal, curve, fade, lay, length, log_uniform, noise, peak, wander


@dataclass(frozen=True, slots=True)
class Dog:
    """One dog."""

    tract_cm: float  # 9 for a terrier, 24 for a great dane
    pitch_hz: float  # of a bark
    harsh: float  # share of chaos in its voice, 0 to 1
    bark_s: float
    gap_s: float


def big(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Bark like a large dog: low, 200 to 500 Hz, broad and rough."""
    return _bout(thing, take, _dog(thing, 17, 24, 180, 450))


def medium(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Bark like a dog of middle size."""
    return _bout(thing, take, _dog(thing, 12, 18, 350, 700))


def small(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Yap like a small dog: 600 to 1200 Hz, short, in quick bouts."""
    return _bout(thing, take, _dog(thing, 8, 12, 550, 1200))


def growling(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Growl, and bark out of it."""
    dog = _dog(thing, 12, 24, 200, 600)
    n = length(take.uniform(0.6, 2.5))
    f0 = log_uniform(thing, 35, 90) * np.exp(0.15 * wander(take, n, 3))
    source = voice(take, f0, -9.0, 0.12, 0.5) * np.exp(0.4 * wander(take, n, 12))
    growl = fade(peak(tract(source, 0.9 * tube_hz(dog.tract_cm), 2.0)), 0.1, 0.1)
    growl *= curve(n, [(0, 0.4), (0.7, 1.0), (1, 0.6)])
    if take.random() < 0.4:
        return growl
    return lay([(0.0, take.uniform(0.15, 0.6) * growl), (n / 24_000, _bout(thing, take, dog))])


def whining(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Whine or howl, with single barks between."""
    dog, howls = _dog(thing, 9, 20, 300, 900), thing.random() < 0.35
    pieces, start = [], 0.0
    for _ in range(int(take.integers(1, 4))):
        n = length(take.uniform(1.0, 2.5) if howls else take.uniform(0.2, 0.8))
        base = thing.uniform(350, 800) if howls else log_uniform(thing, 700, 2200)
        bend = (
            [(0, 0.7), (0.2, 1.0), (0.7, take.uniform(0.9, 1.1)), (1, 0.6)]
            if howls
            else [(0, 0.9), (0.5, 1.15), (1, 0.85)]
        )
        f0 = base * take.uniform(0.85, 1.15) * curve(n, bend) * (1 + 0.01 * wander(take, n, 8))
        x = tract(voice(take, f0, -14.0, 0.008, 0.05), tube_hz(dog.tract_cm) * 0.9, 1.5)
        pieces.append((start, 0.5 * peak(x) * curve(n, [(0, 0), (0.15, 1), (0.8, 0.8), (1, 0)])))
        start += n / 24_000 + take.uniform(0.05, 0.5)
        if take.random() < 0.6:
            pieces.append((start, _bark(take, dog)))
            start += dog.bark_s + take.uniform(0.1, 0.5)
    return lay(pieces)


def _dog(thing: np.random.Generator, least_cm: float, most_cm: float, least_hz: float, most_hz: float) -> Dog:
    size = thing.random()
    tract_cm = least_cm + size * (most_cm - least_cm)
    pitch = most_hz * (least_hz / most_hz) ** float(np.clip(size + 0.2 * thing.standard_normal(), 0, 1))
    bark_s = thing.uniform(0.09, 0.16) + 0.006 * tract_cm * thing.uniform(0.5, 1.2)
    return Dog(tract_cm, pitch, float(thing.choice([0.2, 0.5, 0.9])), bark_s, log_uniform(thing, 0.1, 0.8))


def _bout(thing: np.random.Generator, take: np.random.Generator, dog: Dog) -> Signal:
    """Bark 1 to 9 times; some dogs bark in pairs or threes."""
    in_group, pieces, start = int(thing.choice([1, 1, 2, 3])), [], 0.0
    for i in range(int(take.integers(1, 10))):
        pieces.append((start, _bark(take, dog) * take.uniform(0.6, 1.0)))
        pause = dog.gap_s if (i + 1) % in_group == 0 else 0.35 * dog.gap_s
        start += dog.bark_s + pause * np.exp(0.25 * take.standard_normal())
        if start > 6.0:
            break
    return lay(pieces, 0.02)


def _bark(take: np.random.Generator, dog: Dog) -> Signal:
    """Bark once: pitch and mouth rise together and fall, with a burst of air at the start and chaos in between."""
    n = length(dog.bark_s * take.uniform(0.8, 1.25))
    top = take.uniform(1.1, 1.7)
    f0 = dog.pitch_hz * take.uniform(0.93, 1.07) * curve(n, [(0, 0.7), (0.2, top), (0.5, 0.95 * top), (1, 0.5)])
    rough = dog.harsh * curve(n, [(0, 1), (0.3, 0.5), (0.6, 1), (1, 1)])
    x = voice(take, f0, -8.0, 0.02 + 0.06 * dog.harsh, 0.1 + 0.5 * dog.harsh, 0.6 * rough * (take.random() < 0.6))
    x *= 1 + 0.8 * dog.harsh * wander(take, n, 150)  # chaos
    x += 0.4 * dog.harsh * noise(take, n, [(200, -6), (1500, 0), (8000, -9)])
    opened = tube_hz(dog.tract_cm) * np.array([1.35, 1.1, 1.0, 1.0, 1.0, 1.0])
    closed = tube_hz(dog.tract_cm) * np.array([0.6, 0.85, 1.0, 1.0, 1.0, 1.0])
    half = n // 3
    mouth = np.concatenate([tract(x[:half], closed, 2.0, opened), tract(x, opened, 2.0, closed)[half:]])
    return peak(mouth * curve(n, [(0, 0), (0.06, 0.9), (0.35, 1.0), (0.7, 0.4), (1, 0)]))

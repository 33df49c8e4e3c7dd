"""A person -> laughter, coughs, sneezes, throat clearing, and the crying of babies (n,) at 24 kHz."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert.clips.synth.throats import tract, tube_hz, voice, vowel_hz
from convert.clips.synth.tools import Signal, curve, fade, lay, length, log_uniform, noise, peak, time_s, wander


@dataclass(frozen=True, slots=True)
class Person:
    """One throat. Adults speak at 85 to 155 Hz (men) and 165 to 255 Hz (women)."""

    tract_cm: float
    pitch_hz: float  # of quiet speech
    breath: float
    rough: float


def _person(thing: np.random.Generator, kind: str) -> Person:
    cm, low_hz, high_hz = {"man": (17.2, 90, 150), "woman": (14.8, 170, 250), "child": (11.8, 240, 340)}[kind]
    return Person(
        cm * thing.uniform(0.94, 1.06), log_uniform(thing, low_hz, high_hz), log_uniform(thing, 0.03, 0.3),
        log_uniform(thing, 0.004, 0.03),
    )  # fmt: skip


def man_laughs(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Laugh with voice, as a man: mean pitch 272 Hz with a wide spread (Bachorowski et al., 2001)."""
    return _laughs(thing, take, _person(thing, "man"), float(np.clip(thing.normal(272, 90), 130, 600)))


def woman_laughs(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Laugh with voice, as a woman: mean pitch 405 Hz with a wide spread (Bachorowski et al., 2001)."""
    return _laughs(thing, take, _person(thing, "woman"), float(np.clip(thing.normal(405, 120), 200, 900)))


def child_laughs(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Giggle as a child."""
    return _laughs(thing, take, _person(thing, "child"), float(np.clip(thing.normal(480, 110), 300, 900)))


def breathy_laugh(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Laugh without voice: grunts through the mouth and snorts through the nose."""
    person = _person(thing, ("man", "woman")[int(thing.integers(2))])
    nasal, rate_hz = thing.random() < 0.4, thing.uniform(3.5, 6.0)
    pieces, start = [], 0.0
    for _ in range(int(take.integers(2, 9))):
        n = length(take.uniform(0.5, 0.85) / rate_hz)
        air = noise(take, n, [(150, -6), (700, 0), (2500, -2), (7000, -12)])
        shape = curve(n, [(0, 0), (0.2, 1), (0.6, 0.6), (1, 0)])
        hz = tube_hz(person.tract_cm) * (np.array([0.5, 0.7, 1, 1, 1, 1]) if nasal else take.uniform(0.95, 1.05))
        grunt = voice(take, np.full(n, person.pitch_hz * 1.2), -14, 0.1, 0.5) * take.uniform(0, 0.3)
        pieces.append((start, peak(tract((air + grunt) * shape, hz, 2.0), take.uniform(0.5, 1.0))))
        start += take.uniform(0.9, 1.15) / rate_hz
    return lay([*pieces, (start, 0.3 * _gasp(take, person, take.uniform(0.15, 0.4)))])


def group_laughs(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Let two to five people laugh together."""
    kinds = [("man", "woman", "child")[int(thing.integers(3))] for _ in range(int(thing.integers(2, 6)))]
    people = [_person(thing, kind) for kind in kinds]
    laughs = [_bouts(take, person, float(np.clip(2.0 * person.pitch_hz, 150, 700)), 4.6, 3.5) for person in people]
    return lay([(take.uniform(0.0, 0.8), log_uniform(take, 0.2, 1.0) * peak(laugh)) for laugh in laughs])


def _laughs(thing: np.random.Generator, take: np.random.Generator, person: Person, pitch_hz: float) -> Signal:
    return _bouts(take, person, pitch_hz * take.uniform(0.9, 1.15), thing.uniform(3.8, 6.0), 6.0)


def _bouts(take: np.random.Generator, person: Person, pitch_hz: float, rate_hz: float, longest_s: float) -> Signal:
    """Laugh in bouts of 3 to 10 calls of about 0.1 s, whose pitch and loudness fall; breath is drawn between bouts."""
    # A laugh keeps its vowel, a central one: what changes is how open the mouth is.
    openness, frontness = take.uniform(-0.2, 0.9), take.uniform(-0.4, 0.4)
    pieces, start = [], 0.0
    for _ in range(int(take.integers(1, 4))):
        count = int(take.integers(3, 11))
        lift, tempo = take.uniform(1.0, 1.6), rate_hz * take.uniform(0.9, 1.1)
        silent = take.uniform(0.25, 0.55)  # share of a call that is only breath
        for i in range(count):
            period_s = np.exp(0.08 * take.standard_normal()) * (1 + 0.03 * i) / tempo
            n = length(take.uniform(0.75, 0.98) * period_s)
            f0 = pitch_hz * (1 + (lift - 1) * np.exp(-i / 2.5)) * np.exp(0.06 * take.standard_normal())
            bend = curve(n, [(0, 0.92), (silent, 1.08), (1, take.uniform(0.7, 0.95))])
            double = 0.5 * (take.random() < 0.2)
            voiced = voice(take, f0 * bend, -10.0, person.rough + 0.02, person.breath, double)
            voiced *= curve(n, [(0, 0), (0.7 * silent, 0.05), (silent, 1), (0.75, 0.6), (1, 0)])
            air = noise(take, n, [(300, -8), (1200, 0), (4000, -4), (9000, -12)])
            air *= curve(n, [(0, 0.1), (0.5 * silent, 1), (silent, 0.5), (1, 0.4)])
            hz = vowel_hz(person.tract_cm, openness + take.uniform(-0.1, 0.1), frontness)
            ha = tract(voiced + take.uniform(0.1, 0.5) * air, hz, 1.3)
            pieces.append((start, peak(ha, take.uniform(0.6, 1.0) * np.exp(-i / 9))))
            start += period_s
        if take.random() < 0.6:
            gasp = take.uniform(0.1, 0.4) * _gasp(take, person, take.uniform(0.2, 0.5))
            pieces.append((start, gasp))
            start += len(gasp) / 24_000
        start += take.uniform(0.05, 0.4)
        if start > longest_s:
            break
    return lay(pieces, 0.02)


def _gasp(take: np.random.Generator, person: Person, seconds: float) -> Signal:
    """Draw breath: noise through an open throat, sometimes with a high voice."""
    n = length(seconds)
    x = noise(take, n, [(300, -10), (1500, 0), (5000, -3), (10_000, -12)])
    if take.random() < 0.3:
        x += voice(take, person.pitch_hz * take.uniform(1.8, 3.0) * curve(n, [(0, 0.8), (1, 1.2)]), -14, 0.05, 0.3)
    return peak(tract(x * curve(n, [(0, 0), (0.6, 1), (0.9, 0.7), (1, 0)]), tube_hz(person.tract_cm), 2.0))


def coughs(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Cough 1 to 7 times: an explosive burst, noisy flow, and often a voiced end, about 0.35 s together."""
    person, wet = _any_person(thing), thing.uniform(0.0, 1.0)
    voiced, gap_s = thing.uniform(0.0, 1.0), thing.uniform(0.3, 0.7)
    pieces, start, size = [], 0.0, 1.0
    for i in range(int(take.integers(1, 8))):
        pieces.append((start, size * _cough(take, person, wet, voiced)))
        size *= take.uniform(0.75, 1.05)
        start += gap_s * np.exp(0.15 * take.standard_normal())
        if take.random() < 0.2 and i > 0:
            pieces.append((start, 0.2 * _gasp(take, person, 0.3)))
            start += 0.35
    return lay(pieces, 0.02)


def sneezes(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Sneeze once or more: breath is drawn in steps, then it bursts out through mouth and nose."""
    person, loud, hiss_hz = _any_person(thing), thing.uniform(0.2, 1.0), log_uniform(thing, 1800, 4500)
    pieces, start = [], 0.0
    for _ in range(int(take.choice([1, 1, 1, 2, 3]))):
        for _ in range(int(take.integers(0, 4))):
            breath = take.uniform(0.1, 0.35) * _gasp(take, person, take.uniform(0.12, 0.45))
            pieces.append((start, breath))
            start += len(breath) / 24_000 + take.uniform(0.0, 0.1)
        if take.random() < 0.6:
            n = length(take.uniform(0.15, 0.4))
            f0 = person.pitch_hz * take.uniform(1.2, 1.8) * curve(n, [(0, 0.9), (1, 1.25)])
            ah = tract(voice(take, f0, -12, 0.03, 0.5), vowel_hz(person.tract_cm, 0.8, 0.0), 1.5)
            pieces.append((start, take.uniform(0.2, 0.6) * peak(fade(ah, 0.05, 0.02))))
            start += n / 24_000
        n = length(take.uniform(0.25, 0.6))
        rush = noise(take, n, [(200, -16), (0.5 * hiss_hz, -5), (hiss_hz, 0), (2.5 * hiss_hz, -4), (12_000, -14)])
        rush *= curve(n, [(0, 0), (0.03, 1), (0.2, 0.6), (0.5, 0.2), (1, 0)])
        f0 = person.pitch_hz * take.uniform(1.6, 2.8) * curve(n, [(0, 1.0), (0.25, 1.2), (1, 0.6)])
        cry = voice(take, f0, -9, 0.04, 0.4) * curve(n, [(0, 0), (0.08, 0.4), (0.2, 1), (0.5, 0.4), (1, 0)])
        shape = vowel_hz(person.tract_cm, -0.3, 0.4), vowel_hz(person.tract_cm, -0.6, -0.5)
        body = tract(cry + 0.5 * rush, shape[0], 1.5, shape[1])
        pieces.append((start, peak(0.8 * peak(rush) + loud * peak(body))))
        start += n / 24_000 + take.uniform(0.3, 1.0)
    return lay(pieces, 0.02)


def throat_clearing(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Clear the throat: one to three harsh, voiced bursts with a closed or open mouth."""
    person, openness = _any_person(thing), thing.uniform(-0.8, 0.4)
    pieces, start = [], 0.0
    for _ in range(int(take.integers(1, 4))):
        n = length(take.uniform(0.15, 0.45))
        f0 = person.pitch_hz * take.uniform(0.7, 1.1) * curve(n, [(0, 1.1), (1, 0.8)])
        x = voice(take, f0, -9, 0.1, 1.0, 0.5) * (1 + 0.7 * wander(take, n, 90))
        x += noise(take, n, [(200, 0), (1500, -3), (6000, -12)]) * 0.6
        x = tract(x * curve(n, [(0, 0), (0.1, 1), (0.6, 0.8), (1, 0)]), vowel_hz(person.tract_cm, openness, -0.2), 1.6)
        pieces.append((start, peak(x, take.uniform(0.6, 1.0))))
        start += n / 24_000 + take.uniform(0.02, 0.3)
    return lay(pieces, 0.02)


def _any_person(thing: np.random.Generator) -> Person:
    return _person(thing, ("man", "woman", "man", "woman", "child")[int(thing.integers(5))])


def _cough(take: np.random.Generator, person: Person, wet: float, voiced: float) -> Signal:
    """Cough once (Korpas et al., 1996: burst 50 ms, flow 150 ms, voiced phase 100 ms)."""
    n = length(take.uniform(0.22, 0.5))
    flow = curve(n, [(0, 0), (0.015, 1), (0.1, 0.5), (0.35, 0.28), (0.7, 0.1), (1, 0)])
    air = noise(take, n, [(100, -4), (400, 0), (2500, -1), (6000, -7), (12_000, -16)]) * flow
    air *= np.maximum(1 + wet * wander(take, n, 70), 0)  # mucus that rattles
    burst = take.standard_normal(n) * np.exp(-time_s(n) / 0.008)
    f0 = person.pitch_hz * take.uniform(1.2, 2.2) * curve(n, [(0, 1.2), (0.3, 1.1), (1, 0.65)])
    end = voice(take, f0, -9, 0.05 + 0.05 * wet, 0.8, 0.4 * wet)
    end *= curve(n, [(0, 0.3), (0.12, 0.3), (0.4, 0.2), (0.55, 1), (0.8, 0.6), (1, 0)]) * 0.35
    shapes = vowel_hz(person.tract_cm, 0.6, -0.1), vowel_hz(person.tract_cm, 0.0, 0.0)
    x = tract(air + 0.4 * burst + voiced * end, shapes[0], 2.0, shapes[1])
    return peak(peak(x) + take.uniform(0.05, 0.3) * peak(air))


def hungry_baby(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Cry in a steady rhythm: wails of about a second around 350 to 500 Hz, breath between."""
    return _cries(thing, take, thing.uniform(340, 480), thing.uniform(0.6, 1.3), thing.uniform(0.0, 0.25))


def screaming_baby(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Cry in pain or rage: long, harsh wails around 430 to 620 Hz with breaks of the voice."""
    return _cries(thing, take, thing.uniform(430, 620), thing.uniform(1.0, 2.4), thing.uniform(0.2, 0.7))


def fussing_baby(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Whimper: short, softer cries, hiccups and moans."""
    return _cries(thing, take, thing.uniform(300, 450), thing.uniform(0.25, 0.6), thing.uniform(0.0, 0.3))


def _cries(
    thing: np.random.Generator, take: np.random.Generator, pitch_hz: float, wail_s: float, breaks: float
) -> Signal:
    """Cry for 2 to 6 s.

    Phonation lies at 250 to 700 Hz, hyperphonation above 1 kHz, and dysphonation is chaotic (Corwin and Golub, 1996);
    breath drawn between the wails is often voiced too, shorter and higher (Grau et al., 1995).

    Args:
        thing: the baby.
        take: the clip.
        pitch_hz: mean pitch.
        wail_s: mean length of a wail.
        breaks: how much of it is not plain phonation.
    """
    tract_cm, breath = thing.uniform(6.8, 9.5), log_uniform(thing, 0.02, 0.2)
    melody = [(float(p), thing.uniform(0.85, 1.15)) for p in (0.15, 0.4, 0.65, 0.85)]
    openness, inspires, pause_s = thing.uniform(0.2, 1.0), thing.uniform(0.0, 1.0), thing.uniform(0.05, 0.35)
    pieces, start, end = [], take.uniform(0.0, 0.2), take.uniform(2.0, 5.5)
    while start < end:
        n = length(wail_s * np.exp(0.3 * take.standard_normal()) + 0.12)
        shape = [(0.0, take.uniform(0.65, 0.85)), *((p, v * take.uniform(0.95, 1.05)) for p, v in melody), (1.0, 0.68)]
        f0 = pitch_hz * take.uniform(0.92, 1.1) * curve(n, shape)
        f0 *= 1 + 0.015 * np.sin(2 * np.pi * take.uniform(5, 9) * time_s(n)) + 0.015 * wander(take, n, 6)
        subharmonic, chaos = np.zeros(n), np.zeros(n)
        for _ in range(take.poisson(3 * breaks)):
            middle, width = take.uniform(0.1, 0.95), take.uniform(0.05, 0.25)
            window = np.exp(-(((np.linspace(0, 1, n) - middle) / width) ** 4))
            kind = take.integers(3)
            if kind == 0:
                subharmonic = np.maximum(subharmonic, 0.7 * window)
            elif kind == 1:
                chaos = np.maximum(chaos, window)
            elif width < 0.15:
                f0 = np.where(window > 0.5, take.uniform(1.8, 2.3) * f0, f0)  # hyperphonation
        x = voice(take, f0, -7.0, 0.008, breath, subharmonic)
        x = x * (1 + chaos * wander(take, n, 180)) + 0.6 * chaos * noise(take, n, [(300, -4), (1500, 0), (8000, -6)])
        wide, narrow = vowel_hz(tract_cm, openness, 0.2), vowel_hz(tract_cm, openness - 0.6, -0.2)
        mouth = curve(n, [(0, 0.0), (0.15, 1.0), (0.8, 0.9), (1, 0.1)])
        wail = mouth * tract(x, wide, 1.6) + (1 - mouth) * tract(x, narrow, 1.6)
        wail *= curve(n, [(0, 0), (0.06, 0.7), (0.4, 1), (0.85, 0.7), (1, 0)])
        pieces.append((start, peak(wail, take.uniform(0.6, 1.0))))
        start += n / 24_000 + take.uniform(0.02, 0.1)
        if take.random() < 0.8:
            gasp = _infant_breath(take, tract_cm, pitch_hz, take.random() < inspires)
            pieces.append((start, take.uniform(0.05, 0.3) * gasp))
            start += len(gasp) / 24_000
        start += pause_s * np.exp(0.4 * take.standard_normal())
    return lay(pieces, 0.02)


def _infant_breath(take: np.random.Generator, tract_cm: float, pitch_hz: float, voiced: bool) -> Signal:
    n = length(take.uniform(0.1, 0.3))
    x = noise(take, n, [(500, -12), (1500, 0), (5000, -2), (10_000, -10)])
    if voiced:
        x = 0.4 * x + voice(take, pitch_hz * take.uniform(1.2, 1.9) * curve(n, [(0, 0.8), (1, 1.3)]), -9, 0.03, 0.3)
    return peak(tract(x * curve(n, [(0, 0), (0.6, 1), (1, 0)]), tube_hz(tract_cm), 2.0))

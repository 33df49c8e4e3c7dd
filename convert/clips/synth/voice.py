"""A random generator -> vocal sounds (n,) at 24 kHz: baby cry, cough, sneeze, laughter and dog bark."""

from __future__ import annotations

import numpy as np

from convert.clips.synth.tools import (
    Signal,
    bandpass,
    curve,
    equalise,
    fade,
    formants,
    glottis,
    lay,
    length,
    log_uniform,
    noise,
    peak,
    time_s,
    wander,
)


def baby_cry(rng: np.random.Generator) -> Signal:
    """Make 2-5 s of wails around 400-600 Hz with gasps between them."""
    pitch, rough = rng.uniform(380.0, 600.0), rng.uniform(0.004, 0.03)
    tract = np.array([1050.0, 2300.0, 3500.0, 5200.0]) * rng.uniform(0.85, 1.2)
    pieces, start, end = [], 0.0, rng.uniform(2.0, 4.6)
    while start < end:
        n = length(log_uniform(rng, 0.35, 1.3))
        arch = curve(
            n, [(0, 0.78), (0.12, 1.0), (rng.uniform(0.3, 0.6), rng.uniform(1.0, 1.15)), (0.85, 0.95), (1, 0.7)]
        )
        vibrato = 1.0 + 0.02 * np.sin(2 * np.pi * rng.uniform(5, 8) * time_s(n)) + 0.02 * wander(rng, n, 4.0)
        source = glottis(rng, pitch * rng.uniform(0.9, 1.12) * arch * vibrato, rough, rng.uniform(0.05, 0.2), 0.5)
        if rng.random() < 0.25:  # the voice breaks: a subharmonic growl
            source *= 1.0 + 0.6 * np.sign(np.sin(np.pi * pitch * time_s(n)))
        opening = curve(n, [(0, 0.0), (0.15, 1.0), (0.8, 0.8), (1, 0.0)])
        wail = opening * formants(source, [*tract]) + (1 - opening) * formants(source, [*(tract * [0.5, 0.8, 1, 1])])
        wail *= curve(n, [(0, 0), (0.08, 0.8), (0.5, 1), (0.85, 0.7), (1, 0)])
        pieces.append((start, peak(wail, rng.uniform(0.7, 1.0))))
        start += n / 24_000
        gasp = noise(rng, length(rng.uniform(0.12, 0.3)), [(500, -20), (1500, 0), (4000, 0), (9000, -15)])
        pieces.append((start + 0.03, 0.04 * gasp * curve(len(gasp), [(0, 0), (0.7, 1), (1, 0)])))
        start += len(gasp) / 24_000 + rng.uniform(0.05, 0.25)
    return equalise(lay(pieces), [(150, -6), (450, 3), (1000, 0), (3000, 8), (6000, 11), (9000, 6), (12000, 2)])


def cough_sneeze(rng: np.random.Generator) -> Signal:
    """Make one to five coughs or one sneeze, 0.3-3 s."""
    return _sneeze(rng) if rng.random() < 0.4 else _coughs(rng)


def _cough(rng: np.random.Generator, tract: Signal, pitch: float) -> Signal:
    n = length(rng.uniform(0.22, 0.45))
    burst = curve(n, [(0, 0), (0.02, 1), (0.12, 0.55), (0.3, 0.3), (0.6, 0.12), (1, 0)])
    air = noise(rng, n, [(100, -8), (500, 0), (2000, 0), (6000, -8), (12000, -18)]) * burst
    voiced = curve(n, [(0, 0), (0.2, 0.2), (0.35, 1), (0.6, 0.6), (1, 0)])
    hum = glottis(rng, pitch * curve(n, [(0, 1.2), (0.4, 1.0), (1, 0.7)]), 0.08, 0.6) * voiced
    return peak(peak(formants(air + rng.uniform(0.0, 0.8) * hum, [*tract], [220, 260, 350, 450])) + 0.25 * peak(air))


def _coughs(rng: np.random.Generator) -> Signal:
    tract = np.array([750.0, 1400.0, 2700.0, 4000.0]) * rng.uniform(0.8, 1.25)
    pitch, start, pieces = log_uniform(rng, 130, 450), 0.0, []
    for _ in range(int(rng.integers(1, 6))):
        pieces.append((start, _cough(rng, tract * rng.uniform(0.95, 1.05), pitch) * rng.uniform(0.5, 1.0)))
        start += rng.uniform(0.28, 0.6)
    return lay(pieces)


def _sneeze(rng: np.random.Generator) -> Signal:
    pitch, size = log_uniform(rng, 140, 400), rng.uniform(0.85, 1.2)
    pieces, start = [], 0.0
    for _ in range(int(rng.integers(0, 3))):  # "ah, ah ..."
        n = length(rng.uniform(0.12, 0.35))
        ah = glottis(rng, pitch * curve(n, [(0, 0.8), (1, 1.2)]), 0.03, 1.0) * curve(n, [(0, 0), (0.6, 1), (1, 0)])
        pieces.append((start, peak(formants(ah, [800 * size, 1250 * size, 2700 * size, 3900 * size]), 0.3)))
        start += n / 24_000 + rng.uniform(0.02, 0.25)
    n = length(rng.uniform(0.2, 0.45))
    rush = noise(rng, n, [(300, -20), (1500, -4), (3000, 0), (6000, -2), (12000, -14)])
    rush *= curve(n, [(0, 0), (0.04, 1), (0.25, 0.6), (1, 0)])
    voice = glottis(rng, pitch * 1.5 * curve(n, [(0, 1.1), (0.3, 1.2), (1, 0.6)]), 0.04, 0.8)
    voice *= curve(n, [(0, 0), (0.1, 0.3), (0.25, 1), (0.6, 0.3), (1, 0)])
    tchoo = peak(rush, 0.6) + peak(
        formants(voice, [500 * size, 1400 * size, 2600 * size, 3800 * size]), rng.uniform(0.3, 0.9)
    )
    pieces.append((start, peak(tchoo)))
    return lay(pieces)


def laughter(rng: np.random.Generator) -> Signal:
    """Make one or two series of 'ha' at 4-6 Hz with a falling pitch, 0.6-4 s."""
    male = rng.random() < 0.45
    pitch = log_uniform(rng, 140, 260) if male else log_uniform(rng, 230, 460)
    size = rng.uniform(0.85, 1.0) if male else rng.uniform(1.0, 1.2)
    vowel = (
        np.array([[750, 1250, 2600, 3700], [550, 1700, 2500, 3600], [480, 1000, 2500, 3500]][rng.integers(3)]) * size
    )
    pieces, start = [], 0.0
    for _ in range(int(rng.integers(1, 3))):
        count, rate = int(rng.integers(3, 10)), rng.uniform(4.0, 6.2)
        lift = rng.uniform(1.0, 1.5)
        for i in range(count):
            n = length(rng.uniform(0.6, 0.95) / rate)
            f0 = pitch * (1 + (lift - 1) * np.exp(-i / 3)) * rng.uniform(0.93, 1.08)
            contour = f0 * curve(n, [(0, 0.9), (0.4, 1.08), (1, 0.8)])
            voice = glottis(rng, contour, 0.015, 0.25) * curve(n, [(0, 0), (0.25, 0.05), (0.4, 1), (0.7, 0.7), (1, 0)])
            air = rng.standard_normal(n) * curve(n, [(0, 0), (0.15, 0.35), (0.4, 0.1), (0.8, 0.06), (1, 0)])
            ha = formants(voice + rng.uniform(0.3, 0.8) * air, [*(vowel * rng.uniform(0.95, 1.05))])
            pieces.append((start, peak(ha, rng.uniform(0.6, 1.0) * np.exp(-i / 12))))
            start += rng.uniform(0.9, 1.1) / rate
        start += rng.uniform(0.1, 0.5)
    return equalise(lay(pieces), [(150, -4), (400, 0), (1000, 0), (2000, 4), (5000, 6), (12000, 4)])


def dog_bark(rng: np.random.Generator) -> Signal:
    """Make two to eight barks of one dog of any size, sometimes with a growl, 0.5-6 s."""
    size = log_uniform(rng, 0.7, 1.6)  # larger values are smaller dogs
    pitch = 430.0 * size * rng.uniform(0.9, 1.2)
    tract = np.array([720.0, 1350.0, 2700.0, 4300.0]) * size**0.6 * rng.uniform(0.9, 1.1)
    pieces, start = [], 0.0
    if rng.random() < 0.2:
        n = length(rng.uniform(0.4, 1.0))
        growl = glottis(rng, np.full(n, rng.uniform(50, 90)), 0.1, 0.3) * (1 + 0.4 * wander(rng, n, 12.0))
        pieces.append((start, peak(fade(formants(growl, [*(0.6 * tract)]), 0.1, 0.1), 0.25)))
        start += n / 24_000
    double = rng.random() < 0.4
    for i in range(int(rng.integers(2, 9))):
        n = length(rng.uniform(0.11, 0.3) / size**0.3)
        top = rng.uniform(1.15, 1.6)
        f0 = pitch * rng.uniform(0.95, 1.05) * curve(n, [(0, 0.6), (0.25, top), (0.5, top * 0.95), (1, 0.55)])
        voice = glottis(rng, f0, rng.uniform(0.02, 0.07), rng.uniform(0.15, 0.5))
        voice *= curve(n, [(0, 0), (0.08, 1), (0.45, 0.9), (0.7, 0.35), (1, 0)])
        mouth = curve(n, [(0, 0), (0.3, 1), (1, 0)])
        bark = mouth * formants(voice, [*tract], [130, 160, 260, 350]) + (1 - mouth) * formants(
            voice, [*(0.65 * tract)]
        )
        pieces.append((start, peak(bark, rng.uniform(0.7, 1.0))))
        start += n / 24_000 + (rng.uniform(0.08, 0.2) if double and i % 2 == 0 else rng.uniform(0.2, 0.7))
    return bandpass(lay(pieces, 0.03), 180.0, 12_000.0)

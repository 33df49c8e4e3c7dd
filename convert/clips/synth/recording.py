"""A clean sound -> the same as a microphone in a room would have recorded it, (n,) at 24 kHz.

Without this, exact silence, identical onsets and flat responses would tell a net what is synthesized. What belongs to a
session is drawn from `thing`, so that the clips of a group share a room, a microphone and a noise floor; what differs
from clip to clip is drawn from `take`.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from convert.clips.synth.tools import (
    SAMPLE_RATE_HZ,
    Signal,
    bandpass,
    equalise,
    harmonics,
    length,
    log_uniform,
    noise,
    peak,
    time_s,
)

LONGEST_S = 8.0


def record(thing: np.random.Generator, take: np.random.Generator, sound: Signal) -> Signal:
    """Record a sound: room, microphone, limiter, noise floor, and some background before and after it.

    Args:
        thing: draws the session: room, distance, microphone, noise.
        take: draws the clip: its margins, small movements, the gain.
        sound: the clean sound (n,), at most 8 s of which are kept.

    Returns:
        Samples (m,), largest magnitude 0.2 to 0.95.
    """
    room = _room_response(thing)
    colour = _colour(thing)
    low_cut_hz = log_uniform(thing, 20, 160)
    high_cut_hz = log_uniform(thing, 6000, 16_000) if thing.random() < 0.3 else 12_000.0
    snr_db = thing.uniform(25, 65)
    drive = thing.choice([0.0, 0.0, 0.5, 1.5])
    margins_s = thing.uniform(0.0, 0.5, 2) if thing.random() < 0.6 else np.full(2, 0.02)
    floor_colour = [(50.0, thing.uniform(0, 12)), (300.0, 0.0), (2000.0, thing.uniform(-18, -2)), (11_000.0, -24.0)]
    hum_hz, hum = thing.choice([50.0, 60.0]), thing.choice([0.0, 0.0, 0.0, 0.5, 1.5])

    head, tail = (length(margin * take.uniform(0.3, 1.3)) for margin in margins_s)
    x = np.concatenate([np.zeros(head), peak(sound[: length(LONGEST_S)]), np.zeros(tail)])
    x = signal.fftconvolve(x, room)[: len(x) + length(0.15)]
    moved = [(hz, db + take.uniform(-1, 1)) for hz, db in colour]
    x = peak(bandpass(equalise(x, moved), low_cut_hz, high_cut_hz))
    if drive:
        x = np.tanh(drive * x) / np.tanh(drive)  # the input stage or a limiter saturates
    floor = noise(take, len(x), floor_colour)
    floor += hum * harmonics(np.full(len(x), hum_hz), [1.0, 0.3, 0.6, 0.2, 0.3], take.uniform(0, 6))
    loud = np.sqrt(np.mean(np.sort(x**2)[-len(x) // 4 :]))  # of the loudest quarter
    x += 10 ** (-(snr_db + take.uniform(-3, 3)) / 20) * loud * floor / max(float(np.std(floor)), 1e-9)
    return peak(x[: length(LONGEST_S)], take.uniform(0.2, 0.95))


def _room_response(thing: np.random.Generator) -> Signal:
    """Draw a response: the direct sound, a few early reflections, and a diffuse tail that loses its treble first."""
    t60_s, ratio_db = log_uniform(thing, 0.12, 0.6), thing.uniform(-26, -4)  # diffuse to direct
    n = length(min(0.8 * t60_s, 0.4))
    tail = np.zeros(n)
    for low_hz, high_hz, share in ((0.0, 600.0, 1.2), (600.0, 3000.0, 1.0), (3000.0, 12_000.0, 0.6)):
        band = bandpass(thing.standard_normal(n), low_hz, high_hz, 1)
        tail += band * 10.0 ** (-3.0 * time_s(n) / (share * t60_s))
    tail *= np.minimum(time_s(n) / 0.006, 1.0)
    tail *= 10 ** (ratio_db / 20) / max(float(np.linalg.norm(tail)), 1e-12)
    for delay_s in thing.uniform(0.0008, 0.012, 5):
        place = min(int(delay_s * SAMPLE_RATE_HZ), n - 1)
        tail[place] += 10 ** (ratio_db / 20) * thing.uniform(-0.6, 0.6)
    tail[0] = 1.0
    return tail


def _colour(thing: np.random.Generator) -> list[tuple[float, float]]:
    """Draw the response of a microphone and its place: a smooth curve over octaves, and a tilt."""
    octaves_hz = 62.5 * 2.0 ** np.arange(8)
    tilt_db = thing.uniform(-2.0, 1.5)
    return [(float(hz), float(tilt_db * (i - 4) + thing.normal(0, 2.0))) for i, hz in enumerate(octaves_hz)]

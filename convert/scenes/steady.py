"""A clip library and a length -> sounds that go on for most of a scene without a label: radio, television, fans."""

from __future__ import annotations

import numpy as np
from scipy import fft

from convert.clips.library import INTERFERER, ClipLibrary, draw_clip
from convert.scenes.replay import small_loudspeaker
from edge.types import FloatArray

BROADCAST_CLASSES = ("female_speech", "male_speech", "music", "instrument", "laughter")
"""Classes that a radio or television plays, as far as a library has them; otherwise it plays interferers."""

_FADE_S = 0.05
_SILENCE_S = (0.05, 1.0)  # between two clips of a broadcast


def draw_broadcast(length: int, library: ClipLibrary, rng: np.random.Generator) -> tuple[FloatArray, list[str]] | None:
    """Draw a radio or television: clips one after the other out of a small loudspeaker, on for most of the time.

    Args:
        length: number of samples.
        library: the clips.
        rng: the source of randomness.

    Returns:
        Samples (length,) and the groups of the clips, or None if the library has nothing to play.
    """
    rate_hz = library.sample_rate_hz
    groups = [group for name in BROADCAST_CLASSES for group in library.of_class(name).items()]
    groups = groups or list(library.of_class(INTERFERER).items())
    if not groups:
        return None
    signal, used = np.zeros(length, np.float32), []
    start, end = int(length * rng.uniform(0, 0.3)), int(length * rng.uniform(0.7, 1.0))
    fade = np.linspace(0, 1, round(_FADE_S * rate_hz), dtype=np.float32)
    while start < end:
        name, clips = groups[int(rng.integers(len(groups)))]
        used.append(name)
        clip = library.samples(draw_clip(clips, rng))[: end - start].copy()
        clip /= np.sqrt(np.mean(np.square(clip)) + np.float32(1e-12))
        edge = min(len(fade), len(clip))
        clip[:edge] *= fade[:edge]
        clip[len(clip) - edge :] *= fade[:edge][::-1]
        signal[start : start + len(clip)] += clip
        start += len(clip) + int(rng.uniform(*_SILENCE_S) * rate_hz)
    return small_loudspeaker(signal, rate_hz, rng), used


def draw_fan(length: int, rate_hz: int, rng: np.random.Generator) -> FloatArray:
    """Draw the sound of a fan: flow noise that falls with frequency, and tones at multiples of the blade frequency.

    Args:
        length: number of samples.
        rate_hz: sample rate.
        rng: the source of randomness.

    Returns:
        Samples (length,) with an RMS of 1.
    """
    size = fft.next_fast_len(length, real=True)
    hz = np.maximum(fft.rfftfreq(size, 1 / rate_hz), 1.0)
    corner_hz, slope_db = rng.uniform(80, 300), rng.uniform(3, 6)
    gain_db = -slope_db * np.maximum(np.log2(hz / corner_hz), 0) - 9 * np.maximum(np.log2(corner_hz / 2 / hz), 0)
    white = rng.standard_normal((len(hz), 2), np.float32).view(np.complex64)[:, 0]
    flow = fft.irfft(white * (10 ** (gain_db / 20)).astype(np.float32), size)[:length]
    blade_hz, orders = rng.uniform(40, 320), np.arange(1, 6)
    turns = np.cumsum(1 + 0.002 * np.interp(np.arange(length), *_wobble(length, rate_hz, rng))) * (blade_hz / rate_hz)
    levels_db = -rng.uniform(3, 9) * (orders - 1) + rng.normal(0, 3, len(orders))
    tones = np.zeros(length, np.float32)
    for order, level in zip(orders[orders * blade_hz < 0.4 * rate_hz], levels_db, strict=False):
        tones += (10 ** (level / 20) * np.cos(2 * np.pi * (order * turns + rng.random()))).astype(np.float32)
    tones *= np.float32(10 ** (rng.uniform(-25, -5) / 20)) / np.sqrt(np.mean(np.square(tones)))
    together = flow / np.sqrt(np.mean(np.square(flow))) + tones
    return together / np.sqrt(np.mean(np.square(together)))


def _wobble(length: int, rate_hz: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Knots, some 0.5 s apart, at which the speed of a fan wanders."""
    knots = max(2, int(2 * length / rate_hz))
    return np.linspace(0, length, knots), rng.standard_normal(knots)

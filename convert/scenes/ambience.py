"""A random generator, and clips of the class `interferer` -> the diffuse background of a scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft
from scipy.signal import oaconvolve

from convert.clips.library import INTERFERER, Clip, ClipLibrary, draw_clip
from convert.scenes.rooms import ArrayResponse, diffuse_spectrum
from edge.types import FloatArray


def draw_ambience(
    length: int, library: ClipLibrary, rng: np.random.Generator, array: ArrayResponse, first: int = 0
) -> tuple[str, FloatArray]:
    """Draw coloured noise, a mains hum, or a babble of many distant sounds.

    Args:
        length: number of samples.
        library: clips of its class `interferer` make the babble; without any, there is noise instead.
        rng: the source of randomness.
        array: impulse responses of the array.
        first: the channel in which the mean power is 1.

    Returns:
        The kind ("noise", "hum" or "babble") and samples (length, channels).
    """
    others = [clip for clips in library.of_class(INTERFERER).values() for clip in clips]
    kind = str(rng.choice(["noise", "hum", "babble"], p=[0.6, 0.2, 0.2]))
    if kind == "babble" and others:
        sound = _babble(length, library, others, rng, array)
    else:
        kind = "hum" if kind == "hum" else "noise"
        size = fft.next_fast_len(length, real=True)
        frequency_hz = np.maximum(fft.rfftfreq(size, 1 / library.sample_rate_hz), 20.0)
        octaves = np.arange(11)
        colour_db = -rng.uniform(2.0, 6.0) * octaves + rng.uniform(-4, 4, len(octaves))
        gain = 10 ** (np.interp(np.log2(frequency_hz / 20), octaves, colour_db) / 20)
        if kind == "hum":
            mains_hz, width_hz = rng.choice([50.0, 60.0]), rng.uniform(0.3, 2.0)
            nearest = np.maximum(np.rint(frequency_hz / mains_hz), 1)
            line = np.exp(-(((frequency_hz - nearest * mains_hz) / width_hz) ** 2)) * (nearest < 12)
            gain = gain * (1 + 10 ** (rng.uniform(10, 25) / 20) * line)
        sound = fft.irfft(diffuse_spectrum(size, rng, array) * gain.astype(np.float32)[:, None], size, axis=0)[:length]
    return kind, sound / np.sqrt(np.mean(np.square(sound[:, first])) + np.float32(1e-20))


def _babble(
    length: int, library: ClipLibrary, clips: Sequence[Clip], rng: np.random.Generator, array: ArrayResponse
) -> FloatArray:
    """Add up four streams of clips and reverberate them diffusely: samples (length, channels)."""
    rate_hz = library.sample_rate_hz
    together = np.zeros(length, np.float32)
    for _ in range(4):
        stream = np.concatenate([library.samples(draw_clip(clips, rng)) for _ in range(3)])
        stream = np.resize(np.roll(stream, int(rng.integers(len(stream)))), length)
        together += stream / np.sqrt(np.mean(np.square(stream)) + np.float32(1e-12))
    reverberation = fft.irfft(diffuse_spectrum(rate_hz, rng, array), rate_hz, axis=0)
    decay = np.exp(-np.log(1e3) * np.arange(rate_hz) / rate_hz).astype(np.float32)
    return oaconvolve(together[:, None], reverberation * decay[:, None], axes=0)[:length].astype(np.float32)

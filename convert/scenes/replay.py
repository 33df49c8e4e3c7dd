"""A dry sound -> the same sound out of a small loudspeaker or a lossy codec, at the level that it had.

A small loudspeaker, as in a telephone, radio or television, is a closed box: a high-pass of second order with a
resonance, a low-pass, a few peaks of its case, and an amplifier that compresses and clips softly.
"""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import sosfilt

from convert.clips.library import HOP_S
from convert.scenes.events import Sound, level_db
from convert.scenes.settings import ReplaySettings
from edge.types import FloatArray

OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)
_ENVELOPE_S = 0.005  # resolution of the compressor
_SMOOTHED_HOPS = 21  # of the envelope: 0.1 s


def replay(sound: Sound, settings: ReplaySettings, rate_hz: int, rng: np.random.Generator) -> Sound:
    """Send a sound through what the settings ask for, or return it as it is.

    Args:
        sound: the sound; where it is active does not change.
        settings: the shares of sounds that go through a codec and a loudspeaker.
        rate_hz: sample rate.
        rng: the source of randomness.
    """
    coded, played = rng.random() < settings.codec_share, rng.random() < settings.loudspeaker_share
    samples = sound.samples
    if coded:
        samples = lossy_codec(samples, rate_hz, rng)
    if played:
        samples = small_loudspeaker(samples, rate_hz, rng)
    if not coded and not played:
        return sound
    level = level_db(samples, sound.active, round(HOP_S * rate_hz))
    return replace(sound, samples=(samples / np.float32(10 ** (level / 20))).astype(np.float32))


def lossy_codec(samples: FloatArray, rate_hz: int, rng: np.random.Generator) -> FloatArray:
    """Encode and decode with Opus, at a low to middle bit rate: samples (n,) -> samples (n,).

    Raises:
        ValueError: Opus does not know the sample rate.
    """
    if rate_hz not in OPUS_RATES_HZ:
        raise ValueError(f"got {rate_hz} Hz for codec_share, wanted one of {OPUS_RATES_HZ}")
    peak = np.float32(2 * max(float(np.max(np.abs(samples))), 1e-9))
    file = io.BytesIO()
    level = rng.uniform(0.6, 0.97)  # 1 is the lowest bit rate
    soundfile.write(file, samples / peak, rate_hz, format="OGG", subtype="OPUS", compression_level=level)
    file.seek(0)
    decoded = soundfile.read(file, dtype="float32")[0] * peak
    result = np.zeros_like(samples)
    result[: len(decoded)] = decoded[: len(samples)]
    return result


def small_loudspeaker(samples: FloatArray, rate_hz: int, rng: np.random.Generator) -> FloatArray:
    """Play a sound on a loudspeaker that is drawn at random: samples (n,) -> samples (n,)."""
    samples = compress(samples, rate_hz, below_peak_db=rng.uniform(10, 25), ratio=rng.uniform(1.5, 4))
    drive = 10 ** (rng.uniform(0, 12) / 20)
    clipped = np.tanh(samples * (drive / max(float(np.max(np.abs(samples))), 1e-9)))
    lowest_hz, highest_hz = np.exp(rng.uniform(np.log([120, 4000]), np.log([500, 10000])))
    sections = [
        biquad("highpass", lowest_hz, rng.uniform(0.6, 2.0), rate_hz),
        biquad("lowpass", min(highest_hz, 0.45 * rate_hz), 0.7, rate_hz),
    ]
    for _ in range(2):
        hz, gain_db = np.exp(rng.uniform(np.log(500), np.log(4000))), rng.uniform(2, 9)
        sections.append(biquad("peak", hz, rng.uniform(2, 8), rate_hz, gain_db))
    return sosfilt(np.stack(sections), clipped).astype(np.float32)


def compress(samples: FloatArray, rate_hz: int, below_peak_db: float, ratio: float) -> FloatArray:
    """Reduce the dynamic range of a sound.

    Args:
        samples: samples (n,).
        rate_hz: sample rate.
        below_peak_db: the threshold, relative to the loudest 0.1 s.
        ratio: increase of the level above the threshold that gives 1 dB in the result.

    Returns:
        Samples (n,), nowhere louder than before.
    """
    hop = round(_ENVELOPE_S * rate_hz)
    hops = -(-len(samples) // hop)
    power = np.pad(np.square(samples, dtype=np.float64), (0, hops * hop - len(samples))).reshape(hops, hop).mean(axis=1)
    smoothed = np.maximum(
        uniform_filter1d(power, _SMOOTHED_HOPS, mode="constant"), 1e-20
    )  # its rounding may be below 0
    level = 10 * np.log10(smoothed)
    gain_db = -np.maximum(level - (level.max() - below_peak_db), 0) * (1 - 1 / ratio)
    gain = 10 ** (np.interp(np.arange(len(samples)), (np.arange(hops) + 0.5) * hop, gain_db) / 20)
    return (samples * gain).astype(np.float32)


def biquad(kind: str, hz: float, quality: float, rate_hz: int, gain_db: float = 0.0) -> NDArray[np.float64]:
    """Design a filter of second order, by the formulas of R. Bristow-Johnson's "Audio EQ Cookbook".

    Args:
        kind: "lowpass", "highpass" or "peak".
        hz: corner or middle frequency.
        quality: Q, the gain at the corner of a low-pass or high-pass.
        rate_hz: sample rate.
        gain_db: gain in the middle of a peak.

    Returns:
        Coefficients b0, b1, b2, a0 = 1, a1, a2 (6,).
    """
    angle = 2 * np.pi * hz / rate_hz
    cosine, alpha, root = np.cos(angle), np.sin(angle) / (2 * quality), 10 ** (gain_db / 40)
    over = {
        "lowpass": ((1 - cosine) / 2, 1 - cosine, (1 - cosine) / 2),
        "highpass": ((1 + cosine) / 2, -1 - cosine, (1 + cosine) / 2),
        "peak": (1 + alpha * root, -2 * cosine, 1 - alpha * root),
    }[kind]
    under = (1 + alpha / root, -2 * cosine, 1 - alpha / root)  # root is 1 but for a peak
    return np.array([*over, *under]) / under[0]

"""Bytes of interleaved samples -> samples (n, channels) float32 with full scale 1, and the check of their values."""

from __future__ import annotations

import numpy as np

from edge.types import FloatArray

SAMPLE_BYTES = {"pcm16": 2, "pcm24": 3, "pcm32": 4, "float32": 4, "float64": 8}
"""Sample types by name, and the bytes that one sample takes."""

RAW_TYPES = {"s16le": "pcm16", "s32le": "pcm32", "f32le": "float32"}
"""Names that ALSA and ffmpeg give to raw sample formats, and the sample type that each stands for."""


def decode_samples(raw: bytes, sample_type: str, channels: int) -> FloatArray:
    """Turn interleaved little-endian samples into an array.

    Args:
        raw: Whole frames, a frame being one sample of every channel.
        sample_type: A key of `SAMPLE_BYTES`. Integers are scaled to full scale 1, floats stay as they are.
        channels: Samples in one frame.

    Returns:
        Samples (n, channels) as float32. A float64 sample too large for float32 becomes infinite: see `check_finite`.
    """
    if sample_type == "pcm16":
        samples = np.frombuffer(raw, "<i2").astype(np.float32) * np.float32(2**-15)
    elif sample_type == "pcm24":  # the upper three bytes of 32-bit integers
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        samples = wide.view("<i4").astype(np.float32) * np.float32(2**-31)
    elif sample_type == "pcm32":
        samples = np.frombuffer(raw, "<i4").astype(np.float32) * np.float32(2**-31)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            samples = np.frombuffer(raw, "<f4" if sample_type == "float32" else "<f8").astype(np.float32)
    return samples.reshape(-1, channels)


def check_finite(samples: FloatArray, start: int, name: str) -> None:
    """Refuse samples that are NaN or infinite.

    Args:
        samples: Samples (n, channels).
        start: Index of the first of them in its stream or file.
        name: Source of the samples, with which the message begins.

    Raises:
        ValueError: A sample is NaN or infinite; the message names the first one by its index and channel.
    """
    bad = np.argwhere(~np.isfinite(samples))
    if len(bad):
        row, channel = bad[0]
        raise ValueError(f"{name}: sample {start + row} of channel {channel} is {samples[row, channel]}")

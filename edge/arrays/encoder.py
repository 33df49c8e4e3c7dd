"""Blocks of an array's channels -> blocks of FOA (W, Y, Z, X in ACN/SN3D), with its microphones beside it on request.

`foa_encoder` chooses the encoder that fits a profile: a matrix where the device delivers FOA, a matrix of filters
(`edge/arrays/filter_encoder.py`) where it delivers capsules. The four microphones of a device that delivers only FOA
are virtual ones: cardioids in one point that look toward the corners of a tetrahedron.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from edge.arrays.filter_encoder import FilterEncoder
from edge.arrays.profile import ArrayProfile
from edge.geometry import foa_gains
from edge.types import AudioBlock, FloatArray

VIRTUAL_AXES = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
"""Unit vectors (4, 3) that the virtual microphones look along, in the order of tetrahedral arrays."""

_CARDIOIDS = (0.5 * foa_gains(VIRTUAL_AXES)).astype(np.float32)  # (microphones, 4): 0.5 (W + axis . V)


class Encoder(Protocol):
    """Streaming conversion of a device's channels to FOA, with the same sample indices on both sides."""

    latency_s: float  # most time by which the FOA of a sample comes later than the sample

    def __call__(self, block: AudioBlock) -> AudioBlock:
        """Take the next block of the stream.

        Args:
            block: Samples (n, channels), the channels of the device.

        Returns:
            Samples (m, 4) of FOA, or (m, 8) with the microphones after it, that continue those returned before. m is 0
            while nothing can be computed.
        """

    def finish(self) -> Iterator[AudioBlock]:
        """End the stream.

        Yields:
            Blocks as `__call__` returns them, of the samples that are still held back.
        """

    def reset(self) -> None:
        """Forget the past: the next block is expected at sample 0."""


class MixingEncoder:
    """Encoder for channels that are FOA already, in whatever order and scale: no state, no delay."""

    latency_s = 0.0

    def __init__(self, mixing: FloatArray, channel_map: tuple[int, ...], microphones: bool = False) -> None:
        """Prepare the conversion.

        Args:
            mixing: Matrix (4, 4) from the channels of `channel_map` to W, Y, Z, X.
            channel_map: The four channels that are used, by their index in the blocks.
            microphones: Whether four virtual microphones follow the FOA channels.
        """
        self._channels = list(channel_map)
        self._microphones = microphones
        self._mixing = None if np.array_equal(mixing, np.eye(4)) else mixing.T

    def __call__(self, block: AudioBlock) -> AudioBlock:
        """Convert samples (n, channels) to (n, 4), or (n, 8) with microphones."""
        samples = block.samples[:, self._channels]
        foa = samples if self._mixing is None else samples @ self._mixing
        if self._microphones:
            foa = np.concatenate([foa, _cardioids(foa)], axis=1)
        return AudioBlock(foa, block.start, block.lost)

    def finish(self) -> Iterator[AudioBlock]:
        """Yield nothing: no sample is held back."""
        return iter(())

    def reset(self) -> None:
        """Do nothing: there is no past."""


def foa_encoder(profile: ArrayProfile, sample_rate_hz: int = 24000, microphones: bool = False) -> Encoder:
    """Choose and prepare the encoder of an array.

    Args:
        profile: The array.
        sample_rate_hz: Rate of the blocks that the encoder will be given.
        microphones: Whether blocks get 8 channels: FOA, then the four microphones at the same time. These are the
            capsules in the order of the profile, equalised by its calibration, or cardioids along `VIRTUAL_AXES` where
            the device delivers FOA.

    Returns:
        An encoder at the beginning of a stream.
    """
    if profile.mixing is not None:
        return MixingEncoder(profile.mixing, profile.channel_map, microphones)
    return FilterEncoder(profile.capsules, profile.channel_map, sample_rate_hz, microphones)


def _cardioids(foa: FloatArray) -> FloatArray:
    """FOA (n, 4) -> virtual microphones (n, 4), each sample computed alone: the length of the block does not matter."""
    sums = np.zeros((len(_CARDIOIDS), len(foa)), np.float32)
    for gains, channel in zip(_CARDIOIDS.T, foa.T, strict=True):
        sums += np.multiply.outer(gains, channel)
    return sums.T

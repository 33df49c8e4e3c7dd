"""FOA and the capsules of one recording, from two files -> FOA of the one and microphones of the other, encoded.

The corpora of DCASE pack each recording in both formats, and the two-step paper gives its DOA net the one and its SED
net the other (section 3.1). A device has one array; this is for the evaluation alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from edge.arrays.encoder import Encoder, foa_encoder
from edge.arrays.profile import ArrayProfile
from edge.types import AudioBlock, FloatArray

FOA_CHANNELS = 4


def joined(foa: Iterable[AudioBlock], capsules: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
    """Join blocks (n, 4) of two files to blocks (n, 8). Raises ValueError if the files differ in length."""
    for one, other in zip(foa, capsules, strict=True):
        if one.samples.shape != other.samples.shape:
            raise ValueError(f"got {len(other.samples)} samples of the capsules, wanted {len(one.samples)} as of FOA")
        yield AudioBlock(np.concatenate([one.samples, other.samples], axis=1), one.start)


def both_encoder(array: ArrayProfile, sample_rate_hz: int, microphones: bool) -> Encoder:
    """The encoder of blocks that `joined` makes, with or without the microphones behind FOA."""
    return _BothEncoder(foa_encoder(array, sample_rate_hz, microphones=True)) if microphones else _FoaOnly()


class _FoaOnly:
    """Takes FOA and leaves the capsules."""

    latency_s = 0.0

    def __call__(self, block: AudioBlock) -> AudioBlock:
        """(n, 8) -> (n, 4)."""
        return AudioBlock(block.samples[:, :FOA_CHANNELS], block.start, block.lost)

    def finish(self) -> Iterator[AudioBlock]:
        """Nothing is held back."""
        return iter(())

    def reset(self) -> None:
        """There is no past."""


class _BothEncoder:
    """Holds FOA back until the encoder of the capsules has the same samples."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self.latency_s = encoder, encoder.latency_s
        self._held: FloatArray = np.empty((0, FOA_CHANNELS), np.float32)

    def __call__(self, block: AudioBlock) -> AudioBlock:
        """(n, 8) -> (m, 8)."""
        self._held = np.concatenate([self._held, block.samples[:, :FOA_CHANNELS]])
        capsules = np.ascontiguousarray(block.samples[:, FOA_CHANNELS:])
        return self._beside(self._encoder(AudioBlock(capsules, block.start, block.lost)))

    def finish(self) -> Iterator[AudioBlock]:
        """The samples that are still held back."""
        for block in self._encoder.finish():
            yield self._beside(block)

    def reset(self) -> None:
        """Forget the past."""
        self._held = self._held[:0]
        self._encoder.reset()

    def _beside(self, block: AudioBlock) -> AudioBlock:
        count = len(block.samples)
        foa, self._held = self._held[:count], self._held[count:]
        return AudioBlock(np.concatenate([foa, block.samples[:, FOA_CHANNELS:]], axis=1), block.start, block.lost)

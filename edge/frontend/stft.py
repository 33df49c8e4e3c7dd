"""AudioBlock -> Spectra, one label frame at a time.

Frames are centred as in librosa and the DCASE baselines: frame t covers `window_samples` samples around sample t * hop,
and the stream is silent before its start. The window is shorter than the transform and lies in its middle, so a group
is complete with the last sample of its label frame: there is no extra latency.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft

from edge.framing import Framer
from edge.types import AudioBlock, ComplexArray, FloatArray, Spectra

_MOST = {"sample_rate_hz": 192_000, "nfft": 16384, "frames_per_label": 100}


@dataclass(frozen=True, slots=True)
class StftSettings:
    """Sizes of the transform. The defaults are those of CoLoC (section 3.6) and of the DCASE 2022 baseline.

    Raises:
        ValueError: A size is out of range, or the sizes do not fit together.
    """

    sample_rate_hz: int = 24000
    window_samples: int = 960
    hop_samples: int = 480
    nfft: int = 1024
    frames_per_label: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.hop_samples <= self.window_samples <= self.nfft:
            raise ValueError(
                f"got hop {self.hop_samples}, window {self.window_samples}, nfft {self.nfft}, "
                "wanted 0 < hop <= window <= nfft"
            )
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"got {name} {getattr(self, name)}, wanted 1 to {most}")

    @property
    def bins(self) -> int:
        """Number of frequency bins, nfft / 2 + 1."""
        return self.nfft // 2 + 1

    @property
    def label_samples(self) -> int:
        """Samples in one label frame."""
        return self.hop_samples * self.frames_per_label

    @property
    def label_s(self) -> float:
        """Seconds in one label frame."""
        return self.label_samples / self.sample_rate_hz


class Stft:
    """Streaming transform. Groups always have the same size, so the result does not depend on the block length."""

    def __init__(self, settings: StftSettings, channels: int) -> None:
        """Begin a stream.

        Args:
            settings: Sizes of the transform.
            channels: Channels of the samples.
        """
        self._settings = settings
        self._channels = channels
        hann = np.hanning(settings.window_samples + 1)[:-1].astype(np.float32)  # periodic
        self._window = np.repeat(hann[:, None], channels, axis=1)
        self._frames = np.zeros((settings.frames_per_label, settings.nfft, channels), dtype=np.float32)
        offset = (settings.nfft - settings.window_samples) // 2
        self._middles = self._frames[:, offset : offset + settings.window_samples]
        overlap = settings.window_samples - settings.hop_samples
        self._framer = Framer(settings.label_samples + overlap, settings.label_samples, (channels,), history=overlap)
        self._label = 0  # label frame that the next group belongs to
        self._skip = 0  # samples to drop until that label frame begins (after a gap)
        self._next_sample = 0  # sample index that continues the stream without a gap

    def push(self, block: AudioBlock) -> Iterator[Spectra]:
        """Take the next samples.

        Args:
            block: Samples (n, channels). After a gap the incomplete group is dropped, and the next one begins with the
                first whole label frame.

        Yields:
            Spectra (frames_per_label, channels, bins) of each label frame that the block completes.
        """
        if block.lost or block.start != self._next_sample:
            self._restart(block.start)
        self._next_sample = block.start + len(block.samples)
        skipped = min(self._skip, len(block.samples))
        self._skip -= skipped
        for window in self._framer.push(block.samples[skipped:]):
            yield Spectra(self._transform(window), self._label * self._settings.frames_per_label)
            self._label += 1

    def finish(self) -> Iterator[Spectra]:
        """End the stream.

        Yields:
            The spectra of the last label frame, completed with silence, if any of its samples arrived.
        """
        if self._framer.pending > 0:
            silence = np.zeros((self._settings.label_samples - self._framer.pending, self._channels), np.float32)
            yield from self.push(AudioBlock(silence, self._next_sample))

    def reset(self) -> None:
        """Forget the past: the next block is expected at sample 0."""
        self._framer.reset()
        self._label = self._skip = self._next_sample = 0

    def _restart(self, sample: int) -> None:
        self._framer.reset()
        self._label = -(-sample // self._settings.label_samples)
        self._skip = self._label * self._settings.label_samples - sample

    def _transform(self, window: FloatArray) -> ComplexArray:
        """Samples (label + overlap, channels) -> spectra (frames, channels, bins).

        Channels stay last until the transform, so that one product applies the window to all frames.
        """
        overlapping = np.ndarray(
            self._middles.shape,
            np.float32,
            window,
            strides=(self._settings.hop_samples * window.strides[0], *window.strides),
        )
        np.multiply(overlapping, self._window, out=self._middles)
        return scipy.fft.rfft(self._frames.transpose(0, 2, 1))

"""Blocks of an array's channels -> the sound from one direction: a delay-and-sum beam as samples, for ears.

The microphones and their gains are those of `edge/frontend/beams.py`. As the direction stays, the gains are one filter
for each microphone, and need no spectra of frames.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from edge.arrays.encoder import Encoder, foa_encoder
from edge.arrays.filter_encoder import DELAY_S, taps_of
from edge.arrays.profile import ArrayProfile
from edge.framing import Framer
from edge.frontend.beams import Beamformer
from edge.frontend.stft import StftSettings
from edge.types import AudioBlock, FloatArray

_FOA_CHANNELS = 4  # that an encoder returns before the microphones


class Listener:
    """Makes the beams of an array. The responses of its microphones are tabulated once."""

    def __init__(self, profile: ArrayProfile, sample_rate_hz: int) -> None:
        """Tabulate the responses.

        Args:
            profile: The array.
            sample_rate_hz: Rate of the blocks.
        """
        self.profile, self.sample_rate_hz = profile, sample_rate_hz
        nfft = 4 * round(DELAY_S * sample_rate_hz)
        self._beamformer = Beamformer(profile, StftSettings(sample_rate_hz, nfft, nfft // 2, nfft))

    def toward(self, direction: ArrayLike) -> BeamStream:
        """Begin to listen in a direction: a unit vector x, y, z (3,) as the array has it."""
        vector = np.asarray(direction, np.float32)[None]
        gains = self._beamformer.gains(vector)[0].astype(np.complex128)
        return BeamStream(foa_encoder(self.profile, self.sample_rate_hz, microphones=True), taps_of(gains))

    def heard(self, samples: FloatArray, direction: ArrayLike) -> FloatArray:
        """Filter a whole recording.

        Args:
            samples: Channels of the array (n, channels).
            direction: That of the beam, as for `toward`.

        Returns:
            The beam (n, 1).
        """
        beam = self.toward(direction)
        return np.concatenate([beam(AudioBlock(samples, 0)).samples, *(block.samples for block in beam.finish())])


class BeamStream:
    """A beam toward one direction. The result does not depend on the length of the blocks.

    It has the sample indices of the blocks, and comes 50 ms later at most.
    """

    def __init__(self, encode: Encoder, taps: FloatArray) -> None:
        """Begin a stream; `Listener.toward` does it.

        Args:
            encode: Gives the microphones after FOA.
            taps: Filters of the microphones (microphones, 2 * delay + 1).
        """
        self._encode = encode
        self._delay = taps.shape[1] // 2
        self._hop = 2 * self._delay
        self._spectra = scipy.fft.rfft(taps.T, 2 * self._hop, axis=0)  # (bins, microphones)
        self._framer = Framer(2 * self._hop, self._hop, (len(taps),), history=self._delay)
        self._received = self._returned = 0  # ends of the samples taken from the encoder, and returned

    def __call__(self, block: AudioBlock) -> AudioBlock:
        """Take the next block of the stream.

        Args:
            block: Samples (n, channels), the channels of the device.

        Returns:
            Samples (m, 1) that continue those returned before; m is 0 while a group is incomplete. At a gap, those of
            an incomplete group are dropped.
        """
        return self._filtered(self._encode(block))

    def finish(self) -> Iterator[AudioBlock]:
        """End the stream as if silence followed.

        Yields:
            The beam of the samples that were held back.
        """
        for block in self._encode.finish():
            yield self._filtered(block)
        waiting = self._received - self._returned
        silence = np.zeros((self._hop, _FOA_CHANNELS + self._spectra.shape[1]), np.float32)
        while waiting > 0:
            block = self._filtered(AudioBlock(silence, self._received))
            yield AudioBlock(block.samples[:waiting], block.start)
            waiting -= len(block.samples)

    def _filtered(self, block: AudioBlock) -> AudioBlock:
        if block.lost or block.start != self._received:
            self._framer.reset()
            self._received = self._returned = block.start
        start = self._returned
        groups = [self._beam(window) for window in self._framer.push(block.samples[:, _FOA_CHANNELS:])]
        self._received += len(block.samples)
        self._returned += len(groups) * self._hop
        return AudioBlock(np.concatenate(groups) if groups else np.empty((0, 1), np.float32), start)

    def _beam(self, window: FloatArray) -> FloatArray:
        spectrum = (self._spectra * scipy.fft.rfft(window, axis=0)).sum(axis=1)
        beam: FloatArray = scipy.fft.irfft(spectrum, len(window))[-self._hop :, None].astype(np.float32, copy=False)
        return beam

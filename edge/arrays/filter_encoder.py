"""Capsules of an array -> FOA, by a matrix of filters that is designed from the acoustic model of the array.

The design is least squares over all directions, at each frequency (Moreau, Daniel & Bertet 2006, AES 120, 6857). A
Tikhonov term limits the amplification of the capsules' own noise at low frequencies, where the capsules are too close
together to resolve directions. At high frequencies, where they are too far apart (spatial aliasing), least squares
alone would let all channels fade out. There W is scaled to the level that it has in a diffuse field, and the other
three, together, are given the gain and phase at which the active intensity Re(conj(W) V) comes closest to the unit
vector toward the source. The intensity then becomes short where its direction is unreliable.

Capsules in a plane receive waves from above and below alike: their Z is zero, and W, Y and X are the best fit for
sources at all elevations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
import scipy.fft

from edge.arrays.acoustics import Array64, Capsules, Complex128, array_spectra, capsule_spectra, sphere_grid
from edge.framing import Framer
from edge.geometry import foa_gains
from edge.types import AudioBlock, FloatArray

MAX_NOISE_GAIN_DB = 20.0
"""Most gain of the noise of the capsules in any FOA channel, relative to the noise of one capsule."""

DELAY_S = 0.01
"""Time by which the filters reach into the future, and into the past."""

_GRID_POINTS = 600
_LEAST_POWER = 1e-9  # noise power for the design that assumes noiseless capsules


def encoding_matrices(capsules: Capsules, frequencies_hz: np.ndarray) -> Complex128:
    """Design the encoding matrices of an array.

    Args:
        capsules: The array.
        frequencies_hz: Frequencies (frequencies,).

    Returns:
        Matrices (frequencies, 4, capsules) from capsule spectra to W, Y, Z, X (ACN/SN3D) in the middle of the array.
    """
    grid = sphere_grid(_GRID_POINTS // 2)
    grid = np.concatenate([grid, grid * (1, 1, -1)])  # symmetric above and below, so that Z of flat arrays is zero
    responses = array_spectra(capsules, grid, frequencies_hz).transpose(2, 0, 1)  # (frequencies, points, capsules)
    wanted = foa_gains(grid)  # (points, 4)
    covariance = responses.swapaxes(1, 2) @ responses.conj() / len(grid)
    cross = wanted.T @ responses.conj() / len(grid)
    noise = 10 ** (-MAX_NOISE_GAIN_DB / 10) / 12  # limits the gain of a dipole, of power 1/3, to sqrt(1/3 / (4 noise))
    identity = np.eye(responses.shape[2])
    free, limited = (cross @ np.linalg.inv(covariance + floor * identity) for floor in (_LEAST_POWER, noise))
    w, v = np.split(responses @ free.swapaxes(1, 2), [1], axis=2)  # (frequencies, points, 1 and 3)
    for_w = 1 / np.sqrt(np.mean(np.abs(w) ** 2, axis=(1, 2)))  # to the level of W in a diffuse field
    intensity = for_w[:, None, None] * w.conj() * v
    power = np.maximum(np.sum(np.abs(intensity) ** 2, axis=(1, 2)), _LEAST_POWER)
    for_v = np.sum(intensity.conj() * wanted[:, 1:], axis=(1, 2)) / power  # intensity closest to the unit vectors
    for_z = np.zeros_like(for_v) if capsules.planar else for_v
    return np.stack([for_w, for_v, for_z, for_v], axis=1)[..., None] * limited


@lru_cache(maxsize=8)
def encoding_filters(capsules: Capsules, sample_rate_hz: int) -> FloatArray:
    """Design the encoding matrices as FIR filters.

    Args:
        capsules: The array.
        sample_rate_hz: Rate of the samples that will be filtered.

    Returns:
        Taps (4, capsules, 2 * delay + 1), where delay is DELAY_S in whole samples.
    """
    return taps_of(encoding_matrices(capsules, _frequencies_hz(sample_rate_hz)).transpose(1, 2, 0))


def calibrated(capsules: Capsules) -> Capsules:
    """Return the capsules without individual gains and tilts: the result of applying `calibration_filters`."""
    none = (0.0,) * len(capsules.positions_m)
    return replace(capsules, gains_db=none, tilts_db=none)


@lru_cache(maxsize=8)
def calibration_filters(capsules: Capsules, sample_rate_hz: int) -> FloatArray:
    """Design filters that give all capsules the same response.

    Args:
        capsules: The array, with the gains and tilts that were measured.
        sample_rate_hz: Rate of the samples that will be filtered.

    Returns:
        Taps (capsules, 2 * delay + 1), one filter for each capsule, with the delay of `encoding_filters`.
    """
    hz, on_axis = _frequencies_hz(sample_rate_hz), np.ones(1)
    equal = calibrated(capsules)
    ratios = [
        capsule_spectra(equal, index, on_axis, hz)[0] / capsule_spectra(capsules, index, on_axis, hz)[0]
        for index in range(len(capsules.positions_m))
    ]
    return taps_of(np.stack(ratios))


def _frequencies_hz(sample_rate_hz: int) -> Array64:
    return scipy.fft.rfftfreq(4 * round(DELAY_S * sample_rate_hz), 1 / sample_rate_hz)


def taps_of(spectra: Complex128) -> FloatArray:
    """Turn responses into FIR filters.

    Args:
        spectra: Wanted responses (..., 2 * delay + 1), at evenly spaced frequencies from 0 to half the sample rate.

    Returns:
        Taps (..., 2 * delay + 1), which reach as far into the past as into the future.
    """
    delay = (spectra.shape[-1] - 1) // 2
    taps = np.roll(scipy.fft.irfft(spectra, 4 * delay), delay, axis=-1)[..., : 2 * delay + 1]
    window = np.hanning(2 * delay + 3)[1:-1]  # changes magnitudes above 75 Hz by less than -24 dB, and no phases
    return (taps * window).astype(np.float32)


class FilterEncoder:
    """Encoder for capsules. Groups of one fixed size make the result independent of the block length.

    Filters are applied by overlap-save and their delay is compensated: FOA keeps the sample indices of the capsules and
    is available 10 ms after them, plus the rest of a group of 20 ms. Groups end with label frames until there is a gap.
    """

    def __init__(
        self, capsules: Capsules, channel_map: tuple[int, ...], sample_rate_hz: int, microphones: bool = False
    ) -> None:
        """Design the filters and begin a stream.

        Args:
            capsules: The array.
            channel_map: Channel of each capsule in the blocks.
            sample_rate_hz: Rate of the blocks.
            microphones: Whether the four capsules, equalised by their calibration, follow the FOA channels.
        """
        filters = encoding_filters(capsules, sample_rate_hz)
        delay = filters.shape[2] // 2
        self.latency_s = 3 * delay / sample_rate_hz
        self._channels = list(channel_map)
        self._hop = 2 * delay
        window = self._hop + 2 * delay
        self._spectra = scipy.fft.rfft(filters, window, axis=2)  # (4, capsules, bins)
        self._calibration = None
        if microphones:
            self._calibration = scipy.fft.rfft(calibration_filters(capsules, sample_rate_hz), window, axis=1)
        self._nothing = np.empty((0, len(filters) + (len(channel_map) if microphones else 0)), np.float32)
        self._framer = Framer(window, self._hop, (len(channel_map),), history=delay)
        self._received = self._returned = 0  # ends of the samples taken and returned

    def __call__(self, block: AudioBlock) -> AudioBlock:
        """Convert capsules (n, channels) to FOA (m, 4), or (m, 8): m is 0 while a group is incomplete.

        At a gap the samples of an incomplete group are dropped and counted as lost.
        """
        lost = 0
        if block.lost or block.start != self._received:
            lost = max(0, block.start - self._returned) if block.lost or self._received else 0
            self._framer.reset()
            self._received = self._returned = block.start
        start = self._returned
        groups = [self._filter(window) for window in self._framer.push(block.samples[:, self._channels])]
        self._received += len(block.samples)
        self._returned += len(groups) * self._hop
        return AudioBlock(np.concatenate(groups) if groups else self._nothing, start, lost)

    def finish(self) -> Iterator[AudioBlock]:
        """End the stream as if silence followed.

        Yields:
            The FOA of the samples that were held back.
        """
        waiting, silence = self._received - self._returned, np.zeros((self._hop, max(self._channels) + 1), np.float32)
        while waiting > 0:
            block = self(AudioBlock(silence, self._received))
            yield AudioBlock(block.samples[:waiting], block.start)
            waiting -= len(block.samples)
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next block is expected at sample 0."""
        self._framer.reset()
        self._received = self._returned = 0

    def _filter(self, window: FloatArray) -> FloatArray:
        spectra = scipy.fft.rfft(window.T, axis=1)  # (capsules, bins)
        encoded = (self._spectra * spectra).sum(axis=1)
        if self._calibration is not None:
            encoded = np.concatenate([encoded, self._calibration * spectra])
        return scipy.fft.irfft(encoded, len(window), axis=1).T[-self._hop :]

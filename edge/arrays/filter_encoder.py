"""Capsules of an array -> FOA, by a matrix of filters designed from the array's own model.

Per frequency, least squares over all directions (Moreau, Daniel & Bertet 2006, AES 120, 6857), with Tikhonov's term to
limit how much of the capsules' own noise is amplified where they are too close together to tell directions apart. Where
they are too far apart (spatial aliasing), least squares would fade all channels out. There W is brought back to the
level that it has in a diffuse field, and the other three, together, to the level and phase at which the active
intensity Re(conj(W) V) comes closest to the unit vector toward the source: it grows short where it cannot be trusted.

Capsules in a plane hear above and below alike: their Z is zero, and the rest is the best for sound from all heights.
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

MAX_NOISE_GAIN_DB = 20.0  # of any FOA channel, against one capsule
DELAY_S = 0.01  # by which the filters reach into the future

_GRID_POINTS = 600
_LEAST_POWER = 1e-9  # in place of the noise, for what the array could do without any


def encoding_matrices(capsules: Capsules, frequencies_hz: np.ndarray) -> Complex128:
    """Matrices (frequencies, 4, capsules) from capsule spectra to W, Y, Z, X (ACN/SN3D) in the middle of the array."""
    grid = sphere_grid(_GRID_POINTS // 2)
    grid = np.concatenate(
        [grid, grid * (1, 1, -1)]
    )  # as much above as below, so that flat arrays are given no Z by chance
    heard = array_spectra(capsules, grid, frequencies_hz).transpose(2, 0, 1)  # (frequencies, points, capsules)
    wanted = foa_gains(grid)  # (points, 4)
    covariance = heard.swapaxes(1, 2) @ heard.conj() / len(grid)
    cross = wanted.T @ heard.conj() / len(grid)
    noise = 10 ** (-MAX_NOISE_GAIN_DB / 10) / 12  # a dipole, of power 1/3, then gains at most sqrt(1/3 / (4 noise))
    identity = np.eye(heard.shape[2])
    free, limited = (cross @ np.linalg.inv(covariance + floor * identity) for floor in (_LEAST_POWER, noise))
    w, v = np.split(heard @ free.swapaxes(1, 2), [1], axis=2)  # (frequencies, points, 1 and 3)
    for_w = 1 / np.sqrt(np.mean(np.abs(w) ** 2, axis=(1, 2)))  # to the level that it has in a diffuse field
    intensity = for_w[:, None, None] * w.conj() * v
    power = np.maximum(np.sum(np.abs(intensity) ** 2, axis=(1, 2)), _LEAST_POWER)
    for_v = np.sum(intensity.conj() * wanted[:, 1:], axis=(1, 2)) / power  # to the intensity nearest to unit vectors
    for_z = np.zeros_like(for_v) if capsules.planar else for_v
    return np.stack([for_w, for_v, for_z, for_v], axis=1)[..., None] * limited


@lru_cache(maxsize=8)
def encoding_filters(capsules: Capsules, sample_rate_hz: int) -> FloatArray:
    """The matrices as filters (4, capsules, 2 * delay + 1), delayed by 10 ms in whole samples."""
    return _filters(encoding_matrices(capsules, _frequencies_hz(sample_rate_hz)).transpose(1, 2, 0))


def calibrated(capsules: Capsules) -> Capsules:
    """The same capsules without gains and tilts of their own, as `calibration_filters` make them."""
    none = (0.0,) * len(capsules.positions_m)
    return replace(capsules, gains_db=none, tilts_db=none)


@lru_cache(maxsize=8)
def calibration_filters(capsules: Capsules, sample_rate_hz: int) -> FloatArray:
    """Filters (capsules, 2 * delay + 1), one for each capsule, as late as those above."""
    hz, ahead = _frequencies_hz(sample_rate_hz), np.ones(1)
    alike = calibrated(capsules)
    ratios = [
        capsule_spectra(alike, index, ahead, hz)[0] / capsule_spectra(capsules, index, ahead, hz)[0]
        for index in range(len(capsules.positions_m))
    ]
    return _filters(np.stack(ratios))


def _frequencies_hz(sample_rate_hz: int) -> Array64:
    return scipy.fft.rfftfreq(4 * round(DELAY_S * sample_rate_hz), 1 / sample_rate_hz)


def _filters(spectra: Complex128) -> FloatArray:
    """What filters should do (..., frequencies), as above -> their taps (..., 2 * delay + 1)."""
    delay = (spectra.shape[-1] - 1) // 2
    taps = np.roll(scipy.fft.irfft(spectra, 4 * delay), delay, axis=-1)[..., : 2 * delay + 1]
    window = np.hanning(2 * delay + 3)[1:-1]  # its error is below -24 dB, of magnitude alone, above 75 Hz
    return (taps * window).astype(np.float32)


class FilterEncoder:
    """Streams of capsule samples -> FOA. Groups of one fixed size make the result independent of the block length.

    With `microphones` the capsules themselves follow, made alike by their calibration: 8 channels.

    Filters are applied by overlap-save and their delay is taken back: FOA keeps the sample indices of the capsules, and
    comes 10 ms after them, plus the rest of a group of 20 ms; groups end with label frames until there is a gap.
    """

    def __init__(
        self, capsules: Capsules, channel_map: tuple[int, ...], sample_rate_hz: int, microphones: bool = False
    ) -> None:
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
        self._heard = self._answered = 0  # sample indices up to which samples came in and went out

    def __call__(self, block: AudioBlock) -> AudioBlock:
        """Take capsules (n, channels), give FOA (m, 4), or (m, 8): m is 0 while a group is not complete.

        At a gap the samples that wait for the rest of their group are given up, and counted as lost.
        """
        lost = 0
        if block.lost or block.start != self._heard:
            lost = max(0, block.start - self._answered) if block.lost or self._heard else 0
            self._framer.reset()
            self._heard = self._answered = block.start
        start = self._answered
        groups = [self._filter(window) for window in self._framer.push(block.samples[:, self._channels])]
        self._heard += len(block.samples)
        self._answered += len(groups) * self._hop
        return AudioBlock(np.concatenate(groups) if groups else self._nothing, start, lost)

    def finish(self) -> Iterator[AudioBlock]:
        """End of stream: the FOA of the samples that still waited, as if silence followed."""
        waiting, silence = self._heard - self._answered, np.zeros((self._hop, max(self._channels) + 1), np.float32)
        while waiting > 0:
            block = self(AudioBlock(silence, self._heard))
            yield AudioBlock(block.samples[:waiting], block.start)
            waiting -= len(block.samples)
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next block is expected at sample 0."""
        self._framer.reset()
        self._heard = self._answered = 0

    def _filter(self, window: FloatArray) -> FloatArray:
        heard = scipy.fft.rfft(window.T, axis=1)  # (capsules, bins)
        encoded = (self._spectra * heard).sum(axis=1)
        if self._calibration is not None:
            encoded = np.concatenate([encoded, self._calibration * heard])
        return scipy.fft.irfft(encoded, len(window), axis=1).T[-self._hop :]

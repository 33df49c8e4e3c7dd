"""Microphone spectra and directions of tracks -> beams: delay-and-sum (Yu, section 2.2.1, equations 1 to 4).

A beam toward u is the weight of the track times the mean over microphones m of X_m, each delayed to align with the
others. Microphones in a sphere, and directional ones, differ in more than delay; so the response H_m of the array's
acoustic model to a plane wave from u takes the place of the delay:

    Y = w sum_m conj(H_m) X_m / sum_m |H_m|^2

Omnidirectional microphones in the open have H_m = exp(2j pi f u.p_m / c). Then this is equation 4 with the delays of
equation 1, with two differences. The source is at infinity: the length of a track's vector is the confidence of the net
(equation 3), not a distance, and for a source at 1 m the delays of 42 mm arrays differ by 3 us at most. The delay to
the middle of the array, which is common to all microphones, is left out: a beam contains its source with the level and
phase that it has in the middle.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from edge.arrays.acoustics import Array64, Complex128, capsule_spectra
from edge.arrays.encoder import VIRTUAL_AXES
from edge.arrays.filter_encoder import calibrated
from edge.arrays.profile import FOA_KINDS, ArrayProfile
from edge.frontend.stft import StftSettings
from edge.geometry import SPEED_OF_SOUND_M_S
from edge.types import ComplexArray, FloatArray

SURE_LENGTH = 0.5
"""Length of a track's vector from which on its weight is the length (equation 3)."""

UNSURE_WEIGHT = np.float32(0.01)
"""Weight of a track with a shorter vector (equation 3)."""

_TABLE_ERROR = 1e-3  # largest error by interpolation, for responses of magnitude 1
_LEAST_LENGTH = 1e-6  # of a vector that has a direction
_LEAST_SHARE = 0.01  # least power that a beam is divided by, relative to its mean over all directions


class Beamformer:
    """Beams of the microphones that `foa_encoder` returns for a profile. It keeps no state between calls.

    The response of a microphone depends only on the angle between its axis and the wave. It is tabulated once over the
    cosine of this angle.
    """

    def __init__(self, profile: ArrayProfile, stft: StftSettings) -> None:
        """Tabulate the responses.

        Args:
            profile: The array.
            stft: Transform of the spectra.
        """
        hz = scipy.fft.rfftfreq(stft.nfft, 1 / stft.sample_rate_hz)
        axes, tables, table_of = _responses(profile, hz)
        self._axes = np.ascontiguousarray(axes.T, np.float32)  # (3, microphones)
        self._rows = tables.shape[1]
        self._first_row = table_of * self._rows
        conjugates = np.conj(tables).astype(np.complex64)
        self._table = conjugates.reshape(-1, stft.bins).view(np.float32)  # (tables * rows, 2 bins)
        powers = np.mean(np.abs(tables[table_of]) ** 2, axis=1)  # even steps of the cosine are even parts of the sphere
        self._least_power = (_LEAST_SHARE * powers.sum(axis=0)).astype(np.float32)
        self._allocate(0)

    def __call__(self, bins: ComplexArray, vectors: FloatArray) -> ComplexArray:
        """Compute the beams of one label frame.

        Args:
            bins: Spectra of the microphones (frames, 4, bins).
            vectors: x, y, z of the tracks (K, 3), whose lengths are the confidence of the net.

        Returns:
            Beams (frames, K, bins).
        """
        gains = self._gains_toward(vectors)
        beams: ComplexArray = bins[:, None, 0] * gains[:, 0]
        weighted = np.empty_like(beams)
        for microphone in range(1, gains.shape[1]):
            np.multiply(bins[:, None, microphone], gains[:, microphone], out=weighted)
            beams += weighted
        return beams

    def gains(self, vectors: FloatArray) -> ComplexArray:
        """Compute the gains of the microphones in beams.

        Args:
            vectors: x, y, z of the tracks (K, 3), whose lengths are the confidence of the net.

        Returns:
            Gains (K, microphones, bins): a beam is the sum of the spectra of the microphones times these.
        """
        return self._gains_toward(vectors).copy()

    def _gains_toward(self, vectors: FloatArray) -> ComplexArray:
        """Vectors (K, 3) -> w conj(H) / sum |H|^2 (K, microphones, bins), valid until the next call."""
        if len(vectors) != len(self._lower):
            self._allocate(len(vectors))
        lower, upper = self._lower, self._upper
        lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
        cosines = (vectors / np.maximum(lengths, _LEAST_LENGTH)) @ self._axes
        place = (cosines + 1.0) * (0.5 * (self._rows - 1))
        whole = np.minimum(np.trunc(place), self._rows - 2)
        row = whole.astype(np.intp) + self._first_row
        np.take(self._table, row, axis=0, out=lower, mode="clip")
        np.take(self._table, row + 1, axis=0, out=upper, mode="clip")
        upper -= lower
        upper *= (place - whole)[..., None]
        lower += upper
        np.multiply(lower, lower, out=upper)
        squares = upper.sum(axis=1)
        power = squares[:, 0::2] + squares[:, 1::2]
        scale = track_weights(lengths) / np.maximum(power, self._least_power)
        lower *= np.repeat(scale, 2, axis=1)[:, None]
        return lower.view(np.complex64)

    def _allocate(self, tracks: int) -> None:
        shape = tracks, self._axes.shape[1], self._table.shape[1]
        self._lower, self._upper = np.empty(shape, np.float32), np.empty(shape, np.float32)


def track_weights(lengths: FloatArray) -> FloatArray:
    """Compute weights of tracks by the lengths of their vectors: the length from 0.5 on, 0.01 below (equation 3)."""
    return np.where(lengths >= SURE_LENGTH, lengths, UNSURE_WEIGHT)


def _responses(profile: ArrayProfile, hz: Array64) -> tuple[Array64, Complex128, NDArray[np.intp]]:
    """Tabulate the responses of the microphones.

    Args:
        profile: The array.
        hz: Frequencies of the bins.

    Returns:
        Axes of the microphones (4, 3), tables (tables, rows, bins), and the index of the table of each microphone (4,).
        Rows are for cosines from -1 to 1 in even steps, as many as interpolation needs; cardioids in one point need
        two.
    """
    if profile.kind in FOA_KINDS:
        cardioid = np.broadcast_to(np.array([[0.0], [1.0]], np.complex128), (2, len(hz)))
        return VIRTUAL_AXES, cardioid[None], np.zeros(len(VIRTUAL_AXES), np.intp)
    capsules = calibrated(profile.capsules)
    _, examples, table_of = np.unique(capsules.radii_m.round(6), return_index=True, return_inverse=True)
    largest_kr = 2 * np.pi * hz[-1] * capsules.radii_m.max() / SPEED_OF_SOUND_M_S
    cosines = np.linspace(-1.0, 1.0, 2 + int(largest_kr / np.sqrt(2 * _TABLE_ERROR)))
    tables = np.stack([capsule_spectra(capsules, index, cosines, hz) for index in examples])
    return capsules.axes, tables, table_of

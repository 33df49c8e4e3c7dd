"""A recording of claps -> the spectra of their direct sound, before the first echoes arrive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.arrays.acoustics import Array64, Complex128
from edge.device.check_capsules import HIGHEST_HZ, LOWEST_HZ, coherences
from edge.types import FloatArray

_HOP_S = 0.001
_RISE_DB = 10.0  # of a clap, within a hop, over the mean of what came before it
_BEFORE = np.repeat([0.0, 1 / 20], [5, 20])  # weights of the hops before a hop, counted back, in this mean
_QUIET_DB = 15.0  # a clap is this much above the median, and at most this much below the loudest one
_PAUSE_HOPS = 250  # between two claps: echoes of the first one are not taken for another
_WINDOW_S, _AHEAD_S = 0.010, 0.003  # length of the window, and how much of it lies before the onset
_NOISE_S = 0.03  # by which the window for the noise lies before that of the clap
_MOST_CLAPS = 10


@dataclass(frozen=True, slots=True)
class Claps:
    """The direct sound of claps that came from one direction."""

    count: int
    covariance: Complex128  # (bins, channels, channels), each clap with the same weight
    certainty: Array64  # (bins, channels), 0 to 1: share of the power that is not noise
    hz: Array64  # (bins,)

    @property
    def coherences(self) -> Complex128:
        """Coherences of the channels (bins, channels, channels); 0 where there is nothing but noise."""
        return coherences(self.covariance) * np.sqrt(self.certainty[:, :, None] * self.certainty[:, None, :])

    @property
    def powers(self) -> Array64:
        """Powers (bins, channels) without noise."""
        powers: Array64 = np.einsum("fii->fi", self.covariance).real * self.certainty
        return powers


def find_claps(samples: FloatArray, sample_rate_hz: int) -> list[int]:
    """Find where claps begin.

    Args:
        samples: of the channels (n, channels).
        sample_rate_hz: of the samples.

    Returns:
        Index of the first sample of each clap, within a millisecond: at most ten of them, and none where nothing rises
        clearly out of the noise.
    """
    hop = round(_HOP_S * sample_rate_hz)
    bright = np.diff(samples.astype(np.float64), axis=0, prepend=0.0)  # footsteps and hum are below claps
    hops = len(bright) // hop
    power = (bright[: hops * hop].reshape(hops, -1) ** 2).mean(axis=1) + 1e-14
    before = np.convolve(power, _BEFORE)[:hops]
    quiet = 10 ** (_QUIET_DB / 10)
    rises = power > np.maximum(before * 10 ** (_RISE_DB / 10), np.median(power) * quiet)
    usable = slice(round((_NOISE_S + _AHEAD_S) / _HOP_S) + 1, hops - round(_WINDOW_S / _HOP_S))
    loud = np.flatnonzero(rises[usable]) + usable.start
    loud = loud[power[loud] > power[loud].max(initial=0.0) / quiet]
    onsets: list[int] = []
    for index in loud.tolist():
        if not onsets or index - onsets[-1] >= _PAUSE_HOPS:
            onsets.append(index)
    return [index * hop for index in onsets[:_MOST_CLAPS]]


def clap_spectra(samples: FloatArray, sample_rate_hz: int, onsets: list[int]) -> Claps:
    """Analyse claps.

    Args:
        samples: of the channels (n, channels).
        sample_rate_hz: of the samples.
        onsets: at least one; see `find_claps`.
    """
    window = round(_WINDOW_S * sample_rate_hz)
    hz = np.fft.rfftfreq(window, 1 / sample_rate_hz)
    heard = (hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ)

    def spectra(before_s: float) -> Complex128:
        starts = np.array(onsets) - round(before_s * sample_rate_hz)
        parts = samples[starts[:, None] + np.arange(window)].astype(np.float64) * np.hanning(window)[:, None]
        return np.asarray(np.fft.rfft(parts, axis=1)[:, heard], np.complex128)  # (claps, bins, channels)

    claps, noise = spectra(_AHEAD_S), spectra(_AHEAD_S + _NOISE_S)
    loudness = np.sqrt(np.mean(np.abs(claps) ** 2, axis=(1, 2), keepdims=True))
    claps, noise = claps / loudness, noise / loudness
    powers = np.mean(np.abs(claps) ** 2, axis=0)
    certainty = np.clip(1 - np.mean(np.abs(noise) ** 2, axis=0) / np.maximum(powers, 1e-30), 0, 1)
    covariance = np.einsum("nfi,nfj->fij", claps, claps.conj()) / len(claps)
    return Claps(len(onsets), covariance, certainty, np.asarray(hz[heard], np.float64))

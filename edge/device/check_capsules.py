"""Signals of the capsules of an array -> which capsules are inverted, deaf, too loud or in another one's place.

At low frequencies all capsules hear about the same: a capsule in antiphase is inverted, one that has nothing in common
with any other is deaf, and omnis are equally loud. For the other faults, a plane wave and a diffuse field are fitted to
the covariances of the channels: to coherences, for every order of the channels, and to covariances with levels, for
every gain of one directional capsule. The change that fits clearly better is the fault.

An order that only turns or mirrors the array fits as well as the right one: with a tetrahedron any order does, with
four capsules in a circle the exchange of opposite ones. Only a sound from a known direction tells these apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from edge.arrays.acoustics import Array64, Capsules, Complex128, array_spectra, sphere_grid
from edge.geometry import SPEED_OF_SOUND_M_S, angle_between_deg
from edge.types import FloatArray

LOWEST_HZ, HIGHEST_HZ = 150.0, 4000.0

_LOW_KR = 0.5  # wave number times radius up to which all capsules of an array hear about the same
_DEAF, _HEARING = 0.3, 0.5  # coherence with another capsule: of a deaf one at most, of one that hears at least
_AWAY_DB = 12.0  # a directional capsule that is so much quieter than another may just look away
_BETTER_ORDER = 0.06, 1.8  # another order: least gain in the share explained, least factor by which the rest falls
_BETTER_GAIN = 0.01, 1.4  # the same for another gain
_CLOSE = 0.02  # difference in the share explained within which orders count as equally good
_GAINS_DB = range(-18, 19, 6)
_AIM_DEG = 12.0  # largest error of the direction that the user gives
_GRID_POINTS = 400
_WINDOW_S = 0.03
_BLOCK_S = 0.5
_QUIET_DB = 20.0  # blocks that are quieter than the loudest one by more than this are left out

Order = tuple[int, ...]
"""For each capsule the index of the channel that carries its signal."""


@dataclass(frozen=True, slots=True)
class CapsuleFaults:
    """The faults that were found. Indices are those of capsules, in the order of the profile's `channel_map`."""

    inverted: tuple[int, ...]
    deaf: tuple[int, ...]  # capsules that hear something else than the others
    orders: tuple[Order, ...]  # that fit better than the profile's, all equally well; none where that one fits
    off_db: tuple[float, ...]  # level of each capsule against the median; 0 where it is not known


class _Field:
    """Covariances of the capsules in a plane wave from any direction, or from about one, and in a diffuse field."""

    def __init__(self, capsules: Capsules, hz: Array64, direction: Array64 | None) -> None:
        grid = sphere_grid(_GRID_POINTS)
        waves = array_spectra(capsules, grid, hz).transpose(0, 2, 1)  # (directions, bins, capsules)
        pairs = waves[..., :, None] * waves[..., None, :].conj()
        self._diffuse = pairs.mean(axis=0, keepdims=True)
        self._planes = pairs if direction is None else pairs[angle_between_deg(grid, direction) <= _AIM_DEG]

    def basis(self, used: NDArray[np.intp], levels: bool) -> tuple[Array64, Array64]:
        """Return the plane waves (directions, numbers) and the diffuse field (numbers,) as real numbers.

        Args:
            used: indices of the capsules that take part.
            levels: take covariances, so that levels count; otherwise coherences.
        """
        scaled = _without_loudness if levels else coherences
        first, second = _pairs(used, levels)
        planes, diffuse = (_numbers(scaled(each)[..., first, second]) for each in (self._planes, self._diffuse))
        return planes, diffuse[0]


def capsule_faults(
    samples: FloatArray, sample_rate_hz: int, capsules: Capsules, alive: NDArray[np.bool_], direction: Array64 | None
) -> CapsuleFaults | None:
    """Find the faults of four capsules.

    Args:
        samples: of the capsules (n, 4), in the order of the profile's `channel_map`.
        sample_rate_hz: of the samples.
        capsules: what the array should be.
        alive: capsules (4,) that are not silent.
        direction: unit vector (x, y, z) toward the sound, where it is known.

    Returns:
        The faults; None where the capsules have no sound in common.
    """
    covariance, hz = block_covariances(samples, sample_rate_hz)
    low = 2 * np.pi * hz * capsules.radii_m.max() / SPEED_OF_SOUND_M_S <= _LOW_KR
    powers = np.einsum("bfii->i", covariance[:, low]).real
    together = coherences(covariance)[:, low].real.mean(axis=(0, 1))
    living = np.flatnonzero(alive)
    weights = np.linalg.eigh(together[np.ix_(living, living)])[1][:, -1]
    signs = np.ones(len(alive))
    signs[living] = np.where(weights * np.median(weights) < 0, -1, 1)
    aligned = (together * np.outer(signs, signs) - np.eye(len(signs))) * np.outer(alive, alive)
    strength = aligned.max(axis=1)
    if strength.max() < _HEARING:
        return None
    away = powers < powers.max() * 10 ** (-_AWAY_DB / 10) * (capsules.pressure_share < 1)
    deaf = alive & ~away & (strength < _DEAF)
    used = np.flatnonzero(alive & ~deaf)
    covariance = covariance * np.outer(signs, signs)
    field = _Field(capsules, hz, direction)
    directional = capsules.pressure_share < 1
    orders, by_order = _better_orders(field, covariance, used, directional)
    off_db = np.zeros(len(alive))
    if directional:
        gains_db, by_gain = _better_gains_db(field, covariance, used)
        orders, off_db = ((), gains_db) if by_gain > by_order else (orders, off_db)
    elif not orders:
        expected = 10 * np.log10(
            (np.abs(array_spectra(capsules, sphere_grid(_GRID_POINTS), hz[low])) ** 2).mean(axis=(0, 2))
        )
        levels_db = 10 * np.log10(powers[used]) - expected[used]
        off_db[used] = levels_db - np.median(levels_db)
    inverted = tuple(int(index) for index in used if signs[index] < 0)
    return CapsuleFaults(inverted, tuple(np.flatnonzero(deaf).tolist()), orders, tuple(off_db.tolist()))


def block_covariances(samples: FloatArray, sample_rate_hz: int) -> tuple[Complex128, Array64]:
    """Compute the covariances of channels in blocks of half a second.

    Args:
        samples: of the channels (n, channels).
        sample_rate_hz: of the samples.

    Returns:
        Covariances (blocks, bins, channels, channels), without blocks much quieter than the loudest one, and the
        frequencies of the bins in Hz, from LOWEST_HZ to HIGHEST_HZ.
    """
    window = 2 * round(_WINDOW_S * sample_rate_hz / 2)
    frames = np.lib.stride_tricks.sliding_window_view(samples, window, axis=0)[:: window // 2]
    spectra = np.fft.rfft(frames * np.hanning(window), axis=2)  # (frames, channels, bins)
    hz = np.fft.rfftfreq(window, 1 / sample_rate_hz)
    heard = (hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ)
    spectra = spectra[..., heard].transpose(0, 2, 1)
    blocks = np.array_split(spectra, max(1, round(len(samples) / sample_rate_hz / _BLOCK_S)))
    covariance: Complex128 = np.array([np.einsum("tfi,tfj->fij", each, each.conj()) / len(each) for each in blocks])
    level = np.einsum("bfii->b", covariance).real
    loud = level >= level.max() * 10 ** (-_QUIET_DB / 10)
    return covariance[loud], np.asarray(hz[heard], np.float64)


def _better_orders(
    field: _Field, covariance: Complex128, used: NDArray[np.intp], levels: bool
) -> tuple[tuple[Order, ...], float]:
    """Find the orders of the channels that fit clearly better than the present one.

    Of those that explain about as much as the best order, the ones with the fewest moves are returned, and the share
    that the best order explains; no order and 0 where none is clearly better. `levels` says whether levels count.
    """
    whole = np.arange(covariance.shape[-1])
    orders = []
    for moved in permutations(used):
        whole[used] = moved
        orders.append(tuple(whole.tolist()))
    planes, diffuse = field.basis(used, levels)
    heard = (_without_loudness if levels else coherences)(covariance)
    first, second = _pairs(used, levels)
    places = np.array(orders)
    explained = np.array(
        [_explained(_numbers(heard[..., place[first], place[second]]), planes, diffuse) for place in places]
    )
    if not _is_better(explained.max(), explained[0], _BETTER_ORDER):
        return (), 0.0
    moves = [sum(a != b for a, b in zip(order, orders[0], strict=True)) for order in orders]
    close = np.flatnonzero(explained >= explained.max() - _CLOSE).tolist()
    fewest = min(moves[number] for number in close)
    return tuple(orders[number] for number in close if moves[number] == fewest), float(explained.max())


def _better_gains_db(field: _Field, covariance: Complex128, used: NDArray[np.intp]) -> tuple[Array64, float]:
    """Find the one channel that fits clearly better with another gain.

    Returns the gains (channels,) in dB, 0 for all other channels, and the share that is explained without the gain; all
    gains are 0, and the share too, where no channel is found.
    """
    channels = covariance.shape[-1]
    planes, diffuse = field.basis(used, levels=True)
    first, second = _pairs(used, levels=True)

    def without(channel: int, gain_db: float) -> float:
        taken = np.where(np.arange(channels) == channel, 10 ** (-gain_db / 20), 1.0)
        heard = _without_loudness(covariance * np.outer(taken, taken))
        return _explained(_numbers(heard[..., first, second]), planes, diffuse)

    coarse = {(channel, gain_db): without(channel, gain_db) for channel in used.tolist() for gain_db in _GAINS_DB}
    channel, near_db = max(coarse, key=lambda each: coarse[each])
    fine = {gain_db: without(channel, gain_db) for gain_db in range(near_db - 3, near_db + 4)}
    gain_db = max(fine, key=lambda each: fine[each])
    found = np.zeros(channels)
    if _is_better(fine[gain_db], without(channel, 0.0), _BETTER_GAIN):
        found[channel] = gain_db
        return found, fine[gain_db]
    return found, 0.0


def _is_better(explained: float, before: float, by: tuple[float, float]) -> bool:
    return explained - before > by[0] and 1 - before > by[1] * (1 - explained)


def _pairs(used: NDArray[np.intp], levels: bool) -> NDArray[np.intp]:
    """First and second channel (2, pairs) of all pairs of used channels; with levels, each channel and itself too."""
    return np.asarray(used[np.array(np.triu_indices(len(used), 0 if levels else 1))])


def coherences(covariance: Complex128) -> Complex128:
    """Divide covariances (..., channels, channels) by the levels of both channels."""
    level = np.sqrt(np.maximum(np.einsum("...ii->...i", covariance).real, 1e-30))
    return covariance / (level[..., :, None] * level[..., None, :])


def _without_loudness(covariance: Complex128) -> Complex128:
    """Scale covariances (..., channels, channels) so that the powers of the channels add up to one."""
    return covariance / np.maximum(np.einsum("...ii->...", covariance).real, 1e-30)[..., None, None]


def _numbers(pairs: Complex128) -> Array64:
    """Flatten complex (n, bins, pairs) to real (n, numbers)."""
    flat = pairs.reshape(len(pairs), -1)
    return np.concatenate([flat.real, flat.imag], axis=1)


def _explained(heard: Array64, planes: Array64, diffuse: Array64) -> float:
    """Return the share of the measured numbers (blocks, numbers) that a plane wave and a diffuse field explain.

    In each block the best one of the plane waves (directions, numbers) is taken, by least squares with non-negative
    weights for the wave and the diffuse field (numbers,).
    """
    by, gy = planes @ heard.T, diffuse @ heard.T  # (directions, blocks), (blocks,)
    bb, bg, gg = (planes * planes).sum(axis=1)[:, None], (planes @ diffuse)[:, None], diffuse @ diffuse
    common = np.maximum(bb * gg - bg * bg, 1e-9 * bb * gg)
    wave, rest = (by * gg - gy * bg) / common, (gy * bb - by * bg) / common
    both = np.where((wave >= 0) & (rest >= 0), wave * by + rest * gy, 0)
    alone = np.maximum(np.maximum(by, 0) ** 2 / bb, np.maximum(gy, 0) ** 2 / gg)
    return float(np.maximum(both, alone).max(axis=0).sum() / max(float((heard * heard).sum()), 1e-30))

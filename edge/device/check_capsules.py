"""What the capsules of an array hear of one sound -> which of them are inverted, deaf, too loud or in another's place.

At low frequencies all capsules hear about the same: whoever is in antiphase is inverted, whoever has nothing in common
with any other is deaf, and omnis are equally loud. For the rest a plane wave and a diffuse field are fitted to what was
heard, without levels for every order of the channels, with levels for every gain of one directional capsule: what fits
clearly better is the fault.

An order that only turns or mirrors the array fits as well: with a tetrahedron that is any order, with four in a circle
the exchange of opposite ones. Only a sound from a known direction tells those.
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

_LOW_KR = 0.5  # up to here all capsules of an array hear about the same
_DEAF, _HEARING = 0.3, 0.5  # coherence with another
_AWAY_DB = 12.0  # a directional capsule that hears so much less than another may look away
_BETTER_ORDER = 0.06, 1.8  # what another order must explain more, and by how much it must lower what is left
_BETTER_GAIN = 0.01, 1.4
_CLOSE = 0.02  # orders that explain about the same
_GAINS_DB = range(-18, 19, 6)
_AIM_DEG = 12.0  # as far as somebody may miss the direction that he says
_GRID_POINTS = 400
_WINDOW_S = 0.03
_BLOCK_S = 0.5
_QUIET_DB = 20.0  # blocks so much below the loudest are left out

Order = tuple[int, ...]
"""For each capsule the channel that has its sound."""


@dataclass(frozen=True, slots=True)
class CapsuleFaults:
    """Indices are those of capsules, in the order of the profile's `channel_map`."""

    inverted: tuple[int, ...]
    deaf: tuple[int, ...]  # they hear something else than the others
    orders: tuple[Order, ...]  # that fit better than the profile's, and equally well; none where that fits
    off_db: tuple[float, ...]  # level of each against the median; 0 where it is not known


class _Field:
    """What a plane wave from anywhere, or from about one direction, and a diffuse field give to an array."""

    def __init__(self, capsules: Capsules, hz: Array64, direction: Array64 | None) -> None:
        grid = sphere_grid(_GRID_POINTS)
        waves = array_spectra(capsules, grid, hz).transpose(0, 2, 1)  # (directions, bins, capsules)
        pairs = waves[..., :, None] * waves[..., None, :].conj()
        self._diffuse = pairs.mean(axis=0, keepdims=True)
        self._planes = pairs if direction is None else pairs[angle_between_deg(grid, direction) <= _AIM_DEG]

    def basis(self, used: NDArray[np.intp], levels: bool) -> tuple[Array64, Array64]:
        """Planes (directions, numbers) and a diffuse field (numbers,): coherences, or covariances with levels."""
        scaled = _without_loudness if levels else _coherences
        first, second = _pairs(used, levels)
        planes, diffuse = (_numbers(scaled(each)[..., first, second]) for each in (self._planes, self._diffuse))
        return planes, diffuse[0]


def capsule_faults(
    samples: FloatArray, sample_rate_hz: int, capsules: Capsules, alive: NDArray[np.bool_], direction: Array64 | None
) -> CapsuleFaults | None:
    """Judge samples (n, 4), of which those of `alive` (4,) are not silent. None where nothing is heard in common.

    direction: unit vector to where the sound came from, if that is known.
    """
    covariance, hz = block_covariances(samples, sample_rate_hz)
    low = 2 * np.pi * hz * capsules.radii_m.max() / SPEED_OF_SOUND_M_S <= _LOW_KR
    powers = np.einsum("bfii->i", covariance[:, low]).real
    together = _coherences(covariance)[:, low].real.mean(axis=(0, 1))
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
    """Samples (n, channels) -> covariances (blocks, bins, channels, channels) of half a second each, and bins in Hz.

    Blocks much quieter than the loudest are left out. The bins are those from LOWEST_HZ to HIGHEST_HZ.
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
    """Of the orders that explain about as much as the best, if that is clearly more, those with the fewest moves.

    Returns what they explain too, 0 without any. levels: they tell the order too.
    """
    whole = np.arange(covariance.shape[-1])
    orders = []
    for moved in permutations(used):
        whole[used] = moved
        orders.append(tuple(whole.tolist()))
    planes, diffuse = field.basis(used, levels)
    heard = (_without_loudness if levels else _coherences)(covariance)
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
    """The gain (channels,) of the one channel without which clearly more is explained, 0 for all others.

    Returns what is explained without it too, 0 where there is none.
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
    """First and second (2, pairs) of all channels that are used; with levels, of a channel and itself too."""
    return np.asarray(used[np.array(np.triu_indices(len(used), 0 if levels else 1))])


def _coherences(covariance: Complex128) -> Complex128:
    """Covariances (..., channels, channels) without the levels of the channels."""
    level = np.sqrt(np.maximum(np.einsum("...ii->...i", covariance).real, 1e-30))
    return covariance / (level[..., :, None] * level[..., None, :])


def _without_loudness(covariance: Complex128) -> Complex128:
    """Covariances (..., channels, channels) with levels that sum up to one."""
    return covariance / np.maximum(np.einsum("...ii->...", covariance).real, 1e-30)[..., None, None]


def _numbers(pairs: Complex128) -> Array64:
    """Complex (n, bins, pairs) -> real (n, numbers)."""
    flat = pairs.reshape(len(pairs), -1)
    return np.concatenate([flat.real, flat.imag], axis=1)


def _explained(heard: Array64, planes: Array64, diffuse: Array64) -> float:
    """Share of what was heard (blocks, numbers) that planes (directions, numbers) and a diffuse field explain.

    In each block it is the one plane wave that fits best, in the least squares' sense, and neither is below nothing.
    """
    by, gy = planes @ heard.T, diffuse @ heard.T  # (directions, blocks), (blocks,)
    bb, bg, gg = (planes * planes).sum(axis=1)[:, None], (planes @ diffuse)[:, None], diffuse @ diffuse
    common = np.maximum(bb * gg - bg * bg, 1e-9 * bb * gg)
    wave, rest = (by * gg - gy * bg) / common, (gy * bb - by * bg) / common
    both = np.where((wave >= 0) & (rest >= 0), wave * by + rest * gy, 0)
    alone = np.maximum(np.maximum(by, 0) ** 2 / bb, np.maximum(gy, 0) ** 2 / gg)
    return float(np.maximum(both, alone).max(axis=0).sum() / max(float((heard * heard).sum()), 1e-30))

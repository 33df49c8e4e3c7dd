"""Claps from told directions -> how the array is turned, which channels are swapped, and how loud each channel is.

Each order of the channels says from where each clap came, by the phases of the capsules alone. An order is right if the
capsules then hear plane waves, and if all directions are the told ones turned by one yaw, or mirrored and turned where
the array is upside down. A clap counts for at most one bad clap, so that a wrong direction does not turn all others.

What a symmetric array cannot tell apart is named: two fits are one and the same if they put the capsule of each channel
at the same place in the room; fits that put them elsewhere are rivals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations

import numpy as np

from edge.arrays.acoustics import Array64, Capsules, Complex128, array_spectra
from edge.arrays.profile import ArrayProfile
from edge.device.check_capsules import Order, coherences
from edge.device.claps import Claps, clap_spectra, find_claps
from edge.events.surroundings import MountSettings
from edge.geometry import unit_vector
from edge.types import FloatArray

LEAST_DIRECTIONS = 2

_STEP_DEG = 2.0  # of the grid of azimuths
_ELEVATIONS_DEG = np.arange(-30.0, 31.0, 10.0)  # by which a clap may be higher or lower than told
_ELEVATION_COST = 0.05  # of the largest of these, as a share of the best fit
_FAR_DEG = 30.0  # an error of a clap that costs as much as a clap can cost
_FITS_DEG = 20.0  # a clap that is further off does not fit
_MISFIT = 4.0  # cost of capsules that do not hear plane waves, relative to that of errors
_CLOSE = 0.08  # difference in the mean cost within which two fits are about equally good
_SAME = 0.25  # radii of the array by which capsules of two fits that are the same may differ
_LEAST_GAIN_DB = 1.5  # levels that differ less are left as they are
_SURE_SPREADS = 2.0  # and levels that differ less than so many times their own spread over the directions

_PAIRS = np.array(np.triu_indices(4, 1))


@dataclass(frozen=True, slots=True)
class ToldClaps:
    """What the array heard from a direction that the user told."""

    azimuth_deg: float
    elevation_deg: float
    claps: Claps | None  # None where no clap was found


@dataclass(frozen=True, slots=True)
class Fit:
    """One explanation of all claps."""

    order: Order  # for each capsule the index in channel_map of the channel that carries its signal
    upside_down: bool
    yaw_deg: float  # in (-180, 180]
    cost: float  # mean over the claps, 0 to 1
    off_deg: tuple[float, ...]  # of each clap that was heard: told azimuth minus the azimuth as heard

    @property
    def moved(self) -> int:
        """Number of channels that are not in their place."""
        return sum(place != index for index, place in enumerate(self.order))

    @property
    def changes(self) -> int:
        """How much this explanation takes for granted: moved channels, of which turning upside down counts as two."""
        return self.moved + 2 * self.upside_down

    @property
    def fitting(self) -> tuple[bool, ...]:
        """Of each clap that was heard, whether it fits."""
        return tuple(abs(off) <= _FITS_DEG for off in self.off_deg)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The best fit, and what it is worth."""

    fit: Fit
    same: tuple[Fit, ...]  # other fits that give the same directions
    rivals: tuple[Fit, ...]  # other fits that explain the claps about as well and give other directions
    gains_db: tuple[float, ...]  # of the capsules, relative to their mean; empty for FOA
    gains_spread_db: float  # largest difference of a gain between directions

    @property
    def is_sure(self) -> bool:
        """Whether most claps fit, two at least, and no rival takes as little for granted."""
        fitting = sum(self.fit.fitting)
        simple = any(each.moved <= self.fit.moved or each.changes <= self.fit.changes for each in self.rivals)
        return fitting >= LEAST_DIRECTIONS and 2 * fitting > len(self.fit.off_deg) and not simple

    def channel_map(self, profile: ArrayProfile) -> tuple[int, ...]:
        """The channel map of the profile in the order of the fit."""
        return tuple(profile.channel_map[place] for place in self.fit.order)

    def capsule_gain_db(self, profile: ArrayProfile) -> tuple[float, ...]:
        """Gains for the profile: those measured where they clearly differ from those that it has, or else its own."""
        if not self.gains_db:
            return profile.capsule_gain_db
        present = np.array(profile.capsule_gain_db or (0.0,) * 4)
        most = max(_LEAST_GAIN_DB, _SURE_SPREADS * self.gains_spread_db)
        differ = np.abs(np.array(self.gains_db) - (present - present.mean())).max() > most
        return tuple(round(gain_db, 1) for gain_db in self.gains_db) if differ else profile.capsule_gain_db


def hear_claps(
    samples: FloatArray, sample_rate_hz: int, profile: ArrayProfile, azimuth_deg: float, elevation_deg: float = 0.0
) -> ToldClaps:
    """Find the claps in a recording.

    Args:
        samples: what the array delivered (n, channels).
        sample_rate_hz: of the samples.
        profile: the array.
        azimuth_deg: where the user clapped, in the room.
        elevation_deg: the same.
    """
    used = samples[:, list(profile.channel_map)]
    heard = used if profile.mixing is None else used @ profile.mixing.T
    onsets = find_claps(used, sample_rate_hz)
    claps = clap_spectra(heard, sample_rate_hz, onsets) if onsets else None
    return ToldClaps(azimuth_deg, elevation_deg, claps)


def calibrate(told: Sequence[ToldClaps], profile: ArrayProfile, upside_down: bool | None = None) -> Calibration:
    """Fit yaw, order of the channels and gains.

    Args:
        told: claps from at least two directions; those in which no clap was found are left out.
        profile: the array. For FOA, only the yaw and whether it is upside down are fitted.
        upside_down: whether the array is, where it is known.

    Raises:
        ValueError: claps were heard from fewer than two directions.
    """
    heard = [each for each in told if each.claps is not None]
    directions = len({round(each.azimuth_deg) % 360 for each in heard})
    if directions < LEAST_DIRECTIONS:
        raise ValueError(f"got claps from {directions} directions, wanted at least {LEAST_DIRECTIONS}, better 4")
    orders: list[Order] = list(permutations(range(4))) if profile.mixing is None else [(0, 1, 2, 3)]
    fits = []
    elevations_deg = {}
    for flipped in (False, True) if upside_down is None else (upside_down,):
        places = [_places(each, profile, orders, flipped) for each in heard]
        azimuths_deg, heights_deg, misfits = (np.array(part) for part in zip(*places, strict=True))  # (claps, orders)
        for index, order in enumerate(orders):
            fits.append(_fit(order, flipped, heard, azimuths_deg[:, index], misfits[:, index]))
            elevations_deg[order, flipped] = heights_deg[:, index]
    close = [each for each in fits if each.cost <= min(each.cost for each in fits) + _CLOSE]
    best = min(close, key=_plausibility)
    others = sorted((each for each in close if each is not best), key=_plausibility)
    same = tuple(each for each in others if profile.mixing is None and _is_same(each, best, profile.capsules))
    rivals = tuple(each for each in others if each not in same)
    if profile.mixing is not None:
        return Calibration(best, same, rivals, (), 0.0)
    return Calibration(
        best, same, rivals, *_gains_db(best, heard, elevations_deg[best.order, best.upside_down], profile)
    )


def _plausibility(fit: Fit) -> tuple[int, int, float]:
    """Sorts fits that are about equally good: the one that takes the least for granted is the first."""
    return fit.changes, fit.moved, fit.cost


def room_positions(fit: Fit, capsules: Capsules) -> Array64:
    """Place the capsule of each channel in the room (channels, 3), relative to the largest radius of the array."""
    rotation = MountSettings(fit.yaw_deg, 0.0, fit.upside_down).rotation
    positions = np.empty((4, 3))
    positions[list(fit.order)] = np.array(capsules.positions_m) @ rotation.T / capsules.radii_m.max()
    return positions


def _is_same(one: Fit, other: Fit, capsules: Capsules) -> bool:
    apart = room_positions(one, capsules) - room_positions(other, capsules)
    return bool(np.linalg.norm(apart, axis=1).max() <= _SAME)


def _places(
    told: ToldClaps, profile: ArrayProfile, orders: list[Order], upside_down: bool
) -> tuple[Array64, Array64, Array64]:
    """Azimuth and elevation (orders,), as the array hears them with each order, and how badly each order fits."""
    assert told.claps is not None
    if profile.mixing is not None:
        covariance = told.claps.covariance
        weights = told.claps.certainty[:, 0] / np.maximum(covariance[:, 0, 0].real, 1e-30)
        intensity = weights @ covariance[:, 0, 1:].real  # y, z, x
        azimuth = np.rad2deg(np.arctan2(intensity[0], intensity[2]))
        return np.array([azimuth]), np.zeros(1), np.zeros(1)
    first, second = _PAIRS
    middle_deg = -told.elevation_deg if upside_down else told.elevation_deg
    azimuths_deg, heights_deg = _grid_deg(middle_deg)
    planes = _planes(profile.capsules, middle_deg, tuple(told.claps.hz.tolist()))
    places = np.array(orders)
    heard = told.claps.coherences[:, places[:, first], places[:, second]].transpose(1, 0, 2)  # (orders, bins, pairs)
    matched = (heard.reshape(len(orders), -1) @ planes).real
    matched = matched.reshape(len(orders), len(azimuths_deg), -1)
    best, mean = matched.max(), matched.mean()
    matched = matched - _ELEVATION_COST * best * (_ELEVATIONS_DEG / _ELEVATIONS_DEG.max()) ** 2
    azimuth, height = np.unravel_index(matched.reshape(len(orders), -1).argmax(axis=1), matched.shape[1:])
    rows = np.arange(len(orders))
    before, here, after = (matched[rows, (azimuth + by) % len(azimuths_deg), height] for by in (-1, 0, 1))
    between = 0.5 * (before - after) / np.minimum(before - 2 * here + after, -1e-30)
    misfit = (best - here) / max(best - mean, 1e-30)
    return azimuths_deg[azimuth] + _STEP_DEG * np.clip(between, -0.5, 0.5), heights_deg[height], misfit


def _grid_deg(middle_deg: float) -> tuple[Array64, Array64]:
    """Azimuths and elevations of the directions that are tried for a clap from about one elevation."""
    return np.arange(0.0, 360.0, _STEP_DEG), np.clip(middle_deg + _ELEVATIONS_DEG, -90.0, 90.0)


@lru_cache(maxsize=16)
def _planes(capsules: Capsules, middle_deg: float, hz: tuple[float, ...]) -> Complex128:
    """Conjugate coherences (bins and pairs, directions) of plane waves from the directions of `_grid_deg`."""
    azimuths_deg, heights_deg = _grid_deg(middle_deg)
    grid = unit_vector(azimuths_deg[:, None], heights_deg).reshape(-1, 3)
    waves = array_spectra(capsules, grid, hz).transpose(0, 2, 1)  # (directions, bins, capsules)
    first, second = _PAIRS
    pairs = coherences(waves[..., :, None] * waves[..., None, :].conj())[..., first, second]
    return np.ascontiguousarray(pairs.reshape(len(grid), -1).conj().T)


def _fit(order: Order, upside_down: bool, heard: list[ToldClaps], azimuths_deg: Array64, misfits: Array64) -> Fit:
    """Find the yaw that fits best with one order of the channels."""
    turned_deg = np.array([each.azimuth_deg for each in heard]) - np.where(upside_down, -1, 1) * azimuths_deg

    def off_deg(yaw_deg: Array64) -> Array64:
        """Errors (yaws, claps)."""
        off: Array64 = (turned_deg - yaw_deg[:, None] + 180.0) % 360.0 - 180.0
        return off

    def cost(yaw_deg: Array64) -> Array64:
        each: Array64 = np.minimum(_MISFIT * misfits + (off_deg(yaw_deg) / _FAR_DEG) ** 2, 1.0).mean(axis=1)
        return each

    yaws_deg = np.arange(-180.0, 180.0)
    yaw_deg = yaws_deg[[int(np.argmin(cost(yaws_deg)))]]
    off = off_deg(yaw_deg)[0]
    near = np.abs(off) <= _FITS_DEG
    if near.any():
        yaw_deg = yaw_deg + off[near].mean()
    wrapped = 180.0 - (180.0 - float(yaw_deg[0])) % 360.0
    return Fit(order, upside_down, wrapped, float(cost(yaw_deg)[0]), tuple(off_deg(yaw_deg)[0].tolist()))


def _gains_db(
    fit: Fit, heard: list[ToldClaps], elevations_deg: Array64, profile: ArrayProfile
) -> tuple[tuple[float, ...], float]:
    """Gains of the capsules (4,) relative to their mean, by the claps that fit, and the largest deviation from them."""
    ideal = replace(profile.capsules, gains_db=(0.0,) * 4)
    inverse = MountSettings(fit.yaw_deg, 0.0, fit.upside_down).rotation  # a row vector times it is turned back
    levels_db = []
    for told, elevation_deg, fits in zip(heard, elevations_deg, fit.fitting, strict=True):
        if not fits:
            continue
        assert told.claps is not None
        powers = told.claps.powers[:, list(fit.order)]
        flipped_deg = -elevation_deg if fit.upside_down else elevation_deg  # in the room
        direction = unit_vector(told.azimuth_deg, flipped_deg) @ inverse
        expected = np.abs(array_spectra(ideal, direction[None], told.claps.hz)[0].T) ** 2  # (bins, capsules)
        source = powers.mean(axis=1, keepdims=True) / expected.mean(axis=1, keepdims=True)
        level_db = 10 * np.log10(np.maximum(powers.sum(axis=0), 1e-30) / (source * expected).sum(axis=0))
        levels_db.append(level_db - level_db.mean())
    if not levels_db:
        return (), 0.0
    gains_db = np.median(levels_db, axis=0)
    gains_db -= gains_db.mean()
    return tuple(gains_db.tolist()), float(np.abs(levels_db - gains_db).max())

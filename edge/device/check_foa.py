"""Ambisonic channels -> what does not fit together in them.

Whatever sounds from wherever, the powers of Y, Z and X (SN3D) add up to that of W, as long as the sources are not
coherent. Where they do not, one channel has another gain, or another one is in the place of W: that which makes them
add up best in all blocks and octaves is named. That Y, Z and X have the right sign and order, only a sound from a known
direction shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from edge.arrays.acoustics import Array64
from edge.device.check_capsules import block_covariances
from edge.geometry import angle_between_deg
from edge.types import FloatArray

MOST_OFF_DB = 2.0

_OCTAVES_HZ = (200.0, 400.0, 800.0, 1600.0, 3200.0)
_AWAY_DEG, _AIM_DEG = 25.0, 20.0  # so far off is wrong, so near is right
_UNBALANCED = 0.08  # imbalance that a fault is looked for at
_BETTER = 0.6  # share of it that may be left by the fault that is named
_SIMPLER = 0.02  # an exchange is preferred to a gain, which can be chosen
_LEAST_GAIN = 1e-3
_MISTAKES = [
    *(((0, 1, 2), signs) for signs in ((-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1))),
    *((order, (1, 1, 1)) for order in permutations(range(3))),
]  # where Y, Z and X are, and with which signs; with a wrong sign of W, all three seem wrong
_DIRECT = 0.3  # length of the intensity, against the power of W, from which on it tells a direction


@dataclass(frozen=True, slots=True)
class FoaFaults:
    """Indices 0 to 3 are W, Y, Z, X."""

    swapped_with_w: int | None = None
    off: tuple[int, float] | None = None  # channel, and its gain in dB against the others
    order: tuple[int, int, int] = (1, 2, 3)  # where Y, Z and X are
    signs: tuple[int, ...] = (1, 1, 1)
    off_deg: float = 0.0  # by which the direction is wrong, where neither order nor signs explain it


def foa_faults(samples: FloatArray, sample_rate_hz: int, direction: Array64 | None, w_gain: float = 1.0) -> FoaFaults:
    """Judge FOA (n, 4).

    direction: unit vector (xyz) to where the sound came from, if that is known. w_gain: by which W was multiplied, more
    than the others, to get here.
    """
    covariance, hz = block_covariances(samples, sample_rate_hz)
    bands = [(hz >= low) & (hz < 2 * low) for low in _OCTAVES_HZ[:-1]]
    powers = np.concatenate([np.einsum("bfii->bi", covariance[:, band]).real for band in bands])
    powers = powers / np.maximum(powers.sum(axis=1, keepdims=True), 1e-30)  # (blocks and octaves, 4)
    swapped, off = _balance(powers, w_gain**2)
    if swapped is not None or off is not None or direction is None:
        return FoaFaults(swapped, off)
    toward = np.einsum("bfi->i", covariance[:, :, 0, 1:]).real / np.einsum("bf->", covariance[:, :, 0, 0]).real
    wanted = direction[[1, 2, 0]]
    if np.linalg.norm(toward) < _DIRECT or (angle := float(angle_between_deg(toward, wanted))) <= _AWAY_DEG:
        return FoaFaults()
    for order, signs in _MISTAKES:
        if angle_between_deg(toward[list(order)] * signs, wanted) <= _AIM_DEG:
            return FoaFaults(order=(order[0] + 1, order[1] + 1, order[2] + 1), signs=signs)
    return FoaFaults(off_deg=angle)


def _balance(powers: Array64, w_gain: float) -> tuple[int | None, tuple[int, float] | None]:
    """The channel that should be W, or the one with another gain, of powers (cells, W Y Z X)."""
    before = _imbalance(powers)
    gains_db, left = [], []
    for channel in range(4):
        rest = powers[:, 1:].sum(axis=1) - (powers[:, channel] if channel else 0.0)
        missing = powers[:, 0] - rest if channel else rest  # that this channel should have
        gain = max(float(powers[:, channel] @ missing / (powers[:, channel] @ powers[:, channel])), _LEAST_GAIN)
        scaled = powers.copy()
        scaled[:, channel] *= gain
        gains_db.append(-10 * np.log10(gain))
        left.append(_imbalance(scaled))
    swapped = [_imbalance(_exchanged(powers, channel, w_gain)) for channel in (1, 2, 3)]
    best, first = int(np.argmin(left)), int(np.argmin(swapped)) + 1
    if before < _UNBALANCED or min(*left, *swapped) > _BETTER * before:
        return None, None
    if min(swapped) < min(left) + _SIMPLER:
        return first, None
    return None, (best, float(gains_db[best])) if abs(gains_db[best]) > MOST_OFF_DB else None


def _exchanged(powers: Array64, channel: int, w_gain: float) -> Array64:
    exchanged = powers.copy()
    exchanged[:, 0], exchanged[:, channel] = powers[:, channel] * w_gain, powers[:, 0] / w_gain
    return exchanged


def _imbalance(powers: Array64) -> float:
    """How far Y, Z and X are from adding up to W, in the mean over cells; their loudness does not matter."""
    w, v = powers[:, 0], powers[:, 1:].sum(axis=1)
    return float(np.mean(np.abs(w - v) / (w + v)))

"""Ambisonic channels -> which of them has a wrong gain, place or sign.

In any sound field of incoherent sources the powers of Y, Z and X (SN3D) add up to the power of W. Where they do not,
one channel has a wrong gain, or another channel is in the place of W: the change that makes the powers add up best in
all blocks and octaves is the fault. Signs and order of Y, Z and X show only in a sound from a known direction.
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
_AWAY_DEG, _AIM_DEG = 25.0, 20.0  # an error above the first is a fault; one up to the second explains it
_UNBALANCED = 0.08  # imbalance from which on a fault is looked for
_BETTER = 0.6  # largest share of the imbalance that may be left when the fault is corrected
_SIMPLER = 0.02  # advantage of an exchange over a gain, because a gain is fitted
_LEAST_GAIN = 1e-3
_MISTAKES = [
    *(((0, 1, 2), signs) for signs in ((-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1))),
    *((order, (1, 1, 1)) for order in permutations(range(3))),
]  # order and signs of Y, Z and X; a wrong sign of W makes all three look wrong
_DIRECT = 0.3  # length of the intensity, relative to the power of W, from which on it gives a direction


@dataclass(frozen=True, slots=True)
class FoaFaults:
    """The faults that were found; the defaults are no faults. Indices 0 to 3 are W, Y, Z, X."""

    swapped_with_w: int | None = None  # channel that is in the place of W
    off: tuple[int, float] | None = None  # channel with a wrong gain, and this gain in dB against the others
    order: tuple[int, int, int] = (1, 2, 3)  # the channels in the places of Y, Z and X
    signs: tuple[int, ...] = (1, 1, 1)  # of Y, Z and X
    off_deg: float = 0.0  # error of the direction where neither order nor signs explain it


def foa_faults(samples: FloatArray, sample_rate_hz: int, direction: Array64 | None, w_gain: float = 1.0) -> FoaFaults:
    """Find the faults of ambisonic channels.

    Args:
        samples: FOA (n, 4) in ACN/SN3D: W, Y, Z, X.
        sample_rate_hz: of the samples.
        direction: unit vector (x, y, z) toward the sound, where it is known.
        w_gain: factor by which W was multiplied, relative to the others, to convert the channels to SN3D.
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
    """Find in powers (cells, WYZX) the channel that should be W, or the one with a wrong gain and this gain in dB."""
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
    """The powers (cells, WYZX) with W and another channel exchanged."""
    exchanged = powers.copy()
    exchanged[:, 0], exchanged[:, channel] = powers[:, channel] * w_gain, powers[:, 0] / w_gain
    return exchanged


def _imbalance(powers: Array64) -> float:
    """Mean relative error, over the cells, of the sum of the powers of Y, Z and X against the power of W."""
    w, v = powers[:, 0], powers[:, 1:].sum(axis=1)
    return float(np.mean(np.abs(w - v) / (w + v)))

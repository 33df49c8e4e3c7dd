"""Multi-ACCDOA output of a net -> activity and directions of slots, which the directions of another net may steer.

A vector for each track and class: its length says whether the class is active there, its direction where (Shimada et
al., ICASSP 2022). A net trained with auxiliary duplicates gives one source several times, by tracks that are free:
tracks of one class that point nearly the same way are one, with the mean of their vectors. The rule is that of the
DCASE 2022 baseline; where two pairs of three are near to each other, all three are one.
"""

from __future__ import annotations

import numpy as np

from edge.geometry import angle_between_units_deg
from edge.types import FloatArray

AXES = 3


def decode_accdoa(
    output: FloatArray, slots: int, threshold: float = 0.5, unify_deg: float = 15.0
) -> tuple[FloatArray, FloatArray]:
    """Output (labels, tracks, 3 axes, classes) -> activity (labels, slots, classes), direction (labels, slots, 3).

    A slot has the activity of one class only, the length of its vector up to 1: the strongest come first, what has no
    slot is left out, slots that are left are zero. `threshold`, 0 or more, is the length above which a track is active;
    tracks less than `unify_deg`, 90 at most, apart are one.
    """
    labels, tracks, _, classes = output.shape
    vectors = unified(output.transpose(0, 3, 1, 2), threshold, unify_deg).reshape(labels, classes * tracks, AXES)
    lengths = _lengths(vectors)
    order = np.argsort(-lengths[..., 0], axis=1, kind="stable")[:, :slots, None]  # (labels, slots or fewer, 1)
    strongest, lengths = np.take_along_axis(vectors, order, axis=1), np.take_along_axis(lengths, order, axis=1)
    activity = np.zeros((labels, slots, classes), np.float32)
    direction = np.zeros((labels, slots, AXES), np.float32)
    count = order.shape[1]
    np.put_along_axis(activity[:, :count], order // tracks, np.minimum(lengths, 1.0), axis=2)
    np.divide(strongest, lengths, out=direction[:, :count], where=lengths > 0.0)
    return activity, direction


def unified(vectors: FloatArray, threshold: float, unify_deg: float) -> FloatArray:
    """Vectors (..., tracks, 3) of one class -> those that are one as their mean, in the place of the first of them.

    The others, and those not longer than `threshold`, are zero.
    """
    lengths, tracks = _lengths(vectors), vectors.shape[-2]
    active = lengths > threshold  # (..., tracks, 1)
    units = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=active)
    near = angle_between_units_deg(units[..., :, None, :], units[..., None, :, :]) < unify_deg
    near |= np.eye(tracks, dtype=bool)
    near &= active & active.swapaxes(-1, -2)
    one = near  # with itself and its neighbours, theirs, ...
    for _ in range(tracks - 2):
        one = one @ near
    count = one.sum(axis=-1, keepdims=True)
    means = one.astype(np.float32) @ vectors / np.maximum(count, 1).astype(np.float32)
    first = ~np.tril(one, -1).any(axis=-1, keepdims=True)
    return np.where(active & first, means, np.float32(0.0))


def steered(direction: FloatArray, vectors: FloatArray, sure: float, most_deg: float, share: float) -> FloatArray:
    """Directions (labels, slots, 3), unit or zero, and vectors of tracks (labels, K, 3) -> the directions, steered.

    Each turns toward the nearest of the tracks whose vector is longer than `sure` and which is less than `most_deg`
    away, by a `share` of the way between their unit vectors; without any it stays. Zeros stay zeros.
    """
    lengths = _lengths(vectors)
    units = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > sure)
    apart = angle_between_units_deg(direction[:, :, None], units[:, None])  # (labels, slots, K)
    apart = np.where(lengths[:, None, :, 0] > sure, apart, np.float32(180.0))
    nearest = apart.argmin(axis=2)[..., None]
    toward = np.take_along_axis(units, nearest, axis=1)
    turned = direction + np.float32(share) * (toward - direction)
    near = (np.take_along_axis(apart, nearest, axis=2) < most_deg) & np.any(direction != 0.0, axis=2, keepdims=True)
    return np.where(near, turned / np.maximum(_lengths(turned), np.float32(1e-6)), direction)


def _lengths(vectors: FloatArray) -> FloatArray:
    return np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True))

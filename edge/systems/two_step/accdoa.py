"""Multi-ACCDOA output of a net -> activity and directions of slots, which the directions of another net may steer.

The output is a vector for each track and class: its length says whether the class is active there, its direction where
(Shimada et al., ICASSP 2022). A net trained with auxiliary duplicates gives one source several times, by tracks that
are free: tracks of one class that point nearly the same way are one source, with the mean of their vectors. The rule is
that of the DCASE 2022 baseline; where two pairs of three tracks are near to each other, all three are one source.
"""

from __future__ import annotations

import numpy as np

from edge.geometry import angle_between_units_deg
from edge.types import FloatArray

ACCDOA_TRACKS = 3
AXES = 3


def decode_accdoa(
    output: FloatArray, slots: int, threshold: float = 0.5, unify_deg: float = 15.0
) -> tuple[FloatArray, FloatArray]:
    """Decode multi-ACCDOA into slots, each of which has one class.

    Args:
        output: Vectors (labels, tracks, 3 axes, classes).
        slots: How many sources are kept: the strongest.
        threshold: Length above which a track is active, 0 or more.
        unify_deg: Tracks of a class less than this apart are one source, 90 at most.

    Returns:
        Activity (labels, slots, classes), the length of the vector up to 1, and direction (labels, slots, 3), unit
        vectors. The strongest come first; slots that are left are zero.
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
    """Replace tracks of one class that are one source by the mean of their vectors.

    Args:
        vectors: Of the tracks (..., tracks, 3).
        threshold: Length above which a track is active.
        unify_deg: Active tracks less than this apart are one source, and so are chains of them.

    Returns:
        Vectors of the same shape: the mean in the place of the first track of a source, zero in the place of its other
        tracks and of those that are not active.
    """
    lengths, tracks = _lengths(vectors), vectors.shape[-2]
    active = lengths > threshold  # (..., tracks, 1)
    units = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=active)
    near = angle_between_units_deg(units[..., :, None, :], units[..., None, :, :]) < unify_deg
    near |= np.eye(tracks, dtype=bool)
    near &= active & active.swapaxes(-1, -2)
    same = near  # whether two tracks are one source: neighbours, their neighbours, and so on
    for _ in range(tracks - 2):
        same = same @ near
    count = same.sum(axis=-1, keepdims=True)
    means = same.astype(np.float32) @ vectors / np.maximum(count, 1).astype(np.float32)
    first = ~np.tril(same, -1).any(axis=-1, keepdims=True)
    return np.where(active & first, means, np.float32(0.0))


def steered(direction: FloatArray, vectors: FloatArray, sure: float, most_deg: float, share: float) -> FloatArray:
    """Turn each direction toward the nearest track that another net is sure of.

    Args:
        direction: Of slots (labels, slots, 3), unit vectors or zero.
        vectors: Of tracks (labels, K, 3).
        sure: Length of a vector above which its track is there.
        most_deg: Only tracks less than this away count.
        share: How far a direction turns, as a share of the way between the unit vectors, 0 to 1.

    Returns:
        Directions (labels, slots, 3). One without such a track stays as it is, and zeros stay zeros.
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
    """Lengths (..., 1) of vectors (..., n)."""
    return np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True))

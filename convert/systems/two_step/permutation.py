"""Losses for which the order of tracks does not matter: permutation-invariant training (PIT), in `keras.ops`.

Section 3.1 of Two-step trains its first two nets with them: the mean squared error of directions and the cross-entropy
of classes, both over whole windows, so that a track keeps its events. The output of the third net is multi-ACCDOA, and
it is trained with ADPIT (Shimada et al. 2022, arXiv 2110.07124).
"""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from keras import ops

from convert.losses import EPSILON, Loss, Tensor
from convert.systems.two_step.batches import ACCDOA_TRACKS
from edge.types import FloatArray

DUMMY_TRACKS = 6  # A0; B0, B1; C0, C1, C2


def pit_mse(tracks: int, by_frame: bool = False) -> Loss:
    """Mean squared error of directions under the best permutation of tracks.

    Args:
        tracks: Number of tracks K.
        by_frame: Choose the permutation for each label frame, not for each window.

    Returns:
        The loss of targets and answers (batch, labels, 3 K): x, y, z of the first track, then of the next.
    """

    def loss(target: Tensor, predicted: Tensor) -> Tensor:
        wanted, got = (_by_track(each, tracks, by_frame) for each in (target, predicted))
        apart = ops.expand_dims(wanted, -2) - ops.expand_dims(got, -3)
        return _best(ops.mean(ops.square(apart), axis=-1), tracks)

    return loss


def pit_bce(tracks: int, by_frame: bool = False) -> Loss:
    """Mean cross-entropy of the activities of K C classes under the best permutation of tracks.

    Args:
        tracks: Number of tracks K.
        by_frame: Choose the permutation for each label frame, not for each window.

    Returns:
        The loss of targets and answers (batch, labels, K C): the classes of the first track, then those of the next.
    """

    def loss(target: Tensor, predicted: Tensor) -> Tensor:
        wanted, got = (_by_track(each, tracks, by_frame) for each in (target, predicted))
        p = ops.swapaxes(ops.clip(got, EPSILON, 1.0 - EPSILON), -1, -2)
        entropy = -ops.matmul(wanted, ops.log(p)) - ops.matmul(1.0 - wanted, ops.log(1.0 - p))
        return _best(entropy / wanted.shape[-1], tracks)

    return loss


def adpit(classes: int) -> Loss:
    """Auxiliary duplicating PIT for multi-ACCDOA (Shimada et al. 2022, equations 3 and 4).

    For each class in each label frame, the loss is the mean squared error under the best assignment of its events to
    the 3 tracks. A single event is assigned to all three; of two events, one is assigned to two tracks, which makes 6
    assignments; three events have 6 permutations: 13 assignments in all. Only the A, the B or the C of a class are ever
    filled, so that the n-th assignments of one, of two and of three events can be added up and computed as one.

    Args:
        classes: Number of classes C.

    Returns:
        The loss of targets of `batches.adpit_target` (batch, labels, 6, 4, C) and answers (batch, labels, 9 C),
        [track][axis][class].
    """
    table = _assignments().reshape(-1, DUMMY_TRACKS)  # (6 assignments x 3 tracks, 6)

    def loss(target: Tensor, predicted: Tensor) -> Tensor:
        places = target[:, :, :, :1] * target[:, :, :, 1:]
        labels = places.shape[1]
        wanted = ops.matmul(ops.convert_to_tensor(table), ops.reshape(places, (-1, labels, DUMMY_TRACKS, 3 * classes)))
        wanted = ops.reshape(wanted, (-1, labels, DUMMY_TRACKS, 9, classes))
        got = ops.reshape(predicted, (-1, labels, 1, 9, classes))
        each = ops.mean(ops.square(wanted - got), axis=3)  # (batch, labels, 6, C)
        return ops.mean(ops.min(each, axis=2))

    return loss


def _by_track(x: Tensor, tracks: int, by_frame: bool) -> Tensor:
    """(batch, labels, K n) -> (batch, K, labels n), or (batch, labels, K, n) by frame."""
    labels, width = x.shape[1:]
    x = ops.reshape(x, (-1, labels, tracks, width // tracks))
    return x if by_frame else ops.reshape(ops.swapaxes(x, 1, 2), (-1, tracks, labels * (width // tracks)))


def _best(costs: Tensor, tracks: int) -> Tensor:
    """Costs (..., K, K) of each target track with each answered one -> the mean over the best permutations."""
    flat = ops.reshape(costs, (-1, tracks * tracks))
    return ops.mean(ops.min(ops.matmul(flat, ops.convert_to_tensor(_permutations(tracks))), axis=-1)) / tracks


def _permutations(tracks: int) -> FloatArray:
    """(K K, K!): a column for each permutation, with 1 for its pairs (target, answer)."""
    orders = np.array(list(permutations(range(tracks))))
    return np.eye(tracks, dtype=np.float32)[orders].reshape(len(orders), -1).T.copy()


def _assignments() -> FloatArray:
    """(6, 3, 6): for each of 6 assignments, which dummy tracks each of the 3 tracks takes."""
    dummy = np.eye(DUMMY_TRACKS, dtype=np.float32)
    pairs = [order for order in product((1, 2), repeat=ACCDOA_TRACKS) if len(set(order)) == 2]
    triples = list(permutations((3, 4, 5)))
    return np.stack(
        [dummy[0] + dummy[list(pair)] + dummy[list(triple)] for pair, triple in zip(pairs, triples, strict=True)]
    )

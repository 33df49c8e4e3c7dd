"""How CoLoC's classifier learns the distance of what sounds (SELD with distance: DCASE 2024, task 3).

The classifier has it, and not the localizer: asked about one direction it speaks of one event, so the distance has one
target, without a choice among events; and a localizer that is trained need not be trained again.

Distances are learnt on the logarithmic scale of the device's half (`edge.systems.coloc.distance`): the loss is the L1
error of the natural logarithm, which is nearly the relative distance error of the metric of 2024, but takes twice as
far and half as far for equally wrong. Frames without an event, or with one whose distance is not known, do not count.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import layers, ops

from convert.losses import Loss, Tensor, focal_cross_entropy
from convert.systems.coloc.dev_scores import classifier_scores
from convert.systems.scores import mean_or_nan
from edge.systems.coloc.distance import FARTHEST_M, NEAREST_M, metres
from edge.types import FloatArray

OUTPUT = "distance"
_SPAN = math.log(FARTHEST_M / NEAREST_M)


def answers(x: keras.KerasTensor, outputs: int, activation: str, distance: bool) -> dict[str, keras.KerasTensor]:
    """The last layers of a stage behind rows (T, n): `output` (T, outputs) and, with a distance, `distance` (T, 1)."""
    found = {"output": layers.Dense(outputs, activation=activation, dtype="float32", name="output")(x)}
    if distance:
        found[OUTPUT] = layers.Dense(1, activation="sigmoid", dtype="float32", name=OUTPUT)(x)
    return found


def tells_distance(net: keras.Model) -> bool:
    """Whether a stage has the output."""
    return OUTPUT in net.output


def classifier_loss(weight: float) -> Loss:
    """Focal loss of the class, plus `weight` times the error of the logarithm of the distance.

    Returns:
        The loss. Its target (batch, labels, 2) is class and distance in metres, 0 where there is none; its answer
        (batch, labels, K + 2) the probabilities of the classes and the output `distance`.
    """

    def loss(target: Tensor, predicted: Tensor) -> Tensor:
        distance_m = target[..., 1]
        known = ops.cast(distance_m > 0.0, predicted.dtype)
        wanted = ops.log(ops.clip(distance_m, NEAREST_M, FARTHEST_M) / NEAREST_M) / _SPAN
        apart = _SPAN * ops.abs(wanted - predicted[..., -1])
        error = ops.sum(known * apart) / ops.maximum(ops.sum(known), 1.0)
        return focal_cross_entropy(target[..., 0], predicted[..., :-1]) + weight * error

    return loss


def distance_scores(target: FloatArray, answer: FloatArray) -> dict[str, float]:
    """`classifier_scores`, and `dev_distance_error`, the mean relative distance error.

    Args:
        target: Class and distance in metres (n, labels, 2), as in `classifier_loss`.
        answer: Probabilities and the output `distance` (n, labels, K + 2).
    """
    known = target[..., 1] > 0.0
    true_m, found_m = target[..., 1][known], metres(answer[..., -1][known])
    return {
        **classifier_scores(target[..., 0], answer[..., :-1]),
        "dev_distance_error": mean_or_nan(np.abs(found_m - true_m) / true_m),
    }

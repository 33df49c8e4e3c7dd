"""The papers' losses, in `keras.ops`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

EPSILON = 1e-7
Loss = Callable[["object", "object"], "object"]


@dataclass(frozen=True, slots=True)
class ColocLosses:
    """What the localizer of CoLoC is trained with."""

    pair_power: float = 0.0  # see `set_localizer_loss`

    def __post_init__(self) -> None:
        if not 0.0 <= self.pair_power <= 1.0:
            raise ValueError(f"got pair_power {self.pair_power}, wanted 0 to 1")


def set_localizer_loss(slots: int, pair_power: float = 0.0) -> Loss:
    """CoLoC's localizer loss (section 3.1): L1.5 distance to the nearest event that is not in the condition.

    The target (batch, labels, slots + 1, 4) holds x, y, z, "may be named" for every slot, and in its last row
    k (events active in the frame) and r (events in the condition). Frames with k < r ask nothing: at inference the
    net's answer is not read there. Frames are averaged within each pair (k, r), then over the pairs, as in the paper;
    `pair_power` > 0 weights pairs by their share of frames to that power (1 is the plain mean over frames).
    """

    def loss(target: object, predicted: object) -> object:
        events, named = target[:, :, :slots, :3], target[:, :, :slots, 3]  # type: ignore[index]
        active, known = target[:, :, slots, 0], target[:, :, slots, 1]  # type: ignore[index]
        to_events = _norm_1_5(events - ops.expand_dims(predicted, 2))  # (batch, labels, slots)
        to_nearest = ops.min(to_events + (1.0 - named) * 1e3, axis=-1)
        per_frame = ops.where(ops.any(named > 0, axis=-1), to_nearest, _norm_1_5(predicted))
        total, weight_sum = 0.0, EPSILON
        for r in range(slots):
            for k in range(r, slots + 1):
                member = ops.cast((active == k) & (known == r), per_frame.dtype)
                frames = ops.sum(member)
                share = frames / ops.cast(ops.size(member), per_frame.dtype)
                weight = ops.where(frames > 0, ops.power(share + EPSILON, pair_power), 0.0)
                total += weight * ops.sum(member * per_frame) / ops.maximum(frames, 1.0)
                weight_sum += weight
        return total / weight_sum

    return loss


def focal_cross_entropy(target: object, predicted: object) -> object:
    """Mean of -(1 - p) log p of the true class: focal loss with gamma 1 (CoLoC, section 3.2).

    `target` (batch, labels) holds class indices, `predicted` (batch, labels, K + 1) probabilities.
    """
    one_hot = ops.one_hot(ops.cast(target, "int32"), predicted.shape[-1])  # type: ignore[attr-defined]
    p = ops.clip(ops.sum(one_hot * predicted, axis=-1), EPSILON, 1.0)
    return ops.mean(-(1.0 - p) * ops.log(p))


def _norm_1_5(vectors: object) -> object:
    return ops.power(ops.sum(ops.power(ops.abs(vectors) + EPSILON, 1.5), axis=-1), 1.0 / 1.5)

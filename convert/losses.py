"""The papers' losses, in `keras.ops`: targets and answers of a batch -> a scalar."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import keras
from keras import ops

from convert.data.tracks import SLOTS

EPSILON = 1e-7
FAR = 1e3  # added to the distance to an event that is not to be named, so that another one is the nearest
Tensor: TypeAlias = keras.KerasTensor
Loss = Callable[[Tensor, Tensor], Tensor]  # target, answer -> loss


@dataclass(frozen=True, slots=True)
class ColocLosses:
    """What CoLoC is trained with. Raises ValueError for values that do not go together."""

    pair_power: float = 0.0  # see `set_localizer_loss`
    fixed_pairs: bool = False  # divide by N(N+1)/2, as the paper prints it, not by the weights of pairs that occur
    most_known: int = 0  # r is drawn from 0 to this (section 3.1: N - 2); 0: to the most events of the chunk, below N
    distance_weight: float = 1.0  # with device.distance: of the classifier's error of the distance, beside its class

    def __post_init__(self) -> None:
        if not 0.0 <= self.pair_power <= 1.0:
            raise ValueError(f"got pair_power {self.pair_power}, wanted 0 to 1")
        if not 0.0 < self.distance_weight <= 100.0:
            raise ValueError(f"got distance_weight {self.distance_weight}, wanted more than 0, up to 100")
        if self.fixed_pairs and self.pair_power:
            raise ValueError(f"got pair_power {self.pair_power} with fixed_pairs, wanted 0")
        if not 0 <= self.most_known < SLOTS:
            raise ValueError(f"got most_known {self.most_known}, wanted 0 to {SLOTS - 1}")


@dataclass(frozen=True, slots=True)
class EtriLosses:
    """What the three nets of ETRI are trained with (section 4): the paper's losses by default, others to compare.

    Raises ValueError for an unknown loss or a `sed_beta` outside its range.
    """

    sad: str = "soft_f"  # or "bce"; the text on SAD is lost, section 3.2.2 speaks of the same settings for both
    sed: str = "soft_f"  # or "bce"
    f_over: str = "class"  # F of each class, averaged, or of "all" classes at once; see `soft_f_loss`
    sed_beta: float = 1.0  # of SED's F: how many times as bad a miss is as a false alarm
    masked: bool = True  # SED learns nothing in frames of silence, section 4.2
    doa: str = "sinusoidal"  # or "squared"

    def __post_init__(self) -> None:
        for name, wanted in _ETRI_CHOICES.items():
            if getattr(self, name) not in wanted:
                raise ValueError(f"got {name} {getattr(self, name)!r}, wanted {' or '.join(wanted)}")
        if not 0.1 <= self.sed_beta <= 10.0:
            raise ValueError(f"got sed_beta {self.sed_beta}, wanted 0.1 to 10")


@dataclass(frozen=True, slots=True)
class TwoStepLosses:
    """What the nets of two-step are trained with: PIT, PIT and ADPIT (section 3.1)."""

    by_frame: bool = False  # the permutation of the tracks is chosen for each label frame, not for each window


_ETRI_CHOICES = {
    "sad": ("soft_f", "bce"),
    "sed": ("soft_f", "bce"),
    "f_over": ("class", "all"),
    "doa": ("sinusoidal", "squared"),
}


def set_localizer_loss(slots: int, pair_power: float = 0.0, fixed_pairs: bool = False) -> Loss:
    """CoLoC's localizer loss (section 3.1): L1.5 distance to the nearest event that is not in the condition.

    Frames with k < r do not count: at inference the net's answer is not read there. Frames are averaged within each
    pair (k, r), then over the pairs that occur in the batch. The paper prints the factor 2 / (N (N + 1)) instead, the
    same for all batches; its k counts from 0, so frames with nothing left to name (k = r here) come on top of these
    N (N + 1) / 2 pairs.

    Args:
        slots: Slots of the stacked-tracks.
        pair_power: Above 0, a pair is weighted by its share of the frames to this power; 1 gives the plain mean over
            frames.
        fixed_pairs: Divide by N (N + 1) / 2, as printed, whichever pairs occur.

    Returns:
        The loss. Its target (batch, labels, slots + 1, 4) holds x, y, z, "may be named" for every slot, and in its last
        row k (events active in the frame) and r (events in the condition); its answer is (batch, labels, 3).
    """

    def loss(target: Tensor, predicted: Tensor) -> Tensor:
        events, may_be_named = target[:, :, :slots, :3], target[:, :, :slots, 3]
        active, known = target[:, :, slots, 0], target[:, :, slots, 1]
        to_events = _norm_1_5(events - ops.expand_dims(predicted, 2))  # (batch, labels, slots)
        to_nearest = ops.min(to_events + (1.0 - may_be_named) * FAR, axis=-1)
        per_frame = ops.where(ops.any(may_be_named > 0, axis=-1), to_nearest, _norm_1_5(predicted))
        total, weight_sum = 0.0, EPSILON
        for r in range(slots):
            for k in range(r, slots + 1):
                member = ops.cast((active == k) & (known == r), per_frame.dtype)
                frames = ops.sum(member)
                share = frames / ops.cast(ops.size(member), per_frame.dtype)
                weight = ops.where(frames > 0, ops.power(share + EPSILON, pair_power), 0.0)
                total += weight * ops.sum(member * per_frame) / ops.maximum(frames, 1.0)
                weight_sum += weight
        return total / (slots * (slots + 1) / 2) if fixed_pairs else total / weight_sum

    return loss


def focal_cross_entropy(target: Tensor, predicted: Tensor) -> Tensor:
    """Focal loss with gamma 1, the mean of -(1 - p) log p of the true class (CoLoC, section 3.2).

    Args:
        target: Class indices (batch, labels).
        predicted: Probabilities (batch, labels, K + 1).
    """
    one_hot = ops.one_hot(ops.cast(target, "int32"), predicted.shape[-1])
    p = ops.clip(ops.sum(one_hot * predicted, axis=-1), EPSILON, 1.0)
    return ops.mean(-(1.0 - p) * ops.log(p))


def etri_loss(stage: str, settings: EtriLosses) -> Loss:
    """The loss of stage `sad`, `sed` or `doae`, for targets of `convert.systems.etri.batches.stage_target`.

    Silence is what SAD has to learn, so only SED is masked.
    """
    if stage == "doae":
        return direction_loss(settings.doa)
    masked = settings.masked and stage == "sed"
    if getattr(settings, stage) == "bce":
        return binary_cross_entropy(masked)
    return soft_f_loss(settings.f_over == "class", masked, settings.sed_beta if stage == "sed" else 1.0)


def soft_f_loss(per_class: bool = True, masked: bool = False, beta: float = 1.0) -> Loss:
    """ETRI's soft F-loss (section 4.1, equations 2 and 3): 1 - 2 TP / (2 TP + FP + FN), counted in probabilities.

    The sums run over the frames of the batch. That each class has an F of its own, and that the loss is their mean over
    the classes that occur in the batch, is reconstructed: the index k, by which equation 4 masks, is that of a frame,
    and the loss is to overcome the "imbalance between class labels", which one F over all classes, as the metric has
    it, would not do. A class that does not occur has F 0 whatever the answer.

    Args:
        per_class: Average F over the classes; otherwise there is one F over all of them.
        masked: Frames in which nothing is active do not count (section 4.2, equation 4).
        beta: Of F_beta, 1 - (1 + b^2) TP / ((1 + b^2) TP + FP + b^2 FN). The paper's is 1; above it a net misses less
            and has more false alarms.

    Returns:
        The loss of targets and answers (batch, labels, K).
    """
    axes, weight = (0, 1) if per_class else None, beta * beta

    def loss(target: Tensor, predicted: Tensor) -> Tensor:
        counted = _counted(target, masked)
        hits = ops.sum(predicted * target * counted, axis=axes)
        true = ops.sum(target * counted, axis=axes)
        both = ops.sum(predicted * counted, axis=axes) + weight * true  # 2 TP + FP + FN for beta 1
        occurs = ops.cast(true > 0, both.dtype)
        missed = occurs * (1.0 - (1.0 + weight) * hits / ops.maximum(both, EPSILON))
        return ops.sum(missed) / ops.maximum(ops.sum(occurs), 1.0)

    return loss


def binary_cross_entropy(masked: bool = False) -> Loss:
    """Mean cross-entropy of K activities (batch, labels, K); `masked` as in `soft_f_loss`."""

    def loss(target: Tensor, predicted: Tensor) -> Tensor:
        p = ops.clip(predicted, EPSILON, 1.0 - EPSILON)
        each = target * ops.log(p) + (1.0 - target) * ops.log(1.0 - p)
        counted = _counted(target, masked)
        return -ops.sum(ops.mean(each, axis=-1, keepdims=True) * counted) / ops.maximum(ops.sum(counted), 1.0)

    return loss


def direction_loss(kind: str = "sinusoidal") -> Loss:
    """ETRI's loss of azimuths and elevations (section 4.3), the mean over the classes that are active.

    That only active classes count is reconstructed: the others have no direction, any number in its place would draw
    the answers to it, and at inference only directions of detected classes are read (section 3.3). The DCASE 2020
    baseline masks its directions in this way.

    Args:
        kind: `sinusoidal` is sin^2(pi / 2 |difference|), equation 5, with a period of 2, which is 360 degrees, so that
            180 and -180 degrees are the same. `squared` has no period.

    Returns:
        The loss. Its target (batch, labels, 3 K) holds K azimuths and K elevations in degrees divided by 180, as the
        answer (batch, labels, 2 K), and K activities.
    """

    def loss(target: Tensor, predicted: Tensor) -> Tensor:
        classes = predicted.shape[-1] // 2
        difference = predicted - target[..., : 2 * classes]
        error = ops.square(ops.sin(math.pi / 2.0 * difference) if kind == "sinusoidal" else difference)
        active = ops.tile(target[..., 2 * classes :], (1, 1, 2))
        return ops.sum(active * error) / ops.maximum(ops.sum(active), 1.0)

    return loss


def _counted(target: Tensor, masked: bool) -> Tensor:
    """(batch, labels, 1): 1 in the frames that count, 0 in those that a mask leaves out (equation 4)."""
    anything = ops.max(target, axis=-1, keepdims=True)
    return anything if masked else ops.ones_like(anything)


def _norm_1_5(vectors: Tensor) -> Tensor:
    return ops.power(ops.sum(ops.power(ops.abs(vectors) + EPSILON, 1.5), axis=-1), 1.0 / 1.5)

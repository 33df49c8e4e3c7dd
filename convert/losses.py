"""The papers' losses, in `keras.ops`."""

from __future__ import annotations

import math
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


@dataclass(frozen=True, slots=True)
class EtriLosses:
    """What the three nets of ETRI are trained with (section 4): the paper's by default, the others to compare."""

    sad: str = "soft_f"  # or "bce"; the text on SAD is lost, section 3.2.2 speaks of the same settings for both
    sed: str = "soft_f"  # or "bce"
    f_over: str = "class"  # F of each class, averaged, or of "all" at once; see `soft_f_loss`
    sed_beta: float = 1.0  # of SED's F: how many times as bad as something invented is something missed
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

    by_frame: bool = False  # which track tells of which event is asked of each label frame, not of each window


_ETRI_CHOICES = {
    "sad": ("soft_f", "bce"),
    "sed": ("soft_f", "bce"),
    "f_over": ("class", "all"),
    "doa": ("sinusoidal", "squared"),
}


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


def etri_loss(stage: str, settings: EtriLosses) -> Loss:
    """The loss of stage `sad`, `sed` or `doae`, for the targets of `etri_batches`.

    Silence is what SAD has to learn, so temporal masking is for SED alone.
    """
    if stage == "doae":
        return direction_loss(settings.doa)
    masked = settings.masked and stage == "sed"
    if getattr(settings, stage) == "bce":
        return binary_cross_entropy(masked)
    return soft_f_loss(settings.f_over == "class", masked, settings.sed_beta if stage == "sed" else 1.0)


def soft_f_loss(per_class: bool = True, masked: bool = False, beta: float = 1.0) -> Loss:
    """ETRI's soft F-loss (section 4.1, equations 2 and 3): 1 - 2 TP / (2 TP + FP + FN), counted in probabilities.

    `beta` is ours: 1 - (1 + b^2) TP / ((1 + b^2) TP + FP + b^2 FN), F_beta, with which a net misses less for b > 1 and
    invents more. The paper's is 1.

    Target and answer are (batch, labels, K). With `masked`, frames in which nothing is active do not count (section
    4.2, equation 4). The sums run over the frames of the batch. That each class has an F of its own, and the loss is
    their mean over the classes that occur in the batch, is reconstructed: the index k, by which equation 4 masks, is
    that of a frame, and the loss is to overcome the "imbalance between class labels", which one F over all classes
    (`per_class` off, as the metric has it) would not do. A class that does not occur has F 0 whatever is answered.
    """
    axes, weight = (0, 1) if per_class else None, beta * beta

    def loss(target: object, predicted: object) -> object:
        heard = _heard(target, masked)
        hits = ops.sum(predicted * target * heard, axis=axes)  # type: ignore[operator]
        true = ops.sum(target * heard, axis=axes)  # type: ignore[operator]
        both = ops.sum(predicted * heard, axis=axes) + weight * true  # type: ignore[operator]  # 2 TP + FP + FN for beta 1
        occurs = ops.cast(true > 0, both.dtype)
        missed = occurs * (1.0 - (1.0 + weight) * hits / ops.maximum(both, EPSILON))
        return ops.sum(missed) / ops.maximum(ops.sum(occurs), 1.0)

    return loss


def binary_cross_entropy(masked: bool = False) -> Loss:
    """Mean cross-entropy of K yes-no questions (batch, labels, K); `masked` as in `soft_f_loss`."""

    def loss(target: object, predicted: object) -> object:
        p = ops.clip(predicted, EPSILON, 1.0 - EPSILON)
        each = target * ops.log(p) + (1.0 - target) * ops.log(1.0 - p)  # type: ignore[operator]
        heard = _heard(target, masked)
        return -ops.sum(ops.mean(each, axis=-1, keepdims=True) * heard) / ops.maximum(ops.sum(heard), 1.0)

    return loss


def direction_loss(kind: str = "sinusoidal") -> Loss:
    """ETRI's loss of azimuths and elevations in degrees / 180 (section 4.3), the mean over the classes that are active.

    The target (batch, labels, 3 K) holds K azimuths and K elevations, as the answer (batch, labels, 2 K), and K times
    whether the class is active. `sinusoidal` is sin^2(pi / 2 |difference|), equation 5: of period 2, which is 360
    degrees, so that 180 and -180 degrees are the same. `squared` knows no period.

    That classes which are not active ask nothing is reconstructed: they have no direction, any number in its place
    would draw the answers to it, and at inference only directions of detected classes are read (section 3.3). The
    DCASE 2020 baseline masks its directions in this way.
    """

    def loss(target: object, predicted: object) -> object:
        classes = predicted.shape[-1] // 2  # type: ignore[attr-defined]
        difference = predicted - target[..., : 2 * classes]  # type: ignore[index,operator]
        error = ops.square(ops.sin(math.pi / 2.0 * difference) if kind == "sinusoidal" else difference)
        active = ops.tile(target[..., 2 * classes :], (1, 1, 2))  # type: ignore[index]
        return ops.sum(active * error) / ops.maximum(ops.sum(active), 1.0)

    return loss


def _heard(target: object, masked: bool) -> object:
    """(batch, labels, 1): 1 in the frames that count, 0 in those that a mask leaves out (equation 4)."""
    anything = ops.max(target, axis=-1, keepdims=True)
    return anything if masked else ops.ones_like(anything)


def _norm_1_5(vectors: object) -> object:
    return ops.power(ops.sum(ops.power(ops.abs(vectors) + EPSILON, 1.5), axis=-1), 1.0 / 1.5)

"""Nets before and after conversion -> checks that say whether the conversion is good enough to be exported.

The ladder has three rungs: the Keras nets that were trained, the same nets as float TFLite, and the same as int8
TFLite, which the device runs. A conversion can go wrong without any error, so each lower rung is compared with Keras in
two ways. Each net alone must give nearly the same outputs for the same inputs (signal-to-noise ratio), and an int8 net
must not have any float tensor. The whole system must find nearly the same directions and scores on labelled scenes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from convert.evaluation.predictions import Prediction
from convert.quantize.keras_net import KerasNet, computed
from edge.geometry import angle_between_deg
from edge.nets.net import LiteRtNet
from edge.scoring.metrics import SeldScores
from edge.types import FloatArray

LEAST_SNR_DB = {"float32": 60.0, "int8": 12.0}  # of the outputs of each net
MOST_MOVED_DEG = 1.5  # mean angle between the directions of the two rungs
MOST_F_LOST = 0.015  # F20; a gain is welcome


@dataclass(frozen=True, slots=True)
class NetCheck:
    """The comparison of one converted net with its Keras net. As text, it is a line of a report."""

    name: str
    precision: str
    snr_db: float  # of the worst output
    float_tensors: int  # number of float tensors in the graph
    allowed_tensors: int = 0  # those of them that belong to operations which the recipe allows in float
    float_ops: tuple[str, ...] = ()  # these operations

    @property
    def passed(self) -> bool:
        """Whether the outputs are close enough and an int8 net has no float tensors but those that are allowed."""
        integer_only = self.precision != "int8" or self.float_tensors == self.allowed_tensors
        return integer_only and self.snr_db >= LEAST_SNR_DB[self.precision]

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "FAILED"
        allowed = f", {self.allowed_tensors} allowed of {', '.join(self.float_ops)}" if self.float_ops else ""
        return (
            f"{verdict:<7}{self.name:<23}{self.precision:<9}SNR {self.snr_db:5.1f} dB "
            f"(wanted {LEAST_SNR_DB[self.precision]:.0f}), {self.float_tensors} float tensors{allowed}"
        )


def snr_db(reference: FloatArray, candidate: FloatArray) -> float:
    """Compute the signal-to-noise ratio of `candidate` in dB, the difference from `reference` being the noise.

    Args:
        reference: values of any shape.
        candidate: values of the same shape.

    Returns:
        The ratio; infinite if nothing differs.
    """
    noise = float(np.sum((np.asarray(reference, np.float64) - candidate) ** 2))
    return (
        float("inf") if noise == 0.0 else 10.0 * np.log10(float(np.sum(np.square(reference, dtype=np.float64))) / noise)
    )


def check_net(
    name: str,
    precision: str,
    reference: KerasNet,
    candidate: LiteRtNet,
    examples: Iterable[Mapping[str, FloatArray]],
    float_ops: Collection[str] = (),
) -> NetCheck:
    """Compare two nets on the same examples.

    Args:
        name: name of the net, for the report.
        precision: "float32" or "int8", the precision of the candidate.
        reference: the Keras net.
        candidate: the converted net.
        examples: inputs and states by tensor name, without the batch axis. New states are compared like outputs.
        float_ops: operations that an int8 net may compute in float.
    """
    pairs: dict[str, tuple[list[FloatArray], list[FloatArray]]] = {}
    for example in examples:
        wanted, got = computed(reference, example), candidate.computed(example)
        for output in wanted:
            left, right = pairs.setdefault(output, ([], []))
            left.append(wanted[output])
            right.append(got[output])
    worst = float(np.min([snr_db(np.stack(left), np.stack(right)) for left, right in pairs.values()]))  # keeps a NaN
    floats = sum(count for kind, count in candidate.tensor_types().items() if kind.startswith("float"))
    allowed = candidate.float_tensors_of(float_ops) if float_ops and precision == "int8" else (0, ())
    return NetCheck(name, precision, worst, floats, *allowed)


@dataclass(frozen=True, slots=True)
class RungCheck:
    """The comparison of the whole system on one rung with Keras, on labelled scenes. As text, a line of a report."""

    precision: str
    moved_deg: float  # mean angle between directions where both detect a source; NaN if they never do
    agreed: float  # share of label frames in which both detect the same number of sources
    f_lost: float  # F20 of Keras minus F20 of the rung, by the rules of 2022, micro average

    @property
    def passed(self) -> bool:
        """Whether directions and F20 are within the limits. Where there is nothing to compare, the check fails."""
        return self.moved_deg <= MOST_MOVED_DEG and self.f_lost <= MOST_F_LOST

    def __str__(self) -> str:
        begin = f"{'ok' if self.passed else 'FAILED':<7}{f'system, {self.precision}':<32}"
        if math.isnan(self.moved_deg):
            return f"{begin}nothing to compare: in no frame do both the Keras nets and these nets detect a source"
        return (
            f"{begin}directions moved {self.moved_deg:.2f} deg (wanted at most {MOST_MOVED_DEG}), "
            f"F20 {'gained' if self.f_lost < 0 else 'lost'} {100 * abs(self.f_lost):.2f} points "
            f"(wanted at most {100 * MOST_F_LOST:.1f} lost), same count in {100 * self.agreed:.1f} % of frames"
        )


def check_rung(
    precision: str,
    reference: Mapping[str, Prediction],
    candidate: Mapping[str, Prediction],
    reference_scores: SeldScores,
    candidate_scores: SeldScores,
) -> RungCheck:
    """Compare the predictions of two rungs for the same scenes.

    Args:
        precision: name of the candidate, for the report.
        reference: predictions with the Keras nets, by scene.
        candidate: predictions with the converted nets, by scene.
        reference_scores: scores of `reference`.
        candidate_scores: scores of `candidate`.
    """
    moved: list[float] = []
    same_count = frames = 0
    for name, wanted in reference.items():
        for left, right in zip(wanted.direction, candidate[name].direction, strict=True):
            frames += 1
            a, b = _present(left), _present(right)
            same_count += len(a) == len(b)
            moved += _nearest_angles(a, b)
    return RungCheck(
        precision,
        float(np.mean(moved)) if moved else float("nan"),
        same_count / max(frames, 1),
        reference_scores.f - candidate_scores.f,
    )


def _present(directions: FloatArray) -> FloatArray:
    return directions[np.any(directions != 0, axis=-1)]


def _nearest_angles(a: FloatArray, b: FloatArray) -> Sequence[float]:
    """Return the angles of the pairing of two small sets of directions that has the least sum of angles."""
    if len(a) > len(b):
        a, b = b, a
    if not len(a):
        return []
    angles = angle_between_deg(a[:, None], b[None])
    best = min(permutations(range(len(b)), len(a)), key=lambda order: sum(angles[range(len(a)), order]))
    return [float(angles[row, column]) for row, column in enumerate(best)]

"""The rungs compared: Keras, float TFLite, int8 TFLite. What fails here is not exported.

Two kinds of check. Each net alone: signal-to-noise ratio of its outputs against Keras on the same inputs, and an audit
of the graph: an int8 net has no float tensor from input to output. The whole system on scenes, through the device's
loop: how far directions move where both rungs detect, and what the scores lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import keras
import numpy as np
import tensorflow as tf

from convert.evaluation.evaluate import Prediction
from edge.geometry import angle_between_deg
from edge.nets.net import STATE_PREFIX, LiteRtNet, Past
from edge.scoring.metrics import SeldScores
from edge.types import FloatArray

LEAST_SNR_DB = {"float32": 60.0, "int8": 12.0}
MOST_MOVED_DEG = 1.5
MOST_F_LOST = 0.015


class KerasNet:
    """A Keras model behind the `Net` protocol."""

    def __init__(self, model: keras.Model) -> None:
        names = [item.name for item in model.inputs]
        self._inputs = names
        self._states = {item.name: item.shape[1:] for item in model.inputs if item.name.startswith(STATE_PREFIX)}
        signature = [tf.TensorSpec((1, *item.shape[1:]), item.dtype) for item in model.inputs]
        self._call = tf.function(
            lambda *values: model(dict(zip(names, values, strict=True)), training=False), input_signature=signature
        ).get_concrete_function()  # a third faster than to be looked up in every call

    def __call__(self, past: Past | None = None, **inputs: FloatArray) -> dict[str, FloatArray]:
        """Outputs by name, without the batch axis."""
        values = {name: value[None] for name, value in inputs.items()} | {
            name: (past or {})[name] for name in self._states
        }
        outputs = self._call(*(tf.constant(values[name]) for name in self._inputs))
        answers = {name: np.asarray(value) for name, value in outputs.items()}
        if past is not None:
            past.update({name: answers.pop(name) for name in self._states})
        return {name: value[0] for name, value in answers.items()}

    def fresh(self) -> Past:
        """The past of a net that was not called yet: zeros."""
        return {name: np.zeros((1, *shape), np.float32) for name, shape in self._states.items()}


@dataclass(frozen=True, slots=True)
class NetCheck:
    """One converted net against its original."""

    name: str
    precision: str
    snr_db: float  # the worst of its outputs
    float_tensors: int  # in the graph

    @property
    def passed(self) -> bool:
        """Close enough, and free of float tensors if it is to be int8."""
        integer_only = self.precision != "int8" or self.float_tensors == 0
        return integer_only and self.snr_db >= LEAST_SNR_DB[self.precision]

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "FAILED"
        return (
            f"{verdict:<7}{self.name:<23}{self.precision:<9}SNR {self.snr_db:5.1f} dB "
            f"(wanted {LEAST_SNR_DB[self.precision]:.0f}), {self.float_tensors} float tensors"
        )


def snr_db(reference: FloatArray, candidate: FloatArray) -> float:
    """Signal-to-noise ratio of a candidate, in dB; infinite where nothing differs."""
    noise = float(np.sum((np.asarray(reference, np.float64) - candidate) ** 2))
    return (
        float("inf") if noise == 0.0 else 10.0 * np.log10(float(np.sum(np.square(reference, dtype=np.float64))) / noise)
    )


def check_net(
    name: str, precision: str, reference: KerasNet, candidate: LiteRtNet, examples: Iterable[Mapping[str, FloatArray]]
) -> NetCheck:
    """Ask both about the same examples, which hold the states too; the states after are compared as the answers are."""
    pairs: dict[str, tuple[list[FloatArray], list[FloatArray]]] = {}
    for example in examples:
        wanted, got = computed(reference, example), candidate.computed(example)
        for output in wanted:
            left, right = pairs.setdefault(output, ([], []))
            left.append(wanted[output])
            right.append(got[output])
    worst = float(np.min([snr_db(np.stack(left), np.stack(right)) for left, right in pairs.values()]))  # keeps a NaN
    floats = sum(count for kind, count in candidate.tensor_types().items() if kind.startswith("float"))
    return NetCheck(name, precision, worst, floats)


def computed(net: KerasNet, example: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """All outputs for all inputs, states among them."""
    past = {name: value[None] for name, value in example.items() if name.startswith(STATE_PREFIX)}
    answers = net(past, **{name: value for name, value in example.items() if name not in past})
    return {**answers, **{name: value[0] for name, value in past.items()}}


@dataclass(frozen=True, slots=True)
class RungCheck:
    """A rung of the whole system against Keras, on scenes through the device's loop."""

    precision: str
    moved_deg: float  # mean angle between directions where both detect; nan, which fails, if they never do
    agreed: float  # share of label frames in which both find the same number of sources
    f_lost: float  # F20 of Keras minus F20 of the rung, 2022 rules, micro

    @property
    def passed(self) -> bool:
        """Within the limits."""
        return self.moved_deg <= MOST_MOVED_DEG and abs(self.f_lost) <= MOST_F_LOST

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "FAILED"
        return (
            f"{verdict:<7}{f'system, {self.precision}':<32}directions moved {self.moved_deg:.2f} deg "
            f"(wanted {MOST_MOVED_DEG}), F20 lost {100 * self.f_lost:+.2f} points "
            f"(wanted {100 * MOST_F_LOST:.1f}), "
            f"same count in {100 * self.agreed:.1f} % of frames"
        )


def check_rung(
    precision: str,
    reference: Mapping[str, Prediction],
    candidate: Mapping[str, Prediction],
    reference_scores: SeldScores,
    candidate_scores: SeldScores,
) -> RungCheck:
    """Compare the predictions of two rungs for the same scenes."""
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
    """Angles of the best pairing of two small sets of directions; a set has no order."""
    if len(a) > len(b):
        a, b = b, a
    if not len(a):
        return []
    angles = angle_between_deg(a[:, None], b[None])
    best = min(permutations(range(len(b)), len(a)), key=lambda order: sum(angles[range(len(a)), order]))
    return [float(angles[row, column]) for row, column in enumerate(best)]

"""A model in training, batches of development data -> its loss and a few telling numbers, for the log.

The chunks are the same each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from keras import ops

from convert.training.trainer import Batch

CHUNKS = 256


class Answering(Protocol):
    """A model, or several as one."""

    def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> Any:
        """The answers to a batch."""
        ...


Score = Callable[[Answering], dict[str, float]]


def scorer(
    batch: Callable[[int], Batch],
    batch_size: int,
    loss: Callable[..., Any],
    scores: Callable[[np.ndarray, np.ndarray], dict[str, float]],
) -> Score:
    """A function from the trainable model of a stage to `dev_loss` and what `scores` says of all targets and answers.

    `batch` gives batches of `batch_size` chunks by number; about `CHUNKS` are asked for.
    """

    def score(model: Answering) -> dict[str, float]:
        losses, targets, answers = [], [], []
        for index in range(max(1, CHUNKS // batch_size)):
            inputs, target = batch(index)
            answer = np.asarray(model.predict_on_batch(inputs), np.float32)
            losses.append(float(loss(ops.convert_to_tensor(target), ops.convert_to_tensor(answer))))
            targets.append(target)
            answers.append(answer)
        return {"dev_loss": float(np.mean(losses))} | scores(np.concatenate(targets), np.concatenate(answers))

    return score


def f_score(target: np.ndarray, answer: np.ndarray) -> float:
    """F of answers above one half, over everything. NaN where nothing is active or named."""
    named = answer > 0.5
    found = float(np.sum(named & (target > 0.5)))
    asked = float(np.sum(named) + np.sum(target))
    return 2.0 * found / asked if asked else np.nan

"""A model in training, batches of development data -> its loss and a few telling numbers, for the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from keras import ops

from convert.losses import Loss
from convert.systems.batches import BatchFunction
from convert.systems.interface import Scores

CHUNKS = 256


class Predictor(Protocol):
    """A Keras model, or several that answer as one."""

    def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The answers (batch, ...) to a batch of inputs."""
        ...


DevScore = Callable[[Predictor], dict[str, float]]


def dev_score(batch: BatchFunction, batch_size: int, loss: Loss, scores: Scores) -> DevScore:
    """A function from a model to `dev_loss` and its scores. Each call scores the same chunks.

    Args:
        batch: Batches of development data by number; about `CHUNKS` chunks are scored.
        batch_size: Chunks in a batch.
        loss: The loss of the stage.
        scores: What is computed from all targets and answers.
    """

    def score(model: Predictor) -> dict[str, float]:
        losses, targets, answers = [], [], []
        for index in range(max(1, CHUNKS // batch_size)):
            inputs, target = batch(index)
            answer = np.asarray(model.predict_on_batch(inputs), np.float32)
            losses.append(float(loss(ops.convert_to_tensor(target), ops.convert_to_tensor(answer))))
            targets.append(target)
            answers.append(answer)
        return {"dev_loss": float(np.mean(losses))} | scores(np.concatenate(targets), np.concatenate(answers))

    return score

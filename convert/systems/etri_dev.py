"""A stage of ETRI in training, development data -> its loss and a few telling numbers, for the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from convert.datasets import FeatureCache
from convert.systems.etri_batches import AS_RECORDED, FloatArray, batch_maker
from edge.geometry import angle_between_deg, unit_vector

if TYPE_CHECKING:
    from convert.recipes import Recipe

CHUNKS = 256


def dev_score(
    stage: str, loss: Callable[..., Any], recipe: Recipe, dev: FeatureCache
) -> Callable[[keras.Model], dict[str, float]]:
    """A function from the trainable model of a stage to `dev_loss` and the score of that stage.

    Raises ValueError if a recording in `dev` is shorter than a window.
    """
    size = recipe.training.batch_size
    batch = batch_maker(stage, dev, AS_RECORDED, recipe.sizes.labels, size, seed=0)

    def score(model: keras.Model) -> dict[str, float]:
        losses, targets, answers = [], [], []
        for index in range(max(1, CHUNKS // size)):
            inputs, target = batch(index)
            answer = np.asarray(model.predict_on_batch(inputs), np.float32)
            losses.append(float(loss(ops.convert_to_tensor(target), ops.convert_to_tensor(answer))))
            targets.append(target)
            answers.append(answer)
        target, answer = np.concatenate(targets), np.concatenate(answers)
        result = {"dev_loss": float(np.mean(losses))}
        if stage == "doae":
            return result | {"dev_doa_deg": direction_error_deg(target, answer)}
        return result | {"dev_f_percent": 100.0 * f_score(target, answer)}

    return score


def f_score(target: FloatArray, answer: FloatArray) -> float:
    """F of answers above one half, over everything (equation 1). NaN where nothing is active or named."""
    named = answer > 0.5
    found = float(np.sum(named & (target > 0.5)))
    asked = float(np.sum(named) + np.sum(target))
    return 2.0 * found / asked if asked else np.nan


def direction_error_deg(target: FloatArray, answer: FloatArray) -> float:
    """Mean angle between directions where a class is active, of targets (..., 3 K) and answers (..., 2 K). Or NaN."""
    classes = answer.shape[-1] // 2
    wanted, got = (
        unit_vector(180.0 * each[..., :classes], 180.0 * each[..., classes : 2 * classes]) for each in (target, answer)
    )
    active = target[..., 2 * classes :] > 0
    return float(angle_between_deg(wanted, got)[active].mean()) if active.any() else np.nan

"""A stage of ETRI in training, development data -> its loss and a few telling numbers, for the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.data.cache import FeatureCache
from convert.systems.etri.batches import AS_RECORDED, FloatArray, batch_maker
from convert.training.dev import Score, f_score, scorer
from edge.geometry import angle_between_deg, unit_vector

if TYPE_CHECKING:
    from convert.training.recipes import Recipe


def dev_score(stage: str, loss: Callable[..., Any], recipe: Recipe, dev: FeatureCache) -> Score:
    """A function from the trainable model of a stage to `dev_loss` and the score of that stage.

    Raises ValueError if a recording in `dev` is shorter than a window.
    """
    size = recipe.training.batch_size
    batch = batch_maker(stage, dev, AS_RECORDED, recipe.sizes.labels, size, seed=0)

    def scores(target: FloatArray, answer: FloatArray) -> dict[str, float]:
        if stage == "doae":
            return {"dev_doa_deg": direction_error_deg(target, answer)}
        return {"dev_f_percent": 100.0 * f_score(target, answer)}

    return scorer(batch, size, loss, scores)


def direction_error_deg(target: FloatArray, answer: FloatArray) -> float:
    """Mean angle between directions where a class is active, or NaN.

    Targets are (..., 3 K), answers begin with K azimuths and K elevations.
    """
    classes = target.shape[-1] // 3
    wanted, got = (
        unit_vector(180.0 * each[..., :classes], 180.0 * each[..., classes : 2 * classes]) for each in (target, answer)
    )
    active = target[..., 2 * classes :] > 0
    return float(angle_between_deg(wanted, got)[active].mean()) if active.any() else np.nan

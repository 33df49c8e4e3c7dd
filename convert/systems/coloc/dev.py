"""A stage of CoLoC in training, development data -> its loss and a few telling numbers, for the log.

The chunks are the same each time, are not augmented, and the conditions hold the true directions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.data.augment import Augmentation
from convert.data.cache import FeatureCache
from convert.systems.coloc.batches import FloatArray, batch_maker
from convert.training.dev import Score, scorer
from edge.geometry import angle_between_deg
from edge.systems.coloc.settings import ColocSettings

if TYPE_CHECKING:
    from convert.training.recipes import Recipe

_AS_RECORDED = Augmentation(level_db=(0.0, 0.0), rotated_share=0.0, perturbation_deg=0.0)


def dev_score(stage: str, loss: Callable[..., Any], recipe: Recipe, dev: FeatureCache) -> Score:
    """A function from the trainable model of a stage to `dev_loss` and the scores of that stage.

    Raises ValueError if a recording in `dev` is shorter than a window.
    """
    size = recipe.training.batch_size
    batch = batch_maker(stage, dev, _AS_RECORDED, recipe.sizes.labels, size, seed=0)
    if stage == "localizer":
        threshold = ColocSettings(**recipe.device).threshold
        return scorer(batch, size, loss, partial(localizer_scores, threshold=threshold))
    return scorer(batch, size, loss, classifier_scores)


def localizer_scores(target: FloatArray, answer: FloatArray, threshold: float) -> dict[str, float]:
    """Targets (n, labels, slots + 1, 4) as of `localizer_example`, answers (n, labels, 3) -> mean errors, liveness.

    `dev_doa_K_deg` is the mean angle to the nearest event not in the condition, in frames with K = 1 or 2 active ones
    and at least one to name; `dev_alive_percent` the frames that rightly say, by their length against `threshold`,
    whether there is one. NaN where there are no such frames.
    """
    slots = target.shape[2] - 1
    events, named = target[:, :, :slots, :3], target[:, :, :slots, 3] > 0
    active, known = target[:, :, slots, 0], target[:, :, slots, 1]
    angles = np.where(named, angle_between_deg(events, answer[:, :, None]), np.inf).min(axis=-1)  # (n, labels)
    right = (np.linalg.norm(answer, axis=-1) > threshold) == named.any(axis=-1)
    return {
        **{f"dev_doa_{count}_deg": _mean(angles[(active == count) & named.any(axis=-1)]) for count in (1, 2)},
        "dev_alive_percent": 100 * _mean(right[active >= known]),
    }


def classifier_scores(target: FloatArray, answer: FloatArray) -> dict[str, float]:
    """Targets (n, labels) and answers (n, labels, K + 1) -> frames with the right class, of those with an event."""
    occupied = target < answer.shape[-1] - 1
    return {"dev_right_percent": 100 * _mean(answer.argmax(axis=-1)[occupied] == target[occupied])}


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if values.size else np.nan

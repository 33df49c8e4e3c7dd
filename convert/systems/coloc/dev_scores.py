"""Targets and answers of a stage of CoLoC on development data -> a few numbers for the training log."""

from __future__ import annotations

from functools import partial

import numpy as np

from convert.systems.interface import Scores
from convert.systems.recipe import Recipe
from convert.systems.scores import mean_or_nan
from edge.geometry import angle_between_deg
from edge.systems.coloc.settings import ColocSettings
from edge.types import FloatArray


def stage_scores(stage: str, recipe: Recipe, classes: int) -> Scores:
    """The scores of stage `localizer` or `classifier`."""
    if stage == "localizer":
        return partial(localizer_scores, threshold=ColocSettings(**recipe.device).threshold)
    return classifier_scores


def localizer_scores(target: FloatArray, answer: FloatArray, threshold: float) -> dict[str, float]:
    """Mean angular errors, and how often the localizer is right about whether there is an event.

    Args:
        target: (n, labels, slots + 1, 4), as `batches.localizer_example` makes it.
        answer: (n, labels, 3).
        threshold: Least length of an answer that names an event.

    Returns:
        `dev_doa_K_deg` is the mean angle to the nearest event that is not in the condition, over frames with K = 1 or
        2 active events of which at least one is to be named. `dev_alive_percent` is the share of frames in which the
        length of the answer tells rightly whether there is one to name. NaN where there are no such frames.
    """
    slots = target.shape[2] - 1
    events, to_name = target[:, :, :slots, :3], target[:, :, :slots, 3] > 0
    active, known = target[:, :, slots, 0], target[:, :, slots, 1]
    angles = np.where(to_name, angle_between_deg(events, answer[:, :, None]), np.inf).min(axis=-1)  # (n, labels)
    right = (np.linalg.norm(answer, axis=-1) > threshold) == to_name.any(axis=-1)
    return {
        **{f"dev_doa_{count}_deg": mean_or_nan(angles[(active == count) & to_name.any(axis=-1)]) for count in (1, 2)},
        "dev_alive_percent": 100 * mean_or_nan(right[active >= known]),
    }


def classifier_scores(target: FloatArray, answer: FloatArray) -> dict[str, float]:
    """How often the likeliest class is the right one, told the true directions.

    Args:
        target: Class indices (n, labels); K stands for "none of the classes".
        answer: Probabilities (n, labels, K + 1).

    Returns:
        `dev_right_percent` of the frames with an event, and `dev_recall_percent`, the mean over the classes that occur.
    """
    right, none = answer.argmax(axis=-1) == target, answer.shape[-1] - 1
    recalls = [float(np.mean(right[target == index])) for index in np.unique(target) if index < none]
    return {
        "dev_right_percent": 100 * mean_or_nan(right[target < none]),
        "dev_recall_percent": 100 * mean_or_nan(np.array(recalls)),
    }

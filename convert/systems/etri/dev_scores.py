"""Targets and answers of a stage of ETRI on development data -> a number for the training log."""

from __future__ import annotations

from convert.systems.interface import Scores
from convert.systems.recipe import Recipe
from convert.systems.scores import f_score, mean_or_nan
from edge.geometry import angle_between_deg, unit_vector
from edge.types import FloatArray


def stage_scores(stage: str, recipe: Recipe, classes: int) -> Scores:
    """The score of stage `sad`, `sed` or `doae`."""
    return direction_scores if stage == "doae" else detection_scores


def detection_scores(target: FloatArray, answer: FloatArray) -> dict[str, float]:
    """`dev_f_percent`: F of activities, for targets and probabilities (n, labels, K)."""
    return {"dev_f_percent": 100.0 * f_score(target, answer)}


def direction_scores(target: FloatArray, answer: FloatArray) -> dict[str, float]:
    """`dev_doa_deg`: see `direction_error_deg`."""
    return {"dev_doa_deg": direction_error_deg(target, answer)}


def direction_error_deg(target: FloatArray, answer: FloatArray) -> float:
    """Mean angle in degrees between directions where a class is active, or NaN where none is.

    Args:
        target: (..., 3 K): K azimuths and K elevations in degrees divided by 180, and K activities.
        answer: (..., 2 K or more): begins with K azimuths and K elevations of that scale.
    """
    classes = target.shape[-1] // 3
    wanted, got = (
        unit_vector(180.0 * each[..., :classes], 180.0 * each[..., classes : 2 * classes]) for each in (target, answer)
    )
    active = target[..., 2 * classes :] > 0
    return mean_or_nan(angle_between_deg(wanted, got)[active])

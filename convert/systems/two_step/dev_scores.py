"""Targets and answers of a stage of two-step on development data -> a few numbers for the training log."""

from __future__ import annotations

from functools import partial

import numpy as np

from convert.systems.interface import Scores
from convert.systems.recipe import Recipe
from convert.systems.scores import f_score, mean_or_nan
from edge.frontend.beams import SURE_LENGTH
from edge.geometry import angle_between_units_deg
from edge.systems.two_step.accdoa import AXES, decode_accdoa
from edge.types import FloatArray

RIGHT_DEG = 20.0  # a direction so near is right (section 3.2.1)


def stage_scores(stage: str, recipe: Recipe, classes: int) -> Scores:
    """The scores of stage `doa`, `sed` or `fusion`."""
    if stage == "doa":
        return partial(_doa_scores, recipe.sizes.tracks)
    if stage == "sed":
        return partial(_sed_scores, recipe.sizes.sed_tracks, classes)
    return partial(_fusion_scores, classes)


def direction_scores(target: FloatArray, answer: FloatArray) -> dict[str, float]:
    """How well directions are found (Table 1).

    Args:
        target: Directions (n, K, 3), zero in empty tracks.
        answer: Directions (n, K, 3); those longer than `SURE_LENGTH` are sure.

    Returns:
        `dev_found_percent` of the true directions have a sure one within 20 degrees, `dev_false_percent` of the sure
        ones are near no true one; `dev_doa_deg` is the mean angle from the true ones that are found. NaN without any.
    """
    active, sure = (np.linalg.norm(target, axis=-1) > 0.5), np.linalg.norm(answer, axis=-1) > SURE_LENGTH
    apart = angle_between_units_deg(_units(target)[:, :, None], _units(answer)[:, None])  # (n, true, answered)
    apart = np.where(active[:, :, None] & sure[:, None], apart, 180.0)
    nearest = apart.min(axis=2)[active]
    found = nearest <= RIGHT_DEG
    return {
        "dev_found_percent": 100.0 * mean_or_nan(found),
        "dev_false_percent": 100.0 * mean_or_nan(apart.min(axis=1)[sure] > RIGHT_DEG),
        "dev_doa_deg": mean_or_nan(nearest[found]),
    }


def f20(target: FloatArray, answer: FloatArray) -> float:
    """The location-dependent F score of multi-ACCDOA, decoded as on the device, or NaN without any events.

    In each label frame, a class that is found within 20 degrees of one of its events is right, once for each of these.

    Args:
        target: As `batches.adpit_target` makes it, (..., 6, 4, C).
        answer: (n, 3, 3, C): [track][axis][class].
    """
    target = target.reshape(len(answer), -1, *target.shape[-2:])  # (n, dummy tracks, 4, C)
    activity, direction = decode_accdoa(answer, answer.shape[1])
    found = activity.max(axis=2) > 0.0  # (n, slots)
    kind = activity.argmax(axis=2)
    rows = np.arange(len(answer))[:, None]
    events = target[rows, :, :, kind]  # (n, slots, dummy tracks, 4): those of the class of each slot
    apart = angle_between_units_deg(events[..., 1:], direction[:, :, None])
    near = (events[..., 0] > 0.0) & (apart <= RIGHT_DEG) & found[..., None]
    hits = float(near.any(axis=2).sum())
    total = float(found.sum() + target[:, :, 0].sum())
    return 2.0 * hits / total if total else np.nan


def _doa_scores(tracks: int, target: FloatArray, answer: FloatArray) -> dict[str, float]:
    return direction_scores(*(each.reshape(-1, tracks, AXES) for each in (target, answer)))


def _sed_scores(tracks: int, classes: int, target: FloatArray, answer: FloatArray) -> dict[str, float]:
    wanted, got = (each.reshape(-1, tracks, classes).max(axis=1) for each in (target, answer))
    return {"dev_f_percent": 100.0 * f_score(wanted, got)}


def _fusion_scores(classes: int, target: FloatArray, answer: FloatArray) -> dict[str, float]:
    return {"dev_f20_percent": 100.0 * f20(target, answer.reshape(-1, 3, AXES, classes))}


def _units(vectors: FloatArray) -> FloatArray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)

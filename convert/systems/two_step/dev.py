"""A stage of two-step in training, development data -> its loss and a few telling numbers, for the log."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convert.training.dev import f_score
from edge.frontend.beams import SURE_LENGTH
from edge.geometry import angle_between_units_deg
from edge.systems.two_step.accdoa import AXES, decode_accdoa
from edge.types import FloatArray

RIGHT_DEG = 20.0  # a direction so near is right (section 3.2.1)


def stage_scores(stage: str, tracks: int, classes: int) -> Callable[[FloatArray, FloatArray], dict[str, float]]:
    """Targets and answers of a stage -> its scores."""

    def scores(target: FloatArray, answer: FloatArray) -> dict[str, float]:
        if stage == "doa":
            return direction_scores(*(each.reshape(-1, tracks, AXES) for each in (target, answer)))
        if stage == "sed":
            wanted, got = (each.reshape(-1, tracks, classes).max(axis=1) for each in (target, answer))
            return {"dev_f_percent": 100.0 * f_score(wanted, got)}
        return {"dev_f20_percent": 100.0 * f20(target, answer.reshape(-1, 3, AXES, classes))}

    return scores


def direction_scores(target: FloatArray, answer: FloatArray) -> dict[str, float]:
    """Directions (n, K, 3), zero where there is none -> how they are found (Table 1).

    `dev_found_percent` of the true ones have one that is sure within 20 degrees, `dev_false_percent` of those that are
    sure are near no true one; `dev_doa_deg` is the mean angle from the true ones that are found. NaN without any.
    """
    active, sure = (np.linalg.norm(target, axis=-1) > 0.5), np.linalg.norm(answer, axis=-1) > SURE_LENGTH
    apart = angle_between_units_deg(_units(target)[:, :, None], _units(answer)[:, None])  # (n, true, named)
    apart = np.where(active[:, :, None] & sure[:, None], apart, 180.0)
    nearest = apart.min(axis=2)[active]
    found = nearest <= RIGHT_DEG
    return {
        "dev_found_percent": 100.0 * _mean(found),
        "dev_false_percent": 100.0 * _mean(apart.min(axis=1)[sure] > RIGHT_DEG),
        "dev_doa_deg": _mean(nearest[found]),
    }


def f20(target: FloatArray, answer: FloatArray) -> float:
    """F of classes at a place: targets of ADPIT (..., 6, 4, C), multi-ACCDOA (n, 3, 3, C) as the device decodes it.

    In each label frame, a class that is named within 20 degrees of one of its events is right, once for each of these.
    """
    target = target.reshape(len(answer), -1, *target.shape[-2:])  # (n, dummy tracks, 4, C)
    activity, direction = decode_accdoa(answer, answer.shape[1])
    named = activity.max(axis=2) > 0.0  # (n, slots)
    kind = activity.argmax(axis=2)
    rows = np.arange(len(answer))[:, None]
    events = target[rows, :, :, kind]  # (n, slots, dummy tracks, 4): those of the class of each slot
    apart = angle_between_units_deg(events[..., 1:], direction[:, :, None])
    near = (events[..., 0] > 0.0) & (apart <= RIGHT_DEG) & named[..., None]
    found = float(near.any(axis=2).sum())
    asked = float(named.sum() + target[:, :, 0].sum())
    return 2.0 * found / asked if asked else np.nan


def _units(vectors: FloatArray) -> FloatArray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if values.size else np.nan

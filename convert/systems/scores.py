"""Numbers that the scores of several systems on development data are made of."""

from __future__ import annotations

import numpy as np


def f_score(target: np.ndarray, answer: np.ndarray) -> float:
    """The F score over all elements.

    Args:
        target: Zeros and ones, of any shape.
        answer: Probabilities of the same shape; those above one half count as detected.

    Returns:
        2 TP / (2 TP + FP + FN), or NaN where nothing is active and nothing detected.
    """
    detected = answer > 0.5
    hits = float(np.sum(detected & (target > 0.5)))
    total = float(np.sum(detected) + np.sum(target))
    return 2.0 * hits / total if total else np.nan


def mean_or_nan(values: np.ndarray) -> float:
    """The mean, or NaN of no values."""
    return float(np.mean(values)) if values.size else np.nan

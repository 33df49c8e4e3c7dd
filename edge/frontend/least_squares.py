"""A matrix and a vector -> the weights, none negative, with which the columns add up to it as well as they can.

The active set of Lawson and Hanson, "Solving Least Squares Problems" (1974), chapter 23. scipy has it too, but its
module takes 24 MB of the memory of a device.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 1e-10  # of the gradient, relative to the largest one
_LEAST = 1e-300


def non_negative(columns: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve least squares for weights that are not negative.

    Args:
        columns: (n, m).
        wanted: (n,).

    Returns:
        Weights (m,), such that columns @ weights is as close to `wanted` as it gets.
    """
    count = columns.shape[1]
    weights, used = np.zeros(count), np.zeros(count, bool)
    least = _TOLERANCE * np.abs(columns.T @ wanted).max(initial=0.0)
    for _ in range(3 * count):
        gradient = np.where(used, -np.inf, columns.T @ (wanted - columns @ weights))
        if gradient.max(initial=-np.inf) <= least:
            break
        used[np.argmax(gradient)] = True
        weights = _feasible(columns, wanted, weights, used)
    return weights


def _feasible(
    columns: NDArray[np.float64], wanted: NDArray[np.float64], weights: NDArray[np.float64], used: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Solve with the columns that are used; those whose weights would be negative leave `used`."""
    while True:
        solved = np.zeros(len(weights))
        solved[used] = np.linalg.lstsq(columns[:, used], wanted, rcond=None)[0]
        below = np.flatnonzero(used & (solved <= 0.0))
        if not len(below):
            return solved
        shares = weights[below] / np.maximum(weights[below] - solved[below], _LEAST)  # of the way, until each one is 0
        weights = (weights + shares.min() * (solved - weights)).clip(0.0)
        weights[below[shares.argmin()]] = 0.0
        used &= weights > 0.0

"""A microphone array -> those of the 16 rotations and reflections of `rotate_foa` that map it onto itself.

Under these, exchanging channels of the array gives what it would have recorded in a rotated or mirrored room, spatial
aliasing included. Under the others, FOA that was encoded from capsules stands for an array that is mounted differently.
"""

from __future__ import annotations

import numpy as np

from edge.arrays.profile import FOA_KINDS, ArrayProfile

PATTERNS = tuple(range(16))
"""All patterns: bit 0 exchanges x and y, bits 1, 2 and 3 mirror x, y and z after that."""

_SAME_M = 0.002  # by which a capsule may miss the place of another one; sounds that are turned so hardly differ


def symmetries(array: ArrayProfile) -> tuple[int, ...]:
    """Find the patterns that map the capsules of an array onto each other; 0, which changes nothing, is among them.

    Args:
        array: the array. For one that delivers FOA, these are all patterns.
    """
    if array.kind in FOA_KINDS:
        return PATTERNS
    places = np.asarray(array.capsule_position_m)
    return tuple(pattern for pattern in PATTERNS if _same(places, turned_places(places, pattern)))


def turned_places(places_m: np.ndarray, pattern: int) -> np.ndarray:
    """Rotate or mirror positions (n, 3), x, y, z, by a pattern."""
    turned = places_m[:, [1, 0, 2]] if pattern & 1 else places_m
    return turned * [-1 if pattern & bit else 1 for bit in (2, 4, 8)]


def _same(places_m: np.ndarray, others_m: np.ndarray) -> bool:
    """Whether each of the positions (n, 3) has another one for itself at the same place."""
    near = np.linalg.norm(places_m[:, None] - others_m, axis=2) <= _SAME_M
    return bool(np.all(near.sum(axis=0) == 1) and np.all(near.sum(axis=1) == 1))

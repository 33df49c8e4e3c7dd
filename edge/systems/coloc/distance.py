"""Output `distance` of CoLoC's classifier, 0 to 1 -> metres.

The scale is logarithmic: a step of int8 changes any distance by 1.6 %, and 0.5 is 2 m.
"""

from __future__ import annotations

import numpy as np

from edge.types import FloatArray

NEAREST_M, FARTHEST_M = 0.25, 16.0
"""The distances that 0 and 1 stand for."""


def metres(value: FloatArray) -> FloatArray:
    """Distances in metres of values of the output, of any shape."""
    return np.float32(NEAREST_M) * np.float32(FARTHEST_M / NEAREST_M) ** value

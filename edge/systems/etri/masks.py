"""Where each class is in the spectrogram -> where it sounds from: the directions of `etri-edge`.

The active intensity of a place in the spectrogram points at what sounds there. The net DOAE says how much of that is of
each class; the mean so weighed, over bands and some label frames, points at the class. What is left to the net are
numbers from 0 to 1, which lose nothing in int8.
"""

from __future__ import annotations

import numpy as np

from edge.types import FloatArray

INTENSITY = slice(4, 7)  # of the maps of DOAE: active, y, z, x
STEADY_LABELS = 9  # that a mean is over
_LEAST_LENGTH = np.float32(1e-9)


def mask_directions(masks: FloatArray, maps: FloatArray, labels: int) -> FloatArray:
    """Masks (rows, bands, K) and maps of DOAE (frames, finer bands, maps) of `labels` label frames -> unit vectors.

    These are (labels, K, 3). Rows and bands of the masks are means over as many frames and bands of the maps.
    """
    rows, bands, classes = masks.shape
    frames = len(maps)
    intensity = maps[..., INTENSITY].reshape(rows, frames // rows, bands, -1, 3).mean(axis=(1, 3))
    vectors = np.repeat(masks.transpose(0, 2, 1) @ intensity, frames // rows, axis=0)  # (frames, K, 3)
    vectors = vectors.reshape(labels, -1, classes, 3).mean(axis=1)
    reach = STEADY_LABELS // 2
    sums = np.cumsum(np.pad(vectors, ((reach + 1, reach), (0, 0), (0, 0))), axis=0)
    steady = (sums[STEADY_LABELS:] - sums[:-STEADY_LABELS])[..., [2, 0, 1]]
    return steady / np.maximum(np.linalg.norm(steady, axis=-1, keepdims=True), _LEAST_LENGTH)

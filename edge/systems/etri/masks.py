"""Masks of classes in the spectrogram -> directions of the classes, as in `etri-edge`.

The active intensity of a time-frequency bin points at what sounds there. The net DOAE gives masks: the share of each
class in each bin. The mean intensity over bands and some label frames, weighted with the mask of a class, points at the
class. The net only has to give numbers from 0 to 1, which lose nothing in int8.
"""

from __future__ import annotations

import numpy as np

from edge.types import FloatArray

INTENSITY = slice(4, 7)  # of the maps of DOAE: active intensity y, z, x
STEADY_LABELS = 9  # length of the running mean
_LEAST_LENGTH = np.float32(1e-9)


def mask_directions(masks: FloatArray, maps: FloatArray, labels: int) -> FloatArray:
    """Point at each class by the active intensity where its mask is.

    Args:
        masks: Of a window (rows, bands, K), 0 to 1. A row covers several frames of the maps, a band several bands.
        maps: The features of DOAE (frames, finer bands, maps).
        labels: Label frames of the window.

    Returns:
        Unit vectors (labels, K, 3) x, y, z, or zero where nothing points anywhere; each is the mean of `STEADY_LABELS`
        label frames.
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

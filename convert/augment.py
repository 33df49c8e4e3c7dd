"""Augmentations on feature maps and DOA labels, before normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.features import FLOOR_DB

FloatArray = NDArray[np.float32]


def rotate_foa(
    maps: FloatArray, directions: FloatArray, map_names: Sequence[str], pattern: int
) -> tuple[FloatArray, FloatArray]:
    """FOA domain spatial augmentation (Mazzon et al. 2019; CoLoC, section 3.6), in the feature domain.

    `pattern` 0..15 picks one of 16 rotations and reflections: x and y exchanged or not, x, y, z each mirrored or not.
    Maps (..., maps) are exchanged and negated accordingly, `directions` (..., 3) of x, y, z with them. Exact: the
    mirrored channel has the same power, the opposite intensity and a phase moved by pi.
    """
    if not 0 <= pattern < 16:
        raise ValueError(f"got rotation pattern {pattern}, wanted 0..15")
    source = {"w": "w", "y": "y", "z": "z", "x": "x"}
    if pattern & 1:
        source["x"], source["y"] = "y", "x"
    mirrored = {axis for bit, axis in ((2, "x"), (4, "y"), (8, "z")) if pattern & bit}
    order = [_index(map_names, name, source) for name in map_names]
    rotated = maps[..., order]
    for index, name in enumerate(map_names):
        kind, axis = name.rsplit("_", 1)
        if axis in mirrored and kind == "intensity":
            rotated[..., index] *= np.float32(-1.0)
        elif axis in mirrored and kind == "phase":
            turned = rotated[..., index] + np.float32(np.pi)
            rotated[..., index] = np.where(turned > np.pi, turned - np.float32(2.0 * np.pi), turned)
    xyz = ["xyz".index(source[axis]) for axis in "xyz"]
    signs = np.array([-1.0 if axis in mirrored else 1.0 for axis in "xyz"], dtype=np.float32)
    return rotated, directions[..., xyz] * signs


def _index(map_names: Sequence[str], name: str, source: dict[str, str]) -> int:
    kind, axis = name.rsplit("_", 1)
    return map_names.index(f"{kind}_{source[axis]}")


def change_level(maps: FloatArray, map_names: Sequence[str], gain_db: FloatArray) -> FloatArray:
    """Volume perturbation (section 3.6): add `gain_db`, scalar or per band, to the log maps (..., bands, maps)."""
    logarithmic = np.array([name.startswith("log") for name in map_names])
    gain = np.multiply.outer(np.asarray(gain_db, np.float32), logarithmic.astype(np.float32))
    floor = np.where(logarithmic, FLOOR_DB, np.float32(-np.inf)) * np.ones_like(gain)  # as large: long rows are faster
    shifted = maps + gain
    return np.maximum(shifted, floor, out=shifted)


def random_equalizer_db(bands: int, strength_db: float, rng: np.random.Generator) -> FloatArray:
    """A smooth random gain curve (bands,): what another microphone or another wall does to all channels alike."""
    knots = rng.normal(0.0, strength_db, 5)
    return np.interp(np.linspace(0, 4, bands), np.arange(5), knots).astype(np.float32)


def mask_stripes(
    maps: FloatArray, rng: np.random.Generator, most_frames: int, most_bands: int, fill: FloatArray
) -> FloatArray:
    """SpecAugment: one stripe in time and one in frequency of random width becomes `fill` (bands, maps)."""
    frames, bands = maps.shape[:2]
    width, height = int(rng.integers(0, most_frames + 1)), int(rng.integers(0, most_bands + 1))
    first, lowest = int(rng.integers(0, frames - width + 1)), int(rng.integers(0, bands - height + 1))
    masked = maps.copy()
    masked[first : first + width] = fill
    masked[:, lowest : lowest + height] = fill[lowest : lowest + height]
    return masked

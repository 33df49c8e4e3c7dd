"""Angles, unit vectors and first-order ambisonic gains, in one sign convention for the whole project.

Azimuth in degrees counter-clockwise from the front (x), elevation in degrees up from the horizon, y to the left, z up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.types import FloatArray

SPEED_OF_SOUND_M_S = 343.0


def unit_vector(azimuth_deg: ArrayLike, elevation_deg: ArrayLike) -> NDArray[np.float64]:
    """Azimuth and elevation, each (...), to xyz unit vectors (..., 3)."""
    azimuth, elevation = np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg)
    return np.stack(
        np.broadcast_arrays(
            np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)
        ),
        axis=-1,
    )


def azimuth_elevation_deg(vectors: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Vectors (..., 3) of any length to azimuth in (-180, 180] and elevation, in degrees. The origin gives 0, 0."""
    v = np.asarray(vectors, dtype=np.float64)
    azimuth = np.rad2deg(np.arctan2(v[..., 1], v[..., 0]))
    elevation = np.rad2deg(np.arctan2(v[..., 2], np.hypot(v[..., 0], v[..., 1])))
    return azimuth, elevation


def angle_between_deg(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Great-circle angle in degrees between vectors (..., 3); a zero vector is 90 degrees from any other."""
    a64, b64 = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    cross = np.linalg.norm(np.cross(a64, b64), axis=-1)
    dot = np.sum(a64 * b64, axis=-1)
    angle = np.rad2deg(np.arctan2(cross, dot))
    one_is_zero = (np.linalg.norm(a64, axis=-1) == 0) != (np.linalg.norm(b64, axis=-1) == 0)
    return np.where(one_is_zero, 90.0, angle)


def angle_between_units_deg(a: FloatArray, b: FloatArray) -> FloatArray:
    """The same for unit vectors, several times as fast: from the length of the chord between them."""
    chord = a - b
    half = np.sqrt((chord * chord).sum(axis=-1)) * np.float32(0.5)
    return np.rad2deg(2.0 * np.arcsin(np.minimum(half, np.float32(1.0))))


def foa_gains(vectors: ArrayLike) -> NDArray[np.float64]:
    """Plane-wave gains (..., 4) of FOA channels W, Y, Z, X (ACN/SN3D) for unit vectors (..., 3) toward the source."""
    v = np.asarray(vectors, dtype=np.float64)
    return np.stack([np.ones(v.shape[:-1]), v[..., 1], v[..., 2], v[..., 0]], axis=-1)


def perturb_angles(directions: NDArray[np.float32], most_deg: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Move azimuth and elevation of each nonzero direction (..., 3) by up to `most_deg` (CoLoC, section 3.3)."""
    azimuth, elevation = azimuth_elevation_deg(directions)
    azimuth = azimuth + rng.uniform(-most_deg, most_deg, azimuth.shape)
    elevation = np.clip(elevation + rng.uniform(-most_deg, most_deg, elevation.shape), -90.0, 90.0)
    occupied = np.any(directions != 0, axis=-1, keepdims=True)
    return np.where(occupied, unit_vector(azimuth, elevation), 0.0).astype(np.float32)

"""Angles <-> unit vectors -> first-order ambisonic gains, in one sign convention for the whole project.

Azimuth in degrees counter-clockwise from the front (x), elevation in degrees up from the horizon, y to the left, z up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.types import FloatArray

SPEED_OF_SOUND_M_S = 343.0


def unit_vector(azimuth_deg: ArrayLike, elevation_deg: ArrayLike) -> NDArray[np.float64]:
    """Convert angles to unit vectors.

    Args:
        azimuth_deg: Azimuths (...).
        elevation_deg: Elevations (...), of a shape that broadcasts with the azimuths.

    Returns:
        Unit vectors x, y, z (..., 3).
    """
    azimuth, elevation = np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg)
    return np.stack(
        np.broadcast_arrays(
            np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)
        ),
        axis=-1,
    )


def azimuth_elevation_deg(vectors: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Convert vectors to angles.

    Args:
        vectors: Vectors x, y, z (..., 3) of any length. The zero vector gives 0, 0.

    Returns:
        Azimuths (...) in (-180, 180] and elevations (...) in [-90, 90], in degrees.
    """
    v = np.asarray(vectors, dtype=np.float64)
    azimuth = np.rad2deg(np.arctan2(v[..., 1], v[..., 0]))
    elevation = np.rad2deg(np.arctan2(v[..., 2], np.hypot(v[..., 0], v[..., 1])))
    return azimuth, elevation


def angle_between_deg(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Compute great-circle angles.

    Args:
        a: Vectors (..., 3) of any length. A zero vector is at 90 degrees from any other vector.
        b: Vectors (..., 3), of a shape that broadcasts with `a`.

    Returns:
        Angles (...) in degrees.
    """
    a64, b64 = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    cross = np.linalg.norm(np.cross(a64, b64), axis=-1)
    dot = np.sum(a64 * b64, axis=-1)
    angle = np.rad2deg(np.arctan2(cross, dot))
    one_is_zero = (np.linalg.norm(a64, axis=-1) == 0) != (np.linalg.norm(b64, axis=-1) == 0)
    return np.where(one_is_zero, 90.0, angle)


def angle_between_units_deg(a: FloatArray, b: FloatArray) -> FloatArray:
    """Compute great-circle angles of unit vectors from their chords, several times as fast as `angle_between_deg`.

    Args:
        a: Unit vectors (..., 3).
        b: Unit vectors (..., 3), of a shape that broadcasts with `a`.

    Returns:
        Angles (...) in degrees.
    """
    chord = a - b
    half = np.sqrt((chord * chord).sum(axis=-1)) * np.float32(0.5)
    return np.rad2deg(2.0 * np.arcsin(np.minimum(half, np.float32(1.0))))


def foa_gains(vectors: ArrayLike) -> NDArray[np.float64]:
    """Compute the gains of a plane wave in FOA.

    Args:
        vectors: Unit vectors (..., 3) toward the source.

    Returns:
        Gains (..., 4) of W, Y, Z, X (ACN/SN3D).
    """
    v = np.asarray(vectors, dtype=np.float64)
    return np.stack([np.ones(v.shape[:-1]), v[..., 1], v[..., 2], v[..., 0]], axis=-1)


def perturb_angles(directions: NDArray[np.float32], most_deg: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Move directions by random angles, as CoLoC does in training (section 3.3).

    Args:
        directions: Unit vectors (..., 3); zero vectors stay as they are.
        most_deg: Largest change of azimuth and of elevation; elevations stay within -90 to 90 degrees.
        rng: Source of the random angles.

    Returns:
        Unit vectors (..., 3), zero where `directions` is.
    """
    azimuth, elevation = azimuth_elevation_deg(directions)
    azimuth = azimuth + rng.uniform(-most_deg, most_deg, azimuth.shape)
    elevation = np.clip(elevation + rng.uniform(-most_deg, most_deg, elevation.shape), -90.0, 90.0)
    occupied = np.any(directions != 0, axis=-1, keepdims=True)
    return np.where(occupied, unit_vector(azimuth, elevation), 0.0).astype(np.float32)

"""A flat array and a random generator -> the profile of another flat array, so that a model learns the whole family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge.arrays.profile import PLANAR, ArrayProfile

_AZIMUTH_SPREAD_DEG = 8.0  # standard deviation of the capsules from the corners of a square
_UNEVEN_SHARE = 0.5  # share of arrays whose capsules are not on one circle
_LEAST_RADIUS = 0.7  # of the largest one of such an array


def draw_planar(base: ArrayProfile, radius_m: tuple[float, float], rng: np.random.Generator) -> ArrayProfile:
    """Draw four capsules in a plane, in any order, near the corners of a square that is turned at random.

    Args:
        base: a flat array; rate and pattern of the capsules are taken from it.
        radius_m: range of the distance of the capsules from the middle.
        rng: the source of randomness.

    Returns:
        A profile of four channels with the name `edge.arrays.profile.PLANAR`.
    """
    largest_m = np.exp(rng.uniform(*np.log(radius_m)))
    uneven = rng.random() < _UNEVEN_SHARE
    radii_m = largest_m * (rng.uniform(_LEAST_RADIUS, 1, 4) if uneven else np.ones(4))
    azimuths = rng.uniform(0, 2 * np.pi) + np.deg2rad(90 * np.arange(4) + rng.normal(0, _AZIMUTH_SPREAD_DEG, 4))
    places = np.stack([radii_m * np.cos(azimuths), radii_m * np.sin(azimuths), np.zeros(4)], axis=1)
    places = rng.permutation(places).round(4)
    return replace(
        base,
        name=PLANAR,
        kind="open",
        channels=4,
        channel_map=(0, 1, 2, 3),
        capsule_position_m=tuple((float(x), float(y), 0.0) for x, y, _ in places),
        capsule_gain_db=(),
        capsule_tilt_db=(),
        device=None,
        card=None,
    )

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.geometry import (
    angle_between_deg,
    angle_between_units_deg,
    azimuth_elevation_deg,
    foa_gains,
    perturb_angles,
    unit_vector,
)

FRONT, LEFT, UP = np.eye(3)
azimuths = st.floats(-179.99, 180.0)
elevations = st.floats(-89.9, 89.9)


def test_front_left_and_up():
    assert_allclose(
        unit_vector([0, 90, 0, 180, -90, 0], [0, 0, 90, 0, 0, -90]), [FRONT, LEFT, UP, -FRONT, -LEFT, -UP], atol=1e-15
    )
    half = np.sqrt(0.5)
    assert_allclose(unit_vector(45, 45), [0.5, 0.5, half])


@given(azimuths, elevations, st.floats(1e-3, 1e3))
def test_angles_to_vectors_and_back(azimuth, elevation, length):
    vector = unit_vector(azimuth, elevation)
    assert np.linalg.norm(vector) == pytest.approx(1.0)
    assert_allclose(azimuth_elevation_deg(vector * length), (azimuth, elevation), atol=1e-6)


def test_angles_of_the_origin_and_of_many():
    azimuth, elevation = azimuth_elevation_deg([[[0, 0, 0], [-2, 0, 0]], [[0, -1, 0], [0, 0, 5]]])
    assert_array_equal(azimuth, [[0, 180], [-90, 0]])
    assert_array_equal(elevation, [[0, 0], [0, 90]])


@given(azimuths, elevations, st.floats(0.0, 180.0), st.floats(0.1, 9.0))
def test_angle_between_a_direction_and_one_turned_from_it(azimuth, elevation, turn, length):
    a = unit_vector(azimuth, elevation)
    aside = np.cross(a, UP)
    aside /= np.linalg.norm(aside)
    b = a * np.cos(np.deg2rad(turn)) + aside * np.sin(np.deg2rad(turn))
    assert angle_between_deg(a, b * length) == pytest.approx(turn, abs=1e-6)


def test_angle_to_the_origin():
    assert_array_equal(
        angle_between_deg([[1, 0, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 3, 0], [0, 0, 0]]), [90, 90, 0]
    )


def test_small_angles_keep_their_precision():
    assert angle_between_deg(FRONT, unit_vector(1e-6, 0)) == pytest.approx(1e-6, rel=1e-6)


def test_foa_gains_are_acn_sn3d():
    assert_array_equal(foa_gains(np.stack([FRONT, LEFT, UP])), [[1, 0, 0, 1], [1, 1, 0, 0], [1, 0, 1, 0]])  # W, Y, Z, X
    wyzx = foa_gains(unit_vector(30, -20))
    assert wyzx[0] == 1 and wyzx[1] > 0 and wyzx[2] < 0 and wyzx[3] > 0  # left, down, front
    assert np.sum(wyzx[1:] ** 2) == pytest.approx(1.0)


@given(st.integers(0, 2**32), st.floats(0.1, 10.0))
def test_perturbed_angles_stay_near_and_of_length_one(seed, most_deg):
    rng = np.random.default_rng(seed)
    directions = unit_vector(rng.uniform(-180, 180, (5, 2)), rng.uniform(-90, 90, (5, 2))).astype(np.float32)
    directions[2] = 0.0
    before = directions.copy()
    moved = perturb_angles(directions, most_deg, np.random.default_rng(seed))
    assert_array_equal(directions, before)
    assert moved.dtype == np.float32 and moved.shape == directions.shape
    assert_array_equal(moved[2], 0.0)
    kept = [0, 1, 3, 4]
    assert_allclose(np.linalg.norm(moved[kept], axis=-1), 1.0, atol=1e-6)
    assert np.all(angle_between_deg(moved[kept], directions[kept]) <= most_deg * np.sqrt(2) + 1e-3)
    assert np.any(moved[kept] != directions[kept])
    assert_array_equal(moved, perturb_angles(directions, most_deg, np.random.default_rng(seed)))


def test_fast_angle_between_unit_vectors_is_the_same():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(500, 3)) for _ in range(2))
    a, b = (each / np.linalg.norm(each, axis=-1, keepdims=True) for each in (a, b))
    b[:3] = a[0], -a[1], a[2] + 1e-3 * np.cross(a[2], [0, 0, 1])
    found = angle_between_units_deg(a.astype(np.float32), b.astype(np.float32))
    np.testing.assert_allclose(found, angle_between_deg(a, b), atol=0.05)

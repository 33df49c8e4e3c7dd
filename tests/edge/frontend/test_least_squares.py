"""Weights that are not negative, against scipy's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import nnls

from edge.frontend.least_squares import non_negative


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.booleans())
def test_as_close_as_scipy(seed, rows, count, copies):
    rng = np.random.default_rng(seed)
    columns, wanted = rng.normal(size=(rows, count)), rng.normal(size=rows)
    if copies:  # as directions of one sound in several label frames
        columns = np.repeat(columns, 2, axis=1)
    weights = non_negative(columns, wanted)
    assert weights.min() >= 0.0
    _, missed = nnls(columns, wanted)
    assert_allclose(np.linalg.norm(wanted - columns @ weights), missed, atol=1e-8)


def test_nothing_helps_or_nothing_is_there():
    assert non_negative(np.array([[1.0]]), np.array([-1.0])).tolist() == [0.0]
    assert non_negative(np.zeros((3, 0)), np.ones(3)).tolist() == [] and non_negative(np.ones((2, 1)), np.zeros(2)) == 0

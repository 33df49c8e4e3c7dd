"""Pairs of rows and columns, against scipy's, ties and all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.optimize import linear_sum_assignment

from edge.events.assignment import assign

SIZES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7)
COSTS = st.one_of(
    arrays(np.float64, SIZES, elements=st.floats(0.0, 360.0)),
    arrays(np.float64, SIZES, elements=st.sampled_from([0.0, 1.0, 2.0, 1e6])),  # full of ties
    arrays(np.float32, SIZES, elements=st.sampled_from([0.1, 0.2, 33.3, 1e6])),
)


@given(COSTS)
def test_the_pairs_are_those_of_scipy(cost):
    assert assign(cost) == list(zip(*(side.tolist() for side in linear_sum_assignment(cost)), strict=True))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_without_rows_or_columns_there_are_no_pairs(shape):
    assert assign(np.zeros(shape)) == []


def test_two_that_want_the_same_column():
    assert assign(np.array([[1.0, 5.0], [0.0, 9.0]])) == [(0, 1), (1, 0)]

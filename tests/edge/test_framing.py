import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edge.framing import Framer


def windows_of(framer, *pushes):
    return [window.copy() for rows in pushes for window in framer.push(rows)]


@st.composite
def framings(draw):
    length = draw(st.integers(1, 12))
    hop = draw(st.integers(1, length))
    return length, hop, draw(st.integers(0, length - 1)), draw(st.lists(st.integers(0, 30), max_size=12))


@given(framings())
def test_windows_do_not_depend_on_the_pushes(framing):
    length, hop, history, counts = framing
    total = sum(counts)
    rows = np.arange(1, total * 2 + 1, dtype=np.float32).reshape(total, 2)
    padded = np.concatenate([np.zeros((history, 2), np.float32), rows])
    wanted = [padded[at : at + length] for at in range(0, len(padded) - length + 1, hop)]
    framer = Framer(length, hop, (2,), history)
    got = windows_of(framer, *np.split(rows, np.cumsum(counts)[:-1]) if counts else [])
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        assert_array_equal(one, other)


@given(framings())
def test_reset_equals_a_new_framer(framing):
    length, hop, history, counts = framing
    rows = np.random.default_rng(0).normal(size=(40, 3, 2)).astype(np.float32)
    used = Framer(length, hop, (3, 2), history)
    for count in counts:
        windows_of(used, rows[:count])
    used.reset()
    fresh = Framer(length, hop, (3, 2), history)
    assert used.pending == fresh.pending
    assert_array_equal(windows_of(used, rows), windows_of(fresh, rows))


def test_pending_counts_the_rows_of_the_next_window():
    framer = Framer(6, 4, (1,), history=2)
    pending = []
    for _ in range(9):
        windows_of(framer, np.ones((1, 1), np.float32))
        pending.append(framer.pending)
    assert pending == [1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_pushed_rows_are_not_changed_and_not_kept():
    rows = np.ones((3, 1), np.float32)
    framer = Framer(4, 2, (1,))
    windows_of(framer, rows)
    rows[:] = 9.0
    assert_array_equal(windows_of(framer, np.full((1, 1), 2.0, np.float32)), [[[1], [1], [1], [2]]])
    assert_array_equal(rows, np.full((3, 1), 9.0))


@pytest.mark.parametrize("sizes", [(4, 0, 0), (4, 5, 0), (4, 2, 4), (4, 2, -1), (0, 0, 0)])
def test_invalid_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=r"^got length .* wanted 0 < hop <= length > history$"):
        Framer(sizes[0], sizes[1], (1,), sizes[2])

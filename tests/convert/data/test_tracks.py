"""Stacked-tracks: the example of the paper's figure 1, and labels."""

from __future__ import annotations

import numpy as np
import pytest

from convert.data.tracks import SLOTS, label_tracks, stack_tracks
from edge.geometry import unit_vector
from edge.scoring.annotations import Label

# CoLoC, figure 1: x y z class, by track from the bottom up and by time frame; 13 is no class.
A3, B3 = (0.2, 0.7, -0.2, 3), (0.2, 0.8, -0.1, 3)  # T4
A7, B7 = (0.5, -0.7, 0.5, 7), (0.6, -0.7, 0.4, 7)  # T3
C3, D3, E3, F3 = (-0.5, 0.6, 0.3, 3), (-0.4, 0.7, 0.3, 3), (-0.4, 0.8, 0.3, 3), (-0.3, 0.8, 0.4, 3)  # T2
A11 = (0.7, 0.5, -0.5, 11)  # T1
A8, B8 = (-0.9, 0.2, 0.1, 8), (-0.8, 0.2, 0.2, 8)  # T0
NO = (0.0, 0.0, 0.0, 13)
TRACKS = np.array(
    [
        [NO, NO, NO, A8, A8, B8, NO, NO],
        [NO, NO, NO, NO, NO, NO, A11, A11],
        [C3, D3, D3, E3, F3, NO, NO, NO],
        [NO, NO, A7, A7, A7, B7, B7, NO],
        [NO, A3, B3, NO, NO, NO, NO, NO],
    ],
    np.float32,
)
STACKED = np.array(
    [
        [C3, D3, D3, A8, A8, B8, A11, A11],
        [NO, A3, A7, E3, F3, B7, B7, NO],
        [NO, NO, B3, A7, A7, NO, NO, NO],
    ],
    np.float32,
)


def test_figure_1_of_the_paper() -> None:
    before = TRACKS.copy()
    np.testing.assert_array_equal(stack_tracks(TRACKS, 3, empty_class=13), STACKED)
    np.testing.assert_array_equal(TRACKS, before)


def test_stacking_again_changes_nothing() -> None:
    np.testing.assert_array_equal(stack_tracks(STACKED, 3, 13), STACKED)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_fewer_slots_drop_the_rows_above_and_more_are_empty(slots: int) -> None:
    got = stack_tracks(TRACKS, slots, 13)
    assert got.shape == (slots, 8, 4)
    np.testing.assert_array_equal(got[:3], STACKED[:slots])
    np.testing.assert_array_equal(got[3:], np.broadcast_to(np.float32(NO), got[3:].shape))


def test_the_class_of_an_empty_cell_is_replaced() -> None:
    tracks = TRACKS.copy()
    tracks[np.all(tracks[..., :3] == 0, axis=-1), 3] = 5
    np.testing.assert_array_equal(stack_tracks(tracks, 3, 13), STACKED)


def test_another_order_of_tracks_keeps_the_set_of_each_frame() -> None:
    shuffled = stack_tracks(TRACKS[[3, 0, 4, 2, 1]], 3, 13)
    assert not np.array_equal(shuffled, STACKED)
    for frame in range(8):
        assert sorted(map(tuple, shuffled[:, frame])) == sorted(map(tuple, STACKED[:, frame]))


def test_labels_become_unit_vectors_with_their_class() -> None:
    labels = [
        Label(1, 2, 0, 30.0, -20.0),
        Label(1, 2, 1, -90.0, 0.0),  # a second source of the same class
        Label(2, 2, 1, -80.0, 0.0),
        Label(4, 0, 0, 0.0, 0.0),  # after the end
    ]
    stacked = label_tracks(labels, frames=4, empty_class=6)
    assert stacked.shape == (SLOTS, 4, 4)
    assert stacked.dtype == np.float32
    expected = np.zeros((SLOTS, 4, 4))
    expected[..., 3] = 6
    expected[0, 1] = [*unit_vector(30.0, -20.0), 2]
    expected[1, 1] = [*unit_vector(-90.0, 0.0), 2]
    expected[0, 2] = [*unit_vector(-80.0, 0.0), 2]
    np.testing.assert_allclose(stacked, expected, atol=1e-7)
    np.testing.assert_array_equal(label_tracks(labels[::-1], 4, 6), stacked)


def test_no_labels_are_silence() -> None:
    stacked = label_tracks([], frames=3, empty_class=6)
    np.testing.assert_array_equal(stacked, np.tile(np.float32([0, 0, 0, 6]), (SLOTS, 3, 1)))


def test_a_fourth_source_is_dropped() -> None:
    labels = [Label(0, index, 0, 10.0 * index, 0.0) for index in range(4)]
    np.testing.assert_array_equal(label_tracks(labels, 1, 6)[:, 0, 3], [0, 1, 2])


def test_as_many_events_as_asked_for() -> None:
    labels = [Label(0, number, 0, 10 * number, 0) for number in range(8)]
    assert label_tracks(labels, 1, 9)[:, 0, 3].tolist() == [0, 1, 2]
    assert label_tracks(labels, 1, 9, 6)[:, 0, 3].tolist() == [0, 1, 2, 3, 4, 5]

"""Track-wise reordering: the paper's example, events of one class, and what holds for any scene."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.data.tracks import SLOTS, stack_tracks
from convert.systems.two_step.reorder import events, reorder
from edge.geometry import unit_vector

LABELS = 20
CLASSES = 5
FEMALE, MALE, MUSIC = range(3)


def scene(*heard: tuple[int, int, int, float], labels: int = LABELS) -> np.ndarray:
    """Events of class, onset, end and azimuth -> one regular track each, (events, labels, 4)."""
    tracks = np.zeros((len(heard), labels, 4), np.float32)
    tracks[..., 3] = CLASSES
    for track, (kind, onset, end, azimuth_deg) in zip(tracks, heard, strict=True):
        track[onset:end] = [*unit_vector(azimuth_deg, 10.0), kind]
    return tracks


def stacked(*heard: tuple[int, int, int, float], slots: int = SLOTS) -> np.ndarray:
    return stack_tracks(scene(*heard), slots, CLASSES)


def cells(tracks: np.ndarray, label: int) -> list[tuple[float, ...]]:
    """What sounds in a label frame, in any order."""
    return sorted(tuple(cell.tolist()) for cell in tracks[:, label] if np.any(cell[:3] != 0))


def classes_of(track: np.ndarray) -> set[int]:
    return set(track[np.any(track[:, :3] != 0, axis=-1), 3].astype(int).tolist())


def test_the_example_of_the_paper() -> None:
    """Male ends before music does: stacked, music would fall into the place of male, and so into its track."""
    heard = (FEMALE, 2, 18, 0.0), (MALE, 0, 9, 120.0), (MUSIC, 4, 20, -120.0)
    tracks = stacked(*heard)
    assert classes_of(tracks[1]) == {MALE, MUSIC}
    ordered, dropped = reorder(tracks, 3, CLASSES)
    np.testing.assert_array_equal(ordered, scene(heard[1], heard[0], heard[2]))  # by onset, whole and unbroken
    assert dropped == 0


def test_an_event_that_comes_back_has_its_track_again() -> None:
    heard = (FEMALE, 0, 4, 0.0), (MALE, 3, 8, 90.0), (FEMALE, 6, 9, 40.0), (MUSIC, 10, 12, 180.0), (MALE, 15, 18, 10.0)
    ordered, _ = reorder(stacked(*heard), 3, CLASSES)
    assert [classes_of(track) for track in ordered] == [{FEMALE}, {MALE}, {MUSIC}]


def test_two_of_one_class_take_two_tracks_and_keep_them_while_they_turn() -> None:
    tracks = np.zeros((2, LABELS, 4), np.float32)
    for track, azimuth_deg in zip(
        tracks, (30.0 + 3.0 * np.arange(LABELS), -30.0 - 3.0 * np.arange(LABELS)), strict=True
    ):
        track[:, :3] = unit_vector(azimuth_deg, 0.0)
        track[:, 3] = MALE
    mixed = tracks.copy()
    mixed[:, ::3] = mixed[::-1, ::3]  # the order in the slots tells nothing
    ordered, dropped = reorder(mixed, 3, CLASSES)
    np.testing.assert_array_equal(ordered[:2], tracks[::-1])  # the first label frame was mixed, too
    assert not ordered[2, :, :3].any()
    assert dropped == 0


def test_of_two_tracks_of_its_class_an_event_takes_that_where_it_was_heard() -> None:
    heard = (MALE, 0, 5, 0.0), (MALE, 2, 6, 100.0), (MALE, 10, 15, 95.0), (MALE, 11, 14, 5.0)
    ordered, _ = reorder(stacked(*heard), 2, CLASSES)
    np.testing.assert_array_equal(ordered[:, :9], scene(*heard[:2])[:, :9])
    np.testing.assert_array_equal(ordered[:, 10:], scene(*heard[3:], heard[2])[:, 10:])


def test_with_too_few_tracks_classes_share_them_one_after_the_other() -> None:
    heard = (0, 0, 5, 0.0), (1, 2, 8, 90.0), (2, 6, 9, 180.0), (1, 10, 13, 90.0), (3, 14, 16, 0.0)
    ordered, dropped = reorder(stacked(*heard), 2, CLASSES)
    assert [classes_of(track) for track in ordered] == [{0, 2, 3}, {1}]
    assert dropped == 0


def test_a_class_that_comes_back_keeps_its_track_if_another_one_is_free() -> None:
    heard = (0, 0, 5, 0.0), (1, 2, 6, 90.0), (2, 8, 10, 180.0), (0, 12, 14, 0.0)
    ordered, _ = reorder(stacked(*heard), 2, CLASSES)
    assert [classes_of(track) for track in ordered] == [{0}, {1, 2}]


def test_what_finds_no_track_is_dropped_and_counted() -> None:
    heard = (0, 0, 10, 0.0), (1, 3, 12, 90.0), (2, 5, 9, 180.0), (3, 10, 14, -90.0)
    ordered, dropped = reorder(stacked(*heard), 2, CLASSES)
    np.testing.assert_array_equal(
        ordered[0], scene((0, 0, 10, 0.0), (3, 10, 14, -90.0)).sum(axis=0) - [0, 0, 0, CLASSES]
    )
    assert classes_of(ordered[1]) == {1}
    assert dropped == 4


@pytest.mark.parametrize("count", [0, -1])
def test_no_tracks_are_an_error(count: int) -> None:
    with pytest.raises(ValueError, match=f"got {count} tracks, wanted at least 1"):
        reorder(stacked(), count, CLASSES)


@st.composite
def scenes(draw: st.DrawFn) -> np.ndarray:
    """Stacked-tracks of events that come and go, also at one place, also of one class, also too many."""
    event = st.tuples(
        st.integers(0, CLASSES - 1),
        st.integers(0, LABELS - 1),
        st.integers(1, LABELS),
        st.floats(-180, 180),
    )
    heard = [
        (kind, onset, min(onset + length, LABELS), at) for kind, onset, length, at in draw(st.lists(event, max_size=8))
    ]
    return stacked(*heard)


@settings(max_examples=150)
@given(tracks=scenes(), count=st.integers(1, 7))
def test_nothing_is_lost_or_broken_and_no_class_changes_unless_it_must(tracks: np.ndarray, count: int) -> None:
    before = tracks.copy()
    ordered, dropped = reorder(tracks, count, CLASSES)
    np.testing.assert_array_equal(tracks, before)
    assert (ordered.shape, ordered.dtype) == ((count, LABELS, 4), np.float32)
    sounding = np.any(tracks[..., :3] != 0, axis=-1)
    kept = np.any(ordered[..., :3] != 0, axis=-1)
    assert np.all(ordered[~kept, 3] == CLASSES)
    assert kept.sum() + dropped == sounding.sum()
    for label in range(LABELS):
        assert set(cells(ordered, label)) <= set(cells(tracks, label))
    if sounding.sum(axis=0).max() <= count:
        assert dropped == 0
        assert [cells(ordered, label) for label in range(LABELS)] == [cells(tracks, label) for label in range(LABELS)]
    instances = [
        np.sum(sounding & (tracks[..., 3] == kind), axis=0).max() for kind in range(CLASSES)
    ]  # the most of a class at a time
    if sum(instances) <= count:
        assert all(len(classes_of(track)) <= 1 for track in ordered)
        assert sum(bool(classes_of(track)) for track in ordered) == sum(instances)


@settings(max_examples=100)
@given(tracks=scenes(), count=st.integers(3, 6))
def test_an_event_never_changes_its_track(tracks: np.ndarray, count: int) -> None:
    ordered, _ = reorder(tracks, count, CLASSES)
    for event in events(tracks):
        span = ordered[:, event.onset : event.end]
        wanted = np.column_stack([np.stack(event.directions), np.full(len(event.directions), event.class_index)])
        assert any(np.array_equal(track, wanted.astype(np.float32)) for track in span)


@settings(max_examples=50)
@given(tracks=scenes())
def test_the_order_of_slots_does_not_matter_to_the_classes_of_tracks(tracks: np.ndarray) -> None:
    ordered, _ = reorder(tracks, 6, CLASSES)
    again, _ = reorder(tracks[::-1], 6, CLASSES)
    np.testing.assert_array_equal(np.sort(ordered[..., 3], axis=0), np.sort(again[..., 3], axis=0))

"""Lengths of median filters from what training data hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from convert.data.cache import FeatureCache
from convert.systems.etri.durations import class_activity, mean_duration, median_lengths
from edge.systems.etri.settings import LONGEST_FILTER_LABELS


def tracks(*events: tuple[int, int, int, int], labels: int = 40) -> np.ndarray:
    """Stacked-tracks of events (slot, first label, end, class); empty rows have the class after the last."""
    rows = np.zeros((3, labels, 4), np.float32)
    rows[..., 3] = 2
    for slot, first, end, number in events:
        rows[slot, first:end] = [1.0, 0.0, 0.0, number]
    return rows


def test_classes_are_active_in_any_slot(make_cache: Callable[..., FeatureCache]) -> None:
    activity = class_activity(make_cache(tracks((0, 0, 3, 1), (1, 2, 5, 0), (2, 2, 4, 1)), (0, 20, 40)))
    assert np.flatnonzero(activity[:, 0]).tolist() == [2, 3, 4]
    assert np.flatnonzero(activity[:, 1]).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("active", "first_labels", "mean"),
    [
        ([0, 0, 0, 0], (0, 4), 0.0),
        ([1, 1, 0, 1], (0, 4), 1.5),
        ([1, 1, 1, 1], (0, 2, 4), 2.0),  # of two recordings
        ([0, 1, 1, 1], (0, 1, 4), 3.0),
    ],
)
def test_the_mean_duration_is_that_of_runs(active: list[int], first_labels: tuple[int, ...], mean: float) -> None:
    assert mean_duration(np.array(active, bool), first_labels) == mean


def test_filters_are_odd_and_a_share_of_what_was_heard(make_cache: Callable[..., FeatureCache]) -> None:
    cache = make_cache(tracks((0, 0, 10, 0), (1, 5, 6, 1), (0, 25, 39, 0)), (0, 20, 40))
    assert median_lengths(cache, 0.5, 0.5) == (7, {"hiss": 7, "tone": 1})  # halves of 12 and of 1
    assert median_lengths(cache) == (1, {"hiss": 3, "tone": 1})
    assert median_lengths(cache, 0.5, 1.0) == (7, {"hiss": 13, "tone": 1})
    assert median_lengths(cache, sad_share=100.0)[0] == LONGEST_FILTER_LABELS

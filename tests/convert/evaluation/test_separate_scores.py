"""Scores of localization and of detection alone, worked by hand."""

from __future__ import annotations

import pytest

from convert.evaluation.separate_scores import score_separately
from edge.scoring.annotations import Label


def at(frame: int, class_index: int, azimuth_deg: float, elevation_deg: float = 0.0) -> Label:
    return Label(frame, class_index, 0, azimuth_deg, elevation_deg)


def test_localization_counts_sources_without_their_classes() -> None:
    truth = {"a": [at(0, 0, 0), at(0, 1, 90), at(1, 0, 10), at(3, 2, -60)]}
    found = {
        "a": [
            at(0, 5, 4),  # the class is wrong, the direction counts
            at(0, 5, 60),  # 30 degrees off: missed, and a false alarm
            at(1, 0, 10, 12),
            at(1, 0, -100),  # a false alarm
            at(2, 0, 0),  # not counted: no source in this frame
        ]
    }
    scores = score_separately(truth, found)
    # K 4 sources, E 4 predictions, C 2 pairs of 4 and 12 degrees
    assert (scores.acc, scores.mdr, scores.far) == (0.5, 0.5, 0.5)
    assert scores.mae_deg == pytest.approx(8.0)


def test_pairs_beyond_the_tolerance_do_not_cost_others_their_partner() -> None:
    """The least sum of all angles, 1 + 32, leaves one pair within 20 degrees; 19 + 18.8 are two."""
    scores = score_separately({"a": [at(0, 0, 0), at(0, 0, 0, 19)]}, {"a": [at(0, 0, 1), at(0, 0, 17, -8)]})
    assert scores.acc == 1.0
    assert scores.mae_deg == pytest.approx((19.03 + 18.73) / 2, abs=0.02)


def test_the_angle_is_that_on_the_sphere_and_20_degrees_count() -> None:
    near = score_separately({"a": [at(0, 0, 0, 80)]}, {"a": [at(0, 0, 60, 80)]})
    assert near.mae_deg == pytest.approx(9.96, abs=0.01)  # 2 asin(cos 80 sin 30)
    assert score_separately({"a": [at(0, 0, 0)]}, {"a": [at(0, 0, 19.99)]}).acc == 1.0
    assert score_separately({"a": [at(0, 0, 0)]}, {"a": [at(0, 0, 20.01)]}).acc == 0.0


def test_segment_f_is_the_mean_over_classes() -> None:
    truth = {"a": [at(0, 0, 0), at(1, 0, 0), at(1, 0, 90), at(2, 1, 0)], "b": [at(0, 1, 0)]}
    found = {"a": [at(0, 0, 170), at(2, 0, 0), at(2, 1, 0), at(5, 3, 0)], "b": []}
    # class 0: TP 1 (frame 0, wherever it points), FP 1, FN 1 (two sources in frame 1 are one): F 1/2
    # class 1: TP 1, FN 1: F 2/3; class 3 is predicted alone: F 0; class 2 is nowhere
    assert score_separately(truth, found).segment_f == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)


def test_nothing_found_and_nothing_to_find() -> None:
    scores = score_separately({"a": [at(0, 0, 0)]}, {"a": []})
    assert (scores.acc, scores.mdr, scores.far, scores.mae_deg, scores.segment_f) == (0.0, 1.0, 0.0, None, 0.0)
    assert "MAE -" in str(scores)
    with pytest.raises(ValueError, match="got scenes without a label"):
        score_separately({"a": []}, {"a": [at(0, 0, 0)]})

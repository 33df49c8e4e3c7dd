"""Scores by the rules of DCASE 2024, by hand from the publisher's definitions.

They are those of README.md of github.com/partha2409/DCASE2024_seld_baseline: "computed at frame level"; F: "the
prediction and reference class are the same, the angular error is below 20 degrees, and the relative distance error is
bellow 1.0"; "the relative distance error is defined as the difference between the estimated and the reference distances
divided by the reference distance. Unlike the location-aware detection, we do not use any angular or distance
thresholds"; "we first compute the above [...] metrics for each of the sound classes and then average them". What the
README leaves open is what `SELDMetrics` of SELD_evaluation_metrics.py there does with the values of parameters.py
(`lad_doa_thresh` 20, `lad_reldist_thresh` 1, `average` macro), and is named in each test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from edge.scoring.annotations import Label
from edge.scoring.metrics import Average, SeldScores, score


def _event(
    frames: Iterable[int],
    azimuth: float = 0.0,
    distance_cm: float | None = 200.0,
    class_index: int = 0,
    track: int = 0,
    elevation: float = 0.0,
) -> list[Label]:
    return [Label(frame, class_index, track, azimuth, elevation, distance_cm) for frame in frames]


END = [Label(10, 0, 7, 0.0, 0.0, 100.0)]  # the last reference label ends the recording and is not counted


def _score(reference: list[Label], prediction: list[Label], classes: int = 1, average: Average = "macro") -> SeldScores:
    return score({"mix": reference + END}, {"mix": prediction}, classes, "2024", average)


def test_perfect() -> None:
    event = _event(range(10), 77.0)
    scores = _score(event, event)
    assert [scores.er, scores.f, scores.lr, scores.rde] == pytest.approx([0, 1, 1, 0])
    assert scores.le == pytest.approx(0, abs=1e-3)  # the official code's length is a little too large
    assert scores.seld == pytest.approx(0, abs=1e-5)


def test_one_class_by_hand() -> None:
    """Of 10 frames 6 are right, 2 are too far off by angle, 1 by distance, 1 is missed."""
    prediction = (
        _event(range(6), 10, 150)  # relative distance error 0.25
        + _event((6, 7), 30, 200)
        + _event((8,), 0, 410)  # 1.05
    )
    scores = _score(_event(range(10)), prediction)
    f, lr = 6 / (6 + 3 + 1 / 2), 9 / 10
    le, rde = (6 * 10 + 2 * 30) / 9, (6 * 0.25 + 1.05) / 9
    assert [scores.f, scores.lr, scores.rde] == pytest.approx([f, lr, rde])
    assert scores.le == pytest.approx(le, abs=1e-3)
    assert scores.er == pytest.approx((3 + 1) / 10)
    assert scores.seld == pytest.approx((1 - f + le / 180 + rde) / 3, abs=1e-5)


def test_thresholds() -> None:
    """The code takes errors above the thresholds for wrong, after a division that makes 20 degrees a little more."""
    assert _score(_event(range(10)), _event(range(10), 19)).f == pytest.approx(1)
    assert _score(_event(range(10)), _event(range(10), 20)).f == 0
    assert _score(_event(range(10)), _event(range(10), elevation=21)).f == 0
    assert _score(_event(range(10)), _event(range(10), 0, 400)).f == pytest.approx(1)  # exactly 1.0
    assert _score(_event(range(10)), _event(range(10), 0, 401)).f == 0
    assert _score(_event(range(10)), _event(range(10), 0, 0)).f == pytest.approx(1)  # too near by 1.0 at most


def test_frame_by_frame_and_not_by_segment() -> None:
    """By the rules of 2022 the angle of a second is averaged first: 10 degrees in the mean, and all right."""
    prediction = _event(range(0, 10, 2), 0) + _event(range(1, 10, 2), 22)
    assert _score(_event(range(10)), prediction).f == pytest.approx(1 / 2)
    assert score({"mix": _event(range(11))}, {"mix": prediction}, 1, "2022").f == pytest.approx(1)


def test_sources_of_one_class_are_matched_by_angle_alone() -> None:
    """The code matches by angle, whatever the distances; here these are swapped: errors 1/2 and 1."""
    reference = _event(range(10), 0, 200) + _event(range(10), 90, 100, track=1)
    prediction = _event(range(10), 88, 200, track=3) + _event(range(10), 4, 100, track=4)
    scores = _score(reference, prediction)
    assert [scores.f, scores.lr, scores.rde] == pytest.approx([1, 1, (1 / 2 + 1) / 2])
    assert scores.le == pytest.approx(3, abs=1e-3)


def test_too_few_and_too_many() -> None:
    two = _event(range(10), 0) + _event(range(10), 90, track=1)
    few, many = _score(two, _event(range(10), 4)), _score(_event(range(10), 4), two)
    assert [few.f, few.lr, few.er] == pytest.approx([10 / 15, 1 / 2, 1 / 2])
    assert [many.f, many.lr, many.er] == pytest.approx([10 / 15, 1, 1])


def test_a_wrong_class_is_one_substitution() -> None:
    scores = _score(_event(range(10)), _event(range(10), class_index=1), 2)
    assert [scores.er, scores.f, scores.lr] == [pytest.approx(1), 0, 0]
    assert math.isnan(scores.le) and scores.rde is not None and math.isnan(scores.rde)
    assert scores.seld == pytest.approx(1)  # the mean of 1 - F alone, as there is no other


def test_a_class_that_never_occurs_counts_with_its_f_alone() -> None:
    """The code takes the mean of F over all classes, and of LE and RDE over those in which something was found."""
    scores = _score(_event(range(10)), _event(range(10), 9, 300), 2)
    assert [scores.f, scores.lr, scores.rde] == pytest.approx([1 / 2, 1 / 2, 1 / 2])
    assert scores.le == pytest.approx(9, abs=1e-3)
    assert scores.seld == pytest.approx(((0 + 9 / 180 + 0.5) / 3 + 1) / 2, abs=1e-5)
    assert [one.f for one in scores.per_class] == pytest.approx([1, 0])
    assert scores.per_class[1].rde is not None and math.isnan(scores.per_class[1].rde)


def test_micro_counts_all_classes_together() -> None:
    reference = _event(range(10)) + _event(range(2), class_index=1)
    prediction = _event(range(10), 10) + _event(range(2), 2, 400, class_index=1) + _event((5,), class_index=1)
    scores = _score(reference, prediction, 2, "micro")
    assert [scores.f, scores.lr, scores.rde] == pytest.approx([12 / 12.5, 1, 2 / 12])
    assert scores.le == pytest.approx((10 * 10 + 2 * 2) / 12, abs=1e-3)


def test_a_recording_ends_before_its_last_reference_label() -> None:
    """The code takes the number of the last frame for the number of frames."""
    late = _event(range(10, 30), 90)
    assert _score(_event(range(10)), _event(range(10)) + late).er == 0
    assert score({"mix": _event(range(10))}, {"mix": _event(range(9))}, 1, "2024").lr == pytest.approx(1)
    nothing = score({"mix": []}, {"mix": _event(range(5))}, 1, "2024")
    assert (nothing.f, nothing.lr) == (0, 0)


@pytest.mark.parametrize("missing", ["reference", "prediction"])
def test_a_distance_that_is_missing_is_refused(missing: str) -> None:
    labels = {"reference": _event(range(10)), "prediction": _event(range(10))}
    labels[missing] = _event(range(3), distance_cm=None)
    with pytest.raises(ValueError, match=rf"mix, {missing}, frame 0: got no distance, wanted one in every label"):
        score({"mix": labels["reference"]}, {"mix": labels["prediction"]}, 1, "2024")

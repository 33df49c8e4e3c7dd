"""SELD scores: the official results on stored cases, the perfect and the empty prediction, and each rule by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.scoring.annotations import Label, read_annotations, write_annotations
from edge.scoring.metrics import Average, Rules, SeldScores, score, score_folders
from tests.paths import GOLDEN

CASES = sorted((GOLDEN / "dcase_metrics").glob("case*"))
OFFICIAL: list[tuple[str, Rules, Average]] = [
    ("dcase2022_macro", "2022", "macro"),
    ("dcase2022_micro", "2022", "micro"),
    ("dcase2020", "2020", "macro"),
]
RULES: list[Rules] = ["2022", "2020"]


def _event(frames: Iterable[int], azimuth: float = 0.0, class_index: int = 0, track: int = 0) -> list[Label]:
    return [Label(frame, class_index, track, azimuth, 0.0) for frame in frames]


def _score(reference: list[Label], prediction: list[Label], rules: Rules = "2022", classes: int = 1) -> SeldScores:
    return score({"mix": reference}, {"mix": prediction}, classes, rules, "micro")


def _values(scores: SeldScores) -> list[float]:
    return [scores.er, scores.f, scores.le, scores.lr]


def test_there_are_cases() -> None:
    assert len(CASES) == 8


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(("key", "rules", "average"), OFFICIAL)
def test_official_results(case: Path, key: str, rules: Rules, average: Average) -> None:
    expected = json.loads((case / "expected.json").read_text())
    scores = score_folders(case / "reference", case / "prediction", expected["classes"], rules, average)
    for name, value in expected[key].items():
        assert getattr(scores, name) == pytest.approx(value, rel=0, abs=1e-6), name
    assert scores.seld == pytest.approx((scores.er + 1 - scores.f + scores.le / 180 + 1 - scores.lr) / 4)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_macro_is_the_mean_of_the_classes(case: Path) -> None:
    classes = json.loads((case / "expected.json").read_text())["classes"]
    scores = score_folders(case / "reference", case / "prediction", classes)
    assert len(scores.per_class) == classes
    for name in ("er", "f", "le", "lr", "seld"):
        assert sum(getattr(one, name) for one in scores.per_class) / classes == pytest.approx(getattr(scores, name))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("rules", RULES)
def test_nothing_predicted(case: Path, rules: Rules) -> None:
    expected = json.loads((case / "expected.json").read_text())
    reference = {path.name: read_annotations(path, expected["classes"]) for path in (case / "reference").glob("*.csv")}
    scores = score(reference, {name: [] for name in reference}, expected["classes"], rules)
    assert [*_values(scores), scores.seld] == pytest.approx([1, 0, 180, 0, 1])


@pytest.mark.parametrize("rules", RULES)
def test_perfect(rules: Rules) -> None:
    reference = (
        _event(range(35), 30) + _event(range(12, 29), -170, class_index=1) + _event(range(5, 20), 90, 1, track=1)
    )
    scores = score({"mix": reference}, {"mix": reference}, 2, rules, "macro")
    assert [*_values(scores), scores.seld] == pytest.approx([0, 1, 0, 1, 0], abs=1e-5)


def test_a_class_that_never_occurs_counts_in_macro() -> None:
    event = _event(range(10))
    scores = score({"mix": event}, {"mix": event}, 2)
    assert _values(scores) == pytest.approx([0, 0.5, 90, 0.5], abs=1e-5)
    assert [one.lr for one in scores.per_class] == pytest.approx([1, 0])


@pytest.mark.parametrize("rules", RULES)
def test_both_empty(rules: Rules) -> None:
    assert _values(_score([], [], rules)) == [0, 0, 180, 0]


@pytest.mark.parametrize("rules", RULES)
def test_too_far_off_is_found_but_wrong(rules: Rules) -> None:
    scores = _score(_event(range(10)), _event(range(10), 25), rules)
    assert _values(scores) == pytest.approx([1, 0, 25, 1])


def test_two_of_three_segments() -> None:
    scores = _score(_event(range(30)), _event(range(20), 10))
    assert _values(scores) == pytest.approx([1 / 3, 2 / (2 + 0.5), 10, 2 / 3])
    scores = _score(_event(range(30)), _event(range(20), 10), "2020")
    assert _values(scores) == pytest.approx([1 / 3, 4 / 5, 10, 4 / 5])


@pytest.mark.parametrize("rules", RULES)
def test_a_wrong_class_is_one_substitution(rules: Rules) -> None:
    scores = _score(_event(range(10), class_index=0), _event(range(10), class_index=1), rules, classes=2)
    assert _values(scores) == pytest.approx([1, 0, 180, 0])


def test_threshold_is_inclusive_and_settable() -> None:
    reference, prediction = {"mix": _event(range(10))}, {"mix": _event(range(10), 15)}
    assert score(reference, prediction, 1, threshold_deg=15.1).f == pytest.approx(1)
    assert score(reference, prediction, 1, threshold_deg=14.9).f == 0


def test_angle_is_averaged_over_the_segment_before_the_threshold() -> None:
    prediction = _event(range(8), 10) + _event((8, 9), 50)
    assert _values(_score(_event(range(10)), prediction)) == pytest.approx([0, 1, 18, 1])


def test_sources_of_one_class_are_matched_for_the_least_sum() -> None:
    reference = _event(range(10), 0) + _event(range(10), 60, track=1)
    swapped = _event(range(10), 64) + _event(range(10), 6, track=1)
    assert _values(_score(reference, swapped)) == pytest.approx([0, 1, 5, 1])
    assert _values(_score(reference, swapped, "2020")) == pytest.approx(
        [0, 1, 10, 1]
    )  # the angles of a frame are summed


def test_too_few_and_too_many_tracks() -> None:
    two = _event(range(10), 0) + _event(range(10), 90, track=1)
    assert _values(_score(two, _event(range(10), 4))) == pytest.approx([1 / 2, 1 / 1.5, 4, 1 / 2])
    assert _values(_score(_event(range(10), 4), two)) == pytest.approx([1, 1 / 1.5, 4, 1])


def test_never_in_the_same_frame_misses_as_many_as_are_predicted() -> None:
    scores = _score(_event(range(0, 10, 2)), _event(range(1, 10, 2)) + _event((1, 3), 90))
    assert _values(scores) == pytest.approx([2, 0, 180, 0])
    assert _values(_score(_event(range(0, 10, 2)), _event(range(1, 10, 2)), "2020")) == pytest.approx([1, 0, 180, 0])


def test_where_a_recording_ends() -> None:
    late = _event(range(30, 40), 90)
    reference = _event(range(19))
    assert _score(reference, reference + late).er == 0
    assert _score(reference, reference + late, "2020").er == pytest.approx(1 / 2)
    assert _score(_event(range(21)), _event(range(20))).er == 0  # the last frame opens a segment, which is not counted
    assert _score(_event(range(22)), _event(range(20))).er == pytest.approx(1 / 3)


def test_a_false_alarm_in_a_silent_recording_counts() -> None:
    event = _event(range(10))
    assert score({"a": event, "b": []}, {"a": event, "b": event}, 1).er == pytest.approx(1)


def test_a_recording_without_prediction_is_left_out() -> None:
    event = _event(range(10))
    assert score({"a": event, "b": event}, {"a": event}, 1).er == 0
    assert score({"a": event, "b": event}, {"a": event, "b": []}, 1).er == pytest.approx(1 / 2)


def test_refusals() -> None:
    event = _event(range(10))
    with pytest.raises(ValueError, match="got predictions without a reference: b, c, d and 1 more, wanted"):
        score({"a": event}, dict.fromkeys("abcde", event), 1)
    with pytest.raises(ValueError, match="got no predictions, wanted"):
        score({"a": event}, {}, 1)
    with pytest.raises(ValueError, match="a, frame 0: got class 3, wanted 0 to 1"):
        score({"a": event}, {"a": [replace(event[0], class_index=3)]}, 2)
    with pytest.raises(ValueError, match="got 0 classes, wanted"):
        score({"a": event}, {"a": event}, 0)
    with pytest.raises(ValueError, match="got '2019', wanted '2022' or '2020'"):
        score({"a": event}, {"a": event}, 1, "2019")  # type: ignore[arg-type]


def test_folders_are_searched_and_paired_by_name(tmp_path: Path) -> None:
    for folder in ("reference/split-a", "reference/split-b", "prediction"):
        (tmp_path / folder).mkdir(parents=True)
    write_annotations(tmp_path / "reference/split-a/one.csv", _event(range(10)))
    write_annotations(tmp_path / "reference/split-b/two.csv", _event(range(10), 90))
    write_annotations(tmp_path / "prediction/two.csv", _event(range(10), 80))
    folders = tmp_path / "reference", tmp_path / "prediction"
    assert _values(score_folders(*folders, classes=1)) == pytest.approx([0, 1, 10, 1])
    write_annotations(tmp_path / "reference/split-b/one.csv", [])
    with pytest.raises(ValueError, match=r"one\.csv, wanted each file name once"):
        score_folders(*folders, classes=1)
    with pytest.raises(NotADirectoryError, match=r"got .*nowhere, wanted"):
        score_folders(tmp_path / "nowhere", tmp_path / "prediction", classes=1)


_LABEL = st.builds(
    Label, st.integers(0, 35), st.integers(0, 2), st.integers(0, 2), st.integers(-180, 180), st.integers(-90, 90)
)


@settings(deadline=None, max_examples=50)
@given(reference=st.lists(_LABEL, max_size=30), prediction=st.lists(_LABEL, max_size=30), rules=st.sampled_from(RULES))
def test_scores_stay_in_range(reference: list[Label], prediction: list[Label], rules: Rules) -> None:
    for scores in (_score(reference, prediction, rules, classes=3), score({"": reference}, {"": prediction}, 3, rules)):
        assert scores.er >= 0
        assert 0 <= scores.f <= 1
        assert 0 <= scores.lr <= 1
        assert scores.le >= 0

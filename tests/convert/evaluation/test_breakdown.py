"""The breakdown, on scenes that are small enough to count by hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from convert.evaluation.breakdown import LABEL_BINS, LabelRow, break_down, label_properties, matched_deg, scene_values
from edge.scoring.annotations import Label
from edge.scoring.metrics import score

NAN = np.nan


def at(frame: int, azimuth_deg: float, class_index: int = 0, track: int = 0, distance_cm: float | None = None) -> Label:
    return Label(frame, class_index, track, azimuth_deg, 0, distance_cm)


@pytest.mark.parametrize(
    ("truth", "found", "wanted"),
    [
        ([at(0, 0)], [at(0, 15)], [15]),
        ([at(0, 0)], [at(1, 0)], [NAN]),  # another frame
        ([at(0, 0)], [at(0, 0, class_index=1)], [NAN]),  # another class
        ([at(0, 170)], [at(0, -170)], [20]),
        ([at(0, 0), at(0, 30, track=1)], [at(0, 18)], [NAN, 12]),  # one prediction is one answer
        ([at(0, 0)], [at(0, 40), at(0, 5, track=1)], [5]),
        ([at(0, 0), at(0, 30, track=1)], [at(0, 25), at(0, 50, track=1)], [25, 20]),  # not the nearest: 55 in sum
        ([at(0, 0), at(0, 90, class_index=1), at(1, 0)], [at(1, 2), at(0, 80, class_index=1)], [NAN, 10, 2]),
        ([], [at(0, 0)], []),
        ([at(0, 0)], [], [NAN]),
    ],
)
def test_each_label_is_paired_with_one_prediction_of_its_frame_and_class(
    truth: list[Label], found: list[Label], wanted: list[float]
) -> None:
    np.testing.assert_allclose(matched_deg(truth, found), wanted, atol=1e-9)


def test_properties_of_labels() -> None:
    labels = [
        at(0, 0, distance_cm=150),
        at(1, 4),  # less than 5 degrees off where it began
        at(1, 90, class_index=1),
        at(1, -90, class_index=1, track=1),
        at(2, 90, class_index=1),
        at(4, 50),  # after a pause: another stretch
        Label(5, 0, 0, 50, 20),
        at(5, 0, track=1),
        at(6, 6, track=1),  # and back, but it has moved
        at(7, 0, track=1),
    ]
    found = label_properties(labels)
    assert found.keys() == LABEL_BINS.keys()
    np.testing.assert_array_equal(found["distance_m"], [1.5, *[NAN] * 9])
    np.testing.assert_array_equal(found["elevation_deg"], [0, 0, 0, 0, 0, 0, 20, 0, 0, 0])
    np.testing.assert_array_equal(found["sources"], [1, 3, 3, 3, 1, 1, 2, 2, 1, 1])
    np.testing.assert_array_equal(found["classes"], [1, 2, 2, 2, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(found["motion"], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])


def test_rows_of_labels() -> None:
    truth = {
        "near": [at(frame, 0, distance_cm=100) for frame in range(4)],
        "far": [at(0, 0, distance_cm=300), at(0, 60, class_index=1, distance_cm=150)],
    }
    found = {
        "near": [at(0, 10), at(1, 20), at(2, 30)],  # found, found, too far off, missed
        "far": [at(0, 8), at(0, 100, class_index=0, track=1), at(9, 0)],
    }
    result = break_down(truth, found, 2, {})
    assert result.scene_rows == []
    rows = {(row.quantity, row.bin): row for row in result.label_rows}
    wanted = [
        LabelRow("distance_m", "< 1.5", 4, 0.5, 20.0),
        LabelRow("distance_m", "1.5 - 3", 1, 0.0, None),  # the class was never said
        LabelRow("distance_m", ">= 3", 1, 1.0, 8.0),
        LabelRow("elevation_deg", "-20 - 20", 6, 0.5, 17.0),
        LabelRow("sources", "1", 4, 0.5, 20.0),
        LabelRow("sources", "2", 2, 0.5, 8.0),
        LabelRow("classes", "1", 4, 0.5, 20.0),
        LabelRow("classes", "2", 2, 0.5, 8.0),
        LabelRow("motion", "static", 6, 0.5, 17.0),
    ]
    assert list(rows) == [(row.quantity, row.bin) for row in wanted]
    for row in wanted:
        got = rows[row.quantity, row.bin]
        assert (got.labels, got.recall) == (row.labels, pytest.approx(row.recall)), row
        assert got.error_deg == (None if row.error_deg is None else pytest.approx(row.error_deg)), row
    assert json.loads(json.dumps(asdict(result), allow_nan=False))["label_rows"][1]["error_deg"] is None
    text = str(result)
    assert "not the official F" in text
    assert "official metric over scenes" not in text
    lines = [line.split() for line in text.splitlines()]
    assert ["distance_m", "<", "1.5", "4", "0.500", "20.0"] in lines
    assert ["distance_m", "1.5", "-", "3", "1", "0.000", "-"] in lines


def test_labels_without_a_distance_have_no_row_for_it() -> None:
    labels = {"a": [at(0, 0), at(1, 0)]}
    quantities = {row.quantity for row in break_down(labels, labels, 1, {}).label_rows}
    assert quantities == LABEL_BINS.keys() - {"distance_m"}


def test_rows_of_scenes_are_the_official_metric_over_the_scenes_of_a_bin() -> None:
    right = [at(frame, 0) for frame in range(20)]
    truth = dict.fromkeys(("dry", "edge", "wet", "unknown"), right)
    found = {"dry": right, "edge": [at(frame, 50) for frame in range(20)], "wet": [], "unknown": []}
    of_scene = {
        "dry": {"rt60_s": 0.39, "snr_db": 30.0},
        "edge": {"rt60_s": 0.4, "snr_db": 25.0},
        "wet": {"rt60_s": 0.6, "snr_db": 14.9},
        "elsewhere": {"rt60_s": 0.5},
    }
    rows = {(row.quantity, row.bin): row for row in break_down(truth, found, 2, of_scene).scene_rows}
    assert [(*key, row.scenes) for key, row in rows.items()] == [
        ("rt60_s", "< 0.4", 1),
        ("rt60_s", "0.4 - 0.6", 1),
        ("rt60_s", ">= 0.6", 1),
        ("snr_db", "< 15", 1),
        ("snr_db", ">= 25", 2),
    ]
    f_le_lr = {key: (row.scores.f, row.scores.le, row.scores.lr) for key, row in rows.items()}
    assert f_le_lr["rt60_s", "< 0.4"] == pytest.approx((1.0, 0.0, 1.0), abs=1e-5)
    assert f_le_lr["rt60_s", "0.4 - 0.6"] == pytest.approx((0.0, 50.0, 1.0))
    assert f_le_lr["rt60_s", ">= 0.6"] == (0.0, 180.0, 0.0)
    two = {name: (truth[name], found[name]) for name in ("dry", "edge")}
    official = score(
        {name: each[0] for name, each in two.items()}, {name: each[1] for name, each in two.items()}, 2, average="micro"
    )
    assert rows["snr_db", ">= 25"].scores == official
    assert official.f == pytest.approx(0.5)


def test_scene_quantities_are_read_from_scenes_json(tmp_path: Path) -> None:
    path = tmp_path / "scenes.json"
    path.write_text('{"class_names": ["a"], "scenes": [{"name": "x", "rt60_s": 1, "seed": [0, 1]}, {"name": "y"}]}')
    assert scene_values(tmp_path) == {"x": {"rt60_s": 1.0}, "y": {}}
    path.write_text('{"class_names": ["a"]}')
    assert scene_values(tmp_path) == {}
    for scenes in (
        "[3]",
        '[{"rt60_s": 1}]',
        '[{"name": "x", "snr_db": "loud"}]',
        '[{"name": "x", "snr_db": null}]',
        "7",
    ):
        path.write_text(f'{{"class_names": ["a"], "scenes": {scenes}}}')
        with pytest.raises(ValueError, match=r"scenes\.json: got something else, wanted scenes with a name each"):
            scene_values(tmp_path)

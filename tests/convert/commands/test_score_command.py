"""`seld-convert score`: options in, one line or one JSON object out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import get_args

import pytest

from convert.commands.score import AVERAGES, RULES, add_score_parser, run_score
from edge.scoring.annotations import Label, write_annotations
from edge.scoring.metrics import Average, Rules
from tests.paths import GOLDEN

CASE = GOLDEN / "dcase_metrics" / "case04"
FOLDERS = ["--reference", str(CASE / "reference"), "--prediction", str(CASE / "prediction")]


def _args(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_score_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["score", *options])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "er 0.4710 f 0.5368 le 26.618 lr 0.6907 seld 0.3478\n"),
        (("--average", "micro"), "er 0.4710 f 0.6006 le 13.538 lr 0.7722 seld 0.2934\n"),
        (("--rules", "2020"), "er 0.4965 f 0.5986 le 13.394 lr 0.7746 seld 0.2994\n"),
    ],
)
def test_scores_as_one_line(capsys: pytest.CaptureFixture[str], options: tuple[str, ...], line: str) -> None:
    assert run_score(_args(*FOLDERS, "--classes", "13", *options)) == 0
    assert capsys.readouterr().out == line


@pytest.mark.parametrize(("rules", "key", "rows"), [("2022", "dcase2022_macro", 13), ("2020", "dcase2020", 0)])
def test_scores_as_json(capsys: pytest.CaptureFixture[str], rules: str, key: str, rows: int) -> None:
    args = _args(*FOLDERS, "--classes", "13", "--rules", rules, "--json")
    assert args.run(args) == 0
    scores = json.loads(capsys.readouterr().out)
    assert list(scores) == ["er", "f", "le", "lr", "seld", "per_class"]
    expected = json.loads((CASE / "expected.json").read_text())[key]
    assert {name: scores[name] for name in expected} == pytest.approx(expected, rel=0, abs=1e-6)
    assert len(scores["per_class"]) == rows
    assert all(list(row) == ["er", "f", "le", "lr", "seld"] for row in scores["per_class"])


def test_distances_as_one_line_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two classes one is found, 0.5 too near; the last reference frame is not counted."""
    for name, distance_cm in (("reference", 200.0), ("prediction", 100.0)):
        (tmp_path / name).mkdir()
        write_annotations(
            tmp_path / name / "mix.csv", [Label(frame, 0, 0, 30.0, 0.0, distance_cm) for frame in range(9)]
        )
    folders = ["--reference", str(tmp_path / "reference"), "--prediction", str(tmp_path / "prediction")]
    assert run_score(_args(*folders, "--classes", "2", "--rules", "2024")) == 0
    assert capsys.readouterr().out == "er 0.0000 f 0.5000 le 0.001 lr 0.5000 seld 0.5833 rde 0.5000\n"
    assert run_score(_args(*folders, "--classes", "2", "--rules", "2024", "--json")) == 0
    scores = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)  # NaN is no JSON
    assert scores["rde"] == pytest.approx(0.5)
    assert (scores["per_class"][1]["le"], scores["per_class"][1]["rde"]) == (None, None)


def test_errors_propagate(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mix000\.csv, line 1: got class '11', wanted 0 to 2"):
        run_score(_args(*FOLDERS, "--classes", "3"))
    with pytest.raises(NotADirectoryError, match="nowhere"):
        run_score(_args("--reference", str(tmp_path / "nowhere"), *FOLDERS[2:], "--classes", "13"))


@pytest.mark.parametrize(
    "options", [("--classes", "13"), (*FOLDERS,), (*FOLDERS, "--classes", "13", "--rules", "2019")]
)
def test_bad_options(options: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        _args(*options)


def test_options_offer_all_rules_and_averages_of_the_metrics() -> None:
    assert set(RULES) == set(get_args(Rules))
    assert set(AVERAGES) == set(get_args(Average))

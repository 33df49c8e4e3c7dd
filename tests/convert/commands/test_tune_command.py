"""`seld-convert tune`: decoder settings are scored on predictions that are computed once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from convert.cli import main
from convert.evaluation import predictions
from convert.evaluation.predictions import predict
from convert.evaluation.scenes import labelled_scenes
from edge.arrays.profile import ArrayProfile
from edge.nets.bundle import load_bundle
from edge.scoring.metrics import SeldScores, score

GRID = {"on": (0.2, 0.5), "off": (0.1, 0.3), "smoothing": (0.0,), "min_duration_labels": (2, 29)}


@pytest.fixture(autouse=True)
def small_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convert.commands.tune.GRID", GRID)


def scores_of(bundle_folder: Path, scenes: Path, **decode: Any) -> SeldScores:
    wavs, truth = labelled_scenes(scenes, ("low", "high"))
    found = predict(load_bundle(str(bundle_folder)), wavs, decode=decode)
    return score(truth, {name: each.rows for name, each in found.items()}, 2)


def test_every_line_has_the_scores_of_an_evaluation_with_its_settings(
    tiny_bundle: Path, waves_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--model", str(tiny_bundle), "--scenes", str(waves_folder), "--most", "100"]) == 0
    own, *lines = capsys.readouterr().out.splitlines()
    assert own.endswith(f"SELD {scores_of(tiny_bundle, waves_folder).seld:.4f}")
    assert len(lines) == 6  # off must not be above on
    values = [float(line.split()[-1]) for line in lines]
    assert values == sorted(values)
    words = lines[0].split(":")[0].split()
    settings = {name: type(GRID[name][0])(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    assert lines[0].endswith(f"SELD {scores_of(tiny_bundle, waves_folder, **settings).seld:.4f}")
    assert values[-1] > values[0]  # events of 29 label frames are too long for these scenes


def test_the_decoder_is_that_of_the_array_of_the_scenes(
    tiny_bundle: Path, waves_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flat array has no elevations on the device, so it must have none here."""
    arrays: list[ArrayProfile] = []
    build = predictions.build_decoder

    def build_and_keep(bundle: Any, array: ArrayProfile, settings: Any) -> Any:
        arrays.append(array)
        return build(bundle, array, settings)

    monkeypatch.setattr(predictions, "build_decoder", build_and_keep)
    scenes = Path(shutil.copytree(waves_folder, tmp_path / "fuma"))
    (scenes / "scenes.json").write_text(json.dumps({"class_names": ["low", "high"], "array": "foa_fuma"}))
    assert main(["tune", "--model", str(tiny_bundle), "--scenes", str(scenes), "--most", "1"]) == 0
    assert {array.name for array in arrays} == {"foa_fuma"}

"""Corpora as scenes of an evaluation: the same sounds score the same from a corpus as from a scene folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convert.cli import main
from convert.data.corpora import CORPORA
from convert.evaluation.scenes import labelled_scenes, scene_array
from edge.nets.bundle import load_bundle, write_bundle
from edge.scoring.annotations import read_annotations, write_annotations

CLASSES = ("female_scream", "alarm")  # what `low` and `high` of the tiny bundle are called here


@pytest.fixture
def model(tiny_bundle: Path, tmp_path: Path) -> Path:
    bundle = load_bundle(str(tiny_bundle))
    write_bundle(tmp_path / "model", replace(bundle, manifest=replace(bundle.manifest, class_names=CLASSES)))
    return tmp_path / "model"


@pytest.fixture
def corpus(waves_folder: Path, tmp_path: Path) -> Path:
    """TNSSE 2020 with one recording in fold 1 and one in fold 2."""
    for name in ("foa_dev", "metadata_dev"):
        (tmp_path / "corpus" / name).mkdir(parents=True)
    for fold, name in enumerate("ab", start=1):
        stem = f"fold{fold}_room1_mix001_ov1"
        shutil.copy(waves_folder / f"{name}.wav", tmp_path / "corpus" / "foa_dev" / f"{stem}.wav")
        numbers = [CORPORA["tnsse2020"].index(each) for each in CLASSES]
        labels = read_annotations(waves_folder / f"{name}.csv", 2)
        write_annotations(
            tmp_path / "corpus" / "metadata_dev" / f"{stem}.csv",
            [replace(label, class_index=numbers[label.class_index]) for label in labels],
        )
    return tmp_path / "corpus"


def test_a_corpus_scores_as_a_folder_of_the_same_scenes(
    model: Path, tiny_bundle: Path, corpus: Path, waves_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluated(model: Path, scenes: object) -> dict[str, Any]:
        assert (
            main(["evaluate", "--model", str(model), "--scenes", str(scenes), "--json", "--tables", "--separate"]) == 0
        )
        return dict(json.loads(capsys.readouterr().out)["int8"])

    result = evaluated(model, f"tnsse2020:dev={corpus}")
    assert result == evaluated(tiny_bundle, waves_folder)
    assert result["2022_micro"]["f"] > 0.9
    separate = result["separate"]
    assert separate["acc"] > 0.9 and separate["segment_f"] > 0.9 and separate["mae_deg"] < 8.0
    assert evaluated(model, f"tnsse2020={corpus}")["confusion"] == [[20, 0, 0], [0, 0, 0]]  # the test fold alone


def test_tune_takes_the_validation_split(
    model: Path, corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    grid = {"on": (0.2,), "off": (0.1,), "smoothing": (0.0,), "min_duration_labels": (2,)}
    monkeypatch.setattr("convert.commands.tune.GRID", grid)

    def kept(scenes: str, class_names: tuple[str, ...], splits: tuple[str, ...]) -> Any:
        asked.append(labelled_scenes(scenes, class_names, splits))
        return asked[-1]

    monkeypatch.setattr("convert.evaluation.scenes.labelled_scenes", kept)
    assert main(["tune", "--model", str(model), "--scenes", f"tnsse2020={corpus}"]) == 0
    ((wavs, truth),) = asked
    assert [wav.stem for wav in wavs] == list(truth) == ["fold2_room1_mix001_ov1"]


def test_what_does_not_fit_is_an_error(corpus: Path, model: Path) -> None:
    shutil.copytree(corpus / "foa_dev", corpus / "mic_dev")
    assert scene_array(f"tnsse2020:mic={corpus}", load_bundle(str(model))).name == "em32_tetra"
    for scenes, names, message in (
        (f"tnsse2020:both={corpus}", CLASSES, "got both formats, wanted foa or mic"),
        (f"tnsse2020={corpus}", ("bell",), r"got classes .*, wanted some of \('bell',\)"),
        (f"tnsse2020:fold3={corpus}", CLASSES, "got 'fold3', wanted a part of tnsse2020"),
    ):
        with pytest.raises(ValueError, match=message):
            labelled_scenes(scenes, names)

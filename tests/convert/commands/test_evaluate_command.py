"""`seld-convert evaluate`: the effect of its options on a bundle whose answers are known, and all rungs of a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.cli import main
from convert.commands.options import parse_assignments, parse_integers
from convert.evaluation.breakdown import break_down
from convert.evaluation.matching_run import matching_run
from convert.evaluation.plain_scores import plain_scores
from convert.evaluation.predictions import Prediction, predict
from convert.evaluation.scenes import labelled_scenes
from convert.evaluation.scores import score_predictions
from convert.systems.recipe import Recipe
from edge.audio.wav import read_wav, write_wav
from edge.nets.bundle import Bundle, load_bundle
from edge.runtime.pipeline import build_system
from edge.systems.coloc.streaming import ColocStreaming
from edge.systems.coloc.window import ColocWindow

Evaluate = Callable[..., dict[str, Any]]
KEYS = ("er", "f", "le", "lr", "seld")


@pytest.fixture
def evaluate(tiny_bundle: Path, waves_folder: Path, capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """A function that runs the command with more options and returns its JSON."""

    def run(*options: str, scenes: Path = waves_folder, model: Path = tiny_bundle) -> dict[str, Any]:
        assert main(["evaluate", "--model", str(model), "--scenes", str(scenes), "--json", *options]) == 0
        return dict(json.loads(capsys.readouterr().out))

    return run


def test_assignments_become_settings() -> None:
    words = ["a=1", "b=0.5", "c=true", "mode=window", 'd="x=y"', "e=[1, 2]", "f=x=y", "g=", "a=2"]
    assert parse_assignments("--set", words) == {
        "a": 2, "b": 0.5, "c": True, "mode": "window", "d": "x=y", "e": [1, 2], "f": "x=y", "g": ""
    }  # fmt: skip
    for word in ("mode", "=1", ""):
        with pytest.raises(ValueError, match=f"--set: got '{word}', wanted KEY=VALUE"):
            parse_assignments("--set", [word])
    assert parse_integers("--labels", "0, 2,10") == [0, 2, 10]
    for word in ("", "2,", "two", "1.5"):
        with pytest.raises(ValueError, match=f"--labels: got '{word}', wanted whole numbers"):
            parse_integers("--labels", word)


def test_one_rung_is_the_bundle_as_it_is(evaluate: Evaluate, tiny_bundle: Path, waves_folder: Path) -> None:
    bundle = load_bundle(str(tiny_bundle))
    wavs, truth = labelled_scenes(waves_folder, ("low", "high"))
    scores = score_predictions(truth, predict(bundle, wavs), 2)
    assert scores["2022_micro"].f > 0.9
    plain = json.loads(json.dumps({rules: plain_scores(result) for rules, result in scores.items()}))
    assert evaluate() == {"int8": plain}


def test_settings_of_system_and_decoder(evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def build_and_keep(*args: Any, **kwargs: Any) -> Any:
        built.append(build_system(*args, **kwargs))
        return built[-1]

    monkeypatch.setattr("convert.evaluation.predictions.build_system", build_and_keep)
    evaluate()
    evaluate("--set", "mode=streaming", "--set", "max_overlap=3")
    evaluate("--set", "mode=window", "--max-overlap", "1")
    assert [type(system) for system in built] == [ColocWindow, ColocStreaming, ColocWindow]
    assert [len(system.levels) for system in built] == [2, 4, 1]  # one for each track, one more for longer hops
    assert evaluate("--decode", "min_duration_labels=29")["int8"]["2022_micro"]["f"] == 0.0


def test_a_line_for_each_overlap(
    evaluate: Evaluate,
    tiny_bundle: Path,
    waves_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The tiny bundle never finds a second source; here it finds nothing at all where three are allowed."""

    def distracted(bundle: Bundle, wavs: Any, nets: Any, settings: Any, *others: Any) -> dict[str, Prediction]:
        found = predict(bundle, wavs, nets, settings, *others)
        return {name: replace(each, rows=[]) for name, each in found.items()} if settings["max_overlap"] == 3 else found

    monkeypatch.setattr("convert.evaluation.predictions.predict", distracted)
    each = {overlap: evaluate("--max-overlap", overlap)["int8"] for overlap in ("1", "3")}
    assert [each[overlap]["2022_micro"]["f"] for overlap in ("1", "3")] == [pytest.approx(1.0, abs=0.1), 0.0]
    assert evaluate("--overlaps", "1,3") == {"int8": {**each["1"], "max_overlap": each}}
    assert evaluate("--overlaps", "3,1") == {"int8": {**each["3"], "max_overlap": each}}

    assert main(["evaluate", "--model", str(tiny_bundle), "--scenes", str(waves_folder), "--overlaps", "1,3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, overlap in zip(lines[-2:], ("1", "3"), strict=True):
        macro = each[overlap]["2022_macro"]
        numbers = [f"{macro[key]:.{digits}f}" for key, digits in zip(KEYS, (3, 3, 1, 3, 3), strict=True)]
        assert line.split() == ["int8,", "max_overlap", overlap, *numbers]


def test_the_array_is_that_of_the_scenes(evaluate: Evaluate, waves_folder: Path, tmp_path: Path) -> None:
    for wav in waves_folder.glob("*.wav"):
        samples, rate_hz = read_wav(wav)
        write_wav(tmp_path / wav.name, samples[:, [0, 3, 1, 2]] * np.float32([np.sqrt(0.5), 1, 1, 1]), rate_hz)
        shutil.copy(wav.with_suffix(".csv"), tmp_path)
    (tmp_path / "scenes.json").write_text('{"class_names": ["low", "high"], "array": "foa_fuma"}')
    assert evaluate("--tables", scenes=tmp_path)["int8"]["doa_error_deg"][0][0] < 8.0
    assert evaluate(scenes=tmp_path)["int8"]["2022_micro"]["f"] > 0.9
    assert evaluate("--array", "foa", scenes=tmp_path)["int8"]["2022_micro"]["f"] == 0.0


def test_tables_and_breakdown(
    evaluate: Evaluate, tiny_bundle: Path, waves_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in waves_folder.iterdir():
        shutil.copy(path, tmp_path)
    scenes = [{"name": "a", "rt60_s": 0.2}, {"name": "b", "rt60_s": 0.7}]
    (tmp_path / "scenes.json").write_text(json.dumps({"class_names": ["low", "high"], "scenes": scenes}))
    result = evaluate("--tables", "--breakdown", scenes=tmp_path)["int8"]
    assert result["doa_error_deg"][1:] == [[None] * 3] * 2
    assert result["conditional_accuracy"] > 0.9
    assert np.sum(result["confusion"]) == 40
    wavs, truth = labelled_scenes(tmp_path, ("low", "high"))
    rows = {name: each.rows for name, each in predict(load_bundle(str(tiny_bundle)), wavs).items()}
    parts = break_down(truth, rows, 2, {"a": {"rt60_s": 0.2}, "b": {"rt60_s": 0.7}})
    assert result["breakdown"] == json.loads(json.dumps(asdict(parts)))
    assert [(row["bin"], row["scenes"]) for row in result["breakdown"]["scene_rows"]] == [("< 0.4", 1), (">= 0.6", 1)]
    assert sum(row["labels"] for row in result["breakdown"]["label_rows"] if row["quantity"] == "elevation_deg") == 40

    assert main(["evaluate", "--model", str(tiny_bundle), "--scenes", str(tmp_path), "--tables", "--breakdown"]) == 0
    out = capsys.readouterr().out
    assert str(parts) in out
    assert "conditional accuracy of the classifier: " in out
    assert "max_overlap" not in out  # there is one line of scores: nothing to put side by side


BAD_INPUT = {
    "--set mode": "--set: got 'mode', wanted KEY=VALUE",
    "--set mode=both": "system: got mode 'both', wanted one of streaming, window",
    "--set modus=window": "system: got unknown key 'modus'",
    "--set mode=streaming --set look_ahead_labels=3": "wanted [4",
    "--decode off": "--decode: got 'off', wanted KEY=VALUE",
    "--decode offset=1": "decode: got unknown key 'offset'",
    "--overlaps 2;3": "--overlaps: got '2;3', wanted whole numbers",
    "--overlaps 2,4": "got max_overlap 4",
    "--array nothing": "array 'nothing': got no such profile",
    "--float": "--float: got no --run",
    "--run nowhere": "nowhere: got no run.json",
}


@pytest.mark.parametrize("options", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(
    options: str, tiny_bundle: Path, waves_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--model", str(tiny_bundle), "--scenes", str(waves_folder), *options.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("seld-convert: ")
    assert err.count("\n") == 1
    assert BAD_INPUT[options] in err


@pytest.mark.slow
def test_all_rungs_side_by_side(
    evaluate: Evaluate, exported: Any, trained_run: Path, scenes_folder: Path, tiny_recipe: Recipe
) -> None:
    options = ["--run", str(trained_run), "--float", "--overlaps", "2,3", "--tables"]
    results = evaluate(*options, model=exported.folder, scenes=scenes_folder)
    assert list(results) == ["keras", "float32", "int8"]
    for result in results.values():
        assert list(result["max_overlap"]) == ["2", "3"]
        assert result["2022_macro"] == result["max_overlap"]["2"]["2022_macro"]
    keras, converted, int8 = results.values()
    for rules in ("2022_macro", "2022_micro", "2020"):
        assert converted[rules]["le"] == pytest.approx(keras[rules]["le"], abs=0.5)
    assert converted["doa_error_deg"][0][0] == pytest.approx(keras["doa_error_deg"][0][0], abs=1e-2)
    assert int8["doa_error_deg"] != converted["doa_error_deg"]  # other nets indeed
    assert keras["conditional_accuracy"] == pytest.approx(converted["conditional_accuracy"], abs=0.05)
    assert int8 == evaluate("--overlaps", "2,3", "--tables", model=exported.folder, scenes=scenes_folder)["int8"]


@pytest.mark.slow
def test_a_run_must_be_that_of_the_bundle(exported: Any, trained_run: Path, tiny_recipe: Recipe) -> None:
    bundle = load_bundle(str(exported.folder))
    assert matching_run(trained_run, bundle).recipe == tiny_recipe
    with pytest.raises(ValueError, match="got other feature statistics, wanted the run"):
        matching_run(trained_run, replace(bundle, mean=bundle.mean + 1))
    settings = {**bundle.manifest.settings, "look_ahead_labels": 4}
    with pytest.raises(ValueError, match=r"got settings .*_labels': 1\}, wanted .*_labels': 4\} as bundle"):
        matching_run(trained_run, replace(bundle, manifest=replace(bundle.manifest, settings=settings)))
    with pytest.raises(ValueError, match=r"got classes \('hiss', 'tone'\), wanted \('low', 'high'\)"):
        matching_run(trained_run, replace(bundle, manifest=replace(bundle.manifest, class_names=("low", "high"))))

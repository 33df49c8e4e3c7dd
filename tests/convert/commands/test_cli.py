"""`seld-convert`: every command end to end on a small scale, and one line for every kind of bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.cli import main
from convert.systems.recipe import Recipe
from convert.training.recipes import RECIPES
from edge.audio.wav import read_wav, write_wav
from edge.nets.bundle import load_bundle
from edge.scoring.annotations import read_annotations
from tests.paths import GOLDEN, ROOT

CASE = GOLDEN / "dcase_metrics" / "case04"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`train` sets these variables; they are restored here."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.setenv(name, "1")


@pytest.fixture
def places(tmp_path: Path, scenes_folder: Path, clips_folder: Path) -> dict[str, str]:
    """The values of the placeholders in the command lines below."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("here is no folder")
    (tmp_path / "wrong.toml").write_text("duration = 3.0\n")
    (tmp_path / "broken.toml").write_text("duration_s = \n")
    (tmp_path / "backwards.toml").write_text("snr_db = [30.0, 6.0]\n")
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "scenes.json").write_text('{"class_names": ["low", "high"]}')
    write_wav(bad / "a.wav", np.zeros((2400, 4), np.float32), 24000)
    (bad / "a.csv").write_text("0,7,0,0,0\n")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "scenes.json").write_text("{")
    mono = tmp_path / "mono"
    mono.mkdir()
    (mono / "scenes.json").write_text('{"class_names": ["low", "high"]}')
    write_wav(mono / "a.wav", np.zeros((2400, 1), np.float32), 24000)
    (mono / "a.csv").write_text("")
    return {
        "tmp": str(tmp_path),
        "scenes": str(scenes_folder),
        "clips": str(clips_folder),
        "bundle": str(GOLDEN / "tiny-bundle"),
        "case": str(CASE),
    }


BAD_INPUT = {
    "clips": "--out: got no folder, wanted one",
    "clips --out {tmp}/file --sources synth --jobs 1": "file",
    "clips --out {tmp}/out --sources nothing,synth": "got the unknown sources nothing, wanted some of",
    "clips --out {tmp}/out --jobs 0": "--jobs: got 0, wanted at least 1",
    "clips --out {tmp}/out --packages {tmp}/nowhere": "nowhere, wanted a folder of package files",
    "clips --out {tmp}/out --packages {tmp}/empty --sources lugaru-data --jobs 1": "lugaru-data 1.2-6 is not in",
    "scenes --clips {tmp}/nowhere --out {tmp}/out": "nowhere, wanted a folder that exists",
    "scenes --clips {tmp}/empty --out {tmp}/out": "got no clips",
    "scenes --clips {clips} --split train --out {tmp}/out": "neither clips.csv nor train/ and test/",
    "scenes --clips {clips} --split night --out {tmp}/out": "got split 'night'",
    "scenes --clips {clips} --count 0 --out {tmp}/out": "got count 0",
    "scenes --clips {clips} --jobs 0 --out {tmp}/out": "jobs 0",
    "scenes --clips {clips} --out {tmp}/file --jobs 1": "file",
    "scenes --clips {clips} --settings {tmp}/nowhere.toml --out {tmp}/out": "wanted one of flat, home or a TOML file",
    "scenes --clips {clips} --settings {tmp}/wrong.toml --out {tmp}/out": "wrong.toml: got unknown key 'duration'",
    "scenes --clips {clips} --settings {tmp}/broken.toml --out {tmp}/out": "broken.toml: not valid TOML",
    "scenes --clips {clips} --settings {tmp}/backwards.toml --out {tmp}/out": "backwards.toml: got snr_db",
    "scenes --clips {clips} --array nothing --out {tmp}/out": "array 'nothing': got no such profile, wanted em32_tetra",
    "scenes --clips {clips} --array {tmp}/nowhere.toml --out {tmp}/out": "nowhere.toml: No such file",
    "scenes --clips {clips} --array {tmp}/wrong.toml --out {tmp}/out": "wrong.toml: got unknown key 'duration'",
    "scenes --clips {clips} --array foa_fuma --out {tmp}/out --jobs 1": "wanted one with capsules",
    "train --data {scenes} --out {tmp}/out --model nothing": "model: got 'nothing', wanted one of coloc-causal",
    "train --data {scenes} --out {tmp}/out --stage tracker": "stage: got 'tracker', wanted one of localizer",
    "train --data {scenes} --out {tmp}/out --steps 0": "got steps 0",
    "train --data {scenes} --out {tmp}/out --batch 0": "batch_size 0",
    "train --data {scenes} --out {tmp}/out --seed -1": "seed -1",
    "train --data {scenes} --out {tmp}/out --set sizes.filters=[1,2]": "sizes: filters: got [1, 2], wanted a list of 3",
    "train --data {scenes} --out {tmp}/out --set sizes.bands=96": "got features.bands 64, wanted 96, as sizes.bands",
    "train --data {scenes} --out {tmp}/out --set rate=1": "coloc-edge: got unknown key 'rate'",
    "train --data {scenes} --out {tmp}/out --set training": "set: got training, wanted KEY=VALUE as in TOML",
    "export --run {tmp}/empty --scenes {scenes} --out {tmp}/out --set a=1": "got --set with --run",
    "train --data {scenes} --out {tmp}/out --dev-steps 0": "dev_steps 0",
    "train --data {scenes} --out {tmp}/out --classes hiss,hiss": "('hiss', 'hiss'), wanted each of them once",
    "train --data {scenes} --out {tmp}/out --classes rain": "got classes ('hiss', 'tone'), wanted some of ('rain',)",
    "train --data {scenes} --out {tmp}/out --dev {tmp}/empty": "empty: got no scenes.json",
    "train --data {scenes} --out {tmp}/out --start coloc-edge": "start: got classes ('baby_cry', ",
    "train --data {scenes}@0 --out {tmp}/out": "got weight 0 in ",
    "train --data starss99={scenes} --out {tmp}/out": "got data set 'starss99', wanted one of starss22",
    "train --data starss23={scenes} --out {tmp}/out": "got no foa_dev/ and no foa/, wanted the layout of starss23",
    "train --data {tmp}/broken --out {tmp}/out": "scenes.json: got no JSON object",
    "train --data {scenes} --out {tmp}/out --jobs 0": "got 0 jobs, wanted at least 1",
    "train --data {scenes} --out {tmp}/out --jobs 1": "scene_00000.wav: got 20 label frames, wanted at least 50",
    "train --data {tmp}/nowhere --out {tmp}/out": "got no scenes.json",
    "train --data {tmp}/bad --out {tmp}/out --jobs 1": "a.csv, line 1: got class '7', wanted 0 to 1",
    "train --data {scenes} --data {tmp}/bad --out {tmp}/out": "bad: got classes ('low', 'high')",
    "train --data {tmp}/mono --out {tmp}/out --jobs 1": "got 1 channels, wanted the 4 of array 'foa'",
    "export --run {tmp}/empty --scenes {scenes} --out {tmp}/out": "got no run.json",
    "export --run {tmp}/empty --out {tmp}/out": "got --run without --scenes, wanted scenes for the ladder",
    "export --run {tmp}/empty --out {tmp}/out --unchecked": "got no run.json",
    "evaluate --model nothing --scenes {scenes}": "model 'nothing': got no such bundle",
    "evaluate --model {bundle} --scenes {scenes}": "got classes ('hiss', 'tone'), wanted ('low', 'high')",
    "evaluate --model {bundle} --scenes {tmp}/empty": "got no scenes.json",
    "evaluate --model {bundle} --scenes {tmp}/bad": "a.csv, line 1: got class '7'",
    "evaluate --model {bundle} --scenes {tmp}/mono": "a.wav: got 1 channels, wanted 4",
    "evaluate --model {bundle} --scenes {tmp}/mono --max-overlap 9": "got max_overlap 9",
    "evaluate --model {bundle} --scenes {tmp}/mono --card Mono": "CARD.md: got no card",
    "train --data {scenes} --out {tmp}/run --start nothing": (
        "got 'nothing', wanted coloc-edge, coloc-edge-flat, etri-edge"
    ),
    "tune --model nothing --scenes {scenes}": "model 'nothing': got no such bundle",
    "tune --model {bundle} --scenes {tmp}/empty": "empty: got no scenes.json",
    "tune --model {bundle} --scenes {tmp}/bad": "a.csv, line 1: got class '7'",
    "score --reference {tmp}/nowhere --prediction {case}/prediction --classes 13": "nowhere",
    "score --reference {case}/reference --prediction {tmp}/empty --classes 13": "got",
    "score --reference {case}/reference --prediction {case}/prediction --classes 3": "wanted 0 to 2",
}


@pytest.mark.parametrize("line", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(
    line: str, places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.format(**places) for word in line.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("seld-convert: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert BAD_INPUT[line] in err


def test_an_error_of_several_lines_becomes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("got this,\n\nwanted   that\n")

    monkeypatch.setattr("convert.clips.library.load_clip_library", fails)
    assert main(["scenes", "--clips", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "seld-convert: got this, wanted that\n"


@pytest.mark.parametrize("command", ["clips", "scenes", "train", "export", "evaluate", "look-ahead", "tune", "score"])
def test_unknown_options_and_missing_ones_are_exit_code_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main([command, "--nonsense"])
    assert error.value.code == 2
    assert "seld-convert" in capsys.readouterr().err


def test_no_command_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main([])
    assert error.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train --data {tmp} --out {tmp}", "export --run {tmp} --scenes {tmp} --out {tmp}"])
def test_without_tensorflow_it_says_what_to_install(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert main(command.format(tmp=tmp_path).split()) == 2
    wanted = "seld-convert: got no tensorflow, wanted it: pip install 'seld-edge[convert]'\n"
    assert capsys.readouterr().err == wanted


@pytest.mark.slow
def test_tensorflow_prints_nothing(scenes_folder: Path, tmp_path: Path) -> None:
    """In a separate process, where the command imports TensorFlow, which writes to file descriptor 2."""
    program = "import sys; from convert.cli import main; sys.exit(main(sys.argv[1:]))"
    options = ["train", "--model", "nothing", "--data", str(scenes_folder), "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", program, *options],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"seld-convert: model: got 'nothing', wanted one of {', '.join(RECIPES)} or the path of a .toml file\n"
    )


def test_help_does_not_import_what_only_a_command_needs() -> None:
    program = """if True:
        import sys
        from convert.cli import main
        try:
            main(["--help"])
        except SystemExit:
            print(sorted({"tensorflow", "keras", "matplotlib", "numpy", "pyroomacoustics"} & sys.modules.keys()))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.startswith("usage: seld-convert")
    assert done.stdout.splitlines()[-1] == "[]"


def test_score(capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--reference", str(CASE / "reference"), "--prediction", str(CASE / "prediction"), "--classes", "13"]
    assert main(["score", *folders]) == 0
    assert capsys.readouterr().out == "er 0.4710 f 0.5368 le 26.618 lr 0.6907 seld 0.3478\n"
    assert main(["score", *folders, "--average", "micro", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["f"] == pytest.approx(0.6006, abs=1e-4)


def test_scenes(clips_folder: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("duration_s = 1.5\nrt60_s = [0.15, 0.16]\ndensity = [1.0, 1.1]\n")
    out = tmp_path / "out"
    options = ["--clips", str(clips_folder), "--settings", str(settings), "--out", str(out), "--jobs", "1"]
    assert main(["scenes", *options, "--count", "2", "--seed", "4"]) == 0
    table = json.loads((out / "scenes.json").read_text())
    assert (table["seed"], table["class_names"], len(table["scenes"])) == (4, ["hiss", "tone"], 2)
    for index in range(2):
        samples, rate_hz = read_wav(out / f"scene_{index:05d}.wav")
        assert (samples.shape, rate_hz) == ((36000, 4), 24000)
        assert all(label.frame < 15 for label in read_annotations(out / f"scene_{index:05d}.csv", 2))


@pytest.mark.slow
def test_training_leaves_a_run_that_goes_on(
    trained_run: Path, scenes_folder: Path, tiny_recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {path.name for path in trained_run.iterdir()}
    for stage in ("localizer", "classifier"):
        assert {f"{stage}.weights.h5", f"{stage}_encoder.weights.h5", f"{stage}.npz", f"{stage}.csv"} <= names
    table = json.loads((trained_run / "run.json").read_text())
    assert table["model"] == "tiny-recipe"
    assert {stage: schedule["steps"] for stage, schedule in table["training"].items()} == {
        "localizer": 2,
        "classifier": 2,
    }
    assert "curves.png" in names
    before = {path: path.read_bytes() for path in trained_run.glob("*.npz")}
    options = ["--model", "tiny-recipe", "--data", str(scenes_folder), "--out", str(trained_run), "--threads", "1"]
    assert main(["train", *options, "--stage", "localizer"]) == 0  # done already
    assert {path: path.read_bytes() for path in trained_run.glob("*.npz")} == before


@pytest.mark.slow
def test_from_scenes_over_training_and_export_to_an_evaluation(
    exported: Any, scenes_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_bundle(str(exported.folder)).manifest.name == "tiny-recipe"
    assert main(["evaluate", "--model", str(exported.folder), "--scenes", str(scenes_folder)]) == 0
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [word for word in words if word in ("2022_macro", "2022_micro", "2020", "hiss", "tone")] == [
        "2022_macro",
        "2022_micro",
        "2020",
        "hiss",
        "tone",
    ]
    assert main(["evaluate", "--model", str(exported.folder), "--scenes", str(scenes_folder), "--json"]) == 0
    assert "2022_macro" in capsys.readouterr().out


def test_evaluate_of_a_known_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In silence, nothing is found."""
    (tmp_path / "scenes.json").write_text('{"class_names": ["low", "high"]}')
    write_wav(tmp_path / "a.wav", np.zeros((12000, 4), np.float32), 24000)
    (tmp_path / "a.csv").write_text("1,0,0,10,0\n2,0,0,10,0\n3,0,0,10,0\n")
    assert main(["evaluate", "--model", str(GOLDEN / "tiny-bundle"), "--scenes", str(tmp_path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["2022_micro", "1.000", "0.000", "180.0", "0.000", "1.000"] in lines

"""`seld-convert train`: what reaches the training, and what is left behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from convert.cli import main
from convert.data.cache import STATISTICS, load_cache
from convert.data.corpora import CORPORA
from convert.systems.recipe import Recipe
from convert.training import train_stages as train_stages_module
from convert.training.csv_log import read_log
from convert.training.run_folder import open_run
from convert.training.run_json import read_run
from convert.training.warm_start import WarmStart
from convert.training.weights import load_stage
from edge.audio.wav import write_wav
from edge.scoring.annotations import Label, write_annotations


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the command sets is set back."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.setenv(name, "1")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def train(tiny_recipe: Recipe, tmp_path: Path) -> Callable[[str], int]:
    """Runs `seld-convert train` with the tiny recipe and these options."""
    fixed = f"train --model {tiny_recipe.name} --out {tmp_path}/run --threads 1"
    return lambda options: main(f"{fixed} --jobs 1 {options}".split())


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What the training is called with; it does not take place."""
    calls: list[SimpleNamespace] = []

    def train_stages(
        stages: Any, recipe: Any, cache: Any, folder: Any, *, dev: Any, workers: int, warm_start: Any, **options: Any
    ) -> None:
        policy = keras.mixed_precision.global_policy().name
        calls.append(
            SimpleNamespace(
                stages=stages,
                recipe=recipe,
                cache=cache,
                dev=dev,
                workers=workers,
                warm_start=warm_start,
                policy=policy,
            )
        )

    monkeypatch.setattr(train_stages_module, "train_stages", train_stages)
    return calls


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """TNSSE 2021 in small, at another rate: a recording of two seconds in each split."""
    for split in ("train", "val", "test"):
        for kind, folder in (("foa_dev", tmp_path / "tnsse"), ("metadata_dev", tmp_path / "tnsse")):
            (folder / kind / f"dev-{split}").mkdir(parents=True)
        noise = 0.1 * np.random.default_rng(0).standard_normal((32000, 4)).astype(np.float32)
        write_wav(tmp_path / "tnsse" / "foa_dev" / f"dev-{split}" / "a.wav", noise, 16000)
        write_annotations(tmp_path / "tnsse" / "metadata_dev" / f"dev-{split}" / "a.csv", [Label(3, 2, 0, 50, 0)])
    return tmp_path / "tnsse"


def test_a_recipe_with_changes_is_what_the_run_says(
    train: Callable, seen: list[SimpleNamespace], tiny_recipe: Recipe, scenes_folder: Path, tmp_path: Path
) -> None:
    changes = "--set training.learning_rate=5e-4 --set sizes.gru_units=7 --set augmentation.masked_frames=0"
    assert train(f"--data {scenes_folder} {changes} --steps 3") == 0
    (call,) = seen
    assert (call.recipe.training.learning_rate, call.recipe.training.steps) == (5e-4, 3)
    assert call.recipe.sizes == replace(tiny_recipe.sizes, gru_units=7)
    run = open_run(tmp_path / "run")
    assert (run.recipe.sizes, run.recipe.augmentation) == (call.recipe.sizes, call.recipe.augmentation)
    assert run.recipe.training == tiny_recipe.training
    assert {each.learning_rate for each in run.file.training.values()} == {5e-4}


def test_a_run_keeps_the_recipe_of_ones_own(
    seen: list[SimpleNamespace], scenes_folder: Path, tmp_path: Path, tiny_recipe: Recipe
) -> None:
    own, run = tmp_path / "mine.toml", tmp_path / "run"
    own.write_text(
        'name = "mine"\nsystem = "coloc"\n[sizes]\nframes = 30\nbands = 32\n'
        '[features]\nkind = "logmel_iv"\nbands = 32\n[device]\nwindow_labels = 6\nhop_labels = 2\n'
    )
    options = f"--data {scenes_folder} --out {run} --jobs 1 --threads 1".split()
    assert main(["train", "--model", str(own), "--set", "sizes.gru_units=7", *options]) == 0
    own.unlink()
    assert open_run(run).recipe == seen[0].recipe
    assert (seen[0].recipe.name, seen[0].recipe.sizes.bands, seen[0].recipe.sizes.gru_units) == ("mine", 32, 7)
    assert read_run(run).model == "mine"
    assert main(["train", "--model", tiny_recipe.name, *options]) == 0  # a shipped one in its place
    assert open_run(run).recipe == tiny_recipe


def test_what_nets_begin_with(
    train: Callable,
    seen: list[SimpleNamespace],
    trained_run: Path,
    scenes_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(f"--data {scenes_folder}") == train(f"--data {scenes_folder} --teacher {trained_run}") == 0
    assert [call.warm_start for call in seen] == [WarmStart(), WarmStart(teacher=trained_run)]
    assert train(f"--data {scenes_folder} --pretrained atst.npz") == 2
    assert "pretrained: got stages localizer, classifier, wanted one that takes" in capsys.readouterr().err


def test_features_are_normalised_as_the_teacher_does_if_it_has_the_same(
    train: Callable, seen: list[SimpleNamespace], trained_run: Path, scenes_folder: Path, tmp_path: Path
) -> None:
    teacher = shutil.copytree(trained_run, tmp_path / "teacher")
    with np.load(teacher / "cache" / STATISTICS) as statistics:
        usual = statistics["mean"]
        np.savez(teacher / "cache" / STATISTICS, mean=usual + 1, deviation=statistics["deviation"])
    assert train(f"--data {scenes_folder} --teacher {teacher}") == 0
    np.testing.assert_array_equal(seen[-1].cache.mean, usual + 1)
    (teacher / "run.json").write_text(json.dumps({"model": "two-step-edge", "sources": [], "training": {}}))
    shutil.rmtree(tmp_path / "run")
    assert train(f"--data {scenes_folder} --teacher {teacher}") == 0
    np.testing.assert_array_equal(seen[-1].cache.mean, usual)


def test_a_mix_of_scenes_and_a_corpus(
    train: Callable, seen: list[SimpleNamespace], scenes_folder: Path, corpus: Path, tmp_path: Path
) -> None:
    data = f"--data {scenes_folder}@3 --data tnsse2021={corpus}@1 --classes tone,hiss,crash"
    assert train(f"{data} --dev tnsse2021={corpus} --batch 5 --dev-steps 7 --stage localizer") == 0
    (call,) = seen
    assert call.stages == ["localizer"]
    assert (call.recipe.training.batch_size, call.recipe.training.dev_steps) == (5, 7)
    assert call.cache.class_names == call.dev.class_names == ("tone", "hiss", "crash")
    assert call.cache.chances == pytest.approx([0.375, 0.375, 0.25])
    assert call.cache.first_labels == (0, 20, 40, 60)
    assert call.dev.first_labels == (0, 20, 40)  # val and test
    assert call.cache.tracks[0, 43, 3] == call.dev.tracks[0, 3, 3] == 2
    np.testing.assert_array_equal(call.dev.mean, call.cache.mean)
    np.testing.assert_array_equal(call.dev.deviation, call.cache.deviation)
    run = read_run(tmp_path / "run")
    assert [row["source"] for row in run.sources][1:] == ["tnsse2021"]
    assert run.training == {"localizer": call.recipe.training}


def test_a_corpus_alone_brings_its_classes(train: Callable, seen: list[SimpleNamespace], corpus: Path) -> None:
    assert train(f"--data tnsse2021={corpus}") == 0
    assert seen[0].cache.class_names == CORPORA["tnsse2021"]
    assert seen[0].cache.chances is None
    assert seen[0].dev is None


def test_the_classes_of_the_start_are_those_of_the_classifier(
    train: Callable,
    seen: list[SimpleNamespace],
    trained_run: Path,
    scenes_folder: Path,
    corpus: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(f"--data {scenes_folder} --start {trained_run}") == 0
    other = f"--data {scenes_folder} --classes tone --start {trained_run}"
    assert train(other) == 2
    assert "start: got classes ('hiss', 'tone'), wanted ('tone',), or --stage localizer" in capsys.readouterr().err
    assert train(f"{other} --stage localizer") == 0
    kept = load_cache(trained_run / "cache")
    for call in seen:
        np.testing.assert_array_equal(call.cache.mean, kept.mean)


@pytest.mark.parametrize(
    ("devices", "option", "policy", "workers"),
    [
        (["cpu:0"], "", "float32", 1),
        (["gpu:0"], "", "mixed_bfloat16", 1),
        (["gpu:0"], "--precision float32 --jobs 3", "float32", 3),
        (["cpu:0"], "--precision mixed_bfloat16 --jobs 3", "mixed_bfloat16", 1),
    ],
)
def test_a_gpu_computes_in_mixed_precision_unless_told_and_has_processes_for_its_batches(
    devices: list[str],
    option: str,
    policy: str,
    workers: int,
    train: Callable,
    seen: list[SimpleNamespace],
    scenes_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: devices)
    assert train(f"--data {scenes_folder} {option}") == 0
    assert (seen[0].policy, seen[0].workers) == (policy, workers)


@pytest.mark.slow
def test_scores_and_curves_and_one_schedule_for_each_stage(
    train: Callable, scenes_folder: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    options = f"--data {scenes_folder} --dev {scenes_folder} --dev-steps 1"
    assert train(f"{options} --stage localizer --steps 1") == 0
    assert train(f"{options} --stage classifier --steps 2") == 0
    run = tmp_path / "run"
    assert {stage: each.steps for stage, each in read_run(run).training.items()} == {
        "localizer": 1,
        "classifier": 2,
    }
    (row,) = read_log(run / "localizer.csv")
    assert 0 < float(row["dev_doa_1_deg"]) < 180
    assert 0 <= float(row["dev_alive_percent"]) <= 100
    rows = read_log(run / "classifier.csv")
    assert [0 <= float(row["dev_right_percent"]) <= 100 for row in rows] == [True, True]
    assert (run / "curves.png").is_file()


@pytest.mark.slow
def test_weights_of_mixed_precision_are_float32_and_answers_too(
    train: Callable, scenes_folder: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    assert train(f"--data {scenes_folder} --stage localizer --precision mixed_bfloat16") == 0
    encoder, net = load_stage("localizer", tiny_recipe, 2, tmp_path / "run")
    assert net.output["output"].dtype == "float32"
    assert {variable.dtype for variable in (*encoder.weights, *net.trainable_variables)} == {"float32"}
    keras.mixed_precision.set_global_policy("float32")
    _, plain = load_stage("localizer", tiny_recipe, 2, tmp_path / "run")
    for left, right in zip(net.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    assert all(np.isfinite(float(row["loss"])) for row in read_log(tmp_path / "run" / "localizer.csv"))


def test_a_broken_run_file_is_one_line(
    train: Callable, scenes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({"model": 3}))
    assert train(f"--data {scenes_folder}") == 2
    assert "run.json: got something else" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.long  # compiles and measures steps
def test_a_plan_tells_what_it_will_take_and_writes_nothing(
    train: Callable[[str], int], scenes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two scenes of 2 s hold 3 windows of 0.6 s each: an epoch of batches of 4 has 2 steps."""
    options = f"--data {scenes_folder} --stage localizer --plan"
    assert train(f"{options} --set training.epochs=5") == 0
    features, stage = capsys.readouterr().out.splitlines()
    assert features == "features: 0.00 h of recordings, 0.00 GB on the disk"
    assert re.fullmatch(
        r"localizer: 0\.00 M parameters, 10 steps of 4, about 0\.0 h here \(\d+\.\d\d s a step\) "
        r"and 0\.0 GB for nets and batch",
        stage,
    )
    assert not (tmp_path / "run").exists()

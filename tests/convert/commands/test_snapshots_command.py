"""`seld-convert snapshots`: what is printed is what each of them scores, and the mean is kept where that is wanted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from convert.cli import main
from convert.commands.snapshots import MeanOfAnswers
from convert.systems.recipe import Recipe
from convert.training.snapshots import average_snapshots, snapshot_path
from convert.training.weights import load_stage


@pytest.fixture
def cycled(tiny_recipe: Recipe, scenes_folder: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A localizer after two cycles of two steps: a copy for each test, as the training takes long."""
    run = tmp_path_factory.getbasetemp() / "cycled"
    if run.exists():
        return Path(shutil.copytree(run, tmp_path / "run"))
    options = ["--data", str(scenes_folder), "--dev", str(scenes_folder), "--out", str(run), "--stage", "localizer"]
    cycles = ["--steps", "4", "--set", "training.cycles=2", "--set", "training.learning_rate=0.05"]
    assert main(["train", "--model", tiny_recipe.name, *options, *cycles, "--jobs", "1", "--threads", "1"]) == 0
    return Path(shutil.copytree(run, tmp_path / "run"))


@pytest.mark.long  # scores every snapshot in the device's loop
def test_a_line_for_each_snapshot_and_each_ensemble(
    cycled: Path, tiny_recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_stage("localizer", tiny_recipe, 2, cycled)[0].get_weights()
    assert main(["snapshots", "--run", str(cycled), "--stage", "localizer"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = ["snapshot 1", "snapshot 2", "mean of answers", "mean of weights", "the same, norms refreshed"]
    assert [line.partition(":")[0] for line in lines] == names
    losses = [float(line.partition("dev_loss ")[2].split()[0]) for line in lines]
    assert len(set(losses)) == len(losses) and np.all(np.isfinite(losses))
    for left, right in zip(before, load_stage("localizer", tiny_recipe, 2, cycled)[0].get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.long  # trains in cycles, as test_trainer does
def test_the_mean_of_the_weights_is_kept(cycled: Path, tiny_recipe: Recipe) -> None:
    assert main(["snapshots", "--run", str(cycled), "--stage", "localizer", "--keep-mean"]) == 0
    mean = average_snapshots([snapshot_path(cycled, "localizer", number) for number in (1, 2)])
    kernels = [np.array(each) for each in load_stage("localizer", tiny_recipe, 2, cycled)[0].trainable_variables]
    assert all(any(np.array_equal(kernel, each) for each in mean) for kernel in kernels)


def test_the_mean_of_answers() -> None:
    class Constant:
        def set_weights(self, weights: list[np.ndarray]) -> None:
            (self.value,) = weights

        def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
            return inputs["x"] * self.value

    both = MeanOfAnswers(Constant(), [[np.float32(1.0)], [np.float32(2.0)]])
    np.testing.assert_allclose(both.predict_on_batch({"x": np.ones(3, np.float32)}), 1.5)


def test_what_was_not_trained_in_cycles(
    trained_run: Path, tiny_recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["snapshots", "--run", str(trained_run), "--stage", "sad"]) == 2
    assert "stage: got 'sad', wanted one of localizer, classifier" in capsys.readouterr().err
    assert main(["snapshots", "--run", str(trained_run), "--stage", "localizer"]) == 2
    assert "got no such file, wanted a snapshot" in capsys.readouterr().err

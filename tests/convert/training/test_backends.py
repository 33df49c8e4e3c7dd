"""Training knows no backend: TensorFlow and JAX give the same losses, and JAX needs no TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

WITHOUT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError("tensorflow is refused", name="tensorflow")

sys.meta_path.insert(0, Refuse())
"""
FEW_STEPS = "import runpy; runpy.run_module('tests.convert.training.few_steps', run_name='__main__')"
COMMANDS = """
from convert.cli import main
from convert.losses import ColocLosses
from convert.training import dev_score
from convert.systems.recipe import Recipe
from convert.training.recipes import RECIPES
from convert.data.augment import Augmentation
from convert.systems.coloc.sizes import CrnnSizes
from convert.systems.recipe import TrainSettings
from edge.frontend.maps import FeatureSettings

dev_score.CHUNKS = 16
sizes = CrnnSizes(frames=30, bands=32, filters=(4, 4, 4), gru_units=4, dense_units=4)
training = TrainSettings(steps=1, batch_size=2)
RECIPES["tiny"] = Recipe(
    "tiny", "coloc", sizes, Augmentation(), ColocLosses(), FeatureSettings("logmel_iv", 32), training=training
)
scenes, run = sys.argv[1:]
options = ["--model", "tiny", "--data", scenes, "--dev", scenes, "--out", run, "--jobs", "1", "--threads", "1"]
assert main(["train", *options]) == 0
assert not any(name.split(".")[0] == "tensorflow" for name in sys.modules)
sys.exit(main(["export", "--run", run, "--scenes", scenes, "--out", run + "/bundle"]))
"""


def python(backend: str, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | threads | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def losses(what: str, folder: Path) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """The losses of a few steps with TensorFlow and with JAX."""
    found = {}
    for backend in ("tensorflow", "jax"):
        done = python(backend, FEW_STEPS, folder / backend, what)
        assert done.returncode == 0, done.stderr
        *_, (used, found[backend]) = [line.split(" ", 1) for line in done.stdout.splitlines()]
        assert used == backend
    return json.loads(found["tensorflow"]), json.loads(found["jax"])


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["localizer", pytest.param("classifier", marks=pytest.mark.long)])
def test_backends_agree(stage: str, tmp_path: Path) -> None:
    by_tensorflow, by_jax = losses(stage, tmp_path)
    first, second = by_tensorflow[stage]
    assert first != second
    assert by_jax[stage] == pytest.approx([first, second], rel=1e-4)


@pytest.mark.long  # compiles seven losses with both
def test_backends_agree_on_each_loss_and_optimizer(tmp_path: Path) -> None:
    by_tensorflow, by_jax = losses("etri", tmp_path)
    assert len(by_jax) == 7
    for name, values in by_tensorflow.items():
        assert values[0] > values[7] > 0, name  # it learns
        assert by_jax[name] == pytest.approx(values, rel=1e-4, abs=2e-5), name


@pytest.mark.long  # what it has beside the test above is that nothing imports TensorFlow
def test_training_under_jax_needs_no_tensorflow_and_export_says_that_it_does(
    scenes_folder: Path, tmp_path: Path
) -> None:
    done = python("jax", WITHOUT + COMMANDS, scenes_folder, tmp_path)
    *_, last = done.stderr.splitlines()
    assert last == "seld-convert: got no tensorflow, wanted it: pip install 'seld-edge[convert]'", done.stderr
    assert done.returncode == 2
    names = {path.name for path in tmp_path.iterdir()}
    assert {"localizer.weights.h5", "classifier.weights.h5", "curves.png", "run.json", "dev_cache"} <= names


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_without_its_backend_training_says_what_to_install(backend: str, tmp_path: Path) -> None:
    refuse = WITHOUT.replace("tensorflow", backend)
    command = f"from convert.cli import main\nsys.exit(main(['train', '--data', 'x', '--out', {str(tmp_path)!r}]))"
    done = python(backend, refuse + command)
    package = {"tensorflow": "'seld-edge[convert]'", "jax": "jax"}[backend]
    assert done.stderr == f"seld-convert: got no {backend}, wanted it: pip install {package}\n"
    assert done.returncode == 2

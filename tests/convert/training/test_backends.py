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
STEPS = """
import json, sys
from pathlib import Path

import keras, numpy as np

from convert.layers import blocks as layers
from convert.data.cache import FeatureCache
from convert.losses import focal_cross_entropy, set_localizer_loss
from convert.systems.batches import Sampling
from convert.systems.coloc.nets import build_classifier, build_encoder, build_localizer, build_trainable
from convert.systems.coloc.batches import batch_maker
from convert.systems.coloc.sizes import CrnnSizes
from convert.training.recipes import find_recipe
from convert.data.tracks import SLOTS, label_tracks
from convert.systems.recipe import TrainSettings
from convert.training.csv_log import read_log
from convert.training.task import TrainingTask
from convert.training.trainer import fit
from edge.scoring.annotations import Label
from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import StftSettings

assert keras.backend.backend() == sys.argv[1]
layers.RandomLookAhead.__init__.__defaults__ = (30, 1.0)  # nothing is cut
sizes = CrnnSizes(frames=30, bands=32, filters=(4, 4, 4), gru_units=4, dense_units=4, dropout=0.0)
rng = np.random.default_rng(0)
labels = [Label(frame, lane, lane, 3 * frame + 120 * lane, 10) for frame in range(100) for lane in range(frame % 3)]
cache = FeatureCache(
    maps=rng.normal(size=(500, 32, 7)).astype(np.float16),
    tracks=label_tracks(labels, 100, 2),
    first_labels=(0, 100),
    class_names=("hiss", "tone"),
    stft=StftSettings(),
    features=FeatureSettings("logmel_iv", 32),
    mean=np.zeros((32, 7), np.float32),
    deviation=np.ones((32, 7), np.float32),
)
losses = {}
for stage, net, loss in (
    ("localizer", build_localizer(sizes), set_localizer_loss(SLOTS, 0.5)),
    ("classifier", build_classifier(sizes, 2), focal_cross_entropy),
):
    model = build_trainable(build_encoder(sizes.labels, "encoder"), net)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:  # the others begin as constants
            variable.assign(0.3 * rng.normal(size=variable.shape))
    batch = batch_maker(stage, cache, Sampling(find_recipe("coloc-edge").augmentation, sizes.labels, 4, 0))
    settings = TrainSettings(steps=2, warmup_steps=1, checkpoint_steps=1, batch_size=4)
    fit(TrainingTask(model, loss, batch), settings, Path(sys.argv[2]), stage)
    losses[stage] = [float(row["loss"]) for row in read_log(Path(sys.argv[2]) / f"{stage}.csv")]
print(json.dumps(losses))
"""
ETRI_STEPS = """
import json, sys
from pathlib import Path

import keras, numpy as np

from convert.losses import EtriLosses, etri_loss
from convert.training.snapshots import load_snapshot, snapshot_path
from convert.systems.recipe import TrainSettings
from convert.training.csv_log import read_log
from convert.training.task import TrainingTask
from convert.training.trainer import fit

assert keras.backend.backend() == sys.argv[1]
rng = np.random.default_rng(0)
features = rng.normal(size=(4, 6, 5)).astype(np.float32)
active = (rng.random((4, 6, 3)) < 0.3).astype(np.float32)
angles = (rng.uniform(-1, 1, (4, 6, 6)) * np.tile(active, 2)).astype(np.float32)
targets = {"sad": active.max(axis=-1, keepdims=True), "sed": active, "doae": np.concatenate([angles, active], -1)}
plain = EtriLosses("bce", "bce", masked=False, doa="squared")
found = {}
for stage, target in targets.items():
    for name, choice in (("paper", EtriLosses()), ("all", EtriLosses(f_over="all")), ("plain", plain)):
        outputs, activation = (6, "tanh") if stage == "doae" else (target.shape[-1], "sigmoid")
        inputs = keras.Input((6, 5), name="features")
        net = keras.Model({"features": inputs}, keras.layers.Dense(outputs, activation)(inputs))
        net.set_weights([rng.normal(size=(5, outputs)), np.zeros(outputs)])
        settings = TrainSettings(
            steps=8, warmup_steps=0, learning_rate=0.1, checkpoint_steps=1, batch_size=4, optimizer="ranger", cycles=2
        )
        folder = Path(sys.argv[2]) / name
        task = TrainingTask(net, etri_loss(stage, choice), lambda step: ({"features": features}, target))
        fit(task, settings, folder, stage)
        sums = [float(np.abs(load_snapshot(snapshot_path(folder, stage, n))[0]).sum()) for n in (1, 2)]
        found[f"{stage} {name}"] = [float(row["loss"]) for row in read_log(folder / f"{stage}.csv")] + sums
print(json.dumps(found))
"""
COMMANDS = """
from convert.cli import main
from convert.losses import ColocLosses
from convert.systems.recipe import Recipe
from convert.training.recipes import RECIPES
from convert.data.augment import Augmentation
from convert.systems.coloc.sizes import CrnnSizes
from convert.systems.recipe import TrainSettings
from edge.frontend.maps import FeatureSettings

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
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | threads | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


@pytest.mark.slow
def test_backends_agree(tmp_path: Path) -> None:
    losses = {}
    for backend in ("tensorflow", "jax"):
        done = python(backend, STEPS, backend, tmp_path / backend)
        assert done.returncode == 0, done.stderr
        losses[backend] = json.loads(done.stdout.splitlines()[-1])
    for stage in ("localizer", "classifier"):
        first, second = losses["tensorflow"][stage]
        assert first != second
        assert losses["jax"][stage] == pytest.approx([first, second], rel=1e-4)


@pytest.mark.slow
def test_backends_agree_on_the_losses_of_etri_and_on_ranger(tmp_path: Path) -> None:
    found = {}
    for backend in ("tensorflow", "jax"):
        done = python(backend, ETRI_STEPS, backend, tmp_path / backend)
        assert done.returncode == 0, done.stderr
        found[backend] = json.loads(done.stdout.splitlines()[-1])
    assert len(found["jax"]) == 9
    for name, values in found["tensorflow"].items():
        assert values[0] > values[7] > 0, name  # it learns
        assert found["jax"][name] == pytest.approx(values, rel=1e-4, abs=2e-5), name


@pytest.mark.slow
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

"""Training on several devices: what they find is what one finds. Two devices are two parts of this processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from convert.training.devices import share_batches
from tests.paths import ROOT

PROGRAM = """
import json, sys
from pathlib import Path
import jax, keras, numpy as np
from convert.losses import soft_f_loss
from convert.systems.recipe import TrainSettings
from convert.training.csv_log import read_log
from convert.training.devices import share_batches
from convert.training.task import TrainingTask
from convert.training.trainer import fit

rng = np.random.default_rng(0)
batches = [({"x": rng.normal(size=(8, 5, 3)).astype("float32")}, (rng.random((8, 5, 2)) < 0.3).astype("float32"))
           for _ in range(6)]

def trained(name, *lengths):
    for steps in lengths:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((5, 3), name="x")
        x = keras.layers.BatchNormalization()(keras.layers.Dense(4)(inputs))
        net = keras.Model({"x": inputs}, keras.layers.Dense(2, "sigmoid")(x))
        settings = TrainSettings(
            steps=steps, warmup_steps=0, learning_rate=0.1, schedule="constant", checkpoint_steps=1, batch_size=8
        )
        score = lambda model: {"dev": float(np.mean(model.predict_on_batch(batches[0][0])))}
        fit(TrainingTask(net, soft_f_loss(), batches.__getitem__, score), settings, Path(sys.argv[1]), name)
    rows = read_log(Path(sys.argv[1]) / f"{name}.csv")
    devices = len(net.trainable_variables[0].value.sharding.device_set)
    return devices, [float(row["loss"]) for row in rows], [float(row["dev"]) for row in rows if row.get("dev")]

one = trained("one", 6)
assert share_batches([8]) == 2
print(json.dumps([one, trained("two", 3, 6)]))
try:
    share_batches([8, 7])
except ValueError as error:
    print(error)
"""


def test_two_devices_find_what_one_finds(tmp_path: Path) -> None:
    """The loss is no mean over chunks, and the net has a norm: both are those of the whole batch.

    The training on two goes on from a checkpoint in its middle.
    """
    settings = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, refused = done.stdout.splitlines()[-2:]
    (one, losses, scores), (two, shared_losses, shared_scores) = json.loads(found)
    assert (one, two) == (1, 2)
    assert len(losses) == 6 and losses[0] > losses[-1] and scores
    assert shared_losses == pytest.approx(losses, rel=1e-4)
    assert shared_scores[-1] == pytest.approx(scores[-1], rel=1e-4)
    assert refused == "data-parallel: got a batch of 7, wanted a multiple of 2, the devices"


def test_other_backends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(ValueError, match=r"^data-parallel: got backend tensorflow, wanted KERAS_BACKEND=jax$"):
        share_batches([8])

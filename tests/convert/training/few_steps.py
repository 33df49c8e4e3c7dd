"""Training steps of small nets -> their losses, to compare backends: `... few_steps DIR WHAT`.

Prints the backend and JSON: for a stage of coloc (localizer, classifier) the loss of both steps, or (etri) for stages
and losses of etri those of eight steps and the sums of the first weights of both snapshots.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np

from convert.data.cache import FeatureCache
from convert.data.tracks import SLOTS, label_tracks
from convert.layers import blocks
from convert.losses import EtriLosses, etri_loss, focal_cross_entropy, set_localizer_loss
from convert.systems.batches import Sampling
from convert.systems.coloc.batches import batch_maker
from convert.systems.coloc.nets import build_classifier, build_encoder, build_localizer, build_trainable
from convert.systems.coloc.sizes import CrnnSizes
from convert.systems.recipe import TrainSettings
from convert.training.csv_log import read_log
from convert.training.recipes import find_recipe
from convert.training.snapshots import load_snapshot, snapshot_path
from convert.training.task import TrainingTask
from convert.training.trainer import fit
from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import StftSettings
from edge.scoring.annotations import Label

PLAIN = EtriLosses("bce", "bce", masked=False, doa="squared")
ETRI_CHOICES = (  # each part of each loss once
    ("sad", "paper", EtriLosses()),
    ("sad", "plain", PLAIN),
    ("sed", "paper", EtriLosses()),
    ("sed", "all", EtriLosses(f_over="all")),
    ("sed", "plain", PLAIN),
    ("doae", "paper", EtriLosses()),
    ("doae", "plain", PLAIN),
)


def losses_of_coloc(chosen: str, folder: Path) -> dict[str, list[float]]:
    """Train a stage for two steps without anything random but the batches."""
    blocks.RandomLookAhead.__init__.__defaults__ = (30, 1.0)  # nothing is cut
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
        if stage != chosen:
            continue
        model = build_trainable(build_encoder(sizes.labels, "encoder"), net)
        for variable in model.trainable_variables:
            if len(variable.shape) > 1:  # the others begin as constants
                variable.assign(0.3 * rng.normal(size=variable.shape))
        batch = batch_maker(stage, cache, Sampling(find_recipe("coloc-edge").augmentation, sizes.labels, 4, 0))
        settings = TrainSettings(steps=2, warmup_steps=1, checkpoint_steps=1, batch_size=4)
        fit(TrainingTask(model, loss, batch), settings, folder, stage)
        losses[stage] = [float(row["loss"]) for row in read_log(folder / f"{stage}.csv")]
    return losses


def losses_of_etri(folder: Path) -> dict[str, list[float]]:
    """Train one layer for eight steps with each loss and the optimizer Ranger, in two cycles."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4, 6, 5)).astype(np.float32)
    active = (rng.random((4, 6, 3)) < 0.3).astype(np.float32)
    angles = (rng.uniform(-1, 1, (4, 6, 6)) * np.tile(active, 2)).astype(np.float32)
    targets = {"sad": active.max(axis=-1, keepdims=True), "sed": active, "doae": np.concatenate([angles, active], -1)}
    found = {}
    for stage, name, choice in ETRI_CHOICES:
        target = targets[stage]
        outputs, activation = (6, "tanh") if stage == "doae" else (target.shape[-1], "sigmoid")
        inputs = keras.Input((6, 5), name="features")
        net = keras.Model({"features": inputs}, keras.layers.Dense(outputs, activation)(inputs))
        net.set_weights([rng.normal(size=(5, outputs)), np.zeros(outputs)])
        settings = TrainSettings(
            steps=8, warmup_steps=0, learning_rate=0.1, checkpoint_steps=1, batch_size=4, optimizer="ranger", cycles=2
        )
        task = TrainingTask(net, etri_loss(stage, choice), lambda step, target=target: ({"features": features}, target))
        fit(task, settings, folder / name, stage)
        sums = [float(np.abs(load_snapshot(snapshot_path(folder / name, stage, n))[0]).sum()) for n in (1, 2)]
        found[f"{stage} {name}"] = [float(row["loss"]) for row in read_log(folder / name / f"{stage}.csv")] + sums
    return found


if __name__ == "__main__":
    folder, what = Path(sys.argv[1]), sys.argv[2]
    losses = losses_of_etri(folder) if what == "etri" else losses_of_coloc(what, folder)
    print(keras.backend.backend(), json.dumps(losses))

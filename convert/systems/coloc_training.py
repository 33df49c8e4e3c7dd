"""Trains the two stages of CoLoC (section 3: completely separately) and keeps their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras

from convert.datasets import FeatureCache
from convert.losses import focal_cross_entropy, set_localizer_loss
from convert.plots import CURVES, plot_curves
from convert.recipes import Recipe
from convert.systems.coloc import build_classifier, build_encoder, build_localizer, build_trainable
from convert.systems.coloc_batches import batch_maker
from convert.systems.coloc_dev import dev_score
from convert.tracks import SLOTS
from convert.train import fit

STAGES = ("localizer", "classifier")


def build_stage(stage: str, recipe: Recipe, classes: int, deployed: bool = False) -> tuple[keras.Model, keras.Model]:
    """Encoder and net of a stage, with random weights; `deployed` is the net's form for the converter."""
    encoder = build_encoder(recipe.sizes.labels, f"{stage}_encoder")
    if stage == "localizer":
        return encoder, build_localizer(recipe.sizes, deployed)
    return encoder, build_classifier(recipe.sizes, classes, deployed)


def train_stages(
    stages: Sequence[str],
    recipe: Recipe,
    cache: FeatureCache,
    folder: Path,
    start: Path | None = None,
    dev: FeatureCache | None = None,
    workers: int = 1,
) -> None:
    """Train, or go on training, and write `STAGE.weights.h5` and `STAGE_encoder.weights.h5` to `folder`.

    Without a checkpoint in `folder` the nets begin with the weights in the folder `start`, if one is given. With `dev`
    the logs and `curves.png` hold scores on it now and then. `workers` threads make batches.
    """
    for stage in stages:
        keras.utils.set_random_seed(recipe.training.seed)
        classes = len(cache.class_names)
        encoder, net = load_stage(stage, recipe, classes, start) if start else build_stage(stage, recipe, classes)
        loss = set_localizer_loss(SLOTS, recipe.pair_power) if stage == "localizer" else focal_cross_entropy
        seed = recipe.training.seed * len(STAGES) + STAGES.index(stage)
        fit(
            build_trainable(encoder, net),
            loss,
            batch_maker(stage, cache, recipe.augmentation, recipe.sizes.labels, recipe.training.batch_size, seed),
            replace(recipe.training, seed=seed),
            folder,
            stage,
            score=dev_score(stage, loss, recipe, dev) if dev else None,
            draw=partial(plot_curves, folder / CURVES, {name: folder / f"{name}.csv" for name in STAGES}),
            workers=workers,
        )
        encoder.save_weights(folder / f"{stage}_encoder.weights.h5")
        net.save_weights(folder / f"{stage}.weights.h5")


def load_stage(stage: str, recipe: Recipe, classes: int, folder: Path) -> tuple[keras.Model, keras.Model]:
    """Encoder and net as `train_stages` left them."""
    encoder, net = build_stage(stage, recipe, classes)
    for model in (encoder, net):
        path = folder / f"{model.name}.weights.h5"
        if not path.is_file():
            raise ValueError(f"{path}: got no such file, wanted weights that `seld-convert train` wrote")
        try:
            model.load_weights(path)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(f"{path}: not weights of this net: {' '.join(str(error).split())}") from None
    return encoder, net

"""Trains the stages of a system, one after the other and separately (CoLoC, section 3), and keeps their weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras

from convert.data.cache import FeatureCache
from convert.evaluation.plots import CURVES, plot_curves
from convert.systems import SYSTEMS
from convert.training.recipes import Recipe
from convert.training.trained import load_stage
from convert.training.trainer import fit
from convert.training.transfer import teach

log = logging.getLogger(__name__)


def train_stages(
    stages: Sequence[str],
    recipe: Recipe,
    cache: FeatureCache,
    folder: Path,
    start: Path | None = None,
    dev: FeatureCache | None = None,
    workers: int = 1,
    jobs: int = 1,
    teacher: Path | None = None,
) -> None:
    """Train, or go on training, and write `NET.weights.h5` of every net of each stage to `folder`.

    Without a checkpoint in `folder` the nets begin with the weights in the folder `start`, if one is given. With `dev`
    the logs and `curves.png` hold scores on it now and then. Nets without weights begin with the convolutions of the
    CoLoC in the folder `teacher`, if one is given, where they fit (`convert.training.transfer`). `workers` make batches
    (`convert.training.prefetch`), `jobs` processes what has to be computed before a stage.
    """
    system, classes = SYSTEMS[recipe.system], len(cache.class_names)

    def earlier(name: str) -> tuple[keras.Model, ...]:
        trained_here = (folder / f"{name}.weights.h5").is_file()
        return load_stage(name, recipe, classes, folder if trained_here or start is None else start)

    for stage in stages:
        keras.utils.set_random_seed(recipe.training.seed)
        nets = load_stage(stage, recipe, classes, start) if start else system.build(stage, recipe, classes)
        if teacher is not None and start is None:
            log.info("%s: %d convolutions of %s", stage, teach(stage, nets[-1], teacher), teacher)
        training = replace(recipe.training, seed=recipe.training.seed * len(system.STAGES) + system.STAGES.index(stage))
        lesson = system.lesson(stage, recipe, nets, cache, dev, training.seed, earlier, jobs)
        fit(
            lesson.model,
            lesson.loss,
            lesson.batch,
            training,
            folder,
            stage,
            score=lesson.score,
            draw=partial(plot_curves, folder / CURVES, {name: folder / f"{name}.csv" for name in system.STAGES}),
            workers=workers,
        )
        for net in nets:
            net.save_weights(folder / f"{net.name}.weights.h5")

"""Trains the stages of a system, one after the other and separately (CoLoC, section 3), and keeps their weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from convert.data.cache import FeatureCache
from convert.systems import find_system
from convert.systems.interface import KerasNets, TrainingData
from convert.systems.recipe import Recipe
from convert.training.schedule import in_steps
from convert.training.task import training_task
from convert.training.trainer import fit
from convert.training.warm_start import RANDOM_WEIGHTS, WarmStart
from convert.training.weights import freeze, load_stage, start_stage, teach, weights_path

log = logging.getLogger(__name__)


def train_stages(
    stages: Sequence[str],
    recipe: Recipe,
    cache: FeatureCache,
    folder: Path,
    *,
    dev: FeatureCache | None = None,
    warm_start: WarmStart = RANDOM_WEIGHTS,
    on_scores: Callable[[], object] | None = None,
    workers: int = 1,
    jobs: int = 1,
) -> None:
    """Train stages, or go on training them, and write `NET.weights.h5` of every net of each.

    Args:
        stages: Of the recipe's system, in their order.
        recipe: What is trained.
        cache: Training data.
        folder: The run: checkpoints, logs and weights. A stage goes on from its checkpoint, if there is one.
        dev: Development data; the logs then hold scores on it now and then.
        warm_start: What nets without a checkpoint begin with.
        on_scores: Called when the log of a stage has new scores.
        workers: Processes that make batches (`convert.training.prefetch`).
        jobs: Processes for what has to be computed before a stage.

    Raises:
        ValueError: Weights or a checkpoint do not fit, or a recording is shorter than a window.
    """
    system, classes = find_system(recipe.system), len(cache.class_names)

    def trained_nets(stage: str) -> KerasNets:
        trained_here = weights_path(folder, stage).is_file()
        return load_stage(stage, recipe, classes, folder if trained_here else warm_start.start or folder)

    lengths = np.diff(cache.first_labels).tolist()
    for stage in stages:
        settings = in_steps(recipe.training_of(stage), lengths, recipe.sizes.labels)
        keras.utils.set_random_seed(recipe.training.seed)
        nets = begin_stage(stage, recipe, classes, warm_start)
        seed = recipe.training.seed * len(system.stages) + system.stages.index(stage)
        data = TrainingData(replace(recipe, training=settings), cache, seed, trained_nets, jobs)
        task = training_task(system, stage, nets, data, dev)
        fit(task, replace(settings, seed=seed), folder, stage, on_scores, workers)
        for net in nets:
            net.save_weights(weights_path(folder, net.name))


def begin_stage(stage: str, recipe: Recipe, classes: int, warm_start: WarmStart) -> KerasNets:
    """The nets of a stage as training begins with them: random weights, or those of a warm start.

    Raises:
        ValueError: The weights of the warm start do not fit.
    """
    system = find_system(recipe.system)
    if warm_start.start is not None:
        return start_stage(stage, recipe, classes, warm_start.start)
    nets = system.build(stage, recipe, classes)
    if warm_start.pretrained is not None and stage in system.importers:
        system.importers[stage](nets[-1], recipe, warm_start.pretrained)
        frozen = recipe.training_of(stage).frozen
        freeze(nets[-1], frozen)
        log.info("%s: begins with %s, of which stay: %s", stage, warm_start.pretrained, ", ".join(frozen) or "none")
    elif warm_start.teacher is not None:
        count = teach(stage, nets[-1], warm_start.teacher)
        log.info("%s: begins with %d convolutions of %s", stage, count, warm_start.teacher)
    return nets

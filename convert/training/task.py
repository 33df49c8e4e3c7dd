"""A stage of a system and its data -> what `convert.training.trainer` trains: model, loss, batches, score."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras

from convert.data.cache import FeatureCache
from convert.losses import Loss
from convert.systems.batches import AS_RECORDED, BatchFunction
from convert.systems.interface import KerasNets, TrainableSystem, TrainingData
from convert.training.dev_score import DevScore, dev_score


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """One training: the model around the nets whose weights are wanted, and what it learns from."""

    model: keras.Model
    loss: Loss
    batch: BatchFunction
    score: DevScore | None = None  # on development data


def training_task(
    system: TrainableSystem, stage: str, nets: KerasNets, data: TrainingData, dev: FeatureCache | None = None
) -> TrainingTask:
    """Assemble the training of a stage.

    Args:
        system: What knows the stage.
        stage: One of its stages.
        nets: The nets of the stage, as `system.build` makes them; training changes their weights.
        data: What the batches are made of.
        dev: Development data, scored without augmentation. None: no scores.

    Raises:
        ValueError: A recording is shorter than a window, or the stage cannot make its batches.
    """
    recipe, classes = data.recipe, len(data.cache.class_names)
    loss = system.loss(stage, recipe, classes)
    score = None
    if dev is not None:
        as_recorded = replace(data, recipe=replace(recipe, augmentation=AS_RECORDED), cache=dev, seed=0)
        batches, scores = system.batches(stage, as_recorded), system.scores(stage, recipe, classes)
        score = dev_score(batches, recipe.training.batch_size, loss, scores)
    return TrainingTask(system.trainable(stage, recipe, nets), loss, system.batches(stage, data), score)

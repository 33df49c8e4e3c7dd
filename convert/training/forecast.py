"""A stage of a recipe -> what its training will take: parameters, memory, and the time of a step, measured here."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops

from convert.systems import find_system
from convert.systems.recipe import Recipe
from convert.training.trainer import make_optimizer

MEASURED_STEPS = 2  # after one that compiles
MEASURED_BATCH = 2  # on a processor, where a step takes about as long per chunk in any batch
VARIABLES_OF_OPTIMIZER = 3  # for each weight: two moments, and the moving average
BYTES = 4


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the training of a stage will take. As text, it is a line."""

    stage: str
    parameters: int
    steps: int
    batch_size: int
    step_s: float  # scaled to the whole batch
    memory_bytes: int  # of weights, gradients, optimizer and the outputs of all layers; nothing is computed again

    def __str__(self) -> str:
        return (
            f"{self.stage}: {self.parameters / 1e6:.2f} M parameters, {self.steps} steps of {self.batch_size}, "
            f"about {self.steps * self.step_s / 3600:.1f} h here ({self.step_s:.2f} s a step) and "
            f"{self.memory_bytes / 1e9:.1f} GB for nets and batch"
        )


def forecast(stage: str, recipe: Recipe, classes: int, accelerated: bool) -> Forecast:
    """Build a stage and take a few steps with zeros for features.

    The loss is the mean of the answers: that of the stage costs little beside the nets, and needs targets.

    Args:
        stage: One of the recipe's system.
        recipe: With the schedule of that stage, in steps.
        classes: Number of classes.
        accelerated: Whether there is an accelerator, on which the whole batch is measured.
    """
    system, training = find_system(recipe.system), recipe.training
    model = system.trainable(stage, recipe, system.build(stage, recipe, classes))
    model.compile(make_optimizer(replace(training, clip_norm=0.0)), lambda target, answer: ops.mean(answer))
    batch = training.batch_size if accelerated else min(training.batch_size, MEASURED_BATCH)
    inputs = {tensor.name: np.zeros((batch, *_filled(tensor.shape[1:])), np.float32) for tensor in model.inputs}
    target = np.zeros((batch, 1), np.float32)
    model.train_on_batch(inputs, target)
    began_s = time.monotonic()
    for _ in range(MEASURED_STEPS):
        model.train_on_batch(inputs, target)
    step_s = (time.monotonic() - began_s) / MEASURED_STEPS * training.batch_size / batch
    parameters = model.count_params()
    weights = (2 + VARIABLES_OF_OPTIMIZER) * parameters
    memory = BYTES * (weights + 2 * training.batch_size * _outputs(model))  # the outputs and their gradients
    return Forecast(stage, parameters, training.steps, training.batch_size, step_s, memory)


def _outputs(model: keras.Model) -> int:
    """Numbers in the outputs of all layers, for one chunk."""
    count = 0
    for operation in model.operations:
        if isinstance(operation, keras.Model):
            count += _outputs(operation)
        else:
            shapes = (tensor.shape[1:] for tensor in keras.tree.flatten(operation.output))
            count += sum(int(np.prod(_filled(shape))) for shape in shapes)
    return count


def _filled(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """A shape whose free axes have the length 1."""
    return tuple(size or 1 for size in shape)

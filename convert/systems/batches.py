"""Chunks of a feature cache -> training batches: augmentation, and what a stage makes of each chunk.

A batch is a pure function of the cache, the seed and the step number, so that a resumed training sees the same batches
as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from convert.data.augment import ALL_MAPS, Augmentation, augmented, check_sampling, sample
from convert.data.cache import Chunk, FeatureCache
from convert.systems.recipe import Recipe
from edge.types import FloatArray

AS_RECORDED = Augmentation(level_db=(0.0, 0.0), rotated_share=0.0, perturbation_deg=0.0)  # for development data
Example = Callable[[Chunk, np.random.Generator], tuple[dict[str, FloatArray], FloatArray]]
"""An augmented chunk -> inputs by name and the target, without the batch axis."""

Batch = tuple[dict[str, FloatArray], FloatArray]  # inputs by name (batch, ...), target (batch, ...)
BatchFunction = Callable[[int], Batch]  # step number -> the batch of that step


@dataclass(frozen=True, slots=True)
class Sampling:
    """How batches are drawn from a feature cache."""

    augmentation: Augmentation
    labels: int  # label frames of a chunk
    batch_size: int
    seed: int
    hop_labels: int = 0  # chunks begin at multiples of this in a recording; 0: anywhere
    exact_shares: bool = False  # of the recordings and of the chunks that are turned, in each batch; else by chance


def training_sampling(recipe: Recipe, seed: int) -> Sampling:
    """The sampling that a recipe asks for in training."""
    training = recipe.training
    return Sampling(
        recipe.augmentation,
        recipe.sizes.labels,
        training.batch_size,
        seed,
        training.hop_labels,
        training.exact_shares,
    )


def calibration_sampling(recipe: Recipe, count: int, seed: int) -> Sampling:
    """One batch of `count` chunks as a device may receive them: at any level and rotation, without masks or silence."""
    augmentation = replace(
        recipe.augmentation,
        silence_share=0.0,
        masked_frames=0,
        masked_bands=0,
        speed=(1.0, 1.0),
        shifted_bands=0,
        cropped_bands=0,
        chains=0,
    )
    return Sampling(augmentation, recipe.sizes.labels, count, seed)


def batches_of(example: Example, cache: FeatureCache, sampling: Sampling, maps: slice = ALL_MAPS) -> BatchFunction:
    """A function from the step number to the batch of that step.

    Args:
        example: What a stage makes of a chunk. To be pickled, it is a function of a module or a `partial` of one.
        cache: Where the chunks come from.
        sampling: How they are drawn.
        maps: Those of the cache's maps that the stage takes.

    Returns:
        The function. It can be called in any order, and be pickled if `example` can.

    Raises:
        ValueError: A recording of the cache is shorter than a chunk, or its maps cannot be stretched in time.
    """
    check_sampling(cache, sampling.labels, sampling.augmentation)
    return partial(_batch, example, cache, sampling, maps)


def _batch(example: Example, cache: FeatureCache, sampling: Sampling, maps: slice, step: int) -> Batch:
    rng = np.random.default_rng([sampling.seed, step])
    inputs: dict[str, FloatArray] = {}
    targets = np.empty(0, np.float32)
    for index, (place, augmentation) in enumerate(_drawn(sampling, rng)):
        chunk = sample(cache, sampling.labels, augmentation, rng, maps, sampling.hop_labels, place)
        values, target = example(augmented(chunk, cache, augmentation, rng, maps), rng)
        if not inputs:
            inputs = {name: np.empty((sampling.batch_size, *value.shape), np.float32) for name, value in values.items()}
            targets = np.empty((sampling.batch_size, *target.shape), np.float32)
        for name, value in values.items():
            inputs[name][index] = value
        targets[index] = target
    return inputs, targets


def _drawn(sampling: Sampling, rng: np.random.Generator) -> Iterator[tuple[float | None, Augmentation]]:
    """For each chunk of a batch, where its recording lies (`FeatureCache.sample`), and how it is varied.

    With exact shares, the chunks come from as many equal parts of the data as there are, one from each, in a random
    order; and of every 1 / `rotated_share` chunks the last one is turned.
    """
    size, usual = sampling.batch_size, sampling.augmentation
    if not sampling.exact_shares:
        yield from [(None, usual)] * size
        return
    for index, part in enumerate(rng.permutation(size)):
        due = math.floor((index + 1) * usual.rotated_share) > math.floor(index * usual.rotated_share)
        yield (part + rng.random()) / size, replace(usual, rotated_share=float(due))

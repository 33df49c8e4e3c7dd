"""What training, export and evaluation ask of a system: the trainable half of `edge.systems.System`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import keras

from convert.data.cache import FeatureCache
from convert.data.tracks import SLOTS
from convert.layers.blocks import fold_norms
from convert.losses import Loss
from convert.systems.batches import BatchFunction
from convert.systems.recipe import Recipe
from edge.nets.net import Net
from edge.systems.ensembles import net_of
from edge.types import FloatArray

KerasNets = tuple[keras.Model, ...]  # the nets of one stage
Scores = Callable[[FloatArray, FloatArray], dict[str, float]]  # targets, answers -> numbers for the log, by name
Examples = dict[str, list[dict[str, FloatArray]]]  # inputs of each net, without the batch axis


class BuildNets(Protocol):
    """The nets of a stage with random weights; each is kept under its own name, the last one under the stage's."""

    def __call__(self, stage: str, recipe: Recipe, classes: int, deployed: bool = False) -> KerasNets:
        """Build the nets for so many classes; `deployed` asks for the last one in its form for the converter."""
        ...


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What the batches of a stage are made of."""

    recipe: Recipe
    cache: FeatureCache
    seed: int  # of the batches
    trained_nets: Callable[[str], KerasNets]  # the trained nets of an earlier stage, by its name
    jobs: int = 1  # processes for what has to be computed before the first batch


def as_trained(recipe: Recipe, nets: Mapping[str, keras.Model]) -> dict[str, keras.Model]:
    """The nets of the bundle where the device runs the nets as they were trained."""
    return dict(nets)


def recipe_settings(recipe: Recipe, cache: FeatureCache) -> dict[str, Any]:
    """The settings of the bundle where they are those of the recipe."""
    return dict(recipe.device)


def usual_slots(recipe: Recipe) -> int:
    """Most events at one time in the labels, where the recipe does not say otherwise."""
    return SLOTS


def no_distances(recipe: Recipe) -> bool:
    """Leave the distances out of the labels."""
    return False


def windows_only(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The modes of a system that has one."""
    return {"window": {}}


def keep_weights(nets: KerasNets) -> None:
    """Leave random weights as they are."""


@dataclass(frozen=True, slots=True)
class TrainableSystem:
    """A system as it is trained and exported: its stages, and functions that know its nets, targets and losses."""

    stages: tuple[str, ...]  # what is trained, one after the other
    sizes: type  # the dataclass of `Recipe.sizes`
    losses: type  # the dataclass of `Recipe.losses`
    build: BuildNets
    trainable: Callable[[str, Recipe, KerasNets], keras.Model]  # stage, recipe, its nets -> the model that is trained
    loss: Callable[[str, Recipe, int], Loss]  # stage, recipe, classes -> its loss
    batches: Callable[[str, TrainingData], BatchFunction]  # stage, data -> its batches
    scores: Callable[[str, Recipe, int], Scores]  # stage, recipe, classes -> its scores on development data
    examples: Callable[[Recipe, FeatureCache, Mapping[str, Net], float, int], Examples]
    """Recipe, cache, every net of the bundle, share of the usual number, seed -> inputs of all nets as the device will
    feed them, from training data, for calibration and for checks."""
    net_settings: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    """Settings of a bundle or a recipe -> those that its nets are made for."""
    modes: Callable[[Mapping[str, Any]], Mapping[str, Mapping[str, Any]]] = windows_only
    """Settings of a bundle or a recipe -> by name, the modes that its nets are for, as settings of the device's system;
    the usual one first."""
    device_nets: Callable[[Recipe, Mapping[str, keras.Model]], dict[str, keras.Model]] = as_trained
    """Recipe, trained nets -> every net of the bundle, in Keras."""
    bundle_settings: Callable[[Recipe, FeatureCache], dict[str, Any]] = recipe_settings
    """Recipe, training data -> settings of the device's system for the bundle."""
    slots: Callable[[Recipe], int] = usual_slots
    """Recipe -> most events at one time in the labels that it learns from."""
    ensembles: bool = False  # whether the device averages the answers of several nets: see `edge.systems.ensembles`
    distances: Callable[[Recipe], bool] = no_distances
    """Recipe -> whether the stacked-tracks that it learns from have distances."""
    make_live: Callable[[KerasNets], None] = keep_weights
    """Change nets with random weights so that they find something everywhere: benchmarks then measure full load."""
    importers: Mapping[str, Callable[[keras.Model, Recipe, Path], None]] = field(default_factory=dict)
    """By stage: net, recipe, file -> the net begins with the weights of a checkpoint that others published."""

    def deployed_nets(self, recipe: Recipe, nets: Mapping[str, keras.Model], classes: int) -> dict[str, keras.Model]:
        """The nets of the bundle in their form for the converter: norms folded, recurrences unrolled, no dropout.

        Args:
            recipe: What the nets were built from.
            nets: Every net of the bundle, by name; those that carry no stage's name are in that form already. A stage
                may have several, its ensemble.
            classes: Number of classes.

        Returns:
            As many nets, under the same names.
        """
        deployed = dict(nets)
        for name in nets:
            if net_of(name) in self.stages:
                *_, deployed[name] = self.build(net_of(name), recipe, classes, deployed=True)
                fold_norms(nets[name], deployed[name])
        return deployed

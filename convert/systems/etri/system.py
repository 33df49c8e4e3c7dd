"""ETRI as it is trained and exported: its stages, their losses and batches, the nets for the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from convert.data.cache import FeatureCache
from convert.losses import EtriLosses, Loss, etri_loss
from convert.systems.batches import BatchFunction, training_sampling
from convert.systems.etri.batches import batch_maker
from convert.systems.etri.dev_scores import stage_scores
from convert.systems.etri.durations import median_lengths
from convert.systems.etri.examples import STAGES, examples
from convert.systems.etri.nets import build_doae, build_sad, build_sed, with_angles
from convert.systems.etri.sizes import EtriSizes
from convert.systems.interface import KerasNets, TrainableSystem, TrainingData
from convert.systems.recipe import Recipe
from edge.settings import build as build_settings
from edge.systems.etri.settings import EtriSettings

ALWAYS_ACTIVE = 20.0  # a logit


def build(stage: str, recipe: Recipe, classes: int, deployed: bool = False) -> KerasNets:
    """The net of a stage, with random weights; `deployed` is its form for the converter."""
    if stage == "sad":
        return (build_sad(recipe.sizes, deployed),)
    return ((build_sed if stage == "sed" else build_doae)(recipe.sizes, classes, deployed),)


def trainable(stage: str, recipe: Recipe, nets: KerasNets) -> keras.Model:
    """The net of a stage with one output; a DOAE with masks is trained on the angles that follow from them."""
    (net,) = nets
    if "masks" in net.output:
        return with_angles(net, recipe.sizes)
    return keras.Model(net.inputs, net.output["output"], name=stage)


def loss(stage: str, recipe: Recipe, classes: int) -> Loss:
    """The loss of a stage (section 4)."""
    return etri_loss(stage, recipe.losses)


def batches(stage: str, data: TrainingData) -> BatchFunction:
    """Batches of a stage by step number. Raises ValueError if a recording is shorter than a window."""
    return batch_maker(stage, data.cache, training_sampling(data.recipe, data.seed))


def net_settings(settings: Mapping[str, Any]) -> dict[str, int]:
    """Of the settings of a bundle or a recipe, those that its nets are made for."""
    return {"window_labels": build_settings(EtriSettings, settings, "settings").window_labels}


def bundle_settings(recipe: Recipe, cache: FeatureCache) -> dict[str, Any]:
    """The settings of the recipe, and median filters by the mean duration of events in training data (section 5)."""
    sad_labels, sed_labels = median_lengths(cache)
    return {"sad_median_labels": sad_labels, "sed_median_labels": sed_labels, **recipe.device}


def make_live(nets: KerasNets) -> None:
    """Have SAD and SED find every class in every frame."""
    (net,) = nets
    if net.name != "doae":
        kernel, bias = net.get_layer("dense").get_weights()
        net.get_layer("dense").set_weights([kernel, np.full_like(bias, ALWAYS_ACTIVE)])


ETRI = TrainableSystem(
    stages=STAGES,
    sizes=EtriSizes,
    losses=EtriLosses,
    build=build,
    trainable=trainable,
    loss=loss,
    batches=batches,
    scores=stage_scores,
    examples=examples,
    net_settings=net_settings,
    bundle_settings=bundle_settings,
    ensembles=True,
    make_live=make_live,
)

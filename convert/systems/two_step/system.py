"""Two-step as it is trained and exported: its stages, their losses and batches, the nets for the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from convert.losses import Loss, TwoStepLosses
from convert.systems.batches import BatchFunction, training_sampling
from convert.systems.interface import KerasNets, TrainableSystem, TrainingData
from convert.systems.recipe import Recipe
from convert.systems.two_step.atst import import_checkpoint
from convert.systems.two_step.batches import batch_maker, fusion_batch_maker
from convert.systems.two_step.dev_scores import stage_scores
from convert.systems.two_step.doa_net import build_doa
from convert.systems.two_step.examples import STEP_1, examples
from convert.systems.two_step.fusion_net import MULTI_ACCDOA_TRACKS, build_fusion
from convert.systems.two_step.permutation import adpit, pit_bce, pit_mse
from convert.systems.two_step.sed_net import build_sed
from convert.systems.two_step.sizes import TwoStepSizes
from convert.systems.two_step.windows import fusion_inputs, fusion_windows
from edge.settings import build as build_settings
from edge.systems.two_step.accdoa import AXES
from edge.systems.two_step.settings import TwoStepSettings
from edge.types import FloatArray

LIVE_LENGTH = 2.0  # of directions, before tanh
LIVE_ACTIVITY = 4.0  # a logit


def build(stage: str, recipe: Recipe, classes: int, deployed: bool = False) -> KerasNets:
    """The net of a stage, with random weights; `deployed` is its form for the converter."""
    if stage == "doa":
        return (build_doa(recipe.sizes, deployed),)
    return ((build_sed if stage == "sed" else build_fusion)(recipe.sizes, classes, deployed),)


def trainable(stage: str, recipe: Recipe, nets: KerasNets) -> keras.Model:
    """The net of a stage without its features for the next step."""
    (net,) = nets
    return keras.Model(net.inputs, net.output["output"], name=stage)


def loss(stage: str, recipe: Recipe, classes: int) -> Loss:
    """The loss of a stage (section 3.1): PIT in step 1, ADPIT in step 2."""
    sizes, by_frame = recipe.sizes, recipe.losses.by_frame
    if stage == "doa":
        return pit_mse(sizes.tracks, by_frame)
    return pit_bce(sizes.sed_tracks, by_frame) if stage == "sed" else adpit(classes)


def batches(stage: str, data: TrainingData) -> BatchFunction:
    """Batches of a stage by step number; those of step 2 come from the windows of step 1.

    Raises:
        ValueError: A recording is shorter than a window, or windows have to be made and the recordings are not at hand.
    """
    sampling, sizes = training_sampling(data.recipe, data.seed), data.recipe.sizes
    if stage in STEP_1:
        return batch_maker(stage, data.cache, sampling, sizes.sed_tracks if stage == "sed" else sizes.tracks)
    trained = {name: net for name in STEP_1 for net in data.trained_nets(name)}
    windows = fusion_windows(data.recipe, trained, data.cache, data.jobs)
    return fusion_batch_maker(windows, data.cache, sampling, fusion_inputs(data.recipe))


def net_settings(settings: Mapping[str, Any]) -> dict[str, int]:
    """Of the settings of a bundle or a recipe, those that its nets are made for."""
    return {"window_labels": build_settings(TwoStepSettings, settings, "settings").window_labels}


def make_live(nets: KerasNets) -> None:
    """Have all tracks find a direction, and the first class found in three places."""
    (net,) = nets
    if net.name == "doa":
        _set_bias(net, "output", _all_from_the_front)
    elif net.name == "fusion":
        names = [layer.name for layer in net.layers]
        _set_bias(net, "direction" if "direction" in names else "output", _first_class_on_each_axis)
        if "active" in names:
            _set_bias(net, "active", lambda bias: np.full_like(bias, LIVE_ACTIVITY))


def _all_from_the_front(bias: FloatArray) -> FloatArray:
    """Directions (3 K): each track along x."""
    return np.tile(np.array([LIVE_LENGTH, 0.0, 0.0], np.float32), len(bias) // AXES)


def _first_class_on_each_axis(bias: FloatArray) -> FloatArray:
    """Multi-ACCDOA (9 C): the first class along each axis, in one track each."""
    bias = np.zeros_like(bias).reshape(MULTI_ACCDOA_TRACKS, AXES, -1)
    bias[:, :, 0] = LIVE_LENGTH * np.eye(MULTI_ACCDOA_TRACKS, dtype=np.float32)
    return bias.reshape(-1)


def _set_bias(net: keras.Model, name: str, change: Callable[[FloatArray], FloatArray]) -> None:
    kernel, bias = net.get_layer(name).get_weights()
    net.get_layer(name).set_weights([kernel, change(bias)])


TWO_STEP = TrainableSystem(
    stages=(*STEP_1, "fusion"),
    sizes=TwoStepSizes,
    losses=TwoStepLosses,
    build=build,
    trainable=trainable,
    loss=loss,
    batches=batches,
    scores=stage_scores,
    examples=examples,
    net_settings=net_settings,
    slots=lambda recipe: recipe.sizes.slots,
    make_live=make_live,
    importers={"sed": import_checkpoint},
)

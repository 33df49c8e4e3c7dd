"""ETRI as it is trained and exported: its stages, their lessons, the nets for the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from convert.layers.blocks import fold_norms
from convert.losses import etri_loss
from convert.systems.etri.batches import batch_maker
from convert.systems.etri.dev import dev_score
from convert.systems.etri.durations import median_lengths
from convert.systems.etri.nets import build_doae, build_sad, build_sed, with_angles
from convert.training.lesson import Lesson
from edge.nets.net import Net
from edge.settings import build as build_settings
from edge.systems.etri.settings import EtriSettings
from edge.types import FloatArray

if TYPE_CHECKING:
    from convert.data.cache import FeatureCache
    from convert.training.recipes import Recipe
    from convert.training.run import Run

STAGES = ("sad", "sed", "doae")
MODES: dict[str, dict[str, Any]] = {"window": {}}
CALIBRATION_WINDOWS = 200


def build(stage: str, recipe: Recipe, classes: int, deployed: bool = False) -> tuple[keras.Model, ...]:
    """The net of a stage, with random weights; `deployed` is its form for the converter."""
    if stage == "sad":
        return (build_sad(recipe.sizes, deployed),)
    return ((build_sed if stage == "sed" else build_doae)(recipe.sizes, classes, deployed),)


def lesson(
    stage: str,
    recipe: Recipe,
    nets: tuple[keras.Model, ...],
    cache: FeatureCache,
    dev: FeatureCache | None,
    seed: int,
    earlier: object = None,
    jobs: int = 1,
) -> Lesson:
    """Targets of the stage, and its loss (section 4)."""
    (net,) = nets
    loss = etri_loss(stage, recipe.losses)
    if "masks" in net.output:
        model = with_angles(net, recipe.sizes)
    else:
        model = keras.Model(net.inputs, net.output["output"], name=stage)
    return Lesson(
        model,
        loss,
        batch_maker(stage, cache, recipe.augmentation, recipe.sizes.labels, recipe.training.batch_size, seed),
        dev_score(stage, loss, recipe, dev) if dev else None,
    )


def net_settings(settings: Mapping[str, Any]) -> dict[str, int]:
    """Of the settings of a bundle or a recipe, those that its nets are made for."""
    return {"window_labels": build_settings(EtriSettings, settings, "settings").window_labels}


def bundle_settings(recipe: Recipe, cache: FeatureCache) -> dict[str, Any]:
    """Those of the recipe, and median filters by the mean duration of what was heard (section 5)."""
    sad_labels, sed_labels = median_lengths(cache)
    return {"sad_median_labels": sad_labels, "sed_median_labels": sed_labels, **recipe.device}


def device_nets(recipe: Recipe, nets: Mapping[str, keras.Model]) -> dict[str, keras.Model]:
    """The device asks them as they were trained."""
    return dict(nets)


def deployed_nets(recipe: Recipe, nets: Mapping[str, keras.Model], classes: int) -> dict[str, keras.Model]:
    """With their norms folded."""
    deployed = {}
    for stage in STAGES:
        (deployed[stage],) = build(stage, recipe, classes, deployed=True)
        fold_norms(nets[stage], deployed[stage])
    return deployed


def examples(run: Run, nets: Mapping[str, Net], share: float, seed: int) -> dict[str, list[dict[str, FloatArray]]]:
    """Windows of training scenes, as the device will feed them: whole, at any level."""
    recipe = run.recipe
    quiet = replace(recipe.augmentation, silence_share=0.0, masked_frames=0, masked_bands=0, speed=(1.0, 1.0))
    count = max(1, round(share * CALIBRATION_WINDOWS))
    result = {}
    for stage in STAGES:
        inputs, _ = batch_maker(stage, run.cache, quiet, recipe.sizes.labels, count, seed)(0)
        result[stage] = [{"features": maps} for maps in inputs["features"]]
    return result


def make_live(nets: tuple[keras.Model, ...]) -> None:
    """Something always sounds, and it is of every class."""
    (net,) = nets
    if net.name != "doae":
        kernel, bias = net.get_layer("dense").get_weights()
        net.get_layer("dense").set_weights([kernel, np.full_like(bias, 20.0)])

"""Two-step as it is trained and exported: its stages, their lessons, the nets for the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from convert.layers.blocks import fold_norms
from convert.losses import Loss
from convert.systems.two_step.batches import AS_RECORDED, batch_maker, fusion_batch_maker
from convert.systems.two_step.dev import stage_scores
from convert.systems.two_step.doa_net import build_doa
from convert.systems.two_step.fusion_net import MULTI_ACCDOA_TRACKS, build_fusion
from convert.systems.two_step.permutation import adpit, pit_bce, pit_mse
from convert.systems.two_step.sed_net import build_sed
from convert.systems.two_step.windows import INPUTS, fusion_windows, load_windows
from convert.training.dev import scorer
from convert.training.lesson import Lesson
from edge.nets.net import Net
from edge.settings import build as build_settings
from edge.systems.two_step.accdoa import AXES
from edge.systems.two_step.settings import TwoStepSettings
from edge.types import FloatArray

if TYPE_CHECKING:
    from convert.data.cache import FeatureCache
    from convert.training.recipes import Recipe
    from convert.training.run import Run

STEP_1 = ("doa", "sed")
STAGES = (*STEP_1, "fusion")
MODES: dict[str, dict[str, Any]] = {"window": {}}
CALIBRATION_WINDOWS = 200


def build(stage: str, recipe: Recipe, classes: int, deployed: bool = False) -> tuple[keras.Model, ...]:
    """The net of a stage, with random weights; `deployed` is its form for the converter."""
    if stage == "doa":
        return (build_doa(recipe.sizes, deployed),)
    return ((build_sed if stage == "sed" else build_fusion)(recipe.sizes, classes, deployed),)


def lesson(
    stage: str,
    recipe: Recipe,
    nets: tuple[keras.Model, ...],
    cache: FeatureCache,
    dev: FeatureCache | None,
    seed: int,
    earlier: Callable[[str], tuple[keras.Model, ...]],
    jobs: int = 1,
) -> Lesson:
    """Targets of the stage, and its loss (section 3.1). Step 2 leaves the nets of step 1 as they are."""
    (net,) = nets
    classes = len(cache.class_names)
    loss = _loss(stage, recipe, classes)
    batches = partial(_batches, stage, recipe, earlier=earlier, jobs=jobs)
    size, tracks = recipe.training.batch_size, recipe.sizes.sed_tracks if stage == "sed" else recipe.sizes.tracks
    score = None
    if dev is not None:
        scores = stage_scores(stage, tracks, classes)
        score = scorer(batches(dev, seed=0, varied=False), size, loss, scores)
    model = keras.Model(net.inputs, net.output["output"], name=stage)
    return Lesson(model, loss, batches(cache, seed=seed, varied=True), score)


def net_settings(settings: Mapping[str, Any]) -> dict[str, int]:
    """Of the settings of a bundle or a recipe, those that its nets are made for."""
    return {"window_labels": build_settings(TwoStepSettings, settings, "settings").window_labels}


def bundle_settings(recipe: Recipe, cache: FeatureCache) -> dict[str, Any]:
    """Those of the recipe."""
    return dict(recipe.device)


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
    recipe, count = run.recipe, max(1, round(share * CALIBRATION_WINDOWS))
    quiet = replace(recipe.augmentation, silence_share=0.0, masked_frames=0, masked_bands=0)
    sizes = recipe.sizes
    result = {}
    for stage in STEP_1:
        inputs, _ = batch_maker(stage, run.cache, quiet, sizes.labels, sizes.tracks, count, seed)(0)
        result[stage] = [{"features": maps} for maps in inputs["features"]]
    result["fusion"] = _fusion_examples(run, nets, result, seed)
    return result


def make_live(nets: tuple[keras.Model, ...]) -> None:
    """All tracks are there, and the first class sounds in three places."""
    (net,) = nets
    if net.name == "doa":
        _set_bias(net, "output", lambda bias: np.tile(np.array([2.0, 0.0, 0.0], np.float32), len(bias) // AXES))
    elif net.name == "fusion":
        names = [layer.name for layer in net.layers]
        _set_bias(net, "direction" if "direction" in names else "output", _first_class_around)
        if "active" in names:
            _set_bias(net, "active", lambda bias: np.full_like(bias, 4.0))


def _first_class_around(bias: FloatArray) -> FloatArray:
    """Of multi-ACCDOA (9 C): the first class along each axis, in one track each."""
    bias = np.zeros_like(bias).reshape(MULTI_ACCDOA_TRACKS, AXES, -1)
    bias[:, :, 0] = 2.0 * np.eye(MULTI_ACCDOA_TRACKS, dtype=np.float32)
    return bias.reshape(-1)


def _set_bias(net: keras.Model, name: str, change: Callable[[FloatArray], FloatArray]) -> None:
    kernel, bias = net.get_layer(name).get_weights()
    net.get_layer(name).set_weights([kernel, change(bias)])


def _loss(stage: str, recipe: Recipe, classes: int) -> Loss:
    sizes, by_frame = recipe.sizes, recipe.losses.by_frame
    if stage == "doa":
        return pit_mse(sizes.tracks, by_frame)
    return pit_bce(sizes.sed_tracks, by_frame) if stage == "sed" else adpit(classes)


def _batches(
    stage: str,
    recipe: Recipe,
    cache: FeatureCache,
    seed: int,
    earlier: Callable[[str], tuple[keras.Model, ...]],
    varied: bool,
    jobs: int,
) -> Callable[[int], tuple[dict[str, FloatArray], FloatArray]]:
    augmentation = recipe.augmentation if varied else AS_RECORDED
    sizes, size = recipe.sizes, recipe.training.batch_size
    if stage in STEP_1:
        tracks = sizes.sed_tracks if stage == "sed" else sizes.tracks
        return batch_maker(stage, cache, augmentation, sizes.labels, tracks, size, seed)
    trained = {name: net for name in STEP_1 for net in earlier(name)}
    windows = fusion_windows(recipe, trained, cache, augmentation, jobs)
    return fusion_batch_maker(windows, cache, augmentation, size, _inputs(recipe), seed)


def _inputs(recipe: Recipe) -> tuple[str, ...]:
    """Of the fusion net."""
    return tuple(name for name in INPUTS if getattr(recipe.sizes, f"fuse_{name}", True))


def _fusion_examples(
    run: Run, nets: Mapping[str, Net], asked: Mapping[str, list[dict[str, FloatArray]]], seed: int
) -> list[dict[str, FloatArray]]:
    """Windows of the training of the fusion net; without any, what nets of random weights make of random features."""
    if run.cache.folder is not None:
        windows = load_windows(run.recipe, run.cache.folder)
        count = len(asked["doa"])
        quiet = replace(AS_RECORDED)
        inputs, _ = fusion_batch_maker(windows, run.cache, quiet, count, _inputs(run.recipe), seed)(0)
        return [{name: values[number] for name, values in inputs.items()} for number in range(count)]
    made = []
    for doa, sed in zip(asked["doa"], asked["sed"], strict=True):
        level = doa["features"][..., :1]
        given = {
            "features": doa["features"],
            "beams": np.repeat(level, run.recipe.sizes.tracks, axis=-1),
            "doa": nets["doa"](features=doa["features"])["hidden"],
            "sed": nets["sed"](features=sed["features"])["hidden"],
        }
        made.append({name: given[name] for name in _inputs(run.recipe)})
    return made

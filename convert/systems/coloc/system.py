"""CoLoC as it is trained and exported: its stages, their lessons, the nets for the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from convert.data.tracks import SLOTS
from convert.layers.blocks import fold_norms
from convert.losses import focal_cross_entropy, set_localizer_loss
from convert.systems.coloc.batches import batch_maker
from convert.systems.coloc.dev import dev_score
from convert.systems.coloc.examples import examples as examples
from convert.systems.coloc.nets import build_classifier, build_encoder, build_localizer, build_trainable
from convert.systems.coloc.step_nets import build_steps
from convert.training.lesson import Lesson
from edge.settings import build as build_settings
from edge.systems.coloc.settings import MODES as _MODES
from edge.systems.coloc.settings import ColocSettings

if TYPE_CHECKING:
    from convert.data.cache import FeatureCache
    from convert.training.recipes import Recipe

STAGES = ("localizer", "classifier")
MODES = {mode: {"mode": mode} for mode in _MODES}


def build(stage: str, recipe: Recipe, classes: int, deployed: bool = False) -> tuple[keras.Model, ...]:
    """Encoder and net of a stage, with random weights; `deployed` is the net's form for the converter."""
    encoder = build_encoder(recipe.sizes.labels, f"{stage}_encoder")
    if stage == "localizer":
        return encoder, build_localizer(recipe.sizes, deployed)
    return encoder, build_classifier(recipe.sizes, classes, deployed)


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
    """Conditions and targets of the stage, and its loss (section 3)."""
    loss = set_localizer_loss(SLOTS, recipe.losses.pair_power) if stage == "localizer" else focal_cross_entropy
    return Lesson(
        build_trainable(*nets),
        loss,
        batch_maker(stage, cache, recipe.augmentation, recipe.sizes.labels, recipe.training.batch_size, seed),
        dev_score(stage, loss, recipe, dev) if dev else None,
    )


def net_settings(settings: Mapping[str, Any]) -> dict[str, int]:
    """Of the settings of a bundle or a recipe, those that its nets are made for."""
    built = build_settings(ColocSettings, settings, "settings")
    return {"window_labels": built.window_labels, "look_ahead_labels": built.look_ahead_labels}


def device_nets(recipe: Recipe, nets: Mapping[str, keras.Model]) -> dict[str, keras.Model]:
    """Those for windows as they were trained, and the step nets cut from them."""
    look_ahead = net_settings(recipe.device)["look_ahead_labels"]
    result: dict[str, keras.Model] = {}
    for stage in STAGES:
        encoder = f"{stage}_encoder"
        result |= {encoder: nets[encoder], stage: nets[stage]}
        result |= build_steps(recipe.sizes, nets[stage], look_ahead)
    return result


def deployed_nets(recipe: Recipe, nets: Mapping[str, keras.Model], classes: int) -> dict[str, keras.Model]:
    """Nets for windows get their norms folded; step nets are in that form already."""
    deployed = dict(nets)
    for stage in STAGES:
        _, deployed[stage] = build(stage, recipe, classes, deployed=True)
        fold_norms(nets[stage], deployed[stage])
    return deployed


def make_live(nets: tuple[keras.Model, ...]) -> None:
    """A localizer always names something."""
    _, net = nets
    if net.name == "localizer":
        kernel, _ = net.get_layer("output").get_weights()
        net.get_layer("output").set_weights([kernel, np.array([1.5, 0.0, 0.0])])


def bundle_settings(recipe: Recipe, cache: FeatureCache) -> dict[str, Any]:
    """Those of the recipe."""
    return dict(recipe.device)

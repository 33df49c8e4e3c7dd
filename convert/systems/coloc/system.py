"""CoLoC as it is trained and exported: its stages, their losses and batches, the nets for the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from convert.data.tracks import SLOTS
from convert.losses import ColocLosses, Loss, focal_cross_entropy, set_localizer_loss
from convert.systems.batches import BatchFunction, training_sampling
from convert.systems.coloc.batches import batch_maker
from convert.systems.coloc.causal_nets import build_causal_crnn
from convert.systems.coloc.causal_step_nets import build_causal_steps
from convert.systems.coloc.dev_scores import stage_scores
from convert.systems.coloc.distance import classifier_loss, distance_scores
from convert.systems.coloc.examples import STAGES, device_settings, examples
from convert.systems.coloc.nets import build_classifier, build_encoder, build_localizer, build_trainable
from convert.systems.coloc.sizes import CrnnSizes
from convert.systems.coloc.step_nets import build_steps
from convert.systems.interface import KerasNets, Scores, TrainableSystem, TrainingData
from convert.systems.recipe import Recipe
from edge.settings import build as build_settings
from edge.systems.coloc.settings import ColocSettings


def build(stage: str, recipe: Recipe, classes: int, deployed: bool = False) -> KerasNets:
    """The encoder and the net of a stage, with random weights; `deployed` is the net's form for the converter."""
    encoder, settings = build_encoder(recipe.sizes.labels, f"{stage}_encoder"), device_settings(recipe)
    distance = stage == "classifier" and settings.distance
    if settings.causal:
        outputs, activation = (3, "tanh") if stage == "localizer" else (classes + 1, "softmax")
        ahead = settings.look_ahead_labels
        return encoder, build_causal_crnn(recipe.sizes, ahead, outputs, activation, stage, deployed, distance)
    if stage == "localizer":
        return encoder, build_localizer(recipe.sizes, deployed)
    return encoder, build_classifier(recipe.sizes, classes, deployed, distance)


def trainable(stage: str, recipe: Recipe, nets: KerasNets) -> keras.Model:
    """Encoder and net of a stage as one model."""
    return build_trainable(*nets)


def loss(stage: str, recipe: Recipe, classes: int) -> Loss:
    """The loss of a stage (sections 3.1 and 3.2)."""
    if stage == "classifier":
        return classifier_loss(recipe.losses.distance_weight) if distances(recipe) else focal_cross_entropy
    return set_localizer_loss(SLOTS, recipe.losses.pair_power, recipe.losses.fixed_pairs)


def scores(stage: str, recipe: Recipe, classes: int) -> Scores:
    """The scores of a stage on development data."""
    if stage == "classifier" and distances(recipe):
        return distance_scores
    return stage_scores(stage, recipe, classes)


def distances(recipe: Recipe) -> bool:
    """Whether the classifier learns distances."""
    return device_settings(recipe).distance


def batches(stage: str, data: TrainingData) -> BatchFunction:
    """Batches of a stage by step number. Raises ValueError if a recording is shorter than a window."""
    sampling = training_sampling(data.recipe, data.seed)
    return batch_maker(stage, data.cache, sampling, data.recipe.losses.most_known)


def net_settings(settings: Mapping[str, Any]) -> dict[str, int]:
    """Of the settings of a bundle or a recipe, those that its nets are made for."""
    built = build_settings(ColocSettings, settings, "settings")
    optional = {name: True for name in ("causal", "distance") if getattr(built, name)}
    return {"window_labels": built.window_labels, "look_ahead_labels": built.look_ahead_labels, **optional}


def modes(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Both modes; causal nets have no other than "streaming", as a window would answer the same, later.

    Directions are perturbed in windows alone.
    """
    built = build_settings(ColocSettings, settings, "settings")
    unperturbed = {"perturbation_deg": 0.0} if built.perturbation_deg else {}
    streaming: dict[str, dict[str, Any]] = {"streaming": {"mode": "streaming", **unperturbed}}
    return streaming if built.causal else {**streaming, "window": {"mode": "window"}}


def device_nets(recipe: Recipe, nets: Mapping[str, keras.Model]) -> dict[str, keras.Model]:
    """The nets for windows as they were trained, unless they are causal, and the step nets cut from them."""
    settings = device_settings(recipe)
    result: dict[str, keras.Model] = {}
    for stage in STAGES:
        encoder = f"{stage}_encoder"
        result[encoder] = nets[encoder]
        if settings.causal:
            result |= build_causal_steps(recipe.sizes, nets[stage])
        else:
            result[stage] = nets[stage]
            result |= build_steps(recipe.sizes, nets[stage], settings.look_ahead_labels)
    return result


def make_live(nets: KerasNets) -> None:
    """Have a localizer name an event in every frame."""
    *_, net = nets
    if net.name == "localizer":
        kernel, _ = net.get_layer("output").get_weights()
        net.get_layer("output").set_weights([kernel, np.array([1.5, 0.0, 0.0])])


COLOC = TrainableSystem(
    stages=STAGES,
    sizes=CrnnSizes,
    losses=ColocLosses,
    build=build,
    trainable=trainable,
    loss=loss,
    batches=batches,
    scores=scores,
    examples=examples,
    net_settings=net_settings,
    modes=modes,
    device_nets=device_nets,
    distances=distances,
    make_live=make_live,
)

"""A recipe and its training data -> inputs of CoLoC's nets as the device will feed them, for calibration and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from convert.data.augment import Augmentation, augmented
from convert.data.cache import FeatureCache
from convert.data.tracks import SLOTS
from convert.systems.batches import calibration_sampling
from convert.systems.coloc.batches import batch_maker
from convert.systems.interface import Examples
from convert.systems.recipe import Recipe
from convert.systems.recording_net import RecordingNet
from edge.frontend.maps import FeatureExtractor
from edge.nets.net import Net
from edge.settings import build
from edge.stage_clock import StageClock
from edge.systems.coloc.build import nets_and_loop
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.window import ColocWindow
from edge.systems.label_stepper import LabelStepper

STAGES = ("localizer", "classifier")
CALIBRATION_WINDOWS, CALIBRATION_STEPS = 150, 400
STREAMED_SCENES, STREAMED_LABELS = 12, 150


def examples(recipe: Recipe, cache: FeatureCache, nets: Mapping[str, Net], share: float, seed: int) -> Examples:
    """Inputs of the step nets and, where there are any, of the nets for windows.

    There are `share` of as many as calibration takes.
    """
    windows, steps = (max(1, round(share * count)) for count in (CALIBRATION_WINDOWS, CALIBRATION_STEPS))
    found = step_examples(recipe, cache, nets, steps, seed) | window_examples(recipe, cache, nets, windows, seed)
    return {name: inputs for name, inputs in found.items() if name in nets}


def window_examples(recipe: Recipe, cache: FeatureCache, nets: Mapping[str, Net], count: int, seed: int) -> Examples:
    """Inputs of the nets for windows as the device will feed them: by net, `count` of them each.

    The conditions come from the data: none, one or two known directions, embedded by the trained encoders.

    Args:
        recipe: That of the nets.
        cache: Training scenes.
        nets: Every net of the bundle; the encoders are run.
        count: Windows per net.
        seed: What the windows are drawn by.
    """
    result: Examples = {}
    for stage in STAGES:
        inputs, _ = batch_maker(stage, cache, calibration_sampling(recipe, count, seed))(0)
        encode = nets[f"{stage}_encoder"]
        directions, embedded = [], []
        for window, weights in zip(inputs["directions"], inputs["weights"], strict=True):
            slots = [np.ascontiguousarray(window[:, slot]) for slot in range(window.shape[1])]
            embedding = np.zeros_like(encode(direction=slots[0])["embedding"])
            for index, slot in enumerate(slots):
                embedding += encode(direction=slot)["embedding"] * weights[:, [index]]
            directions.append({"direction": slots[0]})
            embedded.append(embedding)
        result[f"{stage}_encoder"] = directions
        result[stage] = [
            {"features": maps, "embedding": embedding}
            for maps, embedding in zip(inputs["features"], embedded, strict=True)
        ]
    return result


def step_examples(recipe: Recipe, cache: FeatureCache, nets: Mapping[str, Net], count: int, seed: int) -> Examples:
    """Inputs of the step nets, states among them, as the device's own loop feeds them on training scenes.

    All slots of the condition may be in use. Where a localizer that was trained for a few steps names no event, its
    directions are taken however short they are.

    Args:
        recipe: That of the nets.
        cache: Training scenes.
        nets: The step nets, which the loop runs.
        count: Examples per net at most, taken evenly from `STREAMED_SCENES` streams.
        seed: What the streams are drawn by.
    """
    found = _streamed(recipe, cache, nets, device_settings(recipe).threshold, seed)
    if not all(found.values()):
        found = _streamed(recipe, cache, nets, 1e-6, seed)
    chosen = {}
    for name, inputs in found.items():
        places = np.linspace(0, len(inputs) - 1, min(count, len(inputs))).astype(int)
        chosen[name] = [inputs[place] for place in places]
    return chosen


def _streamed(recipe: Recipe, cache: FeatureCache, nets: Mapping[str, Net], threshold: float, seed: int) -> Examples:
    settings = replace(streaming_settings(recipe), max_overlap=SLOTS, threshold=threshold)
    names, loop = nets_and_loop(settings)
    recorders = {name: RecordingNet(nets[name]) for name in names}
    extractor = FeatureExtractor(recipe.features, recipe.stft, cache.mean, cache.deviation)
    classes, rng = len(cache.class_names), np.random.default_rng(seed)
    stepper = LabelStepper(extractor, recipe.stft, StageClock())
    system = loop(recorders, stepper, classes, settings)
    assert not isinstance(system, ColocWindow)  # the mode is streaming
    for recorder in recorders.values():
        recorder.examples.clear()  # the calls that the system makes when it is built
    labels = min(STREAMED_LABELS, int(np.diff(cache.first_labels).min()))
    for _ in range(STREAMED_SCENES):
        chunk = augmented(cache.sample(labels, rng), cache, Augmentation(), rng)
        system.reset()
        for maps in np.split(chunk.maps, labels):
            list(system.advance(maps))
    return {name: recorder.examples for name, recorder in recorders.items()}


def streaming_settings(recipe: Recipe) -> ColocSettings:
    """The settings of the device's system in streaming mode, in which directions are not perturbed."""
    return replace(device_settings(recipe), mode="streaming", perturbation_deg=0.0)


def device_settings(recipe: Recipe) -> ColocSettings:
    """The settings of the device's system that a recipe asks for. Raises ValueError for unknown or wrong ones."""
    return build(ColocSettings, recipe.device, f"{recipe.name}: device")

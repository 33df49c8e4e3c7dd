"""A training run of CoLoC -> inputs of its nets as the device will feed them, for calibration and for checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convert.data.augment import Augmentation, augmented
from convert.data.tracks import SLOTS
from convert.systems.coloc.batches import batch_maker
from convert.systems.recording_net import RecordingNet
from edge.nets.bundle import Bundle
from edge.nets.net import Net
from edge.settings import build
from edge.stage_clock import StageClock
from edge.systems.coloc import streaming as coloc_streaming
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.streaming import ColocStreaming
from edge.systems.label_stepper import LabelStepper
from edge.types import FloatArray

if TYPE_CHECKING:
    from convert.training.run import Run

CALIBRATION_WINDOWS, CALIBRATION_STEPS = 150, 400
STREAMED_SCENES, STREAMED_LABELS = 12, 150


def examples(run: Run, nets: Mapping[str, Net], share: float, seed: int) -> dict[str, list[dict[str, FloatArray]]]:
    """Of the step nets and of the nets for windows: `share` of what calibration takes."""
    windows, steps = (max(1, round(share * count)) for count in (CALIBRATION_WINDOWS, CALIBRATION_STEPS))
    return step_examples(run, nets, steps, seed) | window_examples(run, nets, windows, seed)


def window_examples(run: Run, nets: Mapping[str, Net], count: int, seed: int) -> dict[str, list[dict[str, FloatArray]]]:
    """Inputs of the nets for windows as the device will feed them, from training scenes: by net, `count` of them each.

    The conditions come from the data: none, one or two known directions, embedded by the trained encoders.
    """
    quiet = replace(run.recipe.augmentation, silence_share=0.0, masked_frames=0, masked_bands=0)
    examples: dict[str, list[dict[str, FloatArray]]] = {}
    for stage in run.system.STAGES:
        batch = batch_maker(stage, run.cache, quiet, run.recipe.sizes.labels, count, seed)
        inputs, _ = batch(0)
        encode = nets[f"{stage}_encoder"]
        directions, embedded = [], []
        for window, weights in zip(inputs["directions"], inputs["weights"], strict=True):
            slots = [np.ascontiguousarray(window[:, slot]) for slot in range(window.shape[1])]
            embedding = np.zeros_like(encode(direction=slots[0])["embedding"])
            for index, slot in enumerate(slots):
                embedding += encode(direction=slot)["embedding"] * weights[:, [index]]
            directions.append({"direction": slots[0]})
            embedded.append(embedding)
        examples[f"{stage}_encoder"] = directions
        examples[stage] = [
            {"features": maps, "embedding": embedding}
            for maps, embedding in zip(inputs["features"], embedded, strict=True)
        ]
    return examples


def step_examples(run: Run, nets: Mapping[str, Net], count: int, seed: int) -> dict[str, list[dict[str, FloatArray]]]:
    """Inputs of the step nets, states among them: what the device's own loop asks them on training scenes, by net.

    `count` of each, evenly from `STREAMED_SCENES` streams. All directions may be live; those of a localizer that names
    nothing yet, after a few steps of training, are taken however short they are.
    """
    examples = _streamed(run, nets, settings_of(run).threshold, seed)
    if not all(examples.values()):
        examples = _streamed(run, nets, 1e-6, seed)
    chosen = {}
    for name, asked in examples.items():
        places = np.linspace(0, len(asked) - 1, min(count, len(asked))).astype(int)
        chosen[name] = [asked[place] for place in places]
    return chosen


def _streamed(run: Run, nets: Mapping[str, Net], threshold: float, seed: int) -> dict[str, list[dict[str, FloatArray]]]:
    recorders = {name: RecordingNet(nets[name]) for name in coloc_streaming.NETS}
    settings = replace(settings_of(run), mode="streaming", max_overlap=SLOTS, threshold=threshold)
    bundle = Bundle(run.manifest("float32"), {}, run.cache.mean, run.cache.deviation)
    classes, rng = len(run.cache.class_names), np.random.default_rng(seed)
    stepper = LabelStepper(bundle.extractor(), run.recipe.stft, StageClock())
    system = ColocStreaming(recorders, stepper, classes, settings)
    for recorder in recorders.values():
        recorder.examples.clear()  # what it asked to begin with
    labels = min(STREAMED_LABELS, int(np.diff(run.cache.first_labels).min()))
    for _ in range(STREAMED_SCENES):
        chunk = augmented(run.cache.sample(labels, rng), run.cache, Augmentation(), rng)
        system.reset()
        for maps in np.split(chunk.maps, labels):
            list(system.advance(maps))
    return {name: recorder.examples for name, recorder in recorders.items()}


def settings_of(run: Run) -> ColocSettings:
    """Of the system on the device."""
    return build(ColocSettings, run.recipe.device, f"{run.recipe.name}: device")

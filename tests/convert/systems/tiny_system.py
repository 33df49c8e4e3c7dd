"""A system of another package in small: one dense layer on the maps of each label frame, in both halves.

`test_added_system.py` installs this file under another name and never imports it from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edge.settings import build as build_settings
from edge.types import TrackFrames


@dataclass(frozen=True, slots=True)
class TinySettings:
    """Settings of the device's half."""

    max_overlap: int = 1
    threshold: float = 0.0


class TinySystem:
    """The device's half: one net, one label frame at a time."""

    levels = ("full quality",)

    def __init__(self, net: Any, bundle: Any, settings: TinySettings, array: Any, clock: Any) -> None:
        self._net, self._extractor = net, bundle.extractor()
        self.settings, self.array, self.clock = settings, array, clock
        self.latency_s = bundle.manifest.stft.label_s

    def step(self, spectra: Any) -> Any:
        """Classes and one direction of a label frame, from the net's only output."""
        maps = self._extractor(spectra).maps
        answer = self._net(features=maps)["output"]
        length = np.linalg.norm(answer[:, :3], axis=-1, keepdims=True)
        live = length > self.settings.threshold
        direction = np.where(live, answer[:, :3] / np.maximum(length, 1e-9), 0.0).astype(np.float32)
        activity = np.where(live, np.abs(answer[:, 3:]), 0.0).astype(np.float32)
        label = spectra.start // len(maps)
        yield TrackFrames(activity[:, None], direction[:, None], label)

    def finish(self) -> Any:
        """Every label frame was answered at once."""
        return iter(())

    def reset(self) -> None:
        """There is no past."""

    def set_level(self, index: int) -> None:
        """There is one level."""


def from_bundle(bundle: Any, nets: Any, overrides: Mapping[str, Any], array: Any, clock: Any) -> TinySystem:
    """The entry point of the group `seld_edge.systems`."""
    settings = build_settings(TinySettings, {**bundle.manifest.settings, **overrides}, "settings")
    return TinySystem(nets["tiny"], bundle, settings, array, clock)


@dataclass(frozen=True, slots=True)
class TinySizes:
    """Sizes of the net."""

    bands: int = 16
    frames: int = 5

    @property
    def labels(self) -> int:
        """Label frames in a window."""
        return 1


@dataclass(frozen=True, slots=True)
class TinyLosses:
    """Nothing can be chosen."""


def trainable_system() -> Any:
    """The half for training; Keras is imported here, as a device has none."""
    import keras
    from keras import layers, ops

    from convert.systems.batches import Sampling, batches_of, training_sampling
    from convert.systems.interface import TrainableSystem

    def net(stage: str, recipe: Any, classes: int, deployed: bool = False) -> tuple[keras.Model, ...]:
        features = keras.Input((recipe.sizes.frames, recipe.sizes.bands, 7), name="features")
        x = layers.Dense(3 + classes, activation="tanh", name="dense")(layers.Reshape((1, -1))(features))
        return (keras.Model({"features": features}, {"output": x}, name=stage),)

    def examples(recipe: Any, cache: Any, nets: Any, share: float, seed: int) -> Any:
        sampling = Sampling(recipe.augmentation, recipe.sizes.labels, 4, seed)
        inputs, _ = batches_of(partial(example, len(cache.class_names)), cache, sampling)(0)
        return {"tiny": [{"features": maps} for maps in inputs["features"]]}

    def batches(stage: str, data: Any) -> Any:
        classes = len(data.cache.class_names)
        return batches_of(partial(example, classes), data.cache, training_sampling(data.recipe, data.seed))

    return TrainableSystem(
        stages=("tiny",),
        sizes=TinySizes,
        losses=TinyLosses,
        build=net,
        trainable=lambda stage, recipe, nets: keras.Model(nets[0].inputs, nets[0].output["output"]),
        loss=lambda stage, recipe, classes: lambda target, answer: ops.mean(ops.square(target - answer)),
        batches=batches,
        scores=lambda stage, recipe, classes: error,
        examples=examples,
        net_settings=lambda settings: {},
    )


def error(target: np.ndarray, answer: np.ndarray) -> dict[str, float]:
    """The largest difference."""
    return {"dev_error": float(np.abs(target - answer).max())}


def example(classes: int, chunk: Any, rng: np.random.Generator) -> Any:
    """The maps of a chunk, and direction and classes of its first slot."""
    target = np.zeros((1, 3 + classes), np.float32)
    target[:, :3] = chunk.tracks[0, :, :3]
    target[:, 3:] = chunk.tracks[0, :, 3:] == np.arange(classes)
    return {"features": chunk.maps}, target


def __getattr__(name: str) -> Any:
    """The entry point of the group `seld_convert.systems`, made when it is asked for."""
    if name == "TRAINABLE":
        return trainable_system()
    raise AttributeError(name)

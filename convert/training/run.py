"""A training run: its recipe, data and nets, as they are needed for conversion and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from convert.data.cache import FeatureCache, load_cache
from convert.data.tracks import SLOTS
from convert.systems import SYSTEMS, TrainableSystem
from convert.training.recipes import Recipe, changed, find_recipe
from convert.training.run_file import RunFile, read_run
from convert.training.trained import load_stage
from edge.frontend.maps import FEATURES
from edge.nets.bundle import FORMAT, Manifest

RANDOM_CLASSES = 13
RANDOM_LABELS = 200


@dataclass(frozen=True, slots=True)
class Run:
    """A folder in which `seld-convert train` has worked: weights, logs, feature cache, `run.json`."""

    folder: Path
    recipe: Recipe
    cache: FeatureCache
    file: RunFile

    @property
    def system(self) -> TrainableSystem:
        """What knows how its nets are put together."""
        return SYSTEMS[self.recipe.system]

    def nets_of(self, stage: str) -> tuple[keras.Model, ...]:
        """The trained nets of a stage."""
        return load_stage(stage, self.recipe, self._classes, self.folder)

    def keras_nets(self) -> dict[str, keras.Model]:
        """Every net of the bundle in Keras."""
        nets = (net for stage in self.system.STAGES for net in self.nets_of(stage))
        return self.system.device_nets(self.recipe, {net.name: net for net in nets})

    def deployed_nets(self, nets: Mapping[str, keras.Model]) -> dict[str, keras.Model]:
        """The same in the form for the converter."""
        return self.system.deployed_nets(self.recipe, nets, self._classes)

    def manifest(self, precision: str) -> Manifest:
        """What the bundle says of itself, without its nets and scores."""
        recipe = self.recipe
        return Manifest(
            format=FORMAT,
            name=recipe.name,
            system=recipe.system,
            precision=precision,
            class_names=self.cache.class_names,
            statistics_sha256="",
            nets={},
            stft=recipe.stft,
            features=recipe.features,
            settings=self.system.bundle_settings(recipe, self.cache),
            decode=recipe.decode,
            arrays=self.file.arrays,
        )

    @property
    def _classes(self) -> int:
        return len(self.cache.class_names)


def open_run(folder: Path) -> Run:
    """Open a run. Raises ValueError if it is none."""
    file = read_run(folder)
    return Run(folder, changed(find_recipe(file.model), file.changes), load_cache(folder / "cache"), file)


def random_run(recipe: Recipe, folder: Path) -> Run:
    """A run of random weights and random data, in a folder that gets the weights: for what only its speed matters.

    Its nets find something everywhere, so that all tracks are live.
    """
    rng = np.random.default_rng(0)
    names = tuple(f"class_{index}" for index in range(RANDOM_CLASSES))
    keras.utils.set_random_seed(0)
    system = SYSTEMS[recipe.system]
    for stage in system.STAGES:
        nets = system.build(stage, recipe, len(names))
        system.make_live(nets)
        for net in nets:
            net.save_weights(folder / f"{net.name}.weights.h5")
    labels, shape = 2 * RANDOM_LABELS, (recipe.features.bands, len(FEATURES[recipe.features.kind][1]))
    tracks = np.zeros((SLOTS, labels, 4), np.float32)
    tracks[..., 0] = 1.0
    cache = FeatureCache(
        maps=rng.normal(size=(labels * recipe.stft.frames_per_label, *shape)).astype(np.float16),
        tracks=tracks,
        first_labels=(0, RANDOM_LABELS, labels),
        class_names=names,
        stft=recipe.stft,
        features=recipe.features,
        mean=np.zeros(shape, np.float32),
        deviation=np.ones(shape, np.float32),
    )
    return Run(folder, recipe, cache, RunFile(recipe.name, [], {}))

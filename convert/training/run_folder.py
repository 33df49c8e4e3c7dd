"""A folder in which `seld-convert train` has worked -> recipe, data and nets, for conversion and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from convert.data.cache import FeatureCache, load_cache
from convert.data.tracks import track_columns
from convert.systems import find_system
from convert.systems.interface import Examples, KerasNets, TrainableSystem
from convert.systems.recipe import Recipe
from convert.training.run_json import RunFile, read_run, run_recipe
from convert.training.snapshots import load_snapshot, snapshot_path
from convert.training.weights import load_stage, weights_path
from edge.frontend.maps import FEATURES
from edge.nets.bundle import FORMAT, Manifest
from edge.nets.net import Net
from edge.systems.ensembles import member_name

RANDOM_CLASSES = 13
RANDOM_LABELS = 200  # of each of two recordings


@dataclass(frozen=True, slots=True)
class Run:
    """A training run: weights, logs, feature cache, `run.json`."""

    folder: Path
    recipe: Recipe
    cache: FeatureCache
    file: RunFile
    ensemble: bool = False  # whether stages that were trained in cycles answer by all their snapshots

    @property
    def system(self) -> TrainableSystem:
        """The system of the recipe."""
        return find_system(self.recipe.system)

    def nets_of(self, stage: str) -> KerasNets:
        """The trained nets of a stage. Raises ValueError if their weights are missing or do not fit."""
        return load_stage(stage, self.recipe, self._classes, self.folder)

    def keras_nets(self) -> dict[str, keras.Model]:
        """Every net of the bundle in Keras, by name. Raises ValueError if weights are missing or do not fit."""
        nets = {net.name: net for stage in self.system.stages for net in self.nets_of(stage)}
        return self.system.device_nets(self.recipe, nets | (self._snapshots() if self.ensemble else {}))

    def deployed_nets(self, nets: Mapping[str, keras.Model]) -> dict[str, keras.Model]:
        """Nets of `keras_nets` in their form for the converter."""
        return self.system.deployed_nets(self.recipe, nets, self._classes)

    def examples(self, nets: Mapping[str, Net], share: float, seed: int) -> Examples:
        """Inputs of all nets as the device will feed them, for calibration and for checks.

        Args:
            nets: Every net of the bundle.
            share: Of as many examples as calibration takes.
            seed: What they are drawn by.
        """
        return self.system.examples(self.recipe, self.cache, nets, share, seed)

    def manifest(self, precision: str) -> Manifest:
        """The manifest of the bundle, without its nets and scores."""
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

    def _snapshots(self) -> dict[str, keras.Model]:
        """The snapshots of all stages that were trained in cycles, by the name of the member of an ensemble."""
        found = {}
        for stage, settings in self.file.training.items():
            for number in range(1, settings.cycles + 1) if settings.cycles > 1 else ():
                nets = self.nets_of(stage)
                weights = load_snapshot(snapshot_path(self.folder, stage, number))
                self.system.trainable(stage, self.recipe, nets).set_weights(weights)
                found[member_name(stage, number)] = nets[-1]
        return found

    @property
    def _classes(self) -> int:
        return len(self.cache.class_names)


def open_run(folder: Path, ensemble: bool = False) -> Run:
    """Open a run.

    Args:
        folder: What `seld-convert train` wrote.
        ensemble: The snapshots of each stage answer together, not the net that its training ended with.

    Raises:
        ValueError: The folder is no run, or one of which there is no ensemble.
    """
    run = Run(folder, run_recipe(folder), load_cache(folder / "cache"), read_run(folder), ensemble)
    if ensemble and not run.system.ensembles:
        raise ValueError(f"{folder}: got system {run.recipe.system}, wanted one that averages answers, such as etri")
    if ensemble and all(settings.cycles == 1 for settings in run.file.training.values()):
        raise ValueError(f"{folder}: got no stage that was trained in cycles, wanted one (training.cycles)")
    return run


def random_run(recipe: Recipe, folder: Path) -> Run:
    """A run of random weights and random data, for benchmarks of which only the speed matters.

    Its nets find something everywhere, so that all tracks are live.

    Args:
        recipe: That of the nets.
        folder: Where the weights are written.
    """
    rng = np.random.default_rng(0)
    names = tuple(f"class_{index}" for index in range(RANDOM_CLASSES))
    keras.utils.set_random_seed(0)
    system = find_system(recipe.system)
    for stage in system.stages:
        nets = system.build(stage, recipe, len(names))
        system.make_live(nets)
        for net in nets:
            net.save_weights(weights_path(folder, net.name))
    labels, shape = 2 * RANDOM_LABELS, (recipe.features.bands, len(FEATURES[recipe.features.kind][1]))
    tracks = np.zeros((system.slots(recipe), labels, track_columns(system.distances(recipe))), np.float32)
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

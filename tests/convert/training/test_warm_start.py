"""Training that begins with weights which are there already."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from convert.data.build_cache import build_cache
from convert.data.cache import load_cache
from convert.data.folders import find_data
from convert.systems import find_system
from convert.systems.coloc.examples import STAGES
from convert.systems.recipe import Recipe
from convert.training.recipes import RECIPES
from convert.training.train_stages import train_stages
from convert.training.warm_start import WarmStart, adopt_statistics, find_start, shipped_weights, start_classes
from convert.training.weights import load_stage
from edge.nets.bundle import load_bundle


def weights(recipe: Recipe, folder: Path) -> list[np.ndarray]:
    _, net = load_stage("localizer", recipe, 2, folder)
    return trainable(net)


def trainable(net: keras.Model) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in net.trainable_variables]


@pytest.mark.slow
def test_training_begins_where_another_run_ended(
    trained_run: Path, scenes_folder: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    still = replace(tiny_recipe, training=replace(tiny_recipe.training, steps=1, learning_rate=1e-9))
    cache = load_cache(trained_run / "cache")
    train_stages(["localizer"], still, cache, tmp_path / "from_run", warm_start=WarmStart(trained_run))
    wanted, begun = weights(still, trained_run), weights(still, tmp_path / "from_run")
    for left, right in zip(wanted, begun, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)
    *_, fresh = find_system("coloc").build("localizer", still, 2)
    assert any(np.abs(left - right).max() > 1e-3 for left, right in zip(wanted, trainable(fresh), strict=True))


def test_the_statistics_are_those_of_the_start(scenes_folder: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    folders = find_data([str(scenes_folder)], ["train"])
    build_cache(folders, ("hiss", "tone"), tmp_path / "cache", tiny_recipe.stft, tiny_recipe.features)
    start = tmp_path / "start"
    start.mkdir()
    shape = load_cache(tmp_path / "cache").mean.shape
    np.savez(start / "statistics.npz", mean=np.full(shape, 3.0), deviation=np.full(shape, 2.0))
    assert np.all(adopt_statistics(tmp_path / "cache", start).mean == 3.0)
    assert np.all(load_cache(tmp_path / "cache").deviation == 2.0)
    np.savez(start / "statistics.npz", mean=np.zeros((1, 1)), deviation=np.ones((1, 1)))
    with pytest.raises(ValueError, match=r"statistics\.npz: got statistics of \(1, 1\)"):
        adopt_statistics(tmp_path / "cache", start)
    with pytest.raises(ValueError, match=r"got no statistics\.npz"):
        adopt_statistics(tmp_path / "cache", tmp_path / "nowhere")


def test_a_start_is_a_shipped_bundle_or_a_run_and_knows_its_classes(trained_run: Path, tmp_path: Path) -> None:
    shipped = find_start("coloc-edge")
    assert shipped == shipped_weights()["coloc-edge"]
    assert start_classes(shipped) == load_bundle("coloc-edge").manifest.class_names
    assert find_start(str(trained_run)) == trained_run
    assert start_classes(trained_run) == ("hiss", "tone")
    with pytest.raises(
        ValueError,
        match="start: got 'nothing', wanted coloc-edge, coloc-edge-flat, etri-edge, two-step-edge or a training run",
    ):
        find_start("nothing")
    with pytest.raises(ValueError, match=r"got no cache/cache\.json, wanted a training run or shipped weights"):
        start_classes(tmp_path)


def test_the_shipped_weights_fit_their_recipes() -> None:
    assert "coloc-edge" in shipped_weights()
    for name, folder in shipped_weights().items():
        for stage in STAGES:
            load_stage(stage, RECIPES[name], len(start_classes(folder)), folder)


def test_other_weights_are_refused(tmp_path: Path, tiny_recipe: Recipe) -> None:
    with pytest.raises(ValueError, match=r"localizer\.weights\.h5: not weights of this net"):
        load_stage("localizer", tiny_recipe, 2, shipped_weights()["coloc-edge"])

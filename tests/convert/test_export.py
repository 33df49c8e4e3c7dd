"""A training run -> a bundle: calibrated with what the device will feed, written only if every check passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert import export as export_module
from convert import ladder
from convert.export import Run, convert_nets, export, net_examples, open_run
from convert.ladder import KerasNet, NetCheck
from convert.recipes import RECIPES, Recipe
from convert.systems.coloc_training import STAGES
from convert.train import TrainSettings
from edge.array import load_array
from edge.bundle import Bundle, load_bundle
from edge.capture import open_source
from edge.runtime import build_pipeline, build_system

NETS = ("localizer_encoder", "localizer", "classifier_encoder", "classifier")
Converted = tuple[dict[str, Bundle], list[NetCheck]]


@pytest.fixture
def run(trained_run: Path, tiny_recipe: Recipe) -> Run:
    return open_run(trained_run)


def test_a_run_knows_its_recipe_its_data_and_its_sources(run: Run, tiny_recipe: Recipe) -> None:
    assert run.recipe == tiny_recipe
    assert run.cache.class_names == ("hiss", "tone")
    assert [(row["licence"], row["clips"]) for row in run.sources] == [("unknown", 4)]
    assert tuple(run.keras_nets()) == NETS


def test_the_schedule_of_a_run_is_its_own(trained_run: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps(table | {"training": table["training"] | {"steps": 77}}))
    assert open_run(tmp_path / "run").recipe == replace(tiny_recipe, training=replace(tiny_recipe.training, steps=77))


def test_nets_to_be_converted_are_the_trained_ones(run: Run) -> None:
    trained, deployed = run.keras_nets(), run.deployed_nets()
    rng = np.random.default_rng(0)
    for name in NETS:
        example = {
            key: rng.uniform(-1, 1, tensor.shape[1:]).astype(np.float32) for key, tensor in trained[name].input.items()
        }
        (wanted,), (got,) = (KerasNet(nets[name])(**example).values() for nets in (trained, deployed))
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_examples_are_what_the_device_feeds(run: Run) -> None:
    """Features of the data, conditions embedded by the trained encoders: the origin, one, two directions."""
    nets = {name: KerasNet(model) for name, model in run.keras_nets().items()}
    examples = net_examples(run, nets, 30, seed=0)
    assert {name: len(each) for name, each in examples.items()} == dict.fromkeys(NETS, 30)
    for stage in STAGES:
        origin = nets[f"{stage}_encoder"](direction=np.zeros((10, 3), np.float32))["embedding"]
        at_origin = 0
        for told, each in zip(examples[f"{stage}_encoder"], examples[stage], strict=True):
            assert each["features"].shape == (50, 32, 7)
            length = np.linalg.norm(told["direction"], axis=-1)
            assert np.all(np.isclose(length, 1, atol=1e-5) | (length == 0))
            empty = length == 0
            np.testing.assert_allclose(each["embedding"][empty], origin[empty], atol=1e-6)
            at_origin += int(empty.sum())
        assert 0 < at_origin < 300
    features = np.stack([each["features"] for each in examples["localizer"]])
    assert features.std() == pytest.approx(1.0, abs=0.5)  # normalised
    again = net_examples(run, nets, 30, seed=0)["localizer"][3]["features"]
    np.testing.assert_array_equal(again, examples["localizer"][3]["features"])


@pytest.fixture(scope="module")
def converted(trained_run: Path) -> Converted:
    """Converted once: it takes a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, *_tiny(trained_run))
        patch.setattr(export_module, "CALIBRATION_WINDOWS", 40)
        patch.setattr(export_module, "CHECKED_WINDOWS", 10)
        return convert_nets(open_run(trained_run))

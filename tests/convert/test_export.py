"""A training run -> a bundle: calibrated with what the device will feed, written only if every check passes."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert import export as export_module
from convert import ladder
from convert.evaluate import labelled_scenes, predict, score_predictions
from convert.export import Run, climb, export, net_examples, open_run
from convert.ladder import KerasNet
from convert.recipes import Recipe
from convert.systems.coloc_training import STAGES
from edge.annotations import Label
from edge.array import load_array
from edge.bundle import Bundle, load_bundle
from edge.capture import open_source
from edge.runtime import build_pipeline, build_system
from edge.types import Event, FrameRow

pytestmark = pytest.mark.slow  # a run is trained and converted
NETS = ("localizer_encoder", "localizer", "classifier_encoder", "classifier")


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
        origin = nets[f"{stage}_encoder"](direction=np.zeros((6, 3), np.float32))["embedding"]
        at_origin = 0
        for told, each in zip(examples[f"{stage}_encoder"], examples[stage], strict=True):
            assert each["features"].shape == (30, 32, 7)
            length = np.linalg.norm(told["direction"], axis=-1)
            assert np.all(np.isclose(length, 1, atol=1e-5) | (length == 0))
            empty = length == 0
            np.testing.assert_allclose(each["embedding"][empty], origin[empty], atol=1e-6)
            at_origin += int(empty.sum())
        assert 0 < at_origin < 180
    features = np.stack([each["features"] for each in examples["localizer"]])
    assert features.std() == pytest.approx(1.0, abs=0.5)  # normalised
    again = net_examples(run, nets, 30, seed=0)["localizer"][3]["features"]
    np.testing.assert_array_equal(again, examples["localizer"][3]["features"])


def events(bundle: Bundle, wav: Path) -> list:
    """What the device's loop says about a file, with the bundle's own nets."""
    array = load_array(bundle.manifest.array)
    pipeline = build_pipeline(bundle, array, build_system(bundle))
    with open_source(str(wav), array.channels, bundle.manifest.stft.sample_rate_hz) as source:
        heard = [item for block in source for item in pipeline.push(block)]
    return [*heard, *pipeline.finish()]


def test_a_bundle_that_passed_is_written_and_runs(
    exported: Any, run: Run, scenes_folder: Path, trained_run: Path
) -> None:
    bundle = load_bundle(str(exported.folder))
    manifest = bundle.manifest
    assert (manifest.name, manifest.system, manifest.precision) == ("tiny-recipe", "coloc", "int8")
    assert manifest.class_names == ("hiss", "tone")
    assert (manifest.features, manifest.stft) == (run.recipe.features, run.recipe.stft)
    assert (manifest.settings, manifest.decode) == (run.recipe.device, run.recipe.decode)
    np.testing.assert_array_equal(bundle.mean, run.cache.mean)
    np.testing.assert_array_equal(bundle.deviation, run.cache.deviation)
    assert tuple(bundle.flatbuffers) == NETS
    for net in bundle.nets().values():
        assert not [name for name in net.tensor_types() if name.startswith("float")]

    said = events(bundle, scenes_folder / "scene_00000.wav")
    assert {item.name for item in said if isinstance(item, Event)} <= {"hiss", "tone"}
    rows = [Label(**asdict(item)) for item in said if isinstance(item, FrameRow)]
    assert rows
    evaluated = predict(bundle, [scenes_folder / "scene_00000.wav"])["scene_00000"]
    assert evaluated.rows == rows
    assert evaluated.direction.shape == (20, 2, 3)

    assert manifest.scores.keys() == {"scenes", "keras", "float32", "int8"}
    assert manifest.scores["scenes"] == 2
    wavs, truth = labelled_scenes(scenes_folder, ("hiss", "tone"))
    predictions = predict(bundle, wavs)
    for rules, result in score_predictions(truth, predictions, 2).items():
        got = manifest.scores["int8"][rules]
        assert got == {name: pytest.approx(getattr(result, name), abs=1e-4) for name in ("er", "f", "le", "lr", "seld")}

    card = (exported.folder / "CARD.md").read_text()
    for check in exported.checks:
        assert f"ok     {check.name:<20}{check.precision:<9}SNR {check.snr_db:5.1f} dB" in card
    assert card.count("ok     system") == 2
    for stage in STAGES:
        log = (exported.folder / f"training-{stage}.csv").read_text()
        assert log == (trained_run / f"{stage}.csv").read_text()
        assert [line.split(",")[0] for line in log.splitlines()] == ["step", "1", "2"]


def test_every_net_of_every_rung_is_checked(exported: Any) -> None:
    assert [(check.name, check.precision) for check in exported.checks] == [
        (name, precision) for precision in ("float32", "int8") for name in NETS
    ]
    for check in exported.checks:
        assert (check.float_tensors == 0) == (check.precision == "int8")
        if check.precision == "float32" or "encoder" in check.name:
            assert check.passed


def test_scores_and_checks_of_the_rungs_are_those_of_their_nets(exported: Any, run: Run, scenes_folder: Path) -> None:
    """The three rungs run one loop: nets that are the same say the same, whatever they are called."""
    same = {"int8": exported.bundles["float32"], "float32": exported.bundles["float32"]}
    scores, (first, second) = climb(run, same, *labelled_scenes(scenes_folder, run.cache.class_names))
    assert replace(first, precision="float32") == second
    assert scores["int8"] == scores["float32"]
    for check in (first, second):
        assert check.moved_deg < 0.01  # against Keras
        assert check.agreed > 0.99


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"int8": 200.0, "MOST_MOVED_DEG": 180.0, "MOST_F_LOST": 1.0}, r"FAILED +localizer +int8 +SNR"),
        ({"int8": -100.0, "MOST_MOVED_DEG": -1.0, "MOST_F_LOST": 1.0}, r"FAILED +system +int8 +directions moved"),
        ({"int8": -100.0, "MOST_MOVED_DEG": 180.0, "MOST_F_LOST": -1.0}, r"FAILED +system +int8 +directions moved"),
    ],
)
def test_nothing_is_written_when_a_check_fails(
    exported: Any,
    run: Run,
    scenes_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, float],
    message: str,
) -> None:
    monkeypatch.setattr(export_module, "convert_nets", lambda _: (exported.bundles, exported.checks))
    monkeypatch.setitem(ladder.LEAST_SNR_DB, "int8", limits.pop("int8"))
    for name, value in limits.items():
        monkeypatch.setattr(ladder, name, value)
    with pytest.raises(ValueError, match=f"tiny-recipe: nothing written, the ladder failed: .*{message}"):
        export(run, scenes_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("class_names", "message"),
    [
        (["tone", "hiss"], r"scenes: got classes \('tone', 'hiss'\), wanted \('hiss', 'tone'\)"),
        (["hiss"], r"scenes: got classes \('hiss',\), wanted \('hiss', 'tone'\)"),
        (None, r"scenes: got no scenes\.json"),
    ],
)
def test_scenes_of_other_classes_are_refused_before_the_work_begins(
    run: Run,
    scenes_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    class_names: list[str] | None,
    message: str,
) -> None:
    scenes = Path(shutil.copytree(scenes_folder, tmp_path / "scenes"))
    if class_names is None:
        (scenes / "scenes.json").unlink()
    else:
        (scenes / "scenes.json").write_text(json.dumps({"class_names": class_names}))

    def convert_nets(run: Run) -> None:
        raise AssertionError("converted")

    monkeypatch.setattr(export_module, "convert_nets", convert_nets)
    with pytest.raises(ValueError, match=message):
        export(run, scenes, tmp_path / "out")
    with pytest.raises(AssertionError, match="converted"):
        export(run, scenes_folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"broken: got no run\.json, wanted a folder that `seld-convert train` wrote"),
        ("{", r"run\.json: got something else, wanted JSON with model, training and sources"),
        ('{"model": "tiny-recipe"}', r"run\.json: got something else, wanted JSON with model, training and sources"),
        ('{"model": "nope", "training": {}, "sources": []}', "model: got 'nope', wanted one of"),
        (
            '{"model": "tiny-recipe", "training": {"step": 1}, "sources": []}',
            r"run\.json: training: got unknown key 'step'",
        ),
    ],
)
def test_a_folder_that_is_no_run(tiny_recipe: Recipe, tmp_path: Path, content: str | None, message: str) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    if content is not None:
        (folder / "run.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        open_run(folder)


def test_a_run_without_its_weights(trained_run: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    (tmp_path / "run" / "classifier.weights.h5").unlink()
    with pytest.raises(ValueError, match=r"classifier\.weights\.h5: got no such file"):
        open_run(tmp_path / "run").keras_nets()

"""A training run is exported with calibration by the device's own inputs, and only if every check passes."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.evaluation.predictions import predict
from convert.evaluation.scenes import labelled_scenes
from convert.evaluation.scores import score_predictions
from convert.quantize import export as export_module
from convert.quantize import ladder
from convert.quantize.export import compare_rungs, export
from convert.quantize.keras_net import KerasNet, computed
from convert.systems.coloc import examples as coloc_examples
from convert.systems.coloc.examples import STAGES, step_examples, window_examples
from convert.systems.recipe import Recipe
from convert.training.run_folder import Run, open_run
from edge.arrays.profile import load_array
from edge.audio.sources import open_source
from edge.nets.bundle import Bundle, load_bundle
from edge.nets.net import check_shared
from edge.runtime.pipeline import build_pipeline, build_system
from edge.scoring.annotations import Label
from edge.systems.coloc import streaming as coloc_streaming
from edge.systems.coloc import window as coloc_window
from edge.systems.coloc.passes import CONVOLUTION_LABELS
from edge.systems.coloc.settings import MODES
from edge.types import Event, FrameRow

pytestmark = pytest.mark.slow  # a run is trained and converted
NETS = tuple(
    f"{stage}{part}" for stage in STAGES for part in ("_encoder", "", "_front", "_blocks", "_recurrence")
)  # makers before takers


@pytest.fixture
def run(trained_run: Path, tiny_recipe: Recipe) -> Run:
    return open_run(trained_run)


def test_a_run_knows_its_recipe_its_data_and_its_sources(run: Run, tiny_recipe: Recipe) -> None:
    assert run.recipe == tiny_recipe
    assert run.cache.class_names == ("hiss", "tone")
    assert [(row["licence"], row["clips"]) for row in run.file.sources] == [("unknown", 4)]
    assert tuple(run.keras_nets()) == NETS
    assert set(NETS) == {*coloc_window.NETS, *coloc_streaming.NETS}
    assert run.system.net_settings(run.recipe.device) == {"window_labels": 6, "look_ahead_labels": 1}


def test_nets_to_be_converted_are_the_trained_ones(run: Run) -> None:
    trained = run.keras_nets()
    deployed = run.deployed_nets(trained)
    assert tuple(deployed) == NETS
    rng = np.random.default_rng(0)
    for name in NETS:
        example = {
            key: rng.uniform(-1, 1, tensor.shape[1:]).astype(np.float32) for key, tensor in trained[name].input.items()
        }
        wanted, got = (computed(KerasNet(nets[name]), example) for nets in (trained, deployed))
        assert got.keys() == wanted.keys()
        for tensor in wanted:
            np.testing.assert_allclose(got[tensor], wanted[tensor], atol=1e-4)


@pytest.fixture
def keras_nets(run: Run) -> dict[str, KerasNet]:
    return {name: KerasNet(model) for name, model in run.keras_nets().items()}


def test_examples_of_windows_are_what_the_device_feeds(run: Run, keras_nets: dict[str, KerasNet]) -> None:
    """Features come from the data; conditions of no, one or two directions are embedded by the trained encoders."""
    nets = keras_nets
    examples = window_examples(run.recipe, run.cache, nets, 30, seed=0)
    assert {name: len(each) for name, each in examples.items()} == dict.fromkeys(coloc_window.NETS, 30)
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
    again = window_examples(run.recipe, run.cache, nets, 30, seed=0)["localizer"][3]["features"]
    np.testing.assert_array_equal(again, examples["localizer"][3]["features"])


def test_examples_of_steps_are_what_the_device_feeds(
    run: Run, keras_nets: dict[str, KerasNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams run through the device's loop, and the states that a call returns are the inputs of the next one."""
    monkeypatch.setattr(coloc_examples, "STREAMED_SCENES", 2)
    assert coloc_examples.STREAMED_LABELS > 20  # as far as the scenes go
    examples = step_examples(run.recipe, run.cache, keras_nets, 10**9, seed=0)
    assert examples.keys() == set(coloc_streaming.NETS)
    front = examples["localizer_front"]
    assert len(front) == 2 * 20
    past: dict[str, np.ndarray] = {}
    for number, example in enumerate(front):
        if number in (0, 20):  # each stream begins anew
            past = {name: state[0] for name, state in keras_nets["localizer_front"].fresh().items()}
        assert example["features"].shape == (5, 32, 7)
        for name, state in past.items():
            np.testing.assert_array_equal(example[name], state)
        after = computed(keras_nets["localizer_front"], example)
        past = {name: after[name] for name in past}
        if number == 19:
            assert all(np.any(state != 0) for state in past.values())
    features = np.stack([example["features"] for example in front])
    assert features.std() == pytest.approx(1.0, abs=0.5)  # normalised
    for stage in STAGES:
        for part, tensors in {
            "blocks": {"shared_maps", "condition", "state_second", "state_third"},
            "recurrence": {"shared_labels", "state_forward1", "state_forward2"},
        }.items():
            assert all(example.keys() == tensors for example in examples[f"{stage}_{part}"])
            for state in (name for name in tensors if name.startswith("state_")):
                assert np.mean([np.any(example[state] != 0) for example in examples[f"{stage}_{part}"]]) > 0.3
    delay = CONVOLUTION_LABELS + run.recipe.device["look_ahead_labels"]
    assert len(examples["localizer_blocks"]) > 2 * (19 + 20 - delay)  # of further directions too
    told = np.stack([example["condition"][1, 0] for example in examples["localizer_blocks"]])
    assert len(np.unique(told, axis=0)) > 10
    few = step_examples(run.recipe, run.cache, keras_nets, 7, seed=0)
    assert {len(each) for each in few.values()} == {7}
    for place, example in zip(np.linspace(0, 39, 7).astype(int), few["localizer_front"], strict=True):
        np.testing.assert_array_equal(example["features"], front[place]["features"])  # from all over


def test_there_are_examples_of_steps_even_if_nothing_is_detected(
    run: Run, keras_nets: dict[str, KerasNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coloc_examples, "STREAMED_SCENES", 2)
    deaf = replace(run, recipe=replace(run.recipe, device={**run.recipe.device, "threshold": 0.99}))
    for examples in step_examples(deaf.recipe, deaf.cache, keras_nets, 5, seed=0).values():
        assert len(examples) == 5


def events(bundle: Bundle, wav: Path, mode: str) -> list:
    """The events and rows of the device's loop for a file, with the nets of the bundle."""
    array = load_array(bundle.manifest.arrays[0])
    pipeline = build_pipeline(bundle, array, build_system(bundle, overrides={"mode": mode}))
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
    for net in bundle.nets().values():  # whose states have one scale, or they would not load
        assert not [name for name in net.tensor_types() if name.startswith("float")]

    wavs, truth = labelled_scenes(scenes_folder, ("hiss", "tone"))
    assert manifest.scores.keys() == {"scenes", *MODES}
    assert manifest.scores["scenes"] == 2
    for mode in MODES:
        said = events(bundle, wavs[0], mode)
        assert {item.name for item in said if isinstance(item, Event)} <= {"hiss", "tone"}
        rows = [Label(**asdict(item)) for item in said if isinstance(item, FrameRow)]
        assert rows
        predictions = predict(bundle, wavs, overrides={"mode": mode})
        assert predictions["scene_00000"].rows == rows
        assert predictions["scene_00000"].direction.shape == (20, 2, 3)
        assert manifest.scores[mode].keys() == {"keras", "float32", "int8"}
        for rules, result in score_predictions(truth, predictions, 2).items():
            got = manifest.scores[mode]["int8"][rules]
            wanted = {name: pytest.approx(getattr(result, name), abs=1e-4) for name in ("er", "f", "le", "lr", "seld")}
            assert got == wanted

    card = (exported.folder / "CARD.md").read_text()
    for check in exported.checks:
        assert f"ok     {check.name:<23}{check.precision:<9}SNR {check.snr_db:5.1f} dB" in card
    for mode in MODES:
        for precision in ("float32", "int8"):
            assert f"ok     {f'system, {mode}, {precision}':<32}directions moved " in card
    for stage in STAGES:
        log = (exported.folder / f"training-{stage}.csv").read_text()
        assert log == (trained_run / f"{stage}.csv").read_text()
        assert [line.split(",")[0] for line in log.splitlines()] == ["step", "1", "2"]


def test_every_net_of_every_rung_is_checked(exported: Any) -> None:
    assert [(check.name, check.precision) for check in exported.checks] == [
        (name, precision) for name in NETS for precision in ("float32", "int8")
    ]
    for check in exported.checks:
        assert (check.float_tensors == 0) == (check.precision == "int8")
        if check.precision == "float32" or "encoder" in check.name:
            assert check.passed


def test_tensors_that_are_handed_on_keep_their_scale(exported: Any) -> None:
    nets = load_bundle(str(exported.folder)).nets()
    for stage in STAGES:
        check_shared(nets[f"{stage}_front"], nets[f"{stage}_blocks"], "shared_maps")
        check_shared(nets[f"{stage}_blocks"], nets[f"{stage}_recurrence"], "shared_labels")
    scales = [nets[f"{stage}_front"].outputs["shared_maps"]["quantization"] for stage in STAGES]
    assert scales[0] != scales[1]  # each stage has its own


def test_scores_and_checks_of_the_rungs_are_those_of_their_nets(exported: Any, run: Run, scenes_folder: Path) -> None:
    """All rungs run the same loop, so equal nets have equal scores under any name."""
    same = {"int8": exported.bundles["float32"], "float32": exported.bundles["float32"]}
    scores, checks = compare_rungs(run, same, *labelled_scenes(scenes_folder, run.cache.class_names))
    assert [check.precision for check in checks] == [f"{mode}, {each}" for mode in MODES for each in same]
    for mode, first, second in zip(MODES, checks[::2], checks[1::2], strict=True):
        assert replace(first, precision=second.precision) == second
        assert scores[mode]["int8"] == scores[mode]["float32"]
    for check in checks:
        assert check.moved_deg < 0.01  # against Keras
        assert check.agreed > 0.99


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"int8": 200.0, "MOST_MOVED_DEG": 180.0, "MOST_F_LOST": 1.0}, r"FAILED +localizer +int8 +SNR"),
        pytest.param(
            {"int8": -100.0, "MOST_MOVED_DEG": -1.0, "MOST_F_LOST": 1.0},
            r"FAILED +system, window, int8 +directions moved",
            marks=pytest.mark.long,
        ),
        (
            {"int8": -100.0, "MOST_MOVED_DEG": 180.0, "MOST_F_LOST": -1.0},
            r"FAILED +system, streaming, int8 +directions moved",
        ),
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
    with pytest.raises(ValueError, match=f"tiny-recipe: nothing written, the ladder failed: .*{message}.*--unchecked"):
        export(run, scenes_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def converted(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports take the nets that were converted already; none of their checks fails."""
    monkeypatch.setattr(export_module, "convert_nets", lambda _: (exported.bundles, exported.checks))
    monkeypatch.setitem(ladder.LEAST_SNR_DB, "int8", -100.0)
    monkeypatch.setattr(ladder, "MOST_MOVED_DEG", 180.0)
    monkeypatch.setattr(ladder, "MOST_F_LOST", 1.0)


CAUSES = ("the system fails", "nothing is detected")


@pytest.mark.parametrize(
    "cause",
    ["a net fails", *(pytest.param(each, marks=pytest.mark.long) for each in CAUSES), "no scenes"],
)
def test_an_unchecked_bundle_says_so_wherever_it_is_used(
    cause: str,
    converted: None,
    run: Run,
    scenes_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scenes: Path | None = scenes_folder
    failed = "FAILED system, streaming, int8"
    if cause == "a net fails":
        monkeypatch.setitem(ladder.LEAST_SNR_DB, "int8", 200.0)
        failed = "FAILED localizer_encoder      int8"
    elif cause == "the system fails":
        monkeypatch.setattr(ladder, "MOST_MOVED_DEG", -1.0)
    elif cause == "nothing is detected":
        run = replace(run, recipe=replace(run.recipe, device={**run.recipe.device, "threshold": 0.999}))
        bundles, checks = export_module.convert_nets(run)
        deaf = {
            name: replace(bundle, manifest=replace(bundle.manifest, settings=run.recipe.device))
            for name, bundle in bundles.items()
        }
        monkeypatch.setattr(export_module, "convert_nets", lambda _: (deaf, checks))
        failed = "nothing to compare: in no frame"
    else:
        scenes, failed = None, ""
    if scenes is not None:
        with pytest.raises(ValueError, match="nothing written"):
            export(run, scenes, tmp_path / "out")
    export(run, scenes, tmp_path / "out", unchecked=True)
    table = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert table["unchecked"] is True
    assert (table["scores"] == {}) == (scenes is None)
    card = (tmp_path / "out" / "CARD.md").read_text()
    assert "**Unchecked**" in card and failed in card and "nan deg" not in card
    caplog.clear()
    assert load_bundle(str(tmp_path / "out")).manifest.unchecked
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{tmp_path / 'out'}: this bundle is unchecked: its nets may find less than those that were trained"
    ]


def test_a_bundle_that_passes_is_checked_whatever_was_asked(
    converted: None, run: Run, scenes_folder: Path, tmp_path: Path, exported: Any
) -> None:
    export(run, scenes_folder, tmp_path / "out", unchecked=True)
    for folder in (tmp_path / "out", exported.folder):
        assert "unchecked" not in json.loads((folder / "manifest.json").read_text())
        assert "nchecked" not in (folder / "CARD.md").read_text()


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
        (
            '{"model": "tiny-recipe", "training": {"step": 1}, "sources": []}',
            r"run\.json: got something else, wanted JSON with model, training and sources",
        ),
        ('{"model": "nope", "training": {}, "sources": []}', "model: got 'nope', wanted one of"),
        (
            '{"model": "tiny-recipe", "training": {"localizer": {"step": 1}}, "sources": []}',
            r"run\.json: training: localizer: got unknown key 'step'",
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

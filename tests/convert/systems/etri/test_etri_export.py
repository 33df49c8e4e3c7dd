"""ETRI from training to a bundle that runs: the same commands as for CoLoC."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.cli import main
from convert.data.augment import Augmentation
from convert.losses import EtriLosses
from convert.quantize import ladder
from convert.quantize.export import convert_nets, export_random
from convert.quantize.keras_net import KerasNet
from convert.systems.etri import examples as etri_examples
from convert.systems.etri.sizes import EtriSizes
from convert.systems.etri.system import ETRI
from convert.systems.recipe import Recipe, TrainSettings
from convert.training.recipes import RECIPES, find_recipe
from convert.training.run_folder import Run, open_run
from convert.training.snapshots import load_snapshot, snapshot_path
from edge.arrays.profile import load_array
from edge.audio.sources import open_source
from edge.events.decoder import DecodeSettings
from edge.frontend.maps import FeatureSettings
from edge.nets.bundle import Bundle, load_bundle, write_bundle
from edge.runtime.pipeline import build_pipeline, build_system
from edge.types import AudioBlock
from tests.convert.systems.tiny_runs import check_stages, trained_run_of
from tests.paths import ROOT

SIZES = EtriSizes(
    frames=40, bands=16, sad_filters=(4, 4), sed_filters=(4, 4), doae_filters=(4, 4), trellis_units=4
)  # windows of 8 label frames
TINY = Recipe(
    name="tiny-etri",
    system="etri",
    sizes=SIZES,
    augmentation=Augmentation(rotated_share=1.0, speed=(0.9, 1.1)),
    losses=EtriLosses(),
    features=FeatureSettings("etri", SIZES.bands),
    training=TrainSettings(steps=2, batch_size=4, warmup_steps=1, checkpoint_steps=1, cycles=2),
    device={"window_labels": 8, "hop_labels": 6, "path_labels": 5},
    decode=DecodeSettings(on=0.2, off=0.1),
)


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe with short windows; `find_recipe` knows it."""
    monkeypatch.setitem(RECIPES, TINY.name, TINY)
    return TINY


@pytest.fixture(scope="module")
def folder(scenes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of two steps, scored on development data."""
    yield from trained_run_of(TINY, scenes_folder, tmp_path_factory.mktemp("etri") / "run")


@pytest.fixture
def run(recipe: Recipe, folder: Path) -> Run:
    """That run."""
    return open_run(folder)


def test_every_stage_is_trained_and_scored(run: Run) -> None:
    check_stages(run, ETRI.stages, {"sad": "dev_f_percent", "sed": "dev_f_percent", "doae": "dev_doa_deg"})


def test_scenes_too_short_to_be_played_faster_are_refused_at_once(
    recipe: Recipe, scenes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(scenes_folder), "--out", str(tmp_path / "run"), "--jobs", "1", "--threads", "1"]
    assert main(["train", "--model", recipe.name, *options, "--set", "augmentation.speed=[0.9, 9.0]"]) == 2
    assert "wanted at least 72" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_examples_are_windows_of_the_maps_that_a_net_sees(run: Run) -> None:
    examples = run.examples({}, 0.02, seed=0)
    assert {name: len(each) for name, each in examples.items()} == dict.fromkeys(ETRI.stages, 4)
    assert {name: each[0]["features"].shape for name, each in examples.items()} == {
        "sad": (40, 16, 3),
        "sed": (40, 16, 3),
        "doae": (40, 16, 10),
    }


def test_deployed_nets_answer_as_the_trained_ones(run: Run) -> None:
    trained = run.keras_nets()
    deployed = run.deployed_nets(trained)
    for name, examples in run.examples({}, 0.01, seed=0).items():
        answer = "masks" if name == "doae" else "output"
        wanted, got = (KerasNet(nets[name])(**examples[0])[answer] for nets in (trained, deployed))
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_filters_of_the_bundle_are_those_of_the_data(run: Run) -> None:
    settings = run.manifest("int8").settings
    assert settings["hop_labels"] == 6
    assert settings["sad_median_labels"] % 2 == 1
    assert set(settings["sed_median_labels"]) == set(run.cache.class_names)


@pytest.mark.slow
def test_a_bundle_is_exported_and_runs_the_same_for_any_block_size(
    recipe: Recipe, folder: Path, scenes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etri_examples, "CALIBRATION_WINDOWS", 20)
    monkeypatch.setitem(ladder.LEAST_SNR_DB, "int8", -100.0)
    monkeypatch.setattr(ladder, "MOST_F_LOST", 1.0)
    monkeypatch.setattr(ladder.RungCheck, "passed", True)  # nothing is heard after two steps
    out = tmp_path / "bundle"
    assert main(["export", "--run", str(folder), "--scenes", str(scenes_folder), "--out", str(out)]) == 0
    bundle = load_bundle(str(out))
    assert "| window | int8 | 2020 |" in (out / "CARD.md").read_text()
    wav = sorted(scenes_folder.glob("*.wav"))[0]
    assert answers(bundle, wav, 2400) == answers(bundle, wav, 777)


def answers(bundle: Bundle, wav: Path, size: int) -> list[tuple[int, bytes]]:
    """What its system says about a file that comes in blocks of this size."""
    array = load_array("foa")
    system = build_system(bundle)
    heard = []
    step = system.step
    system.step = lambda spectra: [heard.append((t.start, t.activity.tobytes())) or t for t in step(spectra)]
    pipeline = build_pipeline(bundle, array, system)
    with open_source(str(wav), array.channels, bundle.manifest.stft.sample_rate_hz) as source:
        samples = np.concatenate([block.samples for block in source])
    for start in range(0, len(samples), size):
        list(pipeline.push(AudioBlock(samples[start : start + size], start)))
    return heard


MEMBERS = ["sad", "sed", "doae", "sad_2", "sed_2", "doae_2"]


def test_the_nets_of_an_ensemble_are_the_snapshots(run: Run) -> None:
    ensemble = open_run(run.folder, ensemble=True)
    nets = ensemble.keras_nets()
    assert sorted(nets) == sorted(MEMBERS)
    for stage in ETRI.stages:
        for number, name in ((1, stage), (2, f"{stage}_2")):
            kept = load_snapshot(snapshot_path(run.folder, stage, number))
            for weight, wanted in zip(nets[name].get_weights(), kept, strict=True):
                np.testing.assert_array_equal(weight, wanted)
    deployed = ensemble.deployed_nets(nets)
    (example, *_) = ensemble.examples(dict.fromkeys(MEMBERS), 0.01, seed=0)["sed_2"]
    wanted, got = (KerasNet(each["sed_2"])(**example)["output"] for each in (nets, deployed))
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_ensembles_that_cannot_be_are_refused(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, old, new in (("other", '"tiny-etri"', '"coloc-edge"'), ("whole", '"cycles": 2', '"cycles": 1')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text((run.folder / "run.json").read_text().replace(old, new))
        (tmp_path / name / "cache").symlink_to(run.folder / "cache")
    for words, message in (
        (["--run", str(tmp_path / "other"), "--keras-only"], "got system coloc, wanted one that averages answers"),
        (["--run", str(tmp_path / "whole"), "--keras-only"], "got no stage that was trained in cycles, wanted one"),
        (["--run", str(run.folder)], "--ensemble: got no --keras-only, wanted it: a bundle states whether it is an"),
    ):
        assert main(["evaluate", *words, "--ensemble", "--scenes", "nowhere"]) == 2
        assert message in capsys.readouterr().err
    assert main(["export", "--random", "etri-paper", "--ensemble", "--out", str(tmp_path / "out")]) == 2
    assert "--ensemble: got no --run, wanted the run whose snapshots" in capsys.readouterr().err


@pytest.mark.long  # converts six nets; the tests above and those of the device need none
def test_an_ensemble_is_scored_and_converted_as_one_system(
    run: Run, scenes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--run", str(run.folder), "--keras-only", "--scenes", str(scenes_folder), "--json"]
    assert main([*words, "--ensemble"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"keras"}
    monkeypatch.setattr(etri_examples, "CALIBRATION_WINDOWS", 20)
    bundles, checks = convert_nets(open_run(run.folder, ensemble=True), ("int8",))
    assert sorted(check.name for check in checks) == sorted(bundles["int8"].flatbuffers) == sorted(MEMBERS)
    assert all(check.float_tensors == 0 for check in checks)
    write_bundle(tmp_path, bundles["int8"])
    bundle = load_bundle(str(tmp_path))
    alone = build_system(Bundle(run.manifest("int8"), {}, run.cache.mean, run.cache.deviation), nets=run.keras_nets())
    assert build_system(bundle).latency_s == pytest.approx(alone.latency_s + 0.3)
    wav = sorted(scenes_folder.glob("*.wav"))[0]
    assert answers(bundle, wav, 2400) == answers(bundle, wav, 777)
    assert main([*words[:3], "--model", str(tmp_path), "--scenes", str(scenes_folder)]) == 0
    assert "keras" in capsys.readouterr().out  # the run is that of the bundle: its snapshots


LOG_LINE = re.compile(
    r"[WIEF]\d{4} \d\d:|\d{4}-\d\d-\d\d \d\d:|WARNING: All log messages before absl|fully_quantize|oneDNN|XNNPACK|cuda|"
    r"TensorFlow|tensorflow"
)
COMMANDS = """
import pickle, sys
from convert.tensorflow_import import import_tensorflow
import_tensorflow()  # first, as both commands do
from convert.cli import main
from convert.systems.etri import examples
from convert.training.recipes import RECIPES
recipe, run, scenes, out = sys.argv[1:]
RECIPES["tiny-etri"] = pickle.load(open(recipe, "rb"))
examples.CALIBRATION_WINDOWS = 4
assert main(["export", "--run", run, "--out", out, "--unchecked"]) == 0
assert main(["evaluate", "--model", out, "--run", run, "--scenes", scenes]) == 0
"""


@pytest.mark.long  # two processes; test_tensorflow_prints_nothing is about most of the lines
def test_export_and_evaluate_print_no_log_lines_of_tensorflow(
    folder: Path, scenes_folder: Path, tmp_path: Path
) -> None:
    """In a process of its own: most of the lines come when TensorFlow is loaded."""
    (tmp_path / "recipe").write_bytes(pickle.dumps(TINY))
    words = [str(each) for each in (tmp_path / "recipe", folder, scenes_folder, tmp_path / "bundle")]
    done = subprocess.run([sys.executable, "-c", COMMANDS, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "this bundle is unchecked" in done.stderr and "keras" in done.stdout.lower()
    assert [line for line in done.stderr.splitlines() if LOG_LINE.search(line)] == []


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-30 12:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.",
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "I0000 00:00:1764500000.123456 1234 cuda_executor.cc:1015] successful NUMA node read",
        "W0000 00:00:1764500000.123456 1234 tf_tfl_flatbuffer_helpers.cc:365] Ignored output_format.",
        "fully_quantize: 0, inference_type: 6, input_inference_type: INT8, output_inference_type: INT8",
        "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
    ],
)
def test_log_lines_of_tensorflow_are_recognised(line: str) -> None:
    assert LOG_LINE.search(line)


@pytest.mark.long  # a bundle for benchmarks
def test_with_random_weights_everything_sounds(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etri_examples, "CALIBRATION_WINDOWS", 20)
    export_random(replace(recipe, device={**recipe.device, "post_sed": False}), tmp_path / "random")
    bundle = load_bundle(str(tmp_path / "random"))
    nets = bundle.nets()
    noise = np.random.default_rng(0).normal(size=(40, 16, 3)).astype(np.float32)
    assert min(nets["sad"](features=noise)["output"].min(), nets["sed"](features=noise)["output"].min()) > 0.9


@pytest.mark.parametrize("name", ["etri-edge", "etri-paper"])
def test_recipes_fit_their_systems(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.stft.frames_per_label == recipe.sizes.frames_per_label
    assert ETRI.net_settings(recipe.device) == {"window_labels": recipe.sizes.labels}

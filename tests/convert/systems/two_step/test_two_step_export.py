"""Two-step from training to a bundle that runs: the same commands as for CoLoC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.cli import main
from convert.data.augment import Augmentation
from convert.data.folders import TRAIN_SPLITS, find_data
from convert.losses import TwoStepLosses
from convert.quantize import ladder
from convert.quantize.export import export_random
from convert.quantize.keras_net import KerasNet
from convert.scenes.capsules import encode
from convert.systems.batches import AS_RECORDED, Sampling
from convert.systems.recipe import Recipe, TrainSettings
from convert.systems.recording_net import RecordingNet
from convert.systems.two_step import examples as two_step_examples
from convert.systems.two_step.batches import fusion_batch_maker
from convert.systems.two_step.examples import STEP_1
from convert.systems.two_step.recordings import filled_windows, window_maps, window_spectra
from convert.systems.two_step.sizes import TwoStepSizes
from convert.systems.two_step.system import TWO_STEP
from convert.systems.two_step.windows import INPUTS, fusion_windows, load_windows, step_1_answers
from convert.training.recipes import RECIPES, find_recipe
from convert.training.run_folder import Run, open_run
from edge.arrays.profile import load_array
from edge.audio.sources import open_source
from edge.events.decoder import DecodeSettings
from edge.frontend.maps import FeatureSettings
from edge.nets.bundle import Bundle, load_bundle
from edge.runtime.pipeline import build_pipeline, build_system
from edge.systems.two_step.beams import BeamMaps
from edge.types import AudioBlock
from tests.convert.systems.tiny_runs import check_stages, trained_run_of

SIZES = TwoStepSizes(
    frames=40,
    bands=16,
    tracks=2,
    doa_filters=(4, 8),
    doa_pools=((5, 2), (1, 2)),
    doa_blocks=1,
    doa_head_filters=8,
    doa_head_pools=(2, 2),
    doa_hidden=8,
    sed_filters=(4, 8),
    sed_pools=((5, 4), (1, 4)),
    sed_transformer_width=8,
    sed_transformer_depth=1,
    sed_transformer_heads=2,
    sed_dense_units=8,
    sed_gru_units=4,
    sed_hidden=8,
    fusion_filters=(4, 8),
    fusion_pools=((5, 4), (1, 2)),
    fusion_blocks=1,
    fusion_dense_units=8,
)  # windows of 8 label frames
TINY = Recipe(
    name="tiny-two-step",
    system="two_step",
    sizes=SIZES,
    augmentation=Augmentation(rotated_share=1.0, hearings=2, masked_frames=4, masked_bands=2),
    losses=TwoStepLosses(),
    features=FeatureSettings("two_step", SIZES.bands),
    training=TrainSettings(steps=2, batch_size=4, warmup_steps=1, checkpoint_steps=1, optimizer="adamw"),
    device={"window_labels": 8, "hop_labels": 6},
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
    yield from trained_run_of(TINY, scenes_folder, tmp_path_factory.mktemp("two_step") / "run")


@pytest.fixture
def run(recipe: Recipe, folder: Path) -> Run:
    """That run."""
    return open_run(folder)


@pytest.mark.long  # `reproduce --quick` trains and scores all stages in the default run
def test_every_stage_is_trained_and_scored(run: Run) -> None:
    check_stages(
        run, TWO_STEP.stages, {"doa": "dev_found_percent", "sed": "dev_f_percent", "fusion": "dev_f20_percent"}
    )


@pytest.mark.long  # `reproduce --quick` trains and scores all stages in the default run
def test_the_fusion_net_learns_from_windows_of_the_devices_loop(run: Run) -> None:
    assert run.cache.folder is not None
    windows = load_windows(run.recipe, run.cache.folder)
    per_hearing = sum((labels - 7) // 8 for labels in np.diff(run.cache.first_labels))  # shifted by up to a window
    assert per_hearing <= len(windows) <= 2 * sum(labels // 8 for labels in np.diff(run.cache.first_labels))
    assert set(windows["recording"]) == set(range(len(run.cache.first_labels) - 1))
    active = np.linalg.norm(windows["tracks"][..., :3], axis=-1) > 0
    assert active.any() and not active.all()


@pytest.mark.long  # `reproduce --quick` trains and scores all stages in the default run
@pytest.mark.parametrize("array", ["foa", "em32_tetra"])
def test_windows_hold_what_the_devices_loop_gives_the_fusion_net(run: Run, array: str) -> None:
    profile, models = load_array(array), run.keras_nets()
    noise = np.random.default_rng(0).normal(0.0, 0.1, (60_000, 4)).astype(np.float32)
    bundle = Bundle(run.manifest("float32"), {}, run.cache.mean, run.cache.deviation)
    fusion = RecordingNet(KerasNet(models["fusion"]))
    nets = {name: KerasNet(models[name]) for name in STEP_1} | {"fusion": fusion}
    overrides = {"hop_labels": SIZES.labels, "sure": 1e-6}  # side by side, and all are asked about
    pipeline = build_pipeline(bundle, profile, build_system(bundle, overrides=overrides, nets=nets, array=profile))
    list(pipeline.push(AudioBlock(noise, 0)))
    encoded = encode(noise, profile, microphones=True)
    spectra = window_spectra(encoded, run.recipe)
    maps = window_maps(spectra, run.recipe.sizes, bundle.extractor())
    beams = BeamMaps(profile, run.recipe.stft, bundle.extractor())
    windows = filled_windows(spectra, maps, step_1_answers(models, maps), run.recipe.sizes, beams)
    assert len(windows) == 3 and len(fusion.examples) >= 2
    for window, asked in zip(windows, fusion.examples, strict=False):
        for name in INPUTS:
            np.testing.assert_allclose(window[name].astype(np.float32), asked[name], rtol=2e-3, atol=2e-3)


@pytest.mark.long  # each process imports TensorFlow
def test_processes_make_the_same_windows(run: Run, scenes_folder: Path) -> None:
    assert run.cache.folder is not None
    nets = {name: net for name in STEP_1 for net in run.nets_of(name)}
    (folder,) = find_data([str(scenes_folder)], TRAIN_SPLITS)
    cache = replace(run.cache, recordings=folder.recordings)
    made = []
    for jobs in (1, 2):
        (run.cache.folder / "windows.json").unlink()
        made.append(np.array(fusion_windows(run.recipe, nets, cache, jobs)))
    assert len(made[0]) > 2
    for name in made[0].dtype.names or ():
        np.testing.assert_allclose(made[0][name].astype(float), made[1][name].astype(float), atol=2e-3)


@pytest.mark.long  # `reproduce --quick` trains and scores all stages in the default run
def test_windows_of_other_nets_are_made_anew_from_the_recordings(run: Run) -> None:
    nets = {name: net for name in STEP_1 for net in run.nets_of(name)}
    before = np.array(fusion_windows(run.recipe, nets, run.cache)[:2])
    assert before["sed"].any()
    nets["sed"].set_weights([np.zeros_like(weight) for weight in nets["sed"].get_weights()])
    with pytest.raises(ValueError, match="got no windows of these nets"):
        fusion_windows(run.recipe, nets, run.cache)  # which an opened run has not


@pytest.mark.long  # needs the trained run
def test_features_and_beams_are_masked_alike(run: Run) -> None:
    assert run.cache.folder is not None
    windows = load_windows(run.recipe, run.cache.folder)
    plain, masked = (
        fusion_batch_maker(windows, run.cache, Sampling(settings, SIZES.labels, 16, seed=3), INPUTS)(0)
        for settings in (AS_RECORDED, replace(AS_RECORDED, masked_frames=10, masked_bands=6))
    )
    np.testing.assert_array_equal(plain[1], masked[1])
    gone = {name: np.all(masked[0][name] == 0.0, axis=-1) for name in ("features", "beams")}
    assert gone["features"].any()
    np.testing.assert_array_equal(gone["features"], gone["beams"])
    kept = ~gone["features"]
    np.testing.assert_array_equal(masked[0]["beams"][kept], plain[0]["beams"][kept])
    np.testing.assert_array_equal(masked[0]["doa"], plain[0]["doa"])


@pytest.mark.long  # `reproduce --quick` trains and scores all stages in the default run
def test_deployed_nets_answer_as_the_trained_ones(run: Run) -> None:
    trained = run.keras_nets()
    deployed = run.deployed_nets(trained)
    for name, examples in run.examples({}, 0.01, seed=0).items():
        wanted, got = (KerasNet(nets[name])(**examples[0])["output"] for nets in (trained, deployed))
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.long  # `reproduce --quick` trains and scores all stages in the default run
def test_a_bundle_is_exported_and_runs_the_same_for_any_block_size(
    recipe: Recipe, folder: Path, scenes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_step_examples, "CALIBRATION_WINDOWS", 20)
    monkeypatch.setitem(ladder.LEAST_SNR_DB, "int8", -100.0)
    monkeypatch.setattr(ladder, "MOST_F_LOST", 1.0)
    monkeypatch.setattr(ladder.RungCheck, "passed", True)  # nothing is heard after two steps
    out = tmp_path / "bundle"
    assert main(["export", "--run", str(folder), "--scenes", str(scenes_folder), "--out", str(out)]) == 0
    bundle = load_bundle(str(out))
    assert "| window | int8 | 2022" in (out / "CARD.md").read_text()
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


@pytest.mark.long  # each exports all nets once more
@pytest.mark.parametrize("fuse_beams", [True, False])
def test_with_random_weights_everything_sounds(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fuse_beams: bool
) -> None:
    monkeypatch.setattr(two_step_examples, "CALIBRATION_WINDOWS", 20)
    sizes = replace(SIZES, fuse_beams=fuse_beams)
    export_random(replace(recipe, sizes=sizes), tmp_path / "random")
    bundle = load_bundle(str(tmp_path / "random"))
    assert ("beams" in bundle.manifest.nets["fusion"]["inputs"]) == fuse_beams
    system = build_system(bundle)
    pipeline = build_pipeline(bundle, load_array("foa"), system)
    heard = []
    step = system.step
    system.step = lambda spectra: [heard.append(t) or t for t in step(spectra)]
    noise = np.random.default_rng(0).normal(0.0, 0.1, (48000, 4)).astype(np.float32)
    list(pipeline.push(AudioBlock(noise, 0)))
    assert np.mean([tracks.activity[..., 0].max() > 0.5 for tracks in heard]) == 1.0


@pytest.mark.parametrize("name", ["two-step-edge", "two-step-paper"])
def test_recipes_fit_their_systems(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.stft.frames_per_label == recipe.sizes.frames_per_label
    assert TWO_STEP.net_settings(recipe.device) == {"window_labels": recipe.sizes.labels}

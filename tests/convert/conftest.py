"""What several tests of `convert` share: a few clips, scenes made of them, a small recipe and a small cache."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from convert.cli import main
from convert.clips.library import load_clip_library
from convert.commands import snapshots
from convert.data.augment import Augmentation
from convert.data.cache import FeatureCache
from convert.losses import ColocLosses
from convert.quantize import export, ladder
from convert.scenes.render import make_scenes
from convert.scenes.settings import SceneSettings
from convert.systems.coloc import examples as coloc_examples
from convert.systems.coloc.sizes import CrnnSizes
from convert.systems.recipe import Recipe, TrainSettings
from convert.training import dev_score
from convert.training.recipes import RECIPES
from edge.audio.wav import write_wav
from edge.events.decoder import DecodeSettings
from edge.frontend.maps import FEATURES, FeatureSettings
from edge.frontend.stft import StftSettings
from edge.geometry import foa_gains, unit_vector
from edge.nets.bundle import Bundle
from edge.scoring.annotations import Label, write_annotations

gc.freeze()  # TensorFlow makes so many objects at import that looking through them again and again takes long
RATE_HZ = 24000
TINY_SIZES = CrnnSizes(frames=30, bands=32, filters=(4, 4, 4), gru_units=4, dense_units=4)
TINY = Recipe(
    name="tiny-recipe",
    system="coloc",
    sizes=TINY_SIZES,
    features=FeatureSettings("logmel_iv", TINY_SIZES.bands),
    augmentation=Augmentation(rotated_share=1.0, equalizer_db=2.0, masked_frames=5, masked_bands=3, decoy_share=0.3),
    losses=ColocLosses(),
    training=TrainSettings(steps=2, batch_size=4, warmup_steps=1, checkpoint_steps=1),
    device={"window_labels": 6, "hop_labels": 2, "look_ahead_labels": 1, "threshold": 0.02},  # every answer counts
    decode=DecodeSettings(on=0.2, off=0.1),
)
FEW_CHUNKS = 16  # of development data
SHORT_STREAMS = {
    "SLOTS": 1,
    "STREAMED_SCENES": 4,
    "STREAMED_LABELS": 20,
    "CALIBRATION_STEPS": 40,
    "CALIBRATION_WINDOWS": 40,
}


@pytest.fixture(autouse=True)
def same_weights_each_time() -> None:
    """Random weights do not depend on the tests before."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibration of the step nets that goes with short scenes."""
    for name, value in SHORT_STREAMS.items():
        monkeypatch.setattr(coloc_examples, name, value)


@pytest.fixture
def tiny_recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe of windows of 0.6 s that trains and is scored in a moment; `find_recipe` knows it."""
    monkeypatch.setitem(RECIPES, TINY.name, TINY)
    monkeypatch.setattr(dev_score, "CHUNKS", FEW_CHUNKS)
    monkeypatch.setattr(snapshots, "NORM_BATCHES", 3)
    return TINY


@pytest.fixture(scope="session")
def unsettle() -> Callable[[keras.Model, int], None]:
    """A function that gives every weight of a model, and its norms' own, values as after a training."""

    def unsettled(model: keras.Model, seed: int) -> None:
        rng = np.random.default_rng(seed)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                size = layer.gamma.shape[0]
                gamma = rng.uniform(0.5, 2.0, size) * rng.choice([-1, 1], size)
                layer.set_weights([gamma, rng.normal(size=size), rng.normal(size=size), rng.uniform(0.2, 3.0, size)])
            elif layer.weights:
                layer.set_weights([weight + rng.normal(0, 0.1, weight.shape) for weight in layer.get_weights()])

    return unsettled


@pytest.fixture(scope="session")
def clips_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of each of two classes, in one folder per class."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    seconds = np.arange(int(0.8 * RATE_HZ)) / RATE_HZ
    for number in range(2):
        for name, samples in (
            ("hiss", 0.1 * rng.standard_normal(len(seconds))),
            ("tone", 0.2 * np.sin(2 * np.pi * 500 * (number + 1) * seconds)),
        ):
            (root / name).mkdir(exist_ok=True)
            soundfile.write(root / name / f"{number}.wav", samples, RATE_HZ)
    return root


@pytest.fixture(scope="session")
def scenes_folder(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of two seconds with the classes `hiss` and `tone`."""
    root = tmp_path_factory.mktemp("scenes")
    settings = SceneSettings(duration_s=2.0, density=(1.0, 1.1), moving_share=0.0, rt60_s=(0.15, 0.16))
    make_scenes(load_clip_library(clips_folder), settings, seed=1, count=2, out_dir=root)
    return root


@pytest.fixture(scope="session")
def waves_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plane wave of noise in each of two scenes of 3 s, from 0.5 s to 2.5 s, such as the tiny bundle knows them."""
    folder = tmp_path_factory.mktemp("waves")
    rng = np.random.default_rng(0)
    for class_index, (name, place) in enumerate({"a": (30.0, -20.0), "b": (-120.0, 40.0)}.items()):
        noise = np.fft.rfft(rng.standard_normal(3 * RATE_HZ))
        hz = np.fft.rfftfreq(3 * RATE_HZ, 1 / RATE_HZ)
        noise[(hz > 2070.0) == (class_index == 0)] *= 0.05  # the middle of the bands
        wave = np.fft.irfft(noise)
        wave[: RATE_HZ // 2] = wave[-RATE_HZ // 2 :] = 0
        samples = 0.1 * wave[:, None] / wave.std() * foa_gains(unit_vector(*place))
        write_wav(folder / f"{name}.wav", samples.astype(np.float32), RATE_HZ)
        write_annotations(folder / f"{name}.csv", [Label(frame, class_index, 0, *place) for frame in range(5, 25)])
    (folder / "scenes.json").write_text('{"class_names": ["low", "high"]}')
    return folder


@pytest.fixture
def make_cache() -> Callable[..., FeatureCache]:
    """Builds a cache in memory: maps that count frames, and the given stacked-tracks."""

    def make(tracks: np.ndarray, first_labels: tuple[int, ...]) -> FeatureCache:
        kind, bands = "logmel_iv", 8
        names = FEATURES[kind][1]
        frames = 5 * tracks.shape[1]
        maps = np.broadcast_to(np.arange(frames, dtype=np.float16)[:, None, None], (frames, bands, len(names)))
        shape = (bands, len(names))
        return FeatureCache(
            maps=np.ascontiguousarray(maps),
            tracks=tracks.astype(np.float32),
            first_labels=first_labels,
            class_names=("hiss", "tone"),
            stft=StftSettings(),
            features=FeatureSettings(kind, bands),
            mean=np.full(shape, 2.0, np.float32),
            deviation=np.full(shape, 4.0, np.float32),
        )

    return make


@pytest.fixture(scope="session")
def trained_run(scenes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `seld-convert train` has trained the tiny recipe for two steps."""
    run = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, TINY.name, TINY)
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):  # the command sets them
            patch.setenv(name, "1")
        options = ["--model", TINY.name, "--data", str(scenes_folder), "--out", str(run)]
        assert main(["train", *options, "--jobs", "1", "--threads", "1"]) == 0
    return run


@dataclass(frozen=True)
class Exported:
    """What `seld-convert export` made of the run, and what it went by."""

    folder: Path
    bundles: dict[str, Bundle]
    checks: list[ladder.NetCheck]


@pytest.fixture(scope="session")
def exported(trained_run: Path, scenes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The bundle of the trained run, with limits that let a net pass that has hardly learnt. Takes a while."""
    folder = tmp_path_factory.mktemp("exported") / "bundle"
    kept = []

    def convert_nets(run: export.Run) -> object:
        kept.append(convert(run))
        return kept[-1]

    convert = export.convert_nets
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, TINY.name, TINY)
        for name, value in SHORT_STREAMS.items():
            patch.setattr(coloc_examples, name, value)
        patch.setattr(export, "convert_nets", convert_nets)
        patch.setitem(ladder.LEAST_SNR_DB, "int8", -100.0)
        patch.setattr(ladder, "MOST_MOVED_DEG", 180.0)
        patch.setattr(ladder, "MOST_F_LOST", 1.0)
        assert main(["export", "--run", str(trained_run), "--scenes", str(scenes_folder), "--out", str(folder)]) == 0
    ((bundles, checks),) = kept
    return Exported(folder, bundles, checks)

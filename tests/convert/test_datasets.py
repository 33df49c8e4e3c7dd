"""The feature cache: what is trained on is what the device computes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convert import datasets
from convert.datasets import build_cache, device_features, read_class_names, read_sources, scene_names
from convert.tracks import label_tracks
from edge.annotations import read_annotations
from edge.features import FeatureExtractor, FeatureSettings
from edge.stft import Stft, StftSettings
from edge.types import AudioBlock
from edge.wav import read_wav, write_wav

STFT, FEATURES = StftSettings(), FeatureSettings("logmel_iv", 32)


@pytest.mark.parametrize(("kind", "bands"), [("logmel_iv", 64), ("logpower_phase_iv", 513)])
def test_training_features_are_those_of_a_stream_in_odd_blocks(kind: str, bands: int) -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal((7001, 4)).astype(np.float32)
    extractor = FeatureExtractor(FeatureSettings(kind, bands), STFT)
    whole = device_features(samples, STFT, extractor)
    assert whole.shape == (15, bands, len(extractor.map_names))  # the last label frame is filled with silence
    for sizes in ([1, 2, 3, 479, 480, 481], [4801, 5], [7]):
        transform, maps, start = Stft(STFT, 4), [], 0
        while start < len(samples):
            size = sizes[len(maps) % len(sizes)] if len(sizes) > 1 else sizes[0]
            block = AudioBlock(samples[start : start + size], start)
            maps += [extractor(spectra).maps for spectra in transform.push(block)]
            start += size
        maps += [extractor(spectra).maps for spectra in transform.finish()]
        np.testing.assert_array_equal(np.concatenate(maps), whole)


def test_a_cache_holds_device_features_and_stacked_tracks(scenes_folder: Path, tmp_path: Path) -> None:
    cache = build_cache([scenes_folder], tmp_path / "cache", STFT, FEATURES)
    assert cache.class_names == ("hiss", "tone")
    assert (cache.stft, cache.features) == (STFT, FEATURES)
    assert cache.first_labels == (0, 20, 40)
    exact = []
    for number, name in enumerate(("scene_00000", "scene_00001")):
        samples, _ = read_wav(scenes_folder / f"{name}.wav")
        exact.append(device_features(samples, STFT, FeatureExtractor(FEATURES, STFT)))
        np.testing.assert_array_equal(cache.maps[100 * number : 100 * (number + 1)], exact[-1].astype(np.float16))
        tracks = label_tracks(read_annotations(scenes_folder / f"{name}.csv", 2), 20, 2)
        assert np.any(tracks[..., :3] != 0)
        np.testing.assert_array_equal(cache.tracks[:, 20 * number : 20 * (number + 1)], tracks)
    everything = np.concatenate(exact).astype(np.float64)
    np.testing.assert_allclose(cache.mean, everything.mean(axis=0), atol=2e-3)
    np.testing.assert_allclose(cache.deviation, everything.std(axis=0), rtol=2e-3, atol=1e-5)


def test_what_nets_learn_from_is_what_the_device_feeds_them(scenes_folder: Path, tmp_path: Path) -> None:
    """Normalised: the statistics of the cache are those that travel in the bundle."""
    cache = build_cache([scenes_folder], tmp_path / "cache", STFT, FEATURES)
    samples, _ = read_wav(scenes_folder / "scene_00000.wav")
    device = device_features(samples, STFT, FeatureExtractor(FEATURES, STFT, cache.mean, cache.deviation))
    learnt = (cache.maps[:100].astype(np.float32) - cache.mean) / cache.deviation
    np.testing.assert_allclose(learnt, device, atol=0.02)  # what float16 costs
    assert device.std() == pytest.approx(1.0, abs=0.3)


def test_an_existing_cache_is_reused_until_something_else_is_asked(
    scenes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_cache([scenes_folder], tmp_path, STFT, FEATURES)

    def computed(task: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(datasets, "_scene_arrays", computed)
    again = build_cache([scenes_folder], tmp_path, STFT, FEATURES)
    np.testing.assert_array_equal(again.maps, first.maps)
    np.testing.assert_array_equal(again.tracks, first.tracks)
    np.testing.assert_array_equal(again.mean, first.mean)
    with pytest.raises(AssertionError, match="computed again"):
        build_cache([scenes_folder], tmp_path, STFT, FeatureSettings("logmel_iv", 16))
    index = scenes_folder / "scenes.json"
    kept = index.read_text()
    try:
        index.write_text(kept + " ")  # the scenes were made anew, under the same names
        with pytest.raises(AssertionError, match="computed again"):
            build_cache([scenes_folder], tmp_path, STFT, FEATURES)
    finally:
        index.write_text(kept)


def test_a_cache_that_was_not_finished_is_not_taken(
    scenes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_cache([scenes_folder], tmp_path, STFT, FEATURES)
    wanted = first.maps.copy()
    compute = datasets._scene_arrays

    def breaks(task: tuple) -> object:
        if task[0].name == "scene_00001":
            raise KeyboardInterrupt
        return compute(task)

    with monkeypatch.context() as patch:
        patch.setattr(datasets, "_scene_arrays", breaks)
        with pytest.raises(KeyboardInterrupt):
            build_cache([scenes_folder], tmp_path, STFT, FeatureSettings("logmel_iv", 16))
    again = build_cache([scenes_folder], tmp_path, STFT, FEATURES)
    np.testing.assert_array_equal(again.maps, wanted)


@pytest.mark.slow
def test_processes_change_nothing(scenes_folder: Path, tmp_path: Path) -> None:
    for jobs in (1, 2):
        build_cache([scenes_folder], tmp_path / str(jobs), STFT, FEATURES, jobs)
    for name in ("maps.f16", "tracks.npy", "cache.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_chunks_keep_maps_and_labels_together_and_stay_inside_a_scene(make_cache: Callable) -> None:
    tracks = np.zeros((3, 40, 4), np.float32)
    tracks[0, :, 0] = np.arange(40)
    cache = make_cache(tracks, (0, 12, 40))
    rng = np.random.default_rng(0)
    starts = set()
    for _ in range(400):
        chunk = cache.sample(10, rng)
        labels = chunk.tracks[0, :, 0]
        np.testing.assert_array_equal(np.diff(labels), 1)
        np.testing.assert_array_equal(chunk.maps[:, 0, 0], 5 * labels[0] + np.arange(50))
        starts.add(int(labels[0]))
    assert starts == {0, 1, 2, *range(12, 31)}
    assert chunk.maps.dtype == np.float32
    chunk.tracks[:] = -1
    assert cache.tracks.min() == 0


@pytest.fixture
def broken(scenes_folder: Path, tmp_path: Path) -> Path:
    """A copy of the scenes to break."""
    return Path(shutil.copytree(scenes_folder, tmp_path / "broken"))


def edit(folder: Path, **entries: object) -> None:
    table = json.loads((folder / "scenes.json").read_text())
    (folder / "scenes.json").write_text(json.dumps(table | entries))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "scene_00001.csv").unlink(), r"scene_00001\.wav: got no labels"),
        (lambda folder: [path.unlink() for path in folder.glob("*.wav")], r"broken: got no \.wav file"),
        (lambda folder: (folder / "scenes.json").unlink(), r"broken: got no scenes\.json"),
        (lambda folder: (folder / "scenes.json").write_text("{"), r"scenes\.json: got no list of class names"),
        (lambda folder: (folder / "scenes.json").write_text("{}"), r"scenes\.json: got no list of class names"),
        (
            lambda folder: edit(folder, class_names=["tone"]),
            r"scene_0000\d\.csv, line \d+: got class '1', wanted 0 to 0",
        ),
        (
            lambda folder: write_wav(folder / "scene_00000.wav", np.zeros((4800, 4), np.float32), 16000),
            r"scene_00000\.wav: got 4 channels at 16000 Hz, wanted 4 at 24000 Hz",
        ),
        (
            lambda folder: write_wav(folder / "scene_00000.wav", np.zeros((4800, 2), np.float32), 24000),
            r"scene_00000\.wav: got 2 channels at 24000 Hz, wanted 4 at 24000 Hz",
        ),
        (lambda folder: (folder / "scene_00000.wav").write_bytes(b"RIFF"), r"scene_00000\.wav"),
    ],
)
def test_broken_scenes_are_errors_that_name_them(broken: Path, damage: Callable, message: str) -> None:
    damage(broken)
    with pytest.raises(ValueError, match=message):
        build_cache([broken], broken / "cache", STFT, FEATURES)
    assert not (broken / "cache" / "cache.json").exists()


def test_folders_share_their_classes(scenes_folder: Path, broken: Path) -> None:
    edit(broken, class_names=["hiss", "bell"])
    with pytest.raises(ValueError, match=r"got classes \('hiss', 'bell'\), wanted \('hiss', 'tone'\)"):
        build_cache([scenes_folder, broken], broken / "cache", STFT, FEATURES)


def test_no_jobs_are_an_error(scenes_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 0 jobs, wanted at least 1"):
        build_cache([scenes_folder], tmp_path, STFT, FEATURES, jobs=0)


def test_names_and_sources_of_scenes(scenes_folder: Path, broken: Path) -> None:
    assert scene_names(scenes_folder) == ["scene_00000", "scene_00001"]
    assert read_class_names(scenes_folder) == ("hiss", "tone")
    rows = [{"source": "a", "licence": "CC0", "clips": 3}, {"source": "a", "licence": "MIT", "clips": 1}]
    edit(broken, sources=rows)
    more = {"source": "a", "licence": "CC0", "clips": 5}
    shutil.copytree(broken, broken / "more")
    edit(broken / "more", sources=[more])
    assert read_sources([broken, broken / "more"]) == [more, rows[1]]
    (made,) = read_sources([scenes_folder])
    assert (made["licence"], made["clips"]) == ("unknown", 4)

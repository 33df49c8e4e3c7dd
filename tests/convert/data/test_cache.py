"""The feature cache holds what the device computes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.clips.library import load_clip_library
from convert.data import build_cache as builder
from convert.data.build_cache import build_cache
from convert.data.cache import FeatureCache, load_cache
from convert.data.features import device_features
from convert.data.folders import find_data
from convert.data.recordings import LabelledRecording
from convert.data.scene_folders import read_array, read_class_names, scene_names
from convert.data.tracks import label_tracks
from convert.scenes.capsules import encode
from convert.scenes.render import make_scenes
from convert.scenes.settings import SceneSettings
from edge.arrays.profile import load_array
from edge.audio.wav import read_wav, write_wav
from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import Stft, StftSettings
from edge.geometry import angle_between_deg
from edge.scoring.annotations import read_annotations
from edge.types import AudioBlock

STFT, FEATURES = StftSettings(), FeatureSettings("logmel_iv", 32)
NAMES = ("hiss", "tone")


def cached(folder: Path | str, cache: Path, features: FeatureSettings = FEATURES, **options: Any) -> FeatureCache:
    """A cache of one folder or of several that are separated by blanks."""
    return build_cache(find_data(str(folder).split(), ["train"]), NAMES, cache, STFT, features, **options)


@pytest.mark.parametrize(("kind", "bands"), [("logmel_iv", 64), ("logpower_phase_iv", 513), ("etri", 64)])
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
            maps += [each.maps for spectra in transform.push(block) for each in extractor.push(spectra)]
            start += size
        maps += [each.maps for spectra in transform.finish() for each in extractor.push(spectra)]
        maps += [each.maps for each in extractor.finish()]
        np.testing.assert_array_equal(np.concatenate(maps), whole)


def test_features_with_a_delay_are_aligned_with_the_sound() -> None:
    samples = np.zeros((24000, 4), np.float32)
    samples[12345:12350] = 0.5
    loudness = [
        device_features(samples, STFT, FeatureExtractor(FeatureSettings(kind, 64), STFT))[..., 3].sum(axis=1)
        for kind in ("logmel_iv", "etri")
    ]
    assert [each.shape for each in loudness] == [(50,), (50,)]
    assert [each.argmax() for each in loudness] == [round(12345 / 480)] * 2


def test_a_cache_holds_device_features_and_stacked_tracks(scenes_folder: Path, tmp_path: Path) -> None:
    cache = cached(scenes_folder, tmp_path / "cache")
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


def test_training_data_are_what_the_device_feeds_its_nets(scenes_folder: Path, tmp_path: Path) -> None:
    """After normalisation, with the statistics that the bundle contains."""
    cache = cached(scenes_folder, tmp_path / "cache")
    samples, _ = read_wav(scenes_folder / "scene_00000.wav")
    device = device_features(samples, STFT, FeatureExtractor(FEATURES, STFT, cache.mean, cache.deviation))
    learnt = (cache.maps[:100].astype(np.float32) - cache.mean) / cache.deviation
    np.testing.assert_allclose(learnt, device, atol=0.02)  # what float16 costs
    assert device.std() == pytest.approx(1.0, abs=0.3)


def test_an_existing_cache_is_reused_until_something_else_is_asked(
    scenes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cached(scenes_folder, tmp_path)

    def computed(recording: LabelledRecording, **settings: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(builder, "recording_arrays", computed)
    again = cached(scenes_folder, tmp_path)
    np.testing.assert_array_equal(again.maps, first.maps)
    np.testing.assert_array_equal(again.tracks, first.tracks)
    np.testing.assert_array_equal(again.mean, first.mean)
    with pytest.raises(AssertionError, match="computed again"):
        cached(scenes_folder, tmp_path, FeatureSettings("logmel_iv", 16))
    index = scenes_folder / "scenes.json"
    kept = index.read_text()
    try:
        index.write_text(kept + " ")  # the scenes were made anew, under the same names
        with pytest.raises(AssertionError, match="computed again"):
            cached(scenes_folder, tmp_path)
    finally:
        index.write_text(kept)


def test_an_unfinished_cache_is_not_reused(
    scenes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cached(scenes_folder, tmp_path)
    wanted = first.maps.copy()
    compute = builder.recording_arrays

    def breaks(recording: LabelledRecording, **settings: Any) -> object:
        if recording.wav.stem == "scene_00001":
            raise KeyboardInterrupt
        return compute(recording, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(builder, "recording_arrays", breaks)
        with pytest.raises(KeyboardInterrupt):
            cached(scenes_folder, tmp_path, FeatureSettings("logmel_iv", 16))
    again = cached(scenes_folder, tmp_path)
    np.testing.assert_array_equal(again.maps, wanted)


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(scenes_folder: Path, tmp_path: Path) -> None:
    for jobs in (1, 2):
        cached(scenes_folder, tmp_path / str(jobs), jobs=jobs)
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
        (lambda folder: (folder / "scenes.json").write_text("{"), r"scenes\.json: got no JSON object"),
        (lambda folder: (folder / "scenes.json").write_text("[]"), r"scenes\.json: got no JSON object"),
        (lambda folder: (folder / "scenes.json").write_text("{}"), r"scenes\.json: got no list of class names"),
        (lambda folder: edit(folder, class_names="ab"), r"scenes\.json: got no list of class names"),
        (lambda folder: edit(folder, array="nothing"), r"scenes\.json: array 'nothing': got no such profile"),
        (lambda folder: edit(folder, array=3), r"scenes\.json: array '3': got no such profile"),
        (lambda folder: edit(folder, array={"name": "a"}), r"scenes\.json: array: got no 'kind'"),
        (
            lambda folder: edit(folder, class_names=["tone"]),
            r"scene_0000\d\.csv, line \d+: got class '1', wanted 0 to 0",
        ),
        (
            lambda folder: write_wav(folder / "scene_00000.wav", np.zeros((4800, 4), np.float32), 2000),
            r"scene_00000\.wav: got a sample rate of 2000 Hz, wanted 4000 to 192000",
        ),
        (
            lambda folder: write_wav(folder / "scene_00000.wav", np.zeros((4800, 2), np.float32), 24000),
            r"scene_00000\.wav: got 2 channels, wanted the 4 of array 'foa'",
        ),
        (lambda folder: (folder / "scene_00000.wav").write_bytes(b"RIFF"), r"scene_00000\.wav"),
    ],
)
def test_broken_scenes_are_errors_that_name_them(broken: Path, damage: Callable, message: str) -> None:
    damage(broken)
    with pytest.raises(ValueError, match=message):
        cached(broken, broken / "cache")
    assert not (broken / "cache").exists()  # it was told before anything was computed


def test_no_jobs_are_an_error(scenes_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 0 jobs, wanted at least 1"):
        cached(scenes_folder, tmp_path, jobs=0)


def test_names_of_scenes_and_classes(scenes_folder: Path) -> None:
    assert scene_names(scenes_folder) == ["scene_00000", "scene_00001"]
    assert read_class_names(scenes_folder) == NAMES


def test_an_array_is_a_name_or_a_whole_profile(broken: Path) -> None:
    assert read_array(broken) == load_array("foa")
    edit(broken, array="em32_tetra")
    assert read_array(broken) == load_array("em32_tetra")
    own = replace(load_array("open_tetra"), name="mine", capsule_gain_db=(1.0, 0.0, 0.0, 0.5))
    edit(broken, array=asdict(own))
    assert read_array(broken) == own


def test_recordings_at_another_rate_are_resampled(tmp_path: Path, plane_wave: Callable) -> None:
    maps = []
    for rate_hz in (24000, 48000, 44100):
        folder = tmp_path / str(rate_hz)
        folder.mkdir()
        seconds = np.arange(rate_hz) / rate_hz
        samples = plane_wave(0.1 * np.sin(2 * np.pi * 1000 * seconds), 30, -20)
        (folder / "scenes.json").write_text(json.dumps({"class_names": NAMES}))
        write_wav(folder / "a.wav", samples, rate_hz)
        (folder / "a.csv").write_text("2,0,0,30,-20\n")
        cache = cached(folder, folder / "cache")
        assert cache.first_labels == (0, 10)
        maps.append(cache.maps[10:40].astype(np.float32))
    loud = maps[0][..., 0] > maps[0][..., 0].max() - 20  # the bands of the tone
    for each in maps[1:]:
        np.testing.assert_allclose(each[loud], maps[0][loud], atol=0.15)


def test_capsules_are_encoded_as_on_the_device(tmp_path: Path) -> None:
    array = load_array("em32_tetra")
    (tmp_path / "scenes.json").write_text(json.dumps({"class_names": NAMES, "array": "em32_tetra"}))
    samples = 0.1 * np.random.default_rng(0).standard_normal((24000, 4)).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples, 24000)
    (tmp_path / "a.csv").write_text("2,0,0,30,-20\n")
    encoded = encode(read_wav(tmp_path / "a.wav")[0], array)
    wanted = device_features(encoded, STFT, FeatureExtractor(FEATURES, STFT)).astype(np.float16)
    np.testing.assert_array_equal(cached(tmp_path, tmp_path / "cache").maps, wanted)


@pytest.mark.slow
def test_scenes_of_capsules_point_where_scenes_of_an_ideal_array_do(clips_folder: Path, tmp_path: Path) -> None:
    """The same seed draws the same events at the same places for every array."""
    settings = SceneSettings(
        duration_s=4.0, density=(1.0, 1.1), max_overlap=1, moving_share=0.0, rt60_s=(0.15, 0.16), snr_db=(40.0, 40.0)
    )
    directions = []
    for name in ("foa", "em32_tetra"):
        out = tmp_path / name
        make_scenes(load_clip_library(clips_folder), settings, 1, 2, out, array=load_array(name))
        cache = cached(out, out / "cache")
        directions.append(intensities(cache))
        active = np.any(cache.tracks[0, :, :3] != 0, axis=-1)
        assert np.median(angle_between_deg(directions[-1][active], cache.tracks[0, active, :3])) < 10
    assert active.sum() > 20
    assert np.median(angle_between_deg(*directions)[active]) < 10


def intensities(cache: FeatureCache) -> np.ndarray:
    """Direction (labels, 3) of the intensity, summed over the loudest bands under 3 kHz of each label frame."""
    maps = cache.maps.astype(np.float64).reshape(-1, 5, *cache.maps.shape[1:])[:, :, :16]
    power = 10 ** (maps[..., :1] / 10)
    return (maps[..., 4:] * power).sum(axis=(1, 2))[:, [2, 0, 1]]


def test_weights_are_shares_of_the_chunks(scenes_folder: Path, broken: Path, tmp_path: Path) -> None:
    write_wav(broken / "scene_00000.wav", np.zeros((24000, 4), np.float32), 24000)  # half as long as the other
    plain = cached(f"{scenes_folder} {broken}", tmp_path)
    assert plain.chances is None
    assert plain.first_labels == (0, 20, 40, 50, 70)
    stamp = (tmp_path / "maps.f16").stat().st_mtime_ns
    weighted = cached(f"{scenes_folder}@1 {broken}@3", tmp_path)
    assert weighted.chances == pytest.approx([0.125, 0.125, 0.25, 0.5])
    assert (tmp_path / "maps.f16").stat().st_mtime_ns == stamp  # nothing was computed anew
    rng = np.random.default_rng(0)
    starts = Counter(
        int(np.searchsorted(weighted.first_labels, labels_of(weighted, rng), "right")) for _ in range(2000)
    )
    assert [starts[index] / 2000 for index in range(1, 5)] == pytest.approx([0.125, 0.125, 0.25, 0.5], abs=0.04)
    assert cached(f"{scenes_folder} {broken}", tmp_path).chances is None


def labels_of(cache: FeatureCache, rng: np.random.Generator) -> int:
    """The label frame that a chunk begins with."""
    marked = replace(cache, tracks=np.broadcast_to(np.arange(70.0)[None, :, None], (3, 70, 4)))
    return int(marked.sample(6, rng).tracks[0, 0, 0])


def test_chunks_begin_at_multiples_of_a_hop(make_cache: Callable) -> None:
    """Scenes of 30 and of 25 label frames hold windows of 10 at 0, 7 and 14 each; the second begins at 30."""
    cache = make_cache(np.zeros((3, 55, 4)), (0, 30, 55))
    rng = np.random.default_rng(0)
    begins = {int(cache.sample(10, rng, hop_labels=7).maps[0, 0, 0]) // 5 for _ in range(200)}
    assert begins == {0, 7, 14, 30, 37, 44}


def test_events_beyond_the_slots_are_kept_if_asked_for(scenes_folder: Path, tmp_path: Path) -> None:
    data = find_data([str(scenes_folder)], ())
    usual, more = (build_cache(data, NAMES, tmp_path / str(slots), STFT, FEATURES, slots=slots) for slots in (3, 6))
    assert (len(usual.tracks), len(more.tracks)) == (3, 6)
    np.testing.assert_array_equal(more.tracks[:3], usual.tracks)
    assert "slots" not in json.loads((tmp_path / "3" / "cache.json").read_text())["described"]


def test_distances_are_kept_if_asked_for(scenes_folder: Path, tmp_path: Path) -> None:
    """In metres, as the label files have them in centimetres; a cache without them is what it was."""
    usual, more = (cached(scenes_folder, tmp_path / str(kept), distances=kept) for kept in (False, True))
    assert (usual.tracks.shape[-1], more.tracks.shape[-1]) == (4, 5)
    np.testing.assert_array_equal(more.tracks[..., :4], usual.tracks)
    names = sorted(path.stem for path in scenes_folder.glob("*.csv"))
    labels = [label for name in names for label in read_annotations(scenes_folder / f"{name}.csv", 2)]
    found = more.tracks[..., 4][np.any(usual.tracks[..., :3] != 0, axis=-1)]
    assert sorted(found.tolist()) == pytest.approx(sorted(label.distance_cm / 100 for label in labels))
    assert np.all(more.tracks[..., 4][~np.any(usual.tracks[..., :3] != 0, axis=-1)] == 0.0)
    assert "distances" not in json.loads((tmp_path / "False" / "cache.json").read_text())["described"]


def test_without_weights_the_draw_of_scenes_is_unchanged(make_cache: Callable) -> None:
    """A resumed training sees the same batches as one without interruption."""
    tracks = np.zeros((3, 40, 4), np.float32)
    tracks[0, :, 0] = np.arange(40)
    cache, rng = make_cache(tracks, (0, 12, 40)), np.random.default_rng(7)
    assert [int(cache.sample(10, rng).tracks[0, 0, 0]) for _ in range(8)] == [23, 29, 26, 16, 0, 2, 12, 2]


def test_the_size_is_printed_and_a_full_disk_is_an_error(
    scenes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cached(scenes_folder, tmp_path)
    assert capsys.readouterr().err == f"{tmp_path}: 0.00 GB for the features of 0.00 hours\n"
    cached(scenes_folder, tmp_path)
    assert capsys.readouterr().err == ""  # it is there
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ValueError, match=r"got 0\.00 GB of free disk space, wanted 0\.00 GB for the features"):
        cached(scenes_folder, tmp_path, FeatureSettings("logmel_iv", 64))
    cached(scenes_folder, tmp_path, FeatureSettings("logmel_iv", 16))  # takes the room of the one before


def test_recordings_shorter_than_asked_are_named(scenes_folder: Path, tmp_path: Path) -> None:
    cached(scenes_folder, tmp_path, least_labels=20)
    with pytest.raises(ValueError, match=r"scene_00000\.wav: got 20 label frames, wanted at least 21"):
        cached(scenes_folder, tmp_path / "other", least_labels=21)


def test_a_cache_of_an_earlier_version_is_reused(scenes_folder: Path, tmp_path: Path) -> None:
    cached(scenes_folder, tmp_path)
    index = json.loads((tmp_path / "cache.json").read_text())
    del index["chances"]
    (tmp_path / "cache.json").write_text(json.dumps(index))
    assert load_cache(tmp_path).chances is None
    assert list(index["described"]) == ["scenes", "digests", "class_names", "stft", "features"]
    assert index["described"]["digests"] == [hashlib.sha256((scenes_folder / "scenes.json").read_bytes()).hexdigest()]


def test_a_cache_without_a_newer_setting_counts_as_its_default(
    scenes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cached(scenes_folder, tmp_path)
    index = json.loads((tmp_path / "cache.json").read_text())
    del index["described"]["features"]["harmonic_labels"]
    (tmp_path / "cache.json").write_text(json.dumps(index))

    def computed(recording: LabelledRecording, **settings: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(builder, "recording_arrays", computed)
    np.testing.assert_array_equal(cached(scenes_folder, tmp_path).maps, first.maps)
    with pytest.raises(AssertionError, match="computed again"):
        cached(scenes_folder, tmp_path, replace(FEATURES, harmonic_labels=2))

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convert.clips import load_clip_library
from convert.scene_events import draw_events
from convert.scenes import SceneSettings, make_scene, make_scenes
from edge.annotations import read_annotations
from edge.geometry import angle_between_deg, unit_vector

RATE_HZ = 24000
SETTINGS = SceneSettings(duration_s=8.0, rt60_s=(0.15, 0.2), density=(1.0, 1.1), interferer_share=1.0)
HEADER = "split,file,class,group,source,licence,seconds\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    lines = []
    for split in ("train", "test"):
        for name, seconds in (("hiss", 3.0), ("footsteps", 0.2), ("beep", 0.7), ("interferer", 2.0)):
            for number in range(2):
                file = f"{name}/{split}{number}.wav"
                (root / name).mkdir(exist_ok=True)
                tone = np.sin(2 * np.pi * 700 * (number + 1) * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)
                noise = rng.standard_normal(int(seconds * RATE_HZ))
                soundfile.write(root / file, 0.1 * (tone if name == "beep" else noise), RATE_HZ)
                lines.append(f"{split},{file},{name},{split}-{name}-{number},made here,CC0,{seconds}\n")
    (root / "clips.csv").write_text(HEADER + "".join(lines))
    return root


@pytest.fixture(scope="module")
def library(folder):
    return load_clip_library(folder, "train")


@pytest.fixture(scope="module")
def hiss_only(folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("hiss")
    (root / "hiss").mkdir()
    (root / "hiss" / "a.wav").write_bytes((folder / "hiss" / "train0.wav").read_bytes())
    return load_clip_library(root)


def intensity(samples, frame):
    """Broadband intensity vector (3,) in one label frame of (n, 4) samples."""
    part = samples[frame * 2400 : (frame + 1) * 2400].astype(np.float64)
    return part[:, 0] @ part[:, [3, 1, 2]]


def test_the_same_seed_gives_the_same_files_with_any_number_of_processes(library, tmp_path):
    settings = replace(SETTINGS, duration_s=3.0)
    one = make_scenes(library, settings, seed=5, count=3, out_dir=tmp_path / "one", jobs=1)
    two = make_scenes(library, settings, seed=5, count=3, out_dir=tmp_path / "two", jobs=2)
    assert one.read_bytes() == two.read_bytes()
    names = sorted(path.name for path in one.parent.iterdir())
    assert names == sorted(["scenes.json", *(f"scene_{i:05d}.{end}" for i in range(3) for end in ("csv", "wav"))])
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

    summary = json.loads(one.read_text())
    assert summary["class_names"] == ["beep", "footsteps", "hiss"]
    assert SceneSettings(**summary["settings"]) == settings
    scene = make_scene(library, settings, summary["scenes"][1]["seed"])
    samples, rate_hz = soundfile.read(tmp_path / "one" / "scene_00001.wav", dtype="float32")
    assert rate_hz == RATE_HZ
    assert soundfile.info(tmp_path / "one" / "scene_00001.wav").subtype == "PCM_16"
    np.testing.assert_allclose(samples, scene.samples, atol=1 / 32768)
    assert read_annotations(tmp_path / "one" / "scene_00001.csv", classes=3) == scene.labels


def test_scenes_differ_from_each_other(library):
    first, second = (make_scene(library, replace(SETTINGS, duration_s=2.0), (0, index)) for index in range(2))
    assert first.info["room_m"] != second.info["room_m"]
    assert not np.array_equal(first.samples, second.samples)


def alone(**changes):
    """Settings for one source at a time with little noise in dry rooms."""
    return replace(
        SETTINGS,
        max_overlap=1,
        interferer_share=0.0,
        snr_db=(40.0, 40.0),
        sensor_snr_db=(50.0, 50.0),
        rt60_s=(0.15, 0.15),
        distance_m=(0.8, 1.0),
        **changes,
    )


def test_a_static_source_is_heard_where_and_when_its_labels_say(hiss_only):
    angles, elevations, inside_db, outside_db = [], [], [], []
    for seed in range(4):
        scene = make_scene(hiss_only, alone(moving_share=0.0), seed)
        by_frame = {label.frame: label for label in scene.labels}
        assert len(by_frame) == len(scene.labels) > 10
        level_db = 10 * np.log10(np.mean(scene.samples[:, 0].reshape(-1, 2400) ** 2, axis=1))
        for frame, label in by_frame.items():
            wanted = unit_vector(label.azimuth_deg, label.elevation_deg)
            angles.append(angle_between_deg(intensity(scene.samples, frame), wanted))
            elevations.append(label.elevation_deg)
        quiet = [f for f in range(80) if not any(g in by_frame for g in range(f - 3, f + 2))]
        inside_db += [level_db[f] - level_db.max() for f in by_frame if f - 1 in by_frame and f + 1 in by_frame]
        outside_db += [level_db[f] - level_db.max() for f in quiet]
    assert np.median(angles) < 6
    assert np.max(angles) < 20
    assert np.ptp(elevations) > 20
    assert np.min(inside_db) > -20
    assert np.max(outside_db) < -25


def test_a_moving_source_is_heard_along_its_labels(hiss_only):
    scene = make_scene(hiss_only, alone(moving_share=1.0, speed_deg_s=(40.0, 40.0)), 1)
    directions = {label.frame: unit_vector(label.azimuth_deg, label.elevation_deg) for label in scene.labels}
    pairs = [(directions[f], directions[f + 1]) for f in directions if f + 1 in directions]
    steps = [angle_between_deg(a, b) for a, b in pairs]
    assert 3 < np.median(steps) < 5
    angles = [angle_between_deg(intensity(scene.samples, f), directions[f]) for f in directions]
    assert np.median(angles) < 8


@pytest.mark.parametrize("max_overlap", [1, 2, 3])
def test_overlap_never_exceeds_its_limit_and_tracks_are_lanes(library, max_overlap):
    settings = replace(SETTINGS, max_overlap=max_overlap, density=(2.0, 2.0), duration_s=20.0, quiet_per_minute=0.0)
    most = 0
    for seed in range(20):
        spans = [
            (event.lane, event.onset_hop // 10, (event.onset_hop + len(event.sound.active) - 1) // 10)
            for event in draw_events(library, settings, np.random.default_rng(seed))
            if event.class_name != "interferer"
        ]
        frames = Counter((lane, frame) for lane, first, last in spans for frame in range(first, last + 1))
        assert max(frames.values()) == 1
        assert {lane for lane, _ in frames} <= set(range(max_overlap))
        most = max(most, *Counter(frame for _, frame in frames).values())
    assert most == max_overlap
    labels = make_scene(library, replace(settings, duration_s=6.0), 0).labels
    assert max(Counter(label.frame for label in labels).values()) <= max_overlap
    assert len({(label.frame, label.track) for label in labels}) == len(labels)


@pytest.mark.parametrize("split", ["train", "test"])
def test_splits_never_mix(folder, split):
    library = load_clip_library(folder, split)
    groups = {
        group
        for seed in range(3)
        for group in make_scene(library, replace(SETTINGS, duration_s=4.0), seed).info["groups"]
    }
    assert groups
    assert all(group.startswith(split) for group in groups)


def test_nothing_clips(library):
    loud = replace(SETTINGS, duration_s=4.0, source_db=(0.0, 6.0), gain_db=(20.0, 20.0))
    samples = make_scene(library, loud, 0).samples
    assert samples.dtype == np.float32
    assert samples.shape == (4 * RATE_HZ, 4)
    assert np.abs(samples).max() <= 0.951
    assert np.isfinite(samples).all()


def test_interferers_are_heard_but_not_labelled(folder, library):
    kinds = {event.class_name for event in draw_events(library, SETTINGS, np.random.default_rng(0))}
    assert "interferer" in kinds
    scene = make_scene(library, SETTINGS, 0)
    assert scene.info["interferers"] > 0
    assert {label.class_index for label in scene.labels} <= {0, 1, 2}


def test_footsteps_follow_each_other_as_one_event(library):
    events = [
        event
        for seed in range(10)
        for event in draw_events(library, SETTINGS, np.random.default_rng(seed))
        if event.class_name == "footsteps"
    ]
    assert events
    for event in events:
        assert 1.0 < len(event.sound.active) / 100 < 6.1
        assert event.sound.active[2:-2].all()  # one label from the first step to the last
        level = np.mean(event.sound.samples[: len(event.sound.samples) // 240 * 240].reshape(-1, 240) ** 2, axis=1)
        hits = np.flatnonzero(np.diff((level > 0.1 * level.max()).astype(int)) == 1)
        assert np.all((np.diff(hits) >= 38) & (np.diff(hits) <= 74))


def test_long_pauses_inside_an_event_are_not_labelled(tmp_path):
    burst = 0.1 * np.random.default_rng(0).standard_normal(RATE_HZ // 2)
    (tmp_path / "bark").mkdir()
    soundfile.write(tmp_path / "bark" / "a.wav", np.concatenate([burst, np.zeros(RATE_HZ), burst]), RATE_HZ)
    events = draw_events(load_clip_library(tmp_path), SETTINGS, np.random.default_rng(0))
    assert events
    for event in events:
        np.testing.assert_array_equal(np.flatnonzero(~event.sound.active)[[0, -1]], [51, 148])
        assert (~event.sound.active).sum() == 98


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snr_db": (30.0, 6.0)}, "snr_db"),
        ({"moving_share": 1.5}, "moving_share"),
        ({"duration_s": 0.0}, "duration_s"),
        ({"max_overlap": 0}, "max_overlap"),
    ],
)
def test_bad_settings_are_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        SceneSettings(**changes)


def test_bad_requests_are_errors(folder, library, tmp_path):
    with pytest.raises(ValueError, match="count"):
        make_scenes(library, SETTINGS, 0, 0, tmp_path)
    with pytest.raises(ValueError, match="jobs"):
        make_scenes(library, SETTINGS, 0, 1, tmp_path, jobs=0)
    with pytest.raises(ValueError, match="fit into a room"):
        make_scene(library, replace(SETTINGS, distance_m=(30.0, 40.0)), 0)
    unlabelled = replace(library, clips=tuple(clip for clip in library.clips if clip.class_name == "interferer"))
    with pytest.raises(ValueError, match="labelled clip"):
        make_scene(unlabelled, SETTINGS, 0)

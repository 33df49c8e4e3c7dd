import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convert.clips.library import active_hops, load_clip_library
from convert.data.scene_folders import read_array
from convert.scenes.capsules import Mismatch, capsule_response, encode
from convert.scenes.events import _varied, draw_events, level_db
from convert.scenes.render import make_scenes
from convert.scenes.scene import make_scene
from convert.scenes.settings import SceneSettings
from edge.arrays.profile import load_array
from edge.geometry import angle_between_deg, unit_vector
from edge.scoring.annotations import read_annotations

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


def test_labels_have_the_distance_of_the_source(hiss_only):
    for moving_share in (0.0, 1.0):
        labels = make_scene(hiss_only, alone(moving_share=moving_share), 2).labels
        assert len(labels) > 10
        assert all(80 <= label.distance_cm <= 100 for label in labels)
        assert all(isinstance(label.distance_cm, int) for label in labels)


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


def test_samples_never_clip(library):
    loud = replace(SETTINGS, duration_s=4.0, source_db=(0.0, 6.0), gain_db=(20.0, 20.0))
    samples = make_scene(library, loud, 0).samples
    assert samples.dtype == np.float32
    assert samples.shape == (4 * RATE_HZ, 4)
    assert np.abs(samples).max() <= 0.951
    assert np.isfinite(samples).all()


def test_interferers_are_audible_but_not_labelled(folder, library):
    kinds = {event.class_name for event in draw_events(library, SETTINGS, np.random.default_rng(0))}
    assert "interferer" in kinds
    scene = make_scene(library, SETTINGS, 0)
    assert scene.info["interferers"] > 0
    assert {label.class_index for label in scene.labels} <= {0, 1, 2}


@pytest.mark.parametrize(("balance", "low", "high"), [(0.0, 0.04, 0.2), (0.5, 0.17, 0.36), (1.0, 0.38, 0.62)])
def test_balance_keeps_a_source_of_many_groups_from_hiding_another(library, balance, low, high):
    beep = library.of_class("beep")["train-beep-0"][0]
    many = [replace(beep, group=f"many-{number}", source="many") for number in range(8)]
    clips = (*many, replace(beep, group="one", source="one"))
    settings = replace(SETTINGS, source_balance=balance, interferer_share=0.0)
    alone = replace(library, clips=clips, class_names=("beep",))
    sources = Counter(
        event.sound.source for seed in range(20) for event in draw_events(alone, settings, np.random.default_rng(seed))
    )
    assert sources.total() > 100
    assert low < sources["one"] / sources.total() < high


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


def test_sounds_are_not_varied_by_default():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    samples = np.ones(1000, np.float32)
    assert _varied(samples, RATE_HZ, SceneSettings(), rng) is samples
    assert rng.bit_generator.state == before  # scenes of before are drawn as before


def test_a_sound_played_faster_is_shorter_and_higher():
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    settings, rng = SceneSettings(replay_speed=(0.8, 1.25)), np.random.default_rng(0)
    speeds = []
    for _ in range(40):
        varied = _varied(tone, RATE_HZ, settings, rng)
        assert varied.dtype == np.float32
        speeds.append(len(tone) / len(varied))
        peak_hz = np.argmax(np.abs(np.fft.rfft(varied * np.hanning(len(varied))))) * RATE_HZ / len(varied)
        assert peak_hz == pytest.approx(1000 * speeds[-1], rel=0.005)
    assert 0.79 < min(speeds) < 0.85
    assert 1.18 < max(speeds) < 1.26
    assert np.median(speeds) == pytest.approx(1.0, abs=0.1)


def test_colour_changes_octaves_by_its_deviation():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(2 * RATE_HZ).astype(np.float32)
    hz = np.fft.rfftfreq(len(noise), 1 / RATE_HZ)
    knots_hz = 20 * 2.0 ** np.arange(3, 9)

    def levels_db(samples):
        power = np.abs(np.fft.rfft(samples)) ** 2
        return np.array([10 * np.log10(power[np.abs(hz / knot - 1) < 0.05].mean()) for knot in knots_hz])

    settings = SceneSettings(colour_db=3.0)
    changes_db = [levels_db(_varied(noise, RATE_HZ, settings, rng)) - levels_db(noise) for _ in range(60)]
    assert np.std(changes_db) == pytest.approx(3.0, rel=0.2)
    assert np.abs(np.mean(changes_db)) < 0.6


def test_varied_sounds_have_the_level_of_others(library):
    settings = replace(SETTINGS, replay_speed=(0.7, 1.4), colour_db=6.0)
    events = draw_events(library, settings, np.random.default_rng(0))
    plain = draw_events(library, SETTINGS, np.random.default_rng(0))
    assert not np.array_equal(events[0].sound.samples, plain[0].sound.samples)
    for event in events:
        samples = event.sound.samples
        assert level_db(samples, active_hops(samples, RATE_HZ), 240) == pytest.approx(0, abs=0.1)


def test_scenes_hold_the_channels_of_an_array_that_deviates_differently_in_each(hiss_only, tmp_path):
    array, settings = load_array("em32_tetra"), alone(moving_share=0.0, duration_s=3.0)
    path = make_scenes(hiss_only, settings, seed=5, count=2, out_dir=tmp_path, array=array)
    assert json.loads(path.read_text())["array"] == "em32_tetra"
    assert read_array(tmp_path) == array
    errors_deg = []
    for index in range(2):
        samples, _ = soundfile.read(tmp_path / f"scene_{index:05d}.wav", dtype="float32")
        scenes = [
            make_scene(hiss_only, settings, (5, index), capsule_response(array, RATE_HZ, Mismatch(), (5, drawn)))
            for drawn in range(2)
        ]
        np.testing.assert_allclose(samples, scenes[index].samples, atol=1 / 32768)
        assert np.abs(samples - scenes[1 - index].samples).max() > 0.01 * np.abs(samples).max()
        labels = read_annotations(tmp_path / f"scene_{index:05d}.csv", 1)
        assert labels == scenes[index].labels  # the truth knows of no array
        spectra = np.fft.rfft(encode(samples, array), axis=0)
        hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
        spectra[(hz < 300) | (hz > 3000)] = 0  # under where directions alias
        foa = np.fft.irfft(spectra, axis=0)
        loudest = max(labels, key=lambda label: np.sum(foa[label.frame * 2400 :][:2400, 0] ** 2))
        wanted = unit_vector(loudest.azimuth_deg, loudest.elevation_deg)
        errors_deg.append(angle_between_deg(intensity(foa, loudest.frame), wanted))
    assert max(errors_deg) < 20


def test_a_custom_array_is_stored_with_the_scenes(hiss_only, tmp_path):
    four = load_array("open_tetra")
    array = replace(four, name="mine", channels=6, channel_map=(5, 1, 2, 0), capsule_gain_db=(1.0, 0.0, 0.0, -1.0))
    settings = alone(moving_share=0.0, duration_s=1.5)
    make_scenes(hiss_only, settings, seed=0, count=1, out_dir=tmp_path / "six", array=array)
    assert read_array(tmp_path / "six") == array
    samples, _ = soundfile.read(tmp_path / "six" / "scene_00000.wav")
    assert samples.shape[1] == 6
    renamed = replace(four, capsule_gain_db=(1.0, 0.0, 0.0, -1.0))  # a shipped name for something else
    make_scenes(hiss_only, settings, seed=0, count=1, out_dir=tmp_path / "four", array=renamed)
    assert read_array(tmp_path / "four") == renamed
    with pytest.raises(ValueError, match="array 'foa_fuma': got kind 'foa_fuma', wanted one with capsules"):
        make_scenes(hiss_only, settings, seed=0, count=1, out_dir=tmp_path / "none", array=load_array("foa_fuma"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snr_db": (30.0, 6.0)}, "snr_db"),
        ({"moving_share": 1.5}, "moving_share"),
        ({"duration_s": 0.0}, "duration_s"),
        ({"max_overlap": 0}, "max_overlap"),
        ({"replay_speed": (0.4, 1.0)}, "replay_speed"),
        ({"replay_speed": (1.0, 2.1)}, "replay_speed"),
        ({"replay_speed": (1.2, 1.1)}, "replay_speed"),
        ({"colour_db": 13.0}, "colour_db"),
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

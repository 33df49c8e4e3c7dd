"""The physics of what disturbs a scene, and that one effect more changes nothing else."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import soundfile

from convert.clips.library import load_clip_library
from convert.scenes.board_noise import mains_hum, self_noise, wind
from convert.scenes.disturb import add_electronics
from convert.scenes.doorway import draw_door, through_door
from convert.scenes.motion import STEP_S, draw_walk
from convert.scenes.rooms import make_room
from convert.scenes.scene import make_scene
from convert.scenes.settings import HomeSettings, NoiseSettings, ReplaySettings, SceneSettings
from convert.scenes.steady import draw_broadcast, draw_fan
from convert.scenes.streams import random_stream
from edge.geometry import azimuth_elevation_deg

RATE_HZ = 24000
ROOM = make_room((5.0, 4.0, 2.6), (2.0, 1.5, 1.2), 0.3)
SHORT = SceneSettings(
    duration_s=3.0, rt60_s=(0.15, 0.2), density=(1.5, 1.5), quiet_per_minute=0.0, interferer_share=0.0
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for name in ("male_speech", "hiss"):
        (root / name).mkdir()
        soundfile.write(root / name / "a.wav", 0.1 * rng.standard_normal(RATE_HZ), RATE_HZ)
    return load_clip_library(root)


def spectrum(samples):
    """Frequencies and power (bins,) of one channel, smoothed over 16 blocks."""
    blocks = samples[: len(samples) // 16 * 16].reshape(16, -1) * np.hanning(len(samples) // 16)
    return np.fft.rfftfreq(blocks.shape[1], 1 / RATE_HZ), np.mean(np.abs(np.fft.rfft(blocks)) ** 2, axis=0)


def slope_db(samples, low_hz, high_hz):
    """How much the power density falls from one frequency to another."""
    hz, power = spectrum(samples)
    near = [power[np.abs(hz / middle - 1) < 0.15].mean() for middle in (low_hz, high_hz)]
    return 10 * np.log10(near[0] / near[1])


def coherence(samples):
    return abs(np.corrcoef(samples.T)[0, 1])


def test_self_noise_is_white_but_for_low_frequencies_and_independent():
    noise = self_noise(4 * RATE_HZ, 2, RATE_HZ, np.random.default_rng(1))
    assert 10 * np.log10(np.mean(noise**2)) == pytest.approx(0, abs=2)
    assert coherence(noise) < 0.1
    assert abs(slope_db(noise[:, 0], 4000, 8000)) < 1
    assert slope_db(noise[:, 0], 50, 4000) > 1


def test_hum_is_harmonics_of_the_mains_and_equal_in_all_channels():
    hum = mains_hum(4 * RATE_HZ, 3, RATE_HZ, np.random.default_rng(0))
    assert np.mean(hum**2) == pytest.approx(1, rel=1e-3)
    assert coherence(hum) > 0.999
    power = np.abs(np.fft.rfft(hum[:, 0] * np.hanning(len(hum)))) ** 2
    hz = np.fft.rfftfreq(len(hum), 1 / RATE_HZ)
    shares = {
        mains: power[(np.abs(hz - mains * np.maximum(np.rint(hz / mains), 1)) < 2)].sum() / power.sum()
        for mains in (50, 60)
    }
    assert max(shares.values()) > 0.99 and min(shares.values()) < 0.9


def test_wind_is_low_gusty_and_independent_from_capsule_to_capsule():
    noise = wind(8 * RATE_HZ, 2, RATE_HZ, np.random.default_rng(0))
    assert np.mean(noise**2) == pytest.approx(1, rel=1e-3)
    assert coherence(noise) < 0.2
    assert 8 < slope_db(noise[:, 0], 800, 1600) < 15  # two poles: 12 dB an octave
    levels_db = 10 * np.log10(np.mean(noise[:, 0].reshape(-1, RATE_HZ // 2) ** 2, axis=1))
    assert np.ptp(levels_db) > 6


def test_electronics_have_the_level_that_was_asked_for():
    mix = np.zeros((RATE_HZ, 4), np.float32)
    settings = NoiseSettings(self_share=1.0, self_dbfs=(-70, -70), hum_share=1.0, hum_dbfs=(-60, -60))
    assert add_electronics(mix, settings, RATE_HZ, 0) == ["self-noise", "hum"]
    assert 10 * np.log10(np.mean(mix**2)) == pytest.approx(-59.6, abs=0.5)
    assert add_electronics(mix, NoiseSettings(), RATE_HZ, 0) == []


def test_a_fan_has_flow_noise_that_falls_and_tones_of_its_blades():
    tonal = 0
    for seed in range(4):
        fan = draw_fan(4 * RATE_HZ, RATE_HZ, np.random.default_rng(seed))
        assert np.mean(fan**2) == pytest.approx(1, rel=1e-3)
        assert slope_db(fan, 1000, 4000) > 4
        hz, power = spectrum(fan)
        low = power[(hz > 30) & (hz < 400)]
        tonal += low.max() > 5 * np.median(low)
    assert tonal >= 2


def test_a_broadcast_plays_clips_that_a_loudspeaker_narrows(library):
    signal, groups = draw_broadcast(4 * RATE_HZ, library, np.random.default_rng(0))
    assert set(groups) == {"male_speech/a"}  # of the classes that are broadcast
    assert np.mean(signal != 0) > 0.3
    assert slope_db(signal[np.abs(signal) > 0], 1000, 40) > 10
    assert (
        draw_broadcast(RATE_HZ, replace(library, clips=library.of_class("hiss")["hiss/a"]), random_stream(0, ""))
        is None
    )


def test_a_door_is_at_a_wall_within_the_ranges():
    settings = SceneSettings(distance_m=(1.0, 3.0), elevation_deg=(-20.0, 20.0))
    doors = [draw_door(ROOM, settings, np.random.default_rng(seed)) for seed in range(20)]
    found = np.concatenate([door for door in doors if door is not None])
    assert len(found) > 10
    at_wall = np.minimum(found[:, :2], ROOM.size_m[:2] - found[:, :2]).min(axis=1)
    np.testing.assert_allclose(at_wall, 0.2)
    offsets = found - ROOM.microphone_m
    distances = np.linalg.norm(offsets, axis=1)
    assert np.all((distances >= 1) & (distances <= 3))
    assert np.all(np.abs(azimuth_elevation_deg(offsets)[1]) <= 20)
    assert draw_door(ROOM, SceneSettings(distance_m=(9.0, 9.5)), np.random.default_rng(0)) is None


def test_sound_of_the_next_room_is_dull_late_and_quieter():
    noise = np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    heard = through_door(noise, -9.0, RATE_HZ, np.random.default_rng(0))
    assert len(heard) > len(noise) + 0.2 * RATE_HZ
    assert 10 * np.log10(np.mean(heard[: len(noise)] ** 2)) == pytest.approx(-9, abs=0.3)
    assert slope_db(heard, 1000, 4000) - slope_db(noise, 1000, 4000) > 3
    assert np.mean(heard[len(noise) : len(noise) + 2400] ** 2) > 1e-3 * np.mean(heard[: len(noise)] ** 2)


def test_somebody_who_walks_goes_straight_at_the_speed_that_was_asked_for():
    settings = SceneSettings(distance_m=(0.5, 5.0), home=HomeSettings(walking_m_s=(1.0, 1.0)))
    distances = []
    for seed in range(10):
        path = draw_walk(ROOM, settings, 4.0, np.random.default_rng(seed))
        steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
        assert np.median(steps) == pytest.approx(STEP_S)
        assert np.all(path > 0.39) and np.all(path < ROOM.size_m - 0.39)
        assert np.ptp(path[:, 2]) == 0
        spread = np.linalg.svd(path - path.mean(axis=0), compute_uv=False)
        assert spread[1] < 1e-9 * spread[0]  # one line, there and back
        distances.append(np.ptp(np.linalg.norm(path - ROOM.microphone_m, axis=1)))
    assert np.max(distances) > 1  # the distance changes on the way
    assert draw_walk(ROOM, SceneSettings(distance_m=(9.0, 9.5)), 1.0, np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"home": HomeSettings(broadcast_share=1.0)},
        {"home": HomeSettings(fan_share=1.0)},
        {"noise": NoiseSettings(wind_share=1.0)},
        {"noise": NoiseSettings(self_share=1.0)},
        {"noise": NoiseSettings(hum_share=1.0)},
        {"replay": ReplaySettings(loudspeaker_share=1.0)},
    ],
)
def test_one_effect_more_leaves_events_and_labels_as_they_are(changes, library):
    plain, changed = make_scene(library, SHORT, 3), make_scene(library, replace(SHORT, **changes), 3)
    assert changed.labels == plain.labels
    assert not np.array_equal(changed.samples, plain.samples)
    same = plain.info.keys() - {"effects", "groups"}
    assert {key: changed.info[key] for key in same} == {key: plain.info[key] for key in same}
    assert len(changed.info["effects"]) == ("replay" not in changes)
    again = make_scene(library, replace(SHORT, **changes), 3)
    np.testing.assert_array_equal(changed.samples, again.samples)


def test_events_from_the_next_room_are_labelled_at_the_door(library):
    settings = replace(SHORT, home=HomeSettings(next_room_share=1.0), moving_share=1.0)
    labels = make_scene(library, settings, 3).labels
    assert labels and len({(label.azimuth_deg, label.elevation_deg, label.distance_cm) for label in labels}) == 1


def test_every_label_belongs_to_an_event_whose_source_is_named(library):
    scene = make_scene(library, SHORT, 3)
    spans = {
        (span["track"], frame)
        for span in scene.info["event_sources"]
        for frame in range(span["frames"][0], span["frames"][1] + 1)
    }
    assert scene.labels and {(label.track, label.frame) for label in scene.labels} <= spans
    assert {span["source"] for span in scene.info["event_sources"]} == {library.clips[0].source}


def test_settings_survive_json_and_are_checked():
    settings = SceneSettings(home=HomeSettings(fan_share=0.5), noise=NoiseSettings(hum_dbfs=(-80.0, -60.0)))
    assert SceneSettings(**asdict(settings)) == settings
    with pytest.raises(ValueError, match=r"got fan_share 1\.5, wanted 0 to 1"):
        HomeSettings(fan_share=1.5)
    with pytest.raises(ValueError, match="got hum_dbfs"):
        NoiseSettings(hum_dbfs=(-60.0, -80.0))

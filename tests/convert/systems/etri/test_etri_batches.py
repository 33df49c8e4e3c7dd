"""Training batches of ETRI: the same for the same step, and targets that tell of what sounds in the maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from convert.data.cache import FeatureCache
from convert.data.tracks import SLOTS, label_tracks
from convert.systems.batches import AS_RECORDED, Sampling
from convert.systems.etri.batches import batch_maker, stage_target
from convert.training.recipes import find_recipe
from edge.frontend.maps import FEATURES, FeatureSettings
from edge.geometry import unit_vector
from edge.scoring.annotations import Label

EDGE_AUGMENTATION, PAPER_AUGMENTATION = (find_recipe(name).augmentation for name in ("etri-edge", "etri-paper"))
LABELS, BANDS, NAMES = 8, 6, ("hiss", "tone", "bark")
CLASSES = len(NAMES)
MAPS = {"sad": slice(0, 3), "sed": slice(0, 3), "doae": slice(3, 13)}
WIDTHS = {"sad": 1, "sed": CLASSES, "doae": 3 * CLASSES}


def scene(labels: int) -> list[Label]:
    """One class always there, turning; another now and then, also twice at a time; silence in between."""
    places = [Label(frame, 0, 0, 170.0 + 3 * frame, 20.0) for frame in range(labels) if frame % 9 < 6]
    places += [Label(frame, 2, 0, -60.0, -30.0) for frame in range(labels) if frame % 5 == 0]
    return places + [Label(frame, 2, 1, 60.0, -30.0) for frame in range(labels) if frame % 15 == 0]


@pytest.fixture
def cache(make_cache: Callable[..., FeatureCache]) -> FeatureCache:
    """Maps that tell their frame and, map by map, another number."""
    names = FEATURES["etri"][1]
    tracks = label_tracks(scene(60), 60, CLASSES)
    frames = np.arange(300, dtype=np.float16)[:, None, None]
    return replace(
        make_cache(tracks, (0, 20, 60)),
        maps=frames / 8 + np.arange(BANDS * len(names), dtype=np.float16).reshape(BANDS, -1),
        class_names=NAMES,
        features=FeatureSettings("etri", BANDS),
        mean=np.full((BANDS, len(names)), 2.0, np.float32),
        deviation=np.full((BANDS, len(names)), 4.0, np.float32),
    )


@pytest.mark.parametrize("stage", MAPS)
def test_a_batch_follows_from_seed_and_step(cache: FeatureCache, stage: str) -> None:
    def batch(seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        inputs, target = batch_maker(stage, cache, Sampling(EDGE_AUGMENTATION, LABELS, 4, seed))(step)
        return inputs["features"], target

    maker = batch_maker(stage, cache, Sampling(EDGE_AUGMENTATION, LABELS, 4, 1))
    maker(7)  # what was asked before does not matter
    inputs, target = maker(5)
    assert {name: (value.shape, value.dtype) for name, value in inputs.items()} == {
        "features": ((4, 40, BANDS, MAPS[stage].stop - MAPS[stage].start), np.float32)
    }
    assert (target.shape, target.dtype) == ((4, LABELS, WIDTHS[stage]), np.float32)
    for left, right in zip(batch(1, 5), (inputs["features"], target), strict=True):
        np.testing.assert_array_equal(left, right)
    for seed, step in ((1, 6), (2, 5)):
        assert not np.array_equal(inputs["features"], batch(seed, step)[0])


@pytest.mark.parametrize("stage", MAPS)
def test_as_recorded_a_batch_is_normalised_chunks_with_the_maps_of_the_net(cache: FeatureCache, stage: str) -> None:
    inputs, target = batch_maker(stage, cache, Sampling(AS_RECORDED, LABELS, 20, 0))(0)
    maps = 4.0 * inputs["features"] + 2.0
    starts = 8 * (maps[:, 0, 0, 0] - cache.maps[0, 0, MAPS[stage]][0])
    assert len(set(starts)) > 5
    for chunk, start, answer in zip(maps, np.rint(starts).astype(int), target, strict=True):
        np.testing.assert_allclose(chunk, cache.maps[start : start + 40, :, MAPS[stage]], atol=1e-3)
        tracks = cache.tracks[:, start // 5 : start // 5 + LABELS]
        expected = stage_target(stage, tracks, CLASSES)
        twice = np.sum(np.any(tracks[..., :3] != 0, axis=-1) & (tracks[..., 3] == 2), axis=0) == 2
        np.testing.assert_allclose(answer[~twice], expected[~twice], atol=1e-6)


def test_what_each_net_is_to_answer() -> None:
    labels = [Label(1, 2, 0, 90.0, -45.0), Label(3, 0, 0, -180.0, 10.0), Label(3, 2, 0, -30.0, 90.0)]
    tracks = label_tracks(labels, 4, CLASSES)
    activity = np.zeros((4, CLASSES), np.float32)
    activity[[1, 3, 3], [2, 0, 2]] = 1
    np.testing.assert_array_equal(stage_target("sad", tracks, CLASSES), [[0], [1], [0], [1]])
    np.testing.assert_array_equal(stage_target("sed", tracks, CLASSES), activity)
    azimuth, elevation, active = np.split(stage_target("doae", tracks, CLASSES), 3, axis=-1)
    np.testing.assert_array_equal(active, activity)
    np.testing.assert_allclose(elevation[activity == 1], [-0.25, 10 / 180, 0.5], atol=1e-6)
    assert azimuth[1, 2] == pytest.approx(0.5)
    assert abs(azimuth[3, 0]) == pytest.approx(1.0)  # 180 or -180, as the loss does not mind
    for angle in (azimuth, elevation):
        assert not angle[activity == 0].any()


def test_of_two_events_of_one_class_the_first_slot_is_told() -> None:
    tracks = np.zeros((SLOTS, 2, 4), np.float32)
    tracks[0, :, :3], tracks[1, :, :3], tracks[2, :1, :3] = (unit_vector(a, 0) for a in (36.0, 72.0, -90.0))
    tracks[:2, :, 3] = 1
    azimuth, _, active = np.split(stage_target("doae", tracks, CLASSES), 3, axis=-1)
    np.testing.assert_allclose(azimuth[:, 1], 0.2, atol=1e-6)
    np.testing.assert_array_equal(active, [[1, 1, 0], [0, 1, 0]])


@pytest.mark.parametrize("speed_deg_s", [10.0, -20.0, 40.0])
def test_the_target_of_a_moving_source_moves_along(speed_deg_s: float) -> None:
    """As in DCASE 2020: whole degrees every 100 ms, across the back."""
    azimuths_deg = np.rint(150.0 + speed_deg_s * 0.1 * np.arange(100))
    labels = [Label(frame, 1, 0, azimuth, 15.0) for frame, azimuth in enumerate(azimuths_deg)]
    azimuth, elevation, active = np.split(stage_target("doae", label_tracks(labels, 100, CLASSES), CLASSES), 3, axis=-1)
    assert active[:, 1].all()
    np.testing.assert_allclose(elevation[:, 1], 15 / 180, atol=1e-6)
    turned_deg = 180 * azimuth[:, 1] - azimuths_deg
    np.testing.assert_allclose(turned_deg, 360 * np.rint(turned_deg / 360), atol=1e-4)
    assert np.all(np.abs(azimuth[:, 1]) <= 1)


def test_stretched_labels_follow_the_maps(cache: FeatureCache) -> None:
    """A source whose loudness tells its azimuth: at any speed both say the same."""
    azimuths_deg = -170.0 + 2 * np.arange(60)
    tracks = label_tracks([Label(frame, 0, 0, azimuth, 0.0) for frame, azimuth in enumerate(azimuths_deg)], 60, CLASSES)
    loudness = -170.0 + 2 * (np.arange(300) / 5 - 0.5)  # in the middle of a label frame, its azimuth
    loud = np.broadcast_to(loudness[:, None, None].astype(np.float32), (300, BANDS, 13))
    moving = replace(cache, maps=loud / 2, tracks=tracks, mean=0 * cache.mean, deviation=cache.deviation / 8)
    inputs, target = batch_maker("doae", moving, Sampling(PAPER_AUGMENTATION, LABELS, 30, 0))(0)
    heard = inputs["features"][..., 0, 9].reshape(30, LABELS, 5)  # an intensity: no level reaches it
    told = 180 * target[..., 0]
    np.testing.assert_allclose(told, heard.mean(axis=-1) + 0.2, atol=1.5)
    steps = np.diff(heard.reshape(30, -1), axis=1)[:, 3]  # 0.4 per frame as recorded
    assert 0.8 * 0.4 - 1e-3 <= steps.min() < 0.35
    assert 0.45 < steps.max() <= 1.25 * 0.4 + 1e-3
    recorded, _ = batch_maker("doae", moving, Sampling(AS_RECORDED, LABELS, 30, 0))(0)
    np.testing.assert_allclose(np.diff(recorded["features"][..., 0, 9], axis=1), 0.4, atol=1e-3)


@pytest.mark.parametrize("stage", MAPS)
def test_digital_silence_is_silence_in_the_targets(cache: FeatureCache, stage: str) -> None:
    always = replace(cache, tracks=label_tracks([Label(frame, 0, 0, 10.0, 0.0) for frame in range(60)], 60, CLASSES))
    quiet = replace(AS_RECORDED, silence_share=1.0)
    inputs, target = batch_maker(stage, always, Sampling(quiet, LABELS, 20, 0))(0)
    log_maps = 3 if stage != "doae" else 4
    levels = 4.0 * inputs["features"][..., :log_maps].reshape(20, LABELS, -1) + 2.0
    silent = np.all(levels == -100.0, axis=-1)
    assert 0 < silent.mean() < 1
    np.testing.assert_array_equal(target.any(axis=-1), ~silent)


def test_rotation_turns_the_targets_of_doae_and_leaves_those_of_sed(cache: FeatureCache) -> None:
    turned = replace(AS_RECORDED, rotated_share=1.0)
    still = label_tracks([Label(frame, 1, 0, 30.0, 20.0) for frame in range(60)], 60, CLASSES)
    _, target = batch_maker("doae", replace(cache, tracks=still), Sampling(turned, LABELS, 100, 0))(0)
    azimuth, elevation, active = np.split(target[:, 0], 3, axis=-1)
    assert active[:, 1].all()
    assert set(np.rint(180 * azimuth[:, 1])) == {30, -30, 60, -60, 120, -120, 150, -150}
    assert set(np.rint(180 * elevation[:, 1])) == {20, -20}
    plain, rotated = (
        batch_maker("sed", replace(cache, tracks=still), Sampling(s, LABELS, 4, 0))(0) for s in (AS_RECORDED, turned)
    )
    np.testing.assert_array_equal(plain[1][0], rotated[1][0])


def test_a_scene_too_short_to_be_stretched_is_an_error(cache: FeatureCache) -> None:
    batch_maker("sed", cache, Sampling(AS_RECORDED, 20, 1, 0))(0)
    batch_maker("sed", cache, Sampling(PAPER_AUGMENTATION, 16, 1, 0))(0)
    with pytest.raises(ValueError, match="got a scene of 20 label frames, wanted at least 22 in each"):
        batch_maker("sed", cache, Sampling(PAPER_AUGMENTATION, 17, 1, 0))


def test_phases_are_not_stretched(cache: FeatureCache) -> None:
    phases = replace(cache, features=FeatureSettings("logpower_phase_iv", 513))
    with pytest.raises(ValueError, match=r"got speed \(0.8, 1.25\) for logpower_phase_iv, wanted \(1.0, 1.0\)"):
        batch_maker("sed", phases, Sampling(PAPER_AUGMENTATION, LABELS, 1, 0))

"""Training batches of two-step: the same for the same step, and targets of both nets that have their events alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from convert.data.cache import FeatureCache
from convert.data.tracks import label_tracks
from convert.systems.batches import AS_RECORDED, Sampling
from convert.systems.two_step.batches import batch_maker, stage_target
from convert.systems.two_step.reorder import reorder
from convert.training.recipes import find_recipe
from edge.frontend.maps import FEATURES, FeatureSettings
from edge.geometry import unit_vector
from edge.scoring.annotations import Label
from edge.systems.two_step.window import DOA_MAPS, SED_MAPS

EDGE_AUGMENTATION, PAPER_AUGMENTATION = (find_recipe(name).augmentation for name in ("two-step-edge", "two-step-paper"))
LABELS, BANDS, TRACKS, NAMES = 8, 6, 3, ("hiss", "tone", "bark")
CLASSES = len(NAMES)
MAPS = {"doa": DOA_MAPS, "sed": SED_MAPS}
WIDTHS = {"doa": 3 * TRACKS, "sed": TRACKS * CLASSES}


def scene(labels: int) -> list[Label]:
    """One class now and then, turning; another one comes and goes, also twice at a time; silence in between."""
    places = [Label(frame, 0, 0, 170.0 + 3 * frame, 20.0) for frame in range(labels) if frame % 9 < 6]
    places += [Label(frame, 2, 0, -60.0, -30.0) for frame in range(labels) if frame % 5 < 2]
    return places + [Label(frame, 2, 1, 60.0, -30.0) for frame in range(labels) if frame % 15 < 2]


@pytest.fixture
def cache(make_cache: Callable[..., FeatureCache]) -> FeatureCache:
    """Maps that tell their frame and, map by map, another number."""
    names = FEATURES["two_step"][1]
    frames = np.arange(300, dtype=np.float16)[:, None, None]
    return replace(
        make_cache(label_tracks(scene(60), 60, CLASSES), (0, 20, 60)),
        maps=frames / 8 + np.arange(BANDS * len(names), dtype=np.float16).reshape(BANDS, -1),
        class_names=NAMES,
        features=FeatureSettings("two_step", BANDS),
        mean=np.full((BANDS, len(names)), 2.0, np.float32),
        deviation=np.full((BANDS, len(names)), 4.0, np.float32),
    )


def made(stage: str, cache: FeatureCache, settings: object = AS_RECORDED, size: int = 20, seed: int = 0) -> tuple:
    """Features and targets of the first batch."""
    inputs, target = batch_maker(stage, cache, Sampling(settings, LABELS, size, seed), TRACKS)(0)
    return inputs["features"], target


@pytest.mark.parametrize("stage", MAPS)
def test_a_batch_follows_from_seed_and_step(cache: FeatureCache, stage: str) -> None:
    def batch(seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        inputs, target = batch_maker(stage, cache, Sampling(EDGE_AUGMENTATION, LABELS, 4, seed), TRACKS)(step)
        return inputs["features"], target

    maker = batch_maker(stage, cache, Sampling(EDGE_AUGMENTATION, LABELS, 4, 1), TRACKS)
    maker(7)  # what was asked before does not matter
    inputs, target = maker(5)
    width = len(FEATURES["two_step"][1][MAPS[stage]])
    assert {name: (value.shape, value.dtype) for name, value in inputs.items()} == {
        "features": ((4, 40, BANDS, width), np.float32)
    }
    assert (target.shape, target.dtype) == ((4, LABELS, WIDTHS[stage]), np.float32)
    for left, right in zip(batch(1, 5), (inputs["features"], target), strict=True):
        np.testing.assert_array_equal(left, right)
    for seed, step in ((1, 6), (2, 5)):
        assert not np.array_equal(inputs["features"], batch(seed, step)[0])


def test_the_nets_take_all_maps_of_the_features() -> None:
    names = FEATURES["two_step"][1]
    assert [len(names[MAPS[stage]]) for stage in ("doa", "sed")] == [7, 2]
    assert [*names[DOA_MAPS], *names[SED_MAPS]] == list(names)


@pytest.mark.parametrize("stage", MAPS)
def test_as_recorded_a_batch_is_normalised_chunks_with_the_maps_of_the_net(cache: FeatureCache, stage: str) -> None:
    features, target = made(stage, cache)
    maps = 4.0 * features + 2.0
    starts = np.rint(8 * (maps[:, 0, 0, 0] - cache.maps[0, 0, MAPS[stage]][0])).astype(int)
    assert len(set(starts)) > 5
    for chunk, start, answer in zip(maps, starts, target, strict=True):
        np.testing.assert_allclose(chunk, cache.maps[start : start + 40, :, MAPS[stage]], atol=1e-3)
        tracks = cache.tracks[:, start // 5 : start // 5 + LABELS]
        size = WIDTHS[stage] // TRACKS
        got, expected = (
            np.sort(each.reshape(LABELS, TRACKS, size), axis=1)  # the order of tracks is free
            for each in (answer, stage_target(stage, tracks, CLASSES, TRACKS))
        )
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_what_each_net_is_to_answer() -> None:
    labels = [
        Label(1, 2, 0, 90.0, 0.0),
        Label(2, 2, 0, 90.0, 0.0),
        Label(2, 0, 0, -180.0, 0.0),
        Label(3, 0, 0, 180.0, 0.0),
    ]
    tracks = label_tracks(labels, 5, CLASSES)
    doa = stage_target("doa", tracks, CLASSES, 2).reshape(5, 2, 3)
    sed = stage_target("sed", tracks, CLASSES, 2).reshape(5, 2, CLASSES)
    bark, hiss = unit_vector(90.0, 0.0), unit_vector(180.0, 0.0)
    none = np.zeros(3)
    np.testing.assert_allclose(doa[:, 0], [none, bark, bark, none, none], atol=1e-6)
    np.testing.assert_allclose(doa[:, 1], [none, none, hiss, hiss, none], atol=1e-6)
    np.testing.assert_array_equal(sed[:, 0, 2], [0, 1, 1, 0, 0])
    np.testing.assert_array_equal(sed[:, 1, 0], [0, 0, 1, 1, 0])
    assert sed.sum() == 4


def test_both_nets_have_an_event_in_the_same_track(cache: FeatureCache) -> None:
    ordered, _ = reorder(cache.tracks, TRACKS, CLASSES)
    doa = stage_target("doa", cache.tracks, CLASSES, TRACKS).reshape(60, TRACKS, 3)
    sed = stage_target("sed", cache.tracks, CLASSES, TRACKS).reshape(60, TRACKS, CLASSES)
    np.testing.assert_array_equal(np.any(doa != 0, axis=-1), np.any(sed != 0, axis=-1))
    np.testing.assert_array_equal(doa, ordered[..., :3].transpose(1, 0, 2))
    sounding = ordered[..., 3].T < CLASSES
    np.testing.assert_array_equal(np.argmax(sed, axis=-1)[sounding], ordered[..., 3].T[sounding])


def test_a_step_asks_both_nets_about_the_same_sound(cache: FeatureCache) -> None:
    """Of equal seeds; so what they learn of a scene belongs together."""
    (_, doa), (_, sed) = (made(stage, cache) for stage in ("doa", "sed"))
    active = [np.any(each.reshape(20, LABELS, TRACKS, -1) != 0, axis=-1) for each in (doa, sed)]
    np.testing.assert_array_equal(*active)


@pytest.mark.parametrize("stage", MAPS)
def test_digital_silence_is_silence_in_the_targets(cache: FeatureCache, stage: str) -> None:
    always = replace(cache, tracks=label_tracks([Label(frame, 0, 0, 10.0, 0.0) for frame in range(60)], 60, CLASSES))
    features, target = made(stage, always, replace(AS_RECORDED, silence_share=1.0))
    log_maps = {"doa": 4, "sed": 2}[stage]
    levels = 4.0 * features[..., :log_maps].reshape(20, LABELS, -1) + 2.0
    silent = np.all(levels == -100.0, axis=-1)
    assert 0 < silent.mean() < 1
    np.testing.assert_array_equal(target.any(axis=-1), ~silent)


def test_rotation_turns_the_targets_of_doa_and_nothing_of_sed(cache: FeatureCache) -> None:
    turned = replace(AS_RECORDED, rotated_share=1.0)
    still = replace(cache, tracks=label_tracks([Label(frame, 1, 0, 30.0, 20.0) for frame in range(60)], 60, CLASSES))
    _, target = made("doa", still, turned, size=100)
    places = np.round(target[:, 0].reshape(100, TRACKS, 3), 4)
    assert np.all(np.any(places != 0, axis=-1).sum(axis=1) == 1)
    assert len(np.unique(places.sum(axis=1), axis=0)) == 16
    features, target = made("sed", still, turned, size=1)
    start = round(float(8 * (4.0 * features[0, 0, 0, 0] + 2.0 - cache.maps[0, 0, 7])))
    np.testing.assert_allclose(4.0 * features[0] + 2.0, cache.maps[start : start + 40, :, SED_MAPS], atol=1e-3)
    assert target.sum() == LABELS


def test_level_reaches_all_log_maps(cache: FeatureCache) -> None:
    louder = replace(AS_RECORDED, level_db=(8.0, 8.0))
    for stage, louder_maps in (("doa", 4), ("sed", 2)):
        (plain, _), (changed, _) = (made(stage, cache, settings) for settings in (AS_RECORDED, louder))
        expected = np.where(np.arange(plain.shape[-1]) < louder_maps, 2.0, 0.0)
        np.testing.assert_allclose(changed - plain, np.broadcast_to(expected, plain.shape), atol=1e-3)


def test_a_scene_shorter_than_a_window_is_an_error(cache: FeatureCache) -> None:
    with pytest.raises(ValueError, match="got a scene of 20 label frames, wanted at least 21 in each"):
        batch_maker("doa", cache, Sampling(PAPER_AUGMENTATION, 21, 1, 0), TRACKS)

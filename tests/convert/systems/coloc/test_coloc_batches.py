"""Training batches of CoLoC: the same for the same step, and condition and target that belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from convert.data.augment import Augmentation, augmented
from convert.data.cache import Chunk, FeatureCache
from convert.data.tracks import SLOTS, stack_tracks
from convert.systems.batches import Sampling, batches_of
from convert.systems.coloc.batches import batch_maker, classifier_example, localizer_example
from convert.training.recipes import find_recipe
from edge.frontend.maps import FEATURES
from edge.frontend.quantities import FLOOR_DB
from edge.geometry import angle_between_deg, azimuth_elevation_deg, unit_vector

LABELS, EMPTY = 10, 2
EDGE_AUGMENTATION = find_recipe("coloc-edge").augmentation
PLAIN = Augmentation(level_db=(0.0, 0.0), rotated_share=0.0, perturbation_deg=0.0)


def random_tracks(rng: np.random.Generator, most: int = SLOTS) -> np.ndarray:
    """Stacked-tracks of sources that come and go, wide apart."""
    tracks = np.zeros((SLOTS, LABELS, 4), np.float32)
    azimuths = rng.uniform(-180, 180) + np.array([0, 120, 240])
    for slot in range(most):
        first, last = sorted(rng.integers(0, LABELS + 1, 2))
        tracks[slot, first:last, :3] = unit_vector(azimuths[slot], rng.uniform(-50, 50))
        tracks[slot, first:last, 3] = slot % 2
    return stack_tracks(tracks, SLOTS, EMPTY)


@pytest.fixture
def cache(make_cache: Callable[..., FeatureCache]) -> FeatureCache:
    rng = np.random.default_rng(0)
    return make_cache(np.concatenate([random_tracks(rng) for _ in range(6)], axis=1), (0, 15, 60))


@pytest.mark.parametrize("stage", ["localizer", "classifier"])
def test_a_batch_follows_from_seed_and_step(cache: FeatureCache, stage: str) -> None:
    def batch(seed: int, step: int) -> list[np.ndarray]:
        inputs, target = batch_maker(stage, cache, Sampling(EDGE_AUGMENTATION, LABELS, 6, seed))(step)
        return [*inputs.values(), target]

    first = batch(1, 5)
    maker = batch_maker(stage, cache, Sampling(EDGE_AUGMENTATION, LABELS, 6, 1))
    maker(7)  # what was asked before does not matter
    inputs, target = maker(5)
    for left, right in zip(first, [*inputs.values(), target], strict=True):
        np.testing.assert_array_equal(left, right)
    for seed, step in ((1, 6), (2, 5)):
        assert not np.array_equal(first[0], batch(seed, step)[0])


@pytest.mark.parametrize(("stage", "slots", "target_shape"), [("localizer", 3, (4, 4)), ("classifier", 1, ())])
def test_shapes(cache: FeatureCache, stage: str, slots: int, target_shape: tuple[int, ...]) -> None:
    inputs, target = batch_maker(stage, cache, Sampling(EDGE_AUGMENTATION, LABELS, 6, 0))(0)
    assert {name: (value.shape, value.dtype) for name, value in inputs.items()} == {
        "features": ((6, 50, 8, 7), np.float32),
        "directions": ((6, LABELS, slots, 3), np.float32),
        "weights": ((6, LABELS, slots), np.float32),
    }
    assert (target.shape, target.dtype) == ((6, LABELS, *target_shape), np.float32)
    np.testing.assert_allclose(inputs["weights"].sum(axis=-1), 1, atol=1e-6)


def test_a_scene_shorter_than_a_window_is_an_error(cache: FeatureCache) -> None:
    batch_maker("localizer", cache, Sampling(PLAIN, 15, 1, 0))(0)
    with pytest.raises(ValueError, match="got a scene of 15 label frames, wanted at least 16"):
        batch_maker("localizer", cache, Sampling(PLAIN, 16, 1, 0))


@pytest.mark.parametrize("perturbation_deg", [0.0, 5.0])
def test_condition_and_target_of_the_localizer(perturbation_deg: float) -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        tracks = random_tracks(rng, most=int(rng.integers(SLOTS + 1)))
        active = np.any(tracks[..., :3] != 0, axis=-1).sum(axis=0)
        directions, weights, target = localizer_example(tracks, perturbation_deg, rng)
        known = int(target[0, SLOTS, 1])
        seen.add((int(active.max()), known))
        assert 0 <= known <= min(active.max(), SLOTS - 1)
        np.testing.assert_array_equal(target[:, SLOTS, 0], active)
        np.testing.assert_array_equal(target[:, SLOTS, 1], known)
        np.testing.assert_array_equal(target[:, :SLOTS, :3], tracks[..., :3].transpose(1, 0, 2))
        np.testing.assert_allclose(weights[:, : max(known, 1)], 1 / max(known, 1))
        np.testing.assert_array_equal(weights[:, max(known, 1) :], 0)
        for label in range(LABELS):
            may_be_named = target[label, :SLOTS, 3]
            if active[label] < known:  # the condition is incomplete: the origin, as on the device
                assert not directions[label].any()
            else:
                told = directions[label, :known]
                angles = angle_between_deg(told, tracks[:known, label, :3])
                assert np.all(angles <= np.hypot(perturbation_deg, perturbation_deg) + 1e-3)
                assert not directions[label, known:].any()
            np.testing.assert_array_equal(may_be_named, [known <= slot < active[label] for slot in range(SLOTS)])
    assert seen == {(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)}


def test_as_printed_the_condition_has_one_event_in_every_second_chunk_whatever_is_there() -> None:
    """Section 3.1: "a random integer r from 0 to N - 2 in a uniform way", here 0 or 1."""
    rng = np.random.default_rng(0)
    for most in range(SLOTS + 1):
        known = [localizer_example(random_tracks(rng, most), 0.0, rng, SLOTS - 2)[2][0, SLOTS, 1] for _ in range(400)]
        assert np.unique(known).tolist() == [0, 1]
        assert np.mean(known) == pytest.approx(0.5, abs=0.08)


def test_batches_of_the_localizer_have_the_greatest_r_of_the_recipe(cache: FeatureCache) -> None:
    def known(most_known: int) -> set[float]:
        maker = batch_maker("localizer", cache, Sampling(PLAIN, LABELS, 8, 0), most_known)
        return {r for step in range(6) for r in maker(step)[1][:, 0, SLOTS, 1]}

    assert (known(0), known(1)) == ({0.0, 1.0, 2.0}, {0.0, 1.0})


def test_perturbation_reaches_five_degrees_in_every_frame_and_not_more() -> None:
    rng = np.random.default_rng(0)
    tracks = np.zeros((SLOTS, 400, 4), np.float32)
    tracks[:, :, :3] = unit_vector([[20.0], [140.0], [-100.0]], [[10.0], [-30.0], [0.0]])
    told = []
    for _ in range(20):
        directions, _, target = localizer_example(tracks, 5.0, rng)
        if target[0, SLOTS, 1] == 2:
            told.append(directions[:, :2])
    azimuth, elevation = azimuth_elevation_deg(np.concatenate(told))
    for moved in (azimuth - [20.0, 140.0], elevation - [10.0, -30.0]):
        assert 4.9 < np.abs(moved).max() <= 5.001
        assert abs(moved.mean()) < 0.2
        assert np.abs(np.diff(moved, axis=0)).max() > 4.0  # each frame for itself
    assert not np.array_equal(target[0, 0, :3], told[0][0, 0])  # the target is not perturbed
    np.testing.assert_array_equal(target[:, :SLOTS, :3], tracks[..., :3].transpose(1, 0, 2))


def test_the_classifier_is_asked_about_a_row_and_wants_its_classes() -> None:
    rng = np.random.default_rng(0)
    rows = set()
    for _ in range(200):
        tracks = random_tracks(rng)
        directions, weights, classes = classifier_example(tracks, replace(PLAIN, perturbation_deg=5.0), rng)
        np.testing.assert_array_equal(weights, 1)
        matching = [slot for slot in range(SLOTS) if np.array_equal(classes, tracks[slot, :, 3])]
        assert matching
        occupied = np.any(directions[:, 0] != 0, axis=-1)
        np.testing.assert_array_equal(occupied, classes != EMPTY)  # the origin asks for "none of the classes"
        near = [
            slot
            for slot in matching
            if np.all(angle_between_deg(directions[occupied, 0], tracks[slot, occupied, :3]) < 7.1)
        ]
        assert near
        rows.add(near[0])
    assert rows == set(range(SLOTS))


def test_the_classifier_is_told_directions_that_are_off_by_five_degrees() -> None:
    rng = np.random.default_rng(0)
    tracks = np.zeros((SLOTS, 400, 4), np.float32)
    tracks[:, :, :3] = unit_vector(20.0, 10.0)
    told, _, _ = classifier_example(tracks, replace(PLAIN, perturbation_deg=5.0), rng)
    for moved in np.array(azimuth_elevation_deg(told[:, 0])) - [[20.0], [10.0]]:
        assert 4.9 < np.abs(moved).max() <= 5.001
        assert np.abs(np.diff(moved)).max() > 4.0  # each frame for itself
    exact, _, _ = classifier_example(tracks, PLAIN, rng)
    np.testing.assert_allclose(exact[:, 0], tracks[0, :, :3], atol=1e-5)


@pytest.mark.parametrize("stage", ["localizer", "classifier"])
def test_batches_of_both_stages_have_the_perturbation_of_the_recipe(cache: FeatureCache, stage: str) -> None:
    def told(perturbation_deg: float) -> np.ndarray:
        sampling = Sampling(replace(PLAIN, perturbation_deg=perturbation_deg), LABELS, 8, 0)
        return np.concatenate([batch_maker(stage, cache, sampling)(step)[0]["directions"] for step in range(4)])

    exact, moved = told(0.0), told(5.0)  # the same numbers are drawn for both
    occupied = np.any(exact != 0, axis=-1)
    np.testing.assert_array_equal(np.any(moved != 0, axis=-1), occupied)
    assert 4.0 < angle_between_deg(exact[occupied], moved[occupied]).max() < 7.1


def test_rows_that_are_empty_throughout_are_not_asked_for() -> None:
    rng = np.random.default_rng(0)
    tracks = random_tracks(rng, most=1)
    while not tracks[0, :, :3].any():
        tracks = random_tracks(rng, most=1)
    for _ in range(20):
        assert np.any(classifier_example(tracks, PLAIN, rng)[2] != EMPTY)


def test_decoys_are_far_from_all_events_and_want_no_class() -> None:
    rng = np.random.default_rng(0)
    with_decoy = without = 0
    for _ in range(200):
        tracks = random_tracks(rng)
        directions, _, classes = classifier_example(tracks, replace(PLAIN, decoy_share=0.5), rng)
        asked = np.any(directions[:, 0] != 0, axis=-1)
        decoy = asked & (classes == EMPTY)
        np.testing.assert_allclose(np.linalg.norm(directions[asked, 0], axis=-1), 1, atol=1e-5)
        events = np.any(tracks[..., :3] != 0, axis=-1)  # (slots, labels)
        angles = angle_between_deg(directions[:, 0], tracks[..., :3])
        assert np.all(angles[events & decoy] >= 39.9)
        assert np.all(angles[:, asked & ~decoy].min(axis=0) < 0.1)
        with_decoy += decoy.any()
        without += not decoy.any()
    assert with_decoy > 50
    assert without > 50


def chunk_of(cache: FeatureCache, seed: int = 0) -> Chunk:
    return cache.sample(LABELS, np.random.default_rng(seed))


def test_without_augmentation_a_chunk_is_only_normalised_and_reordered(cache: FeatureCache) -> None:
    chunk = chunk_of(cache)
    orders = set()
    for seed in range(20):
        same = augmented(chunk, cache, PLAIN, np.random.default_rng(seed))
        np.testing.assert_allclose(same.maps, (np.maximum(chunk.maps, FLOOR_DB) - 2.0) / 4.0, atol=1e-5)
        for frame in range(LABELS):
            left, right = (sorted(map(tuple, each[:, frame])) for each in (same.tracks, chunk.tracks))
            assert left == right
        np.testing.assert_array_equal(stack_tracks(same.tracks, SLOTS, EMPTY), same.tracks)
        orders.add(same.tracks.tobytes())
    assert len(orders) > 1


def test_augmenting_leaves_the_cache_as_it_is(cache: FeatureCache) -> None:
    chunk = chunk_of(cache)
    before = chunk.maps.copy(), chunk.tracks.copy(), cache.maps.copy(), cache.tracks.copy(), cache.mean.copy()
    for seed in range(20):
        augmented(chunk, cache, replace(EDGE_AUGMENTATION, silence_share=1.0), np.random.default_rng(seed))
    for left, right in zip(before, (chunk.maps, chunk.tracks, cache.maps, cache.tracks, cache.mean), strict=True):
        np.testing.assert_array_equal(left, right)


def test_silence_begins_or_ends_a_chunk_in_maps_and_labels_alike(cache: FeatureCache) -> None:
    tracks = np.zeros((SLOTS, LABELS, 4), np.float32)
    tracks[..., :3] = unit_vector(30.0, 0.0)
    names = FEATURES["logmel_iv"][1]
    chunk = Chunk(np.full((50, 8, 7), 3.0, np.float32), tracks)
    silence = (np.array([FLOOR_DB if name.startswith("log") else 0.0 for name in names]) - 2.0) / 4.0
    ends = set()
    for seed in range(60):
        quiet = augmented(chunk, cache, replace(PLAIN, silence_share=1.0), np.random.default_rng(seed))
        silent = np.all(np.isclose(quiet.maps, silence), axis=(1, 2)).reshape(LABELS, 5)
        np.testing.assert_array_equal(silent.all(axis=1), silent.any(axis=1))
        empty = ~np.any(quiet.tracks[..., :3] != 0, axis=(0, 2))
        np.testing.assert_array_equal(silent.all(axis=1), empty)
        np.testing.assert_array_equal(quiet.tracks[:, empty, 3], EMPTY)
        assert 1 <= empty.sum() < LABELS
        assert np.abs(np.diff(empty.astype(int))).sum() == 1
        ends.add(bool(empty[0]))
    assert ends == {True, False}


def test_masked_stripes_become_the_mean(cache: FeatureCache) -> None:
    settings = replace(PLAIN, masked_frames=20, masked_bands=4)
    zeros = [
        np.mean(augmented(chunk_of(cache, 1), cache, settings, np.random.default_rng(seed)).maps == 0.0)
        for seed in range(30)
    ]
    assert max(zeros) > 0.2
    plain = augmented(chunk_of(cache, 1), cache, PLAIN, np.random.default_rng(0)).maps
    assert np.mean(plain == 0.0) == 0


def test_level_and_rotation_are_drawn_as_often_and_as_wide_as_asked(cache: FeatureCache) -> None:
    chunk = Chunk(np.zeros((50, 8, 7), np.float32), np.zeros((SLOTS, LABELS, 4), np.float32))
    chunk.tracks[..., :3] = unit_vector(30.0, 20.0)
    settings = replace(PLAIN, level_db=(-6.0, 3.5), rotated_share=0.5)
    gains, turned = [], 0
    for seed in range(300):
        result = augmented(chunk, cache, settings, np.random.default_rng(seed))
        levels = 4.0 * result.maps[..., :4] + 2.0
        assert np.ptp(levels) < 1e-4
        np.testing.assert_allclose(4.0 * result.maps[..., 4:] + 2.0, 0, atol=1e-6)
        gains.append(levels.mean())
        turned += bool(angle_between_deg(result.tracks[0, 0, :3], chunk.tracks[0, 0, :3]) > 1)
    assert -6.0 <= min(gains) < -5.8
    assert 3.3 < max(gains) <= 3.5
    assert 0.5 * 15 / 16 * 300 - 40 < turned < 0.5 * 15 / 16 * 300 + 40


WEIGHED = (0.5 / 2, 0.5 / 2, 0.5 / 4, 0.5 / 4, 0.5 / 4, 0.5 / 4)  # half from two recordings, half from four


@pytest.fixture
def weighed(make_cache: Callable[..., FeatureCache]) -> FeatureCache:
    """Six recordings with an event in the first slot: its x is 1, its y the number of the recording."""
    tracks = np.zeros((SLOTS, 6 * LABELS, 4), np.float32)
    tracks[0, :, 0], tracks[0, :, 1] = 1.0, np.repeat(np.arange(6), LABELS)
    return replace(make_cache(tracks, tuple(range(0, 61, LABELS))), chances=np.array(WEIGHED))


def told(chunk: Chunk, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The direction of the event of a chunk."""
    return {"tracks": chunk.tracks}, chunk.tracks[np.any(chunk.tracks[..., :3] != 0, axis=-1)][0, :3]


@pytest.mark.parametrize("step", range(5))
def test_with_exact_shares_half_of_a_batch_is_from_each_folder_and_every_fourth_chunk_is_turned(
    weighed: FeatureCache, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convert.data.augment.PATTERNS", (8,))  # z is mirrored: of another pattern it may be unchanged
    lifted = weighed.tracks.copy()
    lifted[0, :, 2] = 1.0
    sampling = Sampling(replace(PLAIN, rotated_share=0.25), LABELS, 96, 7, exact_shares=True)
    x, recording, z = batches_of(told, replace(weighed, tracks=lifted), sampling)(step)[1].T
    np.testing.assert_array_equal(x, 1.0)
    np.testing.assert_array_equal(z, np.tile([1.0, 1.0, 1.0, -1.0], 24))
    assert np.bincount(recording.astype(int)).tolist() == [24, 24, 12, 12, 12, 12]
    assert np.any(np.diff(recording) < 0)  # in no order
    assert len(np.unique(recording[z < 0])) > 3


def test_by_chance_shares_are_met_in_the_mean_alone(weighed: FeatureCache) -> None:
    counts = [
        np.sum(batches_of(told, weighed, Sampling(PLAIN, LABELS, 96, 7))(step)[1][:, 1] < 2) for step in range(40)
    ]
    assert np.mean(counts) == pytest.approx(48, abs=4)
    assert np.std(counts) > 2


@pytest.mark.parametrize("size", [5, 7])
def test_shares_that_make_no_whole_numbers_are_met_over_many_batches(weighed: FeatureCache, size: int) -> None:
    maker = batches_of(told, weighed, Sampling(PLAIN, LABELS, size, 0, exact_shares=True))
    counts = np.array([np.bincount(maker(step)[1][:, 1].astype(int), minlength=6) for step in range(400)])
    halves = counts[:, :2].sum(axis=1)
    assert set(halves) == {size // 2, size // 2 + 1}
    assert counts.mean(axis=0) == pytest.approx(size * np.array(WEIGHED), rel=0.15)


def test_recordings_without_weights_are_drawn_equally_often(weighed: FeatureCache) -> None:
    maker = batches_of(told, replace(weighed, chances=None), Sampling(PLAIN, LABELS, 12, 0, exact_shares=True))
    assert np.bincount(maker(3)[1][:, 1].astype(int)).tolist() == [2] * 6


def test_without_exact_shares_a_batch_draws_what_it_always_drew(cache: FeatureCache) -> None:
    """All other recipes: from one generator, chunk by chunk, what `sample`, `augmented` and the stage draw."""
    batch = batch_maker("localizer", cache, Sampling(EDGE_AUGMENTATION, LABELS, 4, 3))(2)
    rng = np.random.default_rng([3, 2])
    for index in range(4):
        chunk = augmented(cache.sample(LABELS, rng), cache, EDGE_AUGMENTATION, rng)
        directions, _, target = localizer_example(chunk.tracks, EDGE_AUGMENTATION.perturbation_deg, rng)
        np.testing.assert_array_equal(batch[0]["features"][index], chunk.maps)
        np.testing.assert_array_equal(batch[0]["directions"][index], directions)
        np.testing.assert_array_equal(batch[1][index], target)

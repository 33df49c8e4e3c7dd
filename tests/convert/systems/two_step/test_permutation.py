"""Losses of permutation-invariant training against brute force over all permutations and assignments."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import keras
import numpy as np
import pytest
import tensorflow as tf

from convert.systems.two_step.batches import ACCDOA_TRACKS, adpit_target
from convert.systems.two_step.permutation import adpit, pit_bce, pit_mse
from edge.geometry import unit_vector

BATCH, LABELS, CLASSES = 3, 5, 4


def value_and_gradient(loss: Callable, target: np.ndarray, predicted: np.ndarray) -> tuple[float, np.ndarray]:
    answer = tf.Variable(predicted, dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = loss(tf.constant(target, tf.float32), answer)
    return float(value), tape.gradient(value, answer).numpy()


def squared(target: np.ndarray, answer: np.ndarray) -> np.ndarray:
    return np.square(target - answer)


def entropy(target: np.ndarray, answer: np.ndarray) -> np.ndarray:
    return -np.log(np.where(target == 1, answer, 1 - answer))


def directions(rng: np.random.Generator, tracks: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors, or the origin, of each track, and answers: (batch, labels, K, 3)."""
    target = unit_vector(*rng.uniform(-90, 90, (2, BATCH, LABELS, tracks)))
    target[rng.random((BATCH, LABELS, tracks)) < 0.4] = 0.0
    return target, rng.uniform(-1, 1, target.shape)


def activities(rng: np.random.Generator, tracks: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes of each track, one at most, and answers: (batch, labels, K, C)."""
    target = np.eye(CLASSES + 1)[rng.integers(CLASSES + 1, size=(BATCH, LABELS, tracks))][..., :CLASSES]
    return target, rng.uniform(0.02, 0.98, target.shape)


LOSSES = {"directions": (pit_mse, directions, squared), "classes": (pit_bce, activities, entropy)}


def flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(*x.shape[:2], -1)


def best_by_brute_force(each: Callable, target: np.ndarray, answer: np.ndarray, by_frame: bool) -> float:
    """The least mean over all orders of the wanted tracks."""
    axes = (-1, -2) if by_frame else (-1, -2, -3)
    orders = [list(order) for order in permutations(range(target.shape[2]))]
    return float(np.min([each(target[:, :, order], answer).mean(axis=axes) for order in orders], axis=0).mean())


@pytest.mark.parametrize("by_frame", [False, True])
@pytest.mark.parametrize("tracks", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", LOSSES)
def test_the_best_permutation_counts(kind: str, tracks: int, by_frame: bool) -> None:
    make, examples, each = LOSSES[kind]
    target, answer = examples(np.random.default_rng(tracks), tracks)
    got, gradient = value_and_gradient(make(tracks, by_frame), flat(target), flat(answer))
    assert got == pytest.approx(best_by_brute_force(each, target, answer, by_frame), rel=1e-5)
    assert np.all(np.isfinite(gradient))
    assert np.all(gradient != 0)


@pytest.mark.parametrize("by_frame", [False, True])
@pytest.mark.parametrize("kind", LOSSES)
def test_the_truth_in_any_order_costs_nothing_and_asks_for_nothing(kind: str, by_frame: bool) -> None:
    make, examples, _ = LOSSES[kind]
    rng = np.random.default_rng(0)
    target, _ = examples(rng, 6)
    answer = target[:, :, rng.permutation(6)]
    got, gradient = value_and_gradient(make(6, by_frame), flat(target), flat(answer))
    assert got == pytest.approx(0.0, abs=1e-6)
    assert np.abs(gradient).max() < 1e-6
    answer[0, 0, 0] = 0.5
    assert value_and_gradient(make(6, by_frame), flat(target), flat(answer))[0] > 1e-4


@pytest.mark.parametrize("kind", LOSSES)
def test_a_track_that_changes_within_a_window_costs_unless_frames_stand_alone(kind: str) -> None:
    make, examples, _ = LOSSES[kind]
    target, _ = examples(np.random.default_rng(0), 3)
    answer = target.copy()
    answer[:, 2:] = answer[:, 2:, [1, 2, 0]]
    assert value_and_gradient(make(3), flat(target), flat(answer))[0] > 0.01
    assert value_and_gradient(make(3, by_frame=True), flat(target), flat(answer))[0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_gradient_leads_to_the_truth(kind: str) -> None:
    make, examples, _ = LOSSES[kind]
    target, answer = examples(np.random.default_rng(1), 3)
    loss, answer = make(3), flat(answer)
    values = []
    for _ in range(60):
        value, gradient = value_and_gradient(loss, flat(target), answer)
        values.append(value)
        answer = np.clip(answer - 20.0 * gradient, 0.001 if kind == "classes" else -1.0, 0.999)
    assert values[-1] < 0.1 * values[0]


def slots(rng: np.random.Generator, count: int, classes: int) -> np.ndarray:
    """Stacked-tracks (count, labels, 4), often with several events of one class."""
    tracks = np.zeros((count, LABELS, 4), np.float32)
    tracks[..., :3] = unit_vector(*rng.uniform(-90, 90, (2, count, LABELS)))
    tracks[..., 3] = rng.integers(classes, size=(count, LABELS))
    tracks[rng.random((count, LABELS)) < rng.random(LABELS)] = (0, 0, 0, classes)
    return tracks


def places(tracks: np.ndarray, label: int, kind: int) -> list[np.ndarray]:
    return [cell[:3] for cell in tracks[:, label] if np.any(cell[:3] != 0) and cell[3] == kind]


def assigned(found: list[np.ndarray]) -> list[np.ndarray]:
    """Every way to fill 3 tracks with all of the events of a class: 1, 6 or 6 of them."""
    if not found:
        return [np.zeros((3, 3))]
    orders = product(range(len(found)), repeat=ACCDOA_TRACKS)
    return [np.stack([found[i] for i in order]) for order in orders if set(order) == set(range(len(found)))]


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_adpit_counts_the_best_assignment_of_each_class_in_each_frame(classes: int) -> None:
    rng = np.random.default_rng(classes)
    scenes = [slots(rng, 3, classes) for _ in range(30)]
    answer = rng.uniform(-1, 1, (30, LABELS, 3, 3, classes))
    seen, least = set(), []
    for tracks, said in zip(scenes, answer, strict=True):
        for label, kind in product(range(LABELS), range(classes)):
            ways = assigned(places(tracks, label, kind))
            seen.add(len(places(tracks, label, kind)))
            assert len(ways) in (1, 6)
            least.append(min(squared(way, said[label, ..., kind]).mean() for way in ways))
    assert seen == {0, 1, 2, 3}
    target = np.stack([adpit_target(tracks, classes) for tracks in scenes])
    got, gradient = value_and_gradient(adpit(classes), target, answer.reshape(30, LABELS, -1))
    assert got == pytest.approx(np.mean(least), rel=1e-5)
    assert np.all(np.isfinite(gradient))
    assert np.all(gradient != 0)


def test_adpit_of_any_assignment_of_the_truth_is_zero() -> None:
    rng = np.random.default_rng(0)
    tracks = slots(rng, 3, 2)
    answer = np.zeros((1, LABELS, 3, 3, 2), np.float32)
    for label, kind in product(range(LABELS), range(2)):
        ways = assigned(places(tracks, label, kind))
        answer[0, label, ..., kind] = ways[rng.integers(len(ways))]
    target = adpit_target(tracks, 2)[None]
    got, gradient = value_and_gradient(adpit(2), target, answer.reshape(1, LABELS, -1))
    assert got == pytest.approx(0.0, abs=1e-12)
    assert np.abs(gradient).max() < 1e-6
    forgotten = answer * (np.arange(3) < 2)[:, None, None]  # an event that is alone goes to all three tracks
    assert value_and_gradient(adpit(2), target, forgotten.reshape(1, LABELS, -1))[0] > 0.01


def test_dummy_tracks_are_those_of_the_baseline() -> None:
    tracks = np.zeros((4, 4, 4), np.float32)
    at = unit_vector([0.0, 90.0, 180.0, -90.0], 0.0).astype(np.float32)
    tracks[:, 0] = np.column_stack([at, [1, 1, 1, 1]])  # four of one class: the last has no place
    tracks[:3, 1] = np.column_stack([at[:3], [0, 1, 0]])
    tracks[0, 2] = [*at[3], 0]
    expected = np.zeros((4, 6, 4, 2), np.float32)
    for label, dummy, place, kind in [
        (0, 3, 0, 1),
        (0, 4, 1, 1),
        (0, 5, 2, 1),
        (1, 1, 0, 0),
        (1, 2, 2, 0),
        (1, 0, 1, 1),
    ]:
        expected[label, dummy, :, kind] = [1, *at[place]]
    expected[2, 0, :, 0] = [1, *at[3]]
    np.testing.assert_array_equal(adpit_target(tracks, 2), expected)


def test_silence_is_zero_in_all_of_multi_accdoa() -> None:
    target = np.zeros((1, LABELS, 6, 4, CLASSES))
    got, gradient = value_and_gradient(adpit(CLASSES), target, np.full((1, LABELS, 9 * CLASSES), 0.5))
    assert got == pytest.approx(0.25)
    assert np.all(gradient > 0)


def test_the_answer_is_laid_out_by_track_axis_and_class() -> None:
    tracks = np.zeros((1, LABELS, 4), np.float32)
    tracks[0] = [0.0, 0.6, 0.8, 2]
    answer = np.zeros((1, LABELS, 9 * CLASSES), np.float32)
    for track in range(3):
        answer[..., (3 * track + 1) * CLASSES + 2] = 0.6
        answer[..., (3 * track + 2) * CLASSES + 2] = 0.8
    assert value_and_gradient(adpit(CLASSES), adpit_target(tracks, CLASSES)[None], answer)[0] == pytest.approx(
        0, abs=1e-9
    )


def test_losses_train_in_a_keras_model() -> None:
    """Through `compile`, where the batch has no known size."""
    x = keras.Input((LABELS, 2))
    for loss, width, target in (
        (pit_mse(3), 9, np.zeros((4, LABELS, 9))),
        (pit_bce(3), 6, np.zeros((4, LABELS, 6))),
        (adpit(2), 18, np.zeros((4, LABELS, 6, 4, 2))),
    ):
        model = keras.Model(x, keras.layers.Dense(width, activation="sigmoid")(x))
        model.compile("adam", loss)
        assert np.isfinite(model.train_on_batch(np.ones((4, LABELS, 2)), target))

"""The papers' losses against numbers worked out by hand, and against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from convert.losses import focal_cross_entropy, set_localizer_loss

SLOTS = 3
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def norm(*components: float) -> float:
    """L1.5."""
    return float(np.sum(np.abs(components) ** 1.5) ** (1 / 1.5))


def frame(events: list[tuple[float, float, float]], known: int) -> np.ndarray:
    """Target of one label frame with the first `known` events in the condition: (SLOTS + 1, 4)."""
    target = np.zeros((SLOTS + 1, 4), np.float32)
    for slot, event in enumerate(events):
        target[slot] = [*event, slot >= known]
    target[SLOTS, :2] = len(events), known
    return target


def loss(frames: list[np.ndarray], predicted: list[tuple[float, float, float]], pair_power: float = 0.0) -> float:
    value = set_localizer_loss(SLOTS, pair_power)(tf.constant(np.stack(frames)[None]), tf.constant([predicted]))
    return float(value)


@pytest.mark.parametrize(
    ("events", "known", "predicted", "expected"),
    [
        ([X, Y], 0, (0.9, 0.0, 0.0), 0.1),  # the nearest of both
        ([X, Y], 0, (0.0, 0.7, 0.0), 0.3),
        ([X, Y], 0, X, 0.0),
        ([X, Y], 1, (0.9, 0.0, 0.0), norm(0.9, 1.0)),  # the nearest is known already
        ([X, Y, Z], 1, (0.0, 0.2, 0.9), norm(0.2, 0.1)),
        ([X, Y, Z], 2, (0.0, 0.9, 0.0), norm(0.9, 1.0)),
        ([], 0, (0.3, -0.4, 0.0), norm(0.3, 0.4)),  # nothing is there: the origin is wanted
        ([X], 1, (0.5, 0.0, 0.0), 0.5),  # nothing is left
        ([X, Y, Z], 0, (0.0, 0.0, 0.0), 1.0),
    ],
)
def test_one_frame(events: list, known: int, predicted: tuple, expected: float) -> None:
    assert loss([frame(events, known)], [predicted]) == pytest.approx(expected, abs=2e-5)


def test_frames_with_less_than_the_condition_ask_nothing() -> None:
    asked = loss([frame([X, Y], 1)], [(0.0, 0.8, 0.0)])
    assert asked == pytest.approx(0.2, abs=2e-5)
    ignored = [frame([], 1), frame([X], 2), frame([], 2)]
    assert loss([frame([X, Y], 1), *ignored], [(0.0, 0.8, 0.0), Z, Z, X]) == pytest.approx(asked, abs=1e-6)
    assert loss(ignored, [Z, Z, X]) == 0.0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_frames_are_averaged_within_a_pair_and_pairs_by_their_share(power: float) -> None:
    frames = [frame([], 0)] * 3 + [frame([X], 0)]  # three of pair (k 0, r 0), one of pair (1, 0)
    predicted = [(0.1, 0.0, 0.0), (0.2, 0.0, 0.0), (0.3, 0.0, 0.0), (0.2, 0.0, 0.0)]
    weights = np.array([0.75, 0.25]) ** power
    expected = weights @ [0.2, 0.8] / weights.sum()
    assert loss(frames, predicted, power) == pytest.approx(expected, abs=2e-5)


def test_power_one_is_the_plain_mean_over_frames() -> None:
    frames = [frame([X], 0), frame([X, Y], 1), frame([X], 1), frame([], 0), frame([X, Y, Z], 2), frame([Y], 0)]
    predicted = [(0.9, 0, 0), (0, 0.6, 0), (0.2, 0, 0), (0.3, 0, 0), (0, 0, 0.5), (0, 0.8, 0)]
    assert loss(frames, predicted, 1.0) == pytest.approx(np.mean([0.1, 0.4, 0.2, 0.3, 0.5, 0.2]), abs=2e-5)
    assert loss(frames, predicted, 0.0) == pytest.approx(np.mean([0.15, 0.4, 0.2, 0.3, 0.5]), abs=2e-5)


def by_numpy(target: np.ndarray, predicted: np.ndarray, pair_power: float) -> float:
    """Section 3.1, one frame after the other."""
    pairs: dict[tuple[int, int], list[float]] = {}
    asked = 0
    for cells, answer in zip(target.reshape(-1, SLOTS + 1, 4), predicted.reshape(-1, 3), strict=True):
        k, r = int(cells[SLOTS, 0]), int(cells[SLOTS, 1])
        if k < r:
            continue
        asked += 1
        left = cells[r:k, :3]
        value = min((norm(*(event - answer)) for event in left), default=norm(*answer))
        pairs.setdefault((k, r), []).append(value)
    weights = {pair: (len(values) / asked) ** pair_power for pair, values in pairs.items()}
    return sum(weights[pair] * np.mean(pairs[pair]) for pair in pairs) / sum(weights.values())


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_random_batches_against_numpy(power: float) -> None:
    rng = np.random.default_rng(int(10 * power))
    target = np.stack(
        [
            np.stack([frame(list(rng.normal(size=(rng.integers(SLOTS + 1), 3))), known) for _ in range(7)])
            for known in (0, 1, 2, 1)
        ]
    )
    predicted = rng.uniform(-1, 1, (4, 7, 3)).astype(np.float32)
    got = float(set_localizer_loss(SLOTS, power)(tf.constant(target), tf.constant(predicted)))
    assert got == pytest.approx(by_numpy(target, predicted, power), rel=1e-4)


@pytest.mark.parametrize(("events", "known", "predicted"), [([X, Y], 0, X), ([X, Y], 1, Y), ([X], 1, (0, 0, 0))])
def test_gradients_are_finite_at_an_exact_hit(events: list, known: int, predicted: tuple) -> None:
    answer = tf.Variable([[predicted, (0.5, 0.5, 0.0)]], dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = set_localizer_loss(SLOTS)(tf.constant(np.stack([frame(events, known), frame([], 0)])[None]), answer)
    gradient = tape.gradient(value, answer).numpy()[0]
    assert np.all(np.isfinite(gradient))
    assert np.all(gradient[1, :2] > 0)  # toward the origin


def test_frames_that_ask_nothing_have_no_gradient() -> None:
    answer = tf.Variable([[X, (0.5, 0.5, 0.0)]])
    with tf.GradientTape() as tape:
        value = set_localizer_loss(SLOTS)(tf.constant(np.stack([frame([], 1), frame([X], 1)])[None]), answer)
    gradient = tape.gradient(value, answer).numpy()[0]
    assert np.all(gradient[0] == 0)
    assert np.all(gradient[1, :2] != 0)


def test_focal_loss() -> None:
    probability = tf.constant([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], [[0.9, 0.05, 0.05], [0.0, 0.0, 1.0]]])
    target = tf.constant([[0.0, 2.0], [1.0, 2.0]])  # classes come as floats
    p = np.array([0.5, 0.8, 0.05, 1.0])
    expected = np.mean(-(1 - p) * np.log(p))
    assert float(focal_cross_entropy(target, probability)) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_of_an_impossible_class_is_finite_with_its_gradient() -> None:
    probability = tf.Variable([[[0.0, 1.0], [1.0, 0.0]]])
    with tf.GradientTape() as tape:
        value = focal_cross_entropy(tf.constant([[0.0, 0.0]]), probability)
    assert float(value) == pytest.approx(-np.log(1e-7) / 2, rel=1e-4)
    assert np.all(np.isfinite(tape.gradient(value, probability).numpy()))

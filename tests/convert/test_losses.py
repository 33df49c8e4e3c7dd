"""The papers' losses against numbers worked out by hand, and against numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from convert.losses import (
    ColocLosses,
    EtriLosses,
    binary_cross_entropy,
    direction_loss,
    etri_loss,
    focal_cross_entropy,
    set_localizer_loss,
    soft_f_loss,
)

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


def test_as_printed_the_sum_over_pairs_is_divided_by_six() -> None:
    """Section 3.1: 2 / (N (N + 1)) = 1 / 6 of the sum over pairs of the mean of each; five pairs occur here."""
    frames = [
        frame([X], 0),
        frame([X, Y], 0),
        frame([X, Y], 1),
        frame([X, Y, Z], 0),
        frame([X, Y, Z], 2),
        frame([X], 0),
    ]
    predicted = [(0.9, 0, 0), (0, 0.6, 0), (0, 0.8, 0), (0, 0, 0.5), (0, 0, 0.3), (0.7, 0, 0)]
    means = [(0.1 + 0.3) / 2, 0.4, 0.2, 0.5, 0.7]  # k, r: 1, 0; 2, 0; 2, 1; 3, 0; 3, 2
    assert sum(means) == pytest.approx(2.0)
    target, answer = tf.constant(np.stack(frames)[None]), tf.constant([predicted])
    printed = float(set_localizer_loss(SLOTS, fixed_pairs=True)(target, answer))
    assert printed == pytest.approx(2.0 / 6, abs=2e-5)
    assert loss(frames, predicted) == pytest.approx(2.0 / 5, abs=2e-5)
    with pytest.raises(ValueError, match=r"got pair_power 0.5 with fixed_pairs, wanted 0"):
        ColocLosses(pair_power=0.5, fixed_pairs=True)


def test_as_printed_with_all_pairs_that_its_own_draw_of_r_can_give() -> None:
    """r is 0 or 1, k is 0 to 3: the means of seven pairs, two of them with nothing left to name, over N (N + 1) / 2."""
    frames = [
        *[frame(events, 0) for events in ([], [X], [X, Y], [X, Y, Z])],
        *[frame(events, 1) for events in ([], [X], [X, Y], [X, Y, Z])],  # the first has less than the condition
    ]
    predicted = [(0, 0.3, 0), (0, 0, 0), (0, 0.5, 0), (0, 0, 0.9), (0.8, 0, 0), (0.7, 0, 0), X, (0, 0.6, 0)]
    means = {(0, 0): 0.3, (1, 0): 1.0, (2, 0): 0.5, (3, 0): 0.1, (1, 1): 0.7, (2, 1): norm(1.0, 1.0), (3, 1): 0.4}
    assert norm(1.0, 1.0) == pytest.approx(2 ** (2 / 3))  # 1.5874
    target, answer = tf.constant(np.stack(frames)[None]), tf.constant([predicted])
    printed = float(set_localizer_loss(SLOTS, fixed_pairs=True)(target, answer))
    assert printed == pytest.approx(sum(means.values()) / 6, abs=2e-5) == pytest.approx(0.76457, abs=2e-5)
    assert loss(frames, predicted) == pytest.approx(sum(means.values()) / 7, abs=2e-5)
    with pytest.raises(ValueError, match=r"got most_known 3, wanted 0 to 2"):
        ColocLosses(most_known=3)


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


CLASSES = 3
SED_LOSSES = {
    "soft_f per class": soft_f_loss(masked=True),
    "soft_f over all": soft_f_loss(per_class=False, masked=True),
    "bce": binary_cross_entropy(masked=True),
}


def activities(seed: int = 0, silent_share: float = 0.4) -> np.ndarray:
    """Truth of some clips: (batch, labels, K), with frames of silence."""
    rng = np.random.default_rng(seed)
    heard = rng.random((4, 10, 1)) > silent_share
    return (heard & (rng.random((4, 10, CLASSES)) < 0.4)).astype(np.float32)


def value_and_gradient(loss: Callable, target: np.ndarray, predicted: np.ndarray) -> tuple[float, np.ndarray]:
    answer = tf.Variable(predicted, dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = loss(tf.constant(target, tf.float32), answer)
    return float(value), tape.gradient(value, answer).numpy()


def f_score(target: np.ndarray, answer: np.ndarray) -> float:
    """Equation 1, of binary answers."""
    hits = np.sum((answer == 1) & (target == 1))
    return 2 * hits / (2 * hits + np.sum((answer == 0) & (target == 1)) + np.sum((answer == 1) & (target == 0)))


def test_soft_f_of_binary_answers_is_one_minus_f() -> None:
    target, answer = activities(1), activities(2)
    over_all, _ = value_and_gradient(soft_f_loss(per_class=False), target, answer)
    assert over_all == pytest.approx(1 - f_score(target, answer), abs=1e-6)
    each = [f_score(target[..., k], answer[..., k]) for k in range(CLASSES)]
    per_class, _ = value_and_gradient(soft_f_loss(), target, answer)
    assert per_class == pytest.approx(1 - np.mean(each), abs=1e-6)
    assert abs(over_all - per_class) > 1e-3


@pytest.mark.parametrize("masked", [False, True])
def test_soft_f_counts_in_probabilities(masked: bool) -> None:
    """Equations 2 to 4, as they stand there."""
    target = activities()
    answer = np.random.default_rng(0).random(target.shape).astype(np.float32)
    mask = target.max(axis=-1, keepdims=True) if masked else np.ones_like(target[..., :1])
    assert 0 < target.max(axis=-1).mean() < 1
    hits, false_alarms, misses = (
        (product * mask).sum(axis=(0, 1)) for product in (answer * target, answer * (1 - target), (1 - answer) * target)
    )
    f = 2 * hits / (2 * hits + false_alarms + misses)
    assert value_and_gradient(soft_f_loss(masked=masked), target, answer)[0] == pytest.approx(1 - f.mean(), abs=1e-6)
    hits, false_alarms, misses = hits.sum(), false_alarms.sum(), misses.sum()
    f = 2 * hits / (2 * hits + false_alarms + misses)
    over_all = soft_f_loss(per_class=False, masked=masked)
    assert value_and_gradient(over_all, target, answer)[0] == pytest.approx(1 - f, abs=1e-6)


def test_beta_says_how_bad_a_miss_is() -> None:
    """F_beta as the field has it: at 2, recall counts twice as much as precision; at 1 it is F."""
    target, answer = activities(1), activities(2)
    hits = np.sum(answer * target)
    precision, recall = hits / answer.sum(), hits / target.sum()
    f2 = 5 * precision * recall / (4 * precision + recall)
    value, _ = value_and_gradient(soft_f_loss(per_class=False, beta=2.0), target, answer)
    assert value == pytest.approx(1 - f2, abs=1e-6)
    missed, invented = np.zeros_like(target), np.ones_like(target)
    even = (np.arange(target.size).reshape(target.shape) % 2).astype(np.float32)
    assert f_score(even, invented) == pytest.approx(2 / 3)
    assert value_and_gradient(soft_f_loss(per_class=False, beta=2.0), even, invented)[0] < 1 / 3 - 0.1
    assert value_and_gradient(soft_f_loss(beta=2.0), target, missed)[0] == pytest.approx(1.0)


def test_a_rare_class_weighs_as_much_as_a_frequent_one() -> None:
    target = np.zeros((1, 100, 2), np.float32)
    target[0, :99, 0] = target[0, 99, 1] = 1
    missed = target * [1, 0]
    assert value_and_gradient(soft_f_loss(), target, missed)[0] == pytest.approx(0.5)
    assert value_and_gradient(soft_f_loss(per_class=False), target, missed)[0] == pytest.approx(1 - 198 / 199, abs=1e-6)


def test_a_class_that_does_not_occur_has_no_part_in_the_mean() -> None:
    target = activities()
    target[..., 1] = 0
    answer = np.random.default_rng(0).random(target.shape).astype(np.float32)
    value, gradient = value_and_gradient(soft_f_loss(), target, answer)
    assert value == pytest.approx(value_and_gradient(soft_f_loss(), target[..., ::2], answer[..., ::2])[0])
    assert not gradient[..., 1].any()
    assert gradient[..., ::2].any()


@pytest.mark.parametrize("masked", [False, True])
def test_a_batch_of_silence_gives_a_finite_loss_and_gradient(masked: bool) -> None:
    for loss in (soft_f_loss(True, masked), soft_f_loss(False, masked), binary_cross_entropy(masked)):
        for answer in (0.0, 0.5, 1.0):
            value, gradient = value_and_gradient(loss, np.zeros((2, 3, CLASSES)), np.full((2, 3, CLASSES), answer))
            assert np.isfinite(value)
            assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("loss", SED_LOSSES.values(), ids=SED_LOSSES)
def test_frames_of_silence_give_no_gradient_in_sed(loss: Callable) -> None:
    target = activities()
    silent = target.max(axis=-1) == 0
    assert 0 < silent.mean() < 1
    rng = np.random.default_rng(0)
    answer = rng.random(target.shape).astype(np.float32)
    answer[0][silent[0]] = 1.0  # certain ones, too
    value, gradient = value_and_gradient(loss, target, answer)
    assert np.all(gradient[silent] == 0.0)
    assert np.all(gradient[~silent] != 0.0)
    answer[silent] = rng.random((silent.sum(), CLASSES))
    assert value_and_gradient(loss, target, answer)[0] == value  # whatever is answered there


def test_without_the_mask_they_do() -> None:
    target = activities()
    answer = np.full(target.shape, 0.5, np.float32)
    for loss in (soft_f_loss(), soft_f_loss(per_class=False), binary_cross_entropy()):
        assert np.all(value_and_gradient(loss, target, answer)[1][target.max(axis=-1) == 0] > 0)


@pytest.mark.parametrize("stage", ["sad", "sed"])
@pytest.mark.parametrize(
    "settings",
    [EtriLosses(), EtriLosses(f_over="all", masked=False), EtriLosses(sad="bce", sed="bce")],
    ids=["paper", "over all", "bce"],
)
def test_the_perfect_answer_costs_nothing_and_any_other_more(stage: str, settings: EtriLosses) -> None:
    target = activities()
    if stage == "sad":
        target = target.max(axis=-1, keepdims=True)
    loss = etri_loss(stage, settings)
    assert value_and_gradient(loss, target, target)[0] == pytest.approx(0.0, abs=1e-6)
    wrong = target.copy()
    wrong[np.unravel_index(target.argmax(), target.shape)] = 0.4
    assert value_and_gradient(loss, target, wrong)[0] > 1e-3


def test_sad_learns_silence_masked_or_not() -> None:
    target = activities().max(axis=-1, keepdims=True)
    answer = np.full(target.shape, 0.5, np.float32)
    for settings in (EtriLosses(), EtriLosses(sad="bce"), EtriLosses(masked=False)):
        _, gradient = value_and_gradient(etri_loss("sad", settings), target, answer)
        assert np.all(gradient[target == 0] > 0)
        assert np.all(gradient[target == 1] < 0)


def test_binary_cross_entropy_against_numpy() -> None:
    target = activities()
    answer = np.random.default_rng(0).uniform(0.01, 0.99, target.shape).astype(np.float32)
    each = -np.log(np.where(target == 1, answer, 1 - answer))
    assert value_and_gradient(binary_cross_entropy(), target, answer)[0] == pytest.approx(each.mean(), rel=1e-5)
    heard = each[target.max(axis=-1) == 1]
    assert value_and_gradient(binary_cross_entropy(True), target, answer)[0] == pytest.approx(heard.mean(), rel=1e-5)


def direction(azimuth_deg: float, elevation_deg: float, answer_deg: tuple[float, float], kind: str) -> float:
    """Loss of one class in one frame."""
    target = np.array([[[azimuth_deg / 180, elevation_deg / 180, 1.0]]])
    return value_and_gradient(direction_loss(kind), target, np.array([[answer_deg]]) / 180)[0]


def test_180_and_minus_180_degrees_cost_nothing() -> None:
    assert direction(180.0, 0.0, (-180.0, 0.0), "sinusoidal") == pytest.approx(0.0, abs=1e-12)
    assert direction(-180.0, 30.0, (180.0, 30.0), "sinusoidal") == pytest.approx(0.0, abs=1e-12)
    assert direction(180.0, 0.0, (-180.0, 0.0), "squared") == pytest.approx(2.0)  # the mean of 2^2 and 0


@pytest.mark.parametrize("true", [(0.0, 0.0), (170.0, 80.0), (-95.0, -30.0)])
@pytest.mark.parametrize("answer", [(0.0, 0.0), (-175.0, 60.0), (90.0, -90.0), (-10.0, 45.0)])
def test_the_sinusoidal_loss_is_that_of_the_angle(true: tuple[float, float], answer: tuple[float, float]) -> None:
    """sin^2 of half the angle is half of 1 - cos, whichever way around."""
    got = direction(*true, answer, "sinusoidal")
    expected = np.mean(0.5 - 0.5 * np.cos(np.deg2rad(np.subtract(true, answer))))
    assert got == pytest.approx(expected, abs=1e-5)
    assert got == pytest.approx(direction(*answer, true, "sinusoidal"), abs=1e-5)
    turned = answer[0] + 360, answer[1] - 360  # its period
    assert got == pytest.approx(direction(*true, turned, "sinusoidal"), abs=1e-5)


def test_the_gradient_leads_around_the_back_where_that_is_nearer() -> None:
    target = np.array([[[170 / 180, 0.0, 1.0]]])
    answer = np.array([[[-170 / 180, 0.0]]])
    assert value_and_gradient(direction_loss(), target, answer)[1][0, 0, 0] > 0  # a step goes on below -170
    assert value_and_gradient(direction_loss("squared"), target, answer)[1][0, 0, 0] < 0


@pytest.mark.parametrize("kind", ["sinusoidal", "squared"])
def test_directions_are_asked_only_where_their_class_is_active(kind: str) -> None:
    rng = np.random.default_rng(0)
    active = activities()
    angles = rng.uniform(-1, 1, (*active.shape[:2], 2, CLASSES)) * active[:, :, None]
    answer = rng.uniform(-1, 1, angles.shape)
    flat = (*active.shape[:2], 2 * CLASSES)
    target = np.concatenate([angles.reshape(flat), active], axis=-1)
    value, gradient = value_and_gradient(direction_loss(kind), target, answer.reshape(flat))
    difference = (answer - angles)[np.broadcast_to(active[:, :, None], angles.shape) == 1]
    expected = np.mean(np.sin(np.pi / 2 * difference) ** 2 if kind == "sinusoidal" else difference**2)
    assert value == pytest.approx(expected, rel=1e-5)
    asked = np.concatenate([active, active], axis=-1) == 1
    assert np.all(gradient[asked] != 0)
    assert np.all(gradient[~asked] == 0)
    nothing = value_and_gradient(direction_loss(kind), np.zeros_like(target), answer.reshape(flat))
    assert nothing[0] == 0.0
    assert not nothing[1].any()


def test_etri_losses_are_chosen_by_settings() -> None:
    target = activities()
    answer = np.random.default_rng(0).uniform(0.1, 0.9, target.shape).astype(np.float32)
    for settings, loss in (
        (EtriLosses(), soft_f_loss(True, True)),
        (EtriLosses(f_over="all"), soft_f_loss(False, True)),
        (EtriLosses(masked=False), soft_f_loss(True, False)),
        (EtriLosses(sed_beta=1.5), soft_f_loss(True, True, 1.5)),
        (EtriLosses(sed="bce"), binary_cross_entropy(True)),
        (EtriLosses(sed="bce", masked=False), binary_cross_entropy(False)),
    ):
        chosen = value_and_gradient(etri_loss("sed", settings), target, answer)[0]
        assert chosen == value_and_gradient(loss, target, answer)[0]
    places = np.concatenate([target, target, target], axis=-1)
    flat = np.concatenate([answer, -answer], axis=-1)
    for kind in ("sinusoidal", "squared"):
        chosen = value_and_gradient(etri_loss("doae", EtriLosses(doa=kind)), places, flat)[0]
        assert chosen == value_and_gradient(direction_loss(kind), places, flat)[0]


@pytest.mark.parametrize("wrong", [{"sad": "f"}, {"sed": "mse"}, {"f_over": "frame"}, {"doa": "bce"}])
def test_losses_that_there_are_not(wrong: dict[str, str]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"got {name} '{value}', wanted .* or "):
        EtriLosses(**wrong)


@pytest.mark.parametrize("beta", [0.0, -1.0, 11.0, float("nan")])
def test_a_beta_that_makes_no_sense(beta: float) -> None:
    with pytest.raises(ValueError, match=r"got sed_beta .*, wanted 0\.1 to 10"):
        EtriLosses(sed_beta=beta)

"""Ranger against numpy, step by step, and its two papers' properties."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from convert.training.ranger import Ranger, rectification

SHAPES = ((3, 4), (5,))


def gradients(step: int) -> list[np.ndarray]:
    rng = np.random.default_rng([7, step])
    return [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]


def start() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]


def by_keras(steps: int, **settings: Any) -> list[list[np.ndarray]]:
    """Weights after every step."""
    variables = [keras.Variable(value) for value in start()]
    optimizer = Ranger(0.1, **settings)
    optimizer.build(variables)
    after = []
    for step in range(steps):
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients(step)])
        after.append([np.array(variable) for variable in variables])
    return after


def by_numpy(
    steps: int, beta_1: float = 0.95, beta_2: float = 0.999, sync_steps: int = 6, slow_share: float = 0.5
) -> list[list[np.ndarray]]:
    """Liu et al. 2020, algorithm 2, inside Zhang et al. 2019, algorithm 1."""
    weights = [value.astype(np.float64) for value in start()]
    slow = [value.copy() for value in weights]
    firsts, seconds = ([np.zeros_like(value) for value in weights] for _ in range(2))
    longest = 2 / (1 - beta_2) - 1
    after = []
    for t in range(1, steps + 1):
        for index, gradient in enumerate(gradients(t - 1)):
            firsts[index] = beta_1 * firsts[index] + (1 - beta_1) * gradient
            seconds[index] = beta_2 * seconds[index] + (1 - beta_2) * gradient.astype(np.float64) ** 2
            mean = firsts[index] / (1 - beta_1**t)
            length = longest - 2 * t * beta_2**t / (1 - beta_2**t)
            if length > 4:
                r = np.sqrt(
                    (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length),
                )
                mean = r * mean * np.sqrt(1 - beta_2**t) / (np.sqrt(seconds[index]) + 1e-5)
            weights[index] = weights[index] - 0.1 * mean
            if t % sync_steps == 0:
                slow[index] = slow[index] + slow_share * (weights[index] - slow[index])
                weights[index] = slow[index]
        after.append([value.copy() for value in weights])
    return after


@pytest.mark.parametrize(
    "settings",
    [{}, {"beta_1": 0.9, "beta_2": 0.99, "sync_steps": 5, "slow_share": 0.8}, {"beta_2": 0.6, "sync_steps": 1}],
    ids=["defaults", "others", "never tractable"],
)
def test_20_steps_against_numpy(settings: dict[str, Any]) -> None:
    for left, right in zip(by_keras(20, **settings), by_numpy(20, **settings), strict=True):
        for found, expected in zip(left, right, strict=True):
            np.testing.assert_allclose(found, expected, atol=2e-5)


def test_every_sixth_step_ends_halfway_to_where_the_weights_were_before() -> None:
    found = by_keras(12)
    alone = by_keras(12, sync_steps=100)  # RAdam
    for fast, without, begin in zip(found[5], alone[5], start(), strict=True):
        np.testing.assert_allclose(fast, (begin + without) / 2, atol=1e-6)
    for step in range(5):
        for fast, without in zip(found[step], alone[step], strict=True):
            np.testing.assert_array_equal(fast, without)
    for fast, without in zip(by_keras(7, slow_share=1.0)[-1], alone[6], strict=True):
        np.testing.assert_allclose(fast, without, atol=1e-6)  # all the way is no Lookahead


def test_rectification_begins_with_the_fifth_step_and_ends_as_adam() -> None:
    tractable, scale = zip(*(map(float, rectification(np.float32(step), 0.999)) for step in range(1, 30)), strict=True)
    assert tractable == (0.0,) * 4 + (1.0,) * 25
    assert np.all(np.diff(scale[4:]) > 0)
    for step in (5, 20, 1000):
        length = 1999 - 2 * step * 0.999**step / (1 - 0.999**step)
        r = np.sqrt((length - 4) * (length - 2) * 1999 / (1995 * 1997 * length))
        got = float(rectification(np.float32(step), 0.999)[1])
        assert got == pytest.approx(r * np.sqrt(1 - 0.999**step), rel=2e-3)
    assert float(rectification(np.float32(1e6), 0.999)[1]) == pytest.approx(1.0, abs=1e-4)


def test_weights_loaded_after_building_are_what_lookahead_goes_from() -> None:
    variable = keras.Variable(np.zeros(3, np.float32))
    optimizer = Ranger(0.1, sync_steps=1)
    optimizer.build([variable])
    variable.assign(np.ones(3, np.float32))
    optimizer.apply([keras.ops.ones(3)])
    np.testing.assert_allclose(variable, 1.0 - 0.1 / 2, atol=1e-6)


def test_its_settings_come_back_from_its_config() -> None:
    optimizer = Ranger(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3, sync_steps=4, slow_share=0.3, clipnorm=2.0)
    again = Ranger.from_config(optimizer.get_config())
    assert again.get_config() == pytest.approx(optimizer.get_config())
    assert again.sync_steps == 4
    serialized = keras.optimizers.serialize(optimizer)
    assert isinstance(keras.optimizers.deserialize(serialized), Ranger)


@pytest.mark.parametrize("wrong", [{"sync_steps": 0}, {"slow_share": 0.0}, {"slow_share": 1.5}])
def test_a_lookahead_that_cannot_be(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"got .*{name} {value}"):
        Ranger(**wrong)

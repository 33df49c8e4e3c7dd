"""The learning rate over the steps: warm-up, cosine, line, constant, cycles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convert.systems.recipe import TrainSettings
from convert.training.schedule import cycle_ends, learning_rate


def test_the_schedule() -> None:
    settings = TrainSettings(steps=1000, warmup_steps=100, learning_rate=0.5)
    rates = [learning_rate(step, settings) for step in range(1000)]
    assert rates[0] == pytest.approx(0.005)
    np.testing.assert_allclose(np.diff(rates[:100]), 0.005)
    assert rates[99] == rates[100] == max(rates) == 0.5
    assert rates[550] == pytest.approx(0.5 * (0.01 + 0.99 * 0.5))
    assert np.all(np.diff(rates[100:]) <= 0)
    assert learning_rate(1000, settings) == learning_rate(5000, settings) == pytest.approx(0.005)
    constant = replace(settings, schedule="constant")
    assert [learning_rate(step, constant) for step in (0, 50, 100, 999)] == [0.005, pytest.approx(0.255), 0.5, 0.5]


def test_the_schedule_in_cycles() -> None:
    settings = TrainSettings(steps=1000, warmup_steps=100, learning_rate=0.5, cycles=3)
    assert cycle_ends(settings) == (333, 666, 1000)
    rates = np.array([learning_rate(step, settings) for step in range(1000)])
    np.testing.assert_allclose(np.diff(rates[:100]), 0.005)
    for begin, end in ((100, 333), (333, 666), (666, 1000)):
        assert rates[begin] == 0.5
        assert rates[(begin + end) // 2] == pytest.approx(0.5 * (0.01 + 0.99 * 0.5), rel=0.02)
        assert rates[end - 1] == pytest.approx(0.005, rel=0.01)
        assert np.all(np.diff(rates[begin:end]) < 0)
    once = replace(settings, cycles=1)
    assert rates[:101].tolist() == [learning_rate(step, once) for step in range(101)]
    assert learning_rate(1000, settings) == learning_rate(5000, settings) == pytest.approx(0.005)
    longer = replace(settings, warmup_steps=400)  # than a cycle
    rates = np.array([learning_rate(step, longer) for step in range(1000)])
    assert rates.max() == rates[399] == rates[666] == 0.5
    assert rates.min() > 0

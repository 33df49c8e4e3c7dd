"""The learning rate over the steps: warm-up, cosine, line, constant, cycles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convert.systems.recipe import TrainSettings
from convert.training.schedule import cycle_ends, halvings, in_steps, learning_rate


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


def test_epochs_become_steps() -> None:
    """By hand: windows of 20 label frames, of which recordings of 60, 35 and 20 hold 3, 1 and 1, or 9, 4 and 1."""
    settings = TrainSettings(epochs=10, warmup_epochs=2, batch_size=2)
    counted = in_steps(settings, [60, 35, 20], 20)
    assert (counted.steps, counted.warmup_steps, counted.checkpoint_steps, counted.dev_steps) == (30, 6, 3, 3)
    assert in_steps(replace(settings, hop_labels=5), [60, 35, 20], 20).steps == 70
    assert in_steps(counted, [60, 35, 20], 20) == counted  # in steps already
    with pytest.raises(ValueError, match="got warmup_epochs 11, wanted at most the 10 epochs"):
        replace(settings, warmup_epochs=11)


def test_the_rate_is_held_before_it_decays() -> None:
    settings = TrainSettings(steps=1000, warmup_steps=100, hold_steps=100, learning_rate=0.5, schedule="linear")
    rates = [learning_rate(step, settings) for step in range(1000)]
    assert set(rates[99:201]) == {0.5}
    assert rates[600] == pytest.approx(0.5 * (0.01 + 0.99 * 0.5))
    np.testing.assert_allclose(np.diff(rates[200:]), -0.5 * 0.99 / 800)


def test_the_rate_is_halved_on_a_plateau() -> None:
    """Three losses in a row that are not lower than the lowest before; then counting begins anew."""
    losses = [0.9, 0.8, 0.8, 0.81, 0.8, 0.79, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
    counts = [halvings(losses[:number], 3) for number in range(len(losses) + 1)]
    assert counts == [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3]
    settings = TrainSettings(schedule="plateau", learning_rate=0.5, warmup_steps=2, patience=3)
    assert [learning_rate(step, settings, losses[:5]) for step in (0, 1, 2, 99)] == [0.25, 0.5, 0.25, 0.25]

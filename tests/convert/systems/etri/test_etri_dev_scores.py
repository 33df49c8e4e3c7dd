"""What the log says of a stage of ETRI."""

from __future__ import annotations

import numpy as np
import pytest

from convert.systems.etri.dev_scores import direction_error_deg
from convert.systems.scores import f_score


def test_f_counts_answers_above_one_half() -> None:
    target = np.array([[1, 1, 0, 0]], np.float32)
    assert f_score(target, np.array([[0.9, 0.2, 0.1, 0.4]], np.float32)) == pytest.approx(2 / 3)
    assert f_score(target, target) == 1.0
    assert f_score(target, 1 - target) == 0.0
    assert np.isnan(f_score(0 * target, 0 * target))


def test_directions_count_where_a_class_is_active() -> None:
    target = np.array([[0.5, 1.0, 0.0, 0.0, 1, 1], [0.0, 0.0, 0.0, 0.0, 0, 1]], np.float32)
    answer = np.array([[0.5, -1.0, 0.0, 0.0], [0.7, 0.0, 0.3, 0.25]], np.float32)
    assert direction_error_deg(target, answer) == pytest.approx(15.0, abs=1e-3)  # 0, 0 and 45 degrees up
    target[:, 4:] = 0.0
    assert np.isnan(direction_error_deg(target, answer))

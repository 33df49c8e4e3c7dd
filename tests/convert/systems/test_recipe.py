"""Settings of a training that cannot work are refused."""

from __future__ import annotations

from typing import Any

import pytest

from convert.systems.recipe import OPTIMIZER_NAMES, TrainSettings
from convert.training.trainer import OPTIMIZERS


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"checkpoint_steps": 0},
        {"dev_steps": 0},
        {"seed": -1},
        {"cycles": 0},
        {"cycles": 8001},
        {"optimizer": "sgd"},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=rf"got .*{name} {value!r}"):
        TrainSettings(**wrong)


def test_every_optimizer_that_can_be_named_is_there() -> None:
    assert tuple(OPTIMIZERS) == OPTIMIZER_NAMES

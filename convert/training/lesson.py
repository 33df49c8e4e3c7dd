"""How a stage of a system is trained: what `convert.training.trainer.fit` is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from convert.training.dev import Score
from convert.training.trainer import Batch


@dataclass(frozen=True, slots=True)
class Lesson:
    """One training of a system."""

    model: keras.Model  # around the nets whose weights are wanted
    loss: Callable[..., object]
    batch: Callable[[int], Batch]  # by step number
    score: Score | None = None  # on development data

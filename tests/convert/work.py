"""What processes do in tests: they import it, as they cannot have what a test defines."""

from __future__ import annotations

import os
from collections.abc import Generator

import numpy as np


def small_batch(step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two inputs of different types and a target, which differ from step to step; there is no thirteenth."""
    if step == 13:
        raise ValueError("got no such batch")
    rng = np.random.default_rng(step)
    return {"a": rng.normal(size=(2, 3)).astype(np.float32), "b": np.full((2,), step)}, rng.normal(size=(2, 1, 2))


def doubtful(task: int) -> Generator[int, int, tuple[int, int]]:
    """Asks as often as the task says, adds up what it is told, and tells where."""
    if task < 0:
        raise ValueError(f"got {task}, wanted 0 or more")
    if task == 99:
        os._exit(1)
    total = 0
    for question in range(task):
        total += yield question
    return total, os.getpid()

"""The learning rate over the steps of a training."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from convert.systems.recipe import TrainSettings

LAST_SHARE = 0.01  # of the highest rate, at the end of a cycle


def learning_rate(step: int, settings: TrainSettings) -> float:
    """The rate of a step, counted from 0: a linear warm-up, then half a cosine or a line down to 1 %, or a constant.

    Every cycle after the first begins at the highest rate again (warm restarts: Loshchilov & Hutter 2017).
    """
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.learning_rate
    ends = cycle_ends(settings)
    cycle = min(bisect_right(ends, step), settings.cycles - 1)
    begin = ends[cycle - 1] if cycle else settings.warmup_steps
    share = min((step - begin) / max(ends[cycle] - begin, 1), 1.0)
    height = 1.0 - share if settings.schedule == "linear" else 0.5 * (1.0 + np.cos(np.pi * share))
    return settings.learning_rate * (LAST_SHARE + (1.0 - LAST_SHARE) * height)


def cycle_ends(settings: TrainSettings) -> tuple[int, ...]:
    """The numbers of steps after which a cycle is over: cycles are equally long, the last ends with the training."""
    return tuple(settings.steps * number // settings.cycles for number in range(1, settings.cycles + 1))

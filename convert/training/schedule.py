"""The length of a training in steps, and the learning rate over them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from convert.systems.recipe import TrainSettings

LAST_SHARE = 0.01  # of the highest rate, at the end of a cycle


def in_steps(settings: TrainSettings, recordings: Sequence[int], window_labels: int) -> TrainSettings:
    """A schedule in epochs as one in steps; a schedule in steps stays as it is.

    An epoch is as many chunks as there are windows: side by side, or every `hop_labels`. Checkpoints and scores come
    once an epoch.

    Args:
        settings: The schedule.
        recordings: Length of each recording of the training data, in label frames.
        window_labels: Label frames of a window.
    """
    if not settings.epochs:
        return settings
    hop = settings.hop_labels or window_labels
    windows = sum(max(labels - window_labels, 0) // hop + 1 for labels in recordings)
    epoch = math.ceil(windows / settings.batch_size)
    return replace(
        settings,
        steps=settings.epochs * epoch,
        warmup_steps=settings.warmup_epochs * epoch,
        checkpoint_steps=epoch,
        dev_steps=epoch,
        epochs=0,
        warmup_epochs=0,
    )


def learning_rate(step: int, settings: TrainSettings, losses: Sequence[float] = ()) -> float:
    """The rate of a step, counted from 0: a linear warm-up, then half a cosine or a line down to 1 %, or a constant.

    With the schedule "plateau", the rate is halved whenever `patience` losses on development data in a row were not
    lower than the lowest before (two-step, section 3.1).

    Args:
        step: The number of the step.
        settings: The schedule, in steps.
        losses: On development data so far, for "plateau".

    Every cycle after the first begins at the highest rate again (warm restarts: Loshchilov & Hutter 2017).
    """
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.learning_rate
    if settings.schedule == "plateau":
        return settings.learning_rate * 0.5 ** halvings(losses, settings.patience)
    ends = cycle_ends(settings)
    cycle = min(bisect_right(ends, step), settings.cycles - 1)
    begin = (ends[cycle - 1] if cycle else settings.warmup_steps) + settings.hold_steps
    share = min(max(step - begin, 0) / max(ends[cycle] - begin, 1), 1.0)
    height = 1.0 - share if settings.schedule == "linear" else 0.5 * (1.0 + np.cos(np.pi * share))
    return settings.learning_rate * (LAST_SHARE + (1.0 - LAST_SHARE) * height)


def halvings(losses: Sequence[float], patience: int) -> int:
    """How often `patience` losses in a row were not lower than the lowest before."""
    lowest, waited, count = math.inf, 0, 0
    for loss in losses:
        waited = 0 if loss < lowest else waited + 1
        lowest = min(lowest, loss)
        if waited == patience:
            waited, count = 0, count + 1
    return count


def cycle_ends(settings: TrainSettings) -> tuple[int, ...]:
    """The numbers of steps after which a cycle is over: cycles are equally long, the last ends with the training."""
    return tuple(settings.steps * number // settings.cycles for number in range(1, settings.cycles + 1))

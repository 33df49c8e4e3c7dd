"""One training loop for every net: batches by step number, resumable checkpoints, csv log, progress."""

from __future__ import annotations

import csv
import logging
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from convert.training.prefetch import Batch, prefetched
from convert.training.ranger import Ranger
from convert.training.snapshots import save_snapshot, snapshot_path

log = logging.getLogger(__name__)
OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "ranger": Ranger,
}
SCHEDULES = ("cosine", "linear", "constant")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How long and how fast to learn."""

    steps: int = 8000
    batch_size: int = 32
    learning_rate: float = 1e-3  # the top of the schedule
    warmup_steps: int = 200
    clip_norm: float = 1.0
    average_momentum: float = 0.998  # of the moving average of the weights, which is what is kept
    checkpoint_steps: int = 200
    dev_steps: int = 1000  # scores and curves at the first checkpoint after as many steps, and at the end
    seed: int = 0
    schedule: str = "cosine"  # of the learning rate, one of `SCHEDULES`: see `learning_rate`
    optimizer: str = "adam"  # a name in `OPTIMIZERS`
    cycles: int = 1  # of the schedule; with more than one, the weights at the end of each are kept

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"got optimizer {self.optimizer!r}, wanted one of {', '.join(OPTIMIZERS)}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"got schedule {self.schedule!r}, wanted one of {', '.join(SCHEDULES)}")
        if not 1 <= self.cycles <= max(self.steps, 1):
            raise ValueError(f"got cycles {self.cycles}, wanted 1 to {self.steps}, as many as there are steps")
        least = min(self.steps, self.batch_size, self.checkpoint_steps, self.dev_steps)
        if least < 1 or self.seed < 0:
            raise ValueError(
                f"got steps {self.steps}, batch_size {self.batch_size}, checkpoint_steps {self.checkpoint_steps}, "
                f"dev_steps {self.dev_steps}, seed {self.seed}, wanted at least 1, 1, 1, 1 and 0"
            )


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up, then half a cosine or a line to 1 % of the top, or the top throughout.

    Every cycle after the first begins at the top again (warm restarts: Loshchilov & Hutter 2017).
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
    return settings.learning_rate * (0.01 + 0.99 * height)


def cycle_ends(settings: TrainSettings) -> tuple[int, ...]:
    """The steps after which a cycle is over: cycles are of equal length, and the last ends with the training."""
    return tuple(settings.steps * number // settings.cycles for number in range(1, settings.cycles + 1))


def fit(
    model: keras.Model,
    loss: Callable[..., object],
    batch: Callable[[int], Batch],
    settings: TrainSettings,
    folder: Path,
    name: str,
    score: Callable[[keras.Model], Mapping[str, float]] | None = None,
    draw: Callable[[], object] | None = None,
    workers: int = 1,
) -> None:
    """Train `model` for `settings.steps` steps, going on from `folder/NAME.npz` if it is there.

    Leaves the averaged weights in the model. `folder/NAME.csv` gets one row per `checkpoint_steps`: step, loss, rate,
    steps per second, and every `dev_steps` what `score` says of the averaged weights; then `draw` is called, too.
    With several cycles the averaged weights at the end of each are kept as a snapshot (`convert.training.snapshots`).
    `workers` make batches ahead (`convert.training.prefetch`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = OPTIMIZERS[settings.optimizer](
        settings.learning_rate,
        clipnorm=settings.clip_norm,
        use_ema=True,
        ema_momentum=settings.average_momentum,
    )
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, loss)
    checkpoint = folder / f"{name}.npz"
    first = _restore(model, checkpoint)
    snapshots = cycle_ends(settings) if settings.cycles > 1 else ()
    losses: list[float] = []
    scores: dict[str, str] = {}
    began = time.monotonic()
    progress = tqdm(
        range(first, settings.steps), initial=first, total=settings.steps, desc=name, unit="step", disable=None
    )
    for step, (inputs, target) in zip(progress, prefetched(batch, first, settings.steps, workers), strict=True):
        optimizer.learning_rate = learning_rate(step, settings)
        losses.append(float(model.train_on_batch(inputs, target)))
        progress.set_postfix({"loss": f"{np.mean(losses[-50:]):.4f}"} | scores, refresh=False)
        done = step + 1
        if done in snapshots:
            with _averaged(model):
                save_snapshot(model, snapshot_path(folder, name, snapshots.index(done) + 1))
        if done % settings.checkpoint_steps == 0 or done == settings.steps:
            speed = len(losses) / (time.monotonic() - began)
            row = {
                "step": str(done),
                "loss": f"{np.mean(losses):.5f}",
                "learning_rate": f"{learning_rate(step, settings):.3g}",
                "steps_per_s": f"{speed:.3f}",
            }
            due = done % settings.dev_steps < settings.checkpoint_steps or done == settings.steps
            if score and due:
                with _averaged(model):
                    scores = {key: f"{value:.4f}" for key, value in score(model).items() if np.isfinite(value)}
                row |= scores
            add_row(folder / f"{name}.csv", row)
            _save(model, done, checkpoint)
            if progress.disable:  # stderr is no terminal
                left = tqdm.format_interval((settings.steps - done) / speed)
                told = ", ".join(f"{key} {value}" for key, value in row.items() if key != "learning_rate")
                print(f"{name}: {told}, {left} left", file=sys.stderr, flush=True)
            if draw and due:
                draw()
            losses, began = [], time.monotonic()
    optimizer.finalize_variable_values(model.trainable_variables)


def read_log(path: Path) -> list[dict[str, str]]:
    """Rows of a csv log that `fit` wrote, by column; none without the file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add_row(path: Path, row: Mapping[str, str]) -> None:
    """Add a row to a csv log, in the place of those that are not before its step; new columns come last."""
    rows = [*(old for old in read_log(path) if int(old["step"]) < int(row["step"])), row]
    partial = path.with_suffix(".partial.csv")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for each in rows for name in each)))
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)


@contextmanager
def _averaged(model: keras.Model) -> Iterator[None]:
    """The model with the averaged weights inside, and with its own again after it."""
    variables = model.trainable_variables
    kept = [np.array(variable) for variable in variables]
    model.optimizer.finalize_variable_values(variables)
    for variable in variables:
        variable.assign(np.array(variable))  # under JAX it shares the memory of the average, and asking gives that away
    try:
        yield
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]


def _save(model: keras.Model, step: int, path: Path) -> None:
    arrays: dict[str, Any] = {f"v{index:04d}": np.asarray(variable) for index, variable in enumerate(_variables(model))}
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, step=step, **arrays)
    partial.replace(path)


def _restore(model: keras.Model, path: Path) -> int:
    """Load a checkpoint into model and optimizer; returns the step to go on with, 0 without a checkpoint."""
    if not path.is_file():
        return 0
    with np.load(path) as arrays:
        variables = _variables(model)
        if len(arrays.files) != len(variables) + 1:
            raise ValueError(f"{path}: got {len(arrays.files) - 1} variables, wanted {len(variables)}: another net's?")
        for index, variable in enumerate(variables):
            value = arrays[f"v{index:04d}"]
            if value.shape != tuple(variable.shape):
                raise ValueError(f"{path}: got {variable.path} {value.shape}, wanted {variable.shape}: another net's?")
            variable.assign(value)
        step = int(arrays["step"])
    log.info("%s: going on at step %d", path, step)
    return step

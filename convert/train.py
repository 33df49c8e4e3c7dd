"""One training loop for every net: batches by step number, resumable checkpoints, csv log, progress."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

log = logging.getLogger(__name__)


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
    seed: int = 0
    constant_rate: bool = False  # the papers' schedule

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.checkpoint_steps) < 1 or self.seed < 0:
            raise ValueError(
                f"got steps {self.steps}, batch_size {self.batch_size}, checkpoint_steps {self.checkpoint_steps}, "
                f"seed {self.seed}, wanted at least 1, 1, 1 and 0"
            )


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up, then half a cosine to 1 % of the top, or the top throughout."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.constant_rate:
        return settings.learning_rate
    share = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + np.cos(np.pi * min(share, 1.0))))


def fit(
    model: keras.Model,
    loss: Callable[..., object],
    batch: Callable[[int], tuple[dict[str, np.ndarray], np.ndarray]],
    settings: TrainSettings,
    folder: Path,
    name: str,
) -> None:
    """Train `model` for `settings.steps` steps, going on from `folder/NAME.npz` if it is there.

    Leaves the averaged weights in the model. `folder/NAME.csv` gets one row per `checkpoint_steps`: step, loss, rate,
    steps per second.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = keras.optimizers.Adam(
        settings.learning_rate,
        clipnorm=settings.clip_norm,
        use_ema=True,
        ema_momentum=settings.average_momentum,
    )
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, loss)
    checkpoint = folder / f"{name}.npz"
    first = _restore(model, checkpoint)
    losses: list[float] = []
    began = time.monotonic()
    progress = tqdm(
        range(first, settings.steps), initial=first, total=settings.steps, desc=name, unit="step", disable=None
    )
    for step, (inputs, target) in zip(progress, _prefetched(batch, first, settings.steps), strict=True):
        optimizer.learning_rate = learning_rate(step, settings)
        losses.append(float(model.train_on_batch(inputs, target)))
        progress.set_postfix(loss=f"{np.mean(losses[-50:]):.4f}", refresh=False)
        if (step + 1) % settings.checkpoint_steps == 0 or step + 1 == settings.steps:
            speed = len(losses) / (time.monotonic() - began)
            _append_row(folder / f"{name}.csv", step + 1, float(np.mean(losses)), learning_rate(step, settings), speed)
            _save(model, step + 1, checkpoint)
            losses, began = [], time.monotonic()
    optimizer.finalize_variable_values(model.trainable_variables)


def _prefetched(
    batch: Callable[[int], tuple[dict[str, np.ndarray], np.ndarray]], first: int, last: int
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Batches in order, each made while the step before it runs."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(batch, first)
        for step in range(first, last):
            ready = coming.result()
            if step + 1 < last:
                coming = pool.submit(batch, step + 1)
            yield ready


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


def _append_row(path: Path, step: int, loss: float, rate: float, speed: float) -> None:
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "loss", "learning_rate", "steps_per_s"])
        writer.writerow([step, f"{loss:.5f}", f"{rate:.3g}", f"{speed:.3f}"])

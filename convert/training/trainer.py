"""One training loop for every net: a task and its schedule -> trained weights, checkpoints, snapshots, a csv log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from convert.systems.recipe import TrainSettings
from convert.training.checkpoint import restore_checkpoint, save_checkpoint
from convert.training.csv_log import add_row, read_log
from convert.training.prefetch import prefetched
from convert.training.ranger import Ranger
from convert.training.schedule import cycle_ends, learning_rate
from convert.training.snapshots import save_snapshot, snapshot_path
from convert.training.task import TrainingTask

OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "ranger": Ranger,
}
DEV_LOSS = "dev_loss"
SHOWN_LOSSES = 50  # the loss beside the progress bar is the mean of as many steps


def fit(
    task: TrainingTask,
    settings: TrainSettings,
    folder: Path,
    name: str,
    on_scores: Callable[[], object] | None = None,
    workers: int = 1,
) -> None:
    """Train a model, going on from `folder/NAME.npz` if it is there, and leave the averaged weights in the model.

    `folder/NAME.csv` gets one row per `checkpoint_steps`: step, loss, rate, steps per second, and every `dev_steps` the
    scores of the averaged weights. With several cycles the averaged weights at the end of each are kept as a snapshot.

    Args:
        task: Model, loss, batches and score.
        settings: How long and how fast.
        folder: Where checkpoint, log and snapshots are kept; made if it is not there.
        name: Of their files.
        on_scores: Called after every row with scores, and at the end.
        workers: Processes that make batches; with 1 a thread makes them (`convert.training.prefetch`).

    Raises:
        ValueError: The checkpoint is that of another net, or the schedule needs development data.
    """
    if settings.schedule == "plateau" and task.score is None:
        raise ValueError(f"{name}: got no development data, wanted some (--dev) for the schedule 'plateau'")
    folder.mkdir(parents=True, exist_ok=True)
    trainer = _Trainer(task, settings, folder, name)
    for step, (inputs, target) in trainer.steps(workers):
        trainer.train(step, inputs, target)
        done = step + 1
        trainer.keep_snapshot(done)
        if done % settings.checkpoint_steps == 0 or done == settings.steps:
            due = done % settings.dev_steps < settings.checkpoint_steps or done == settings.steps
            trainer.keep_checkpoint(done, scored=due)
            if on_scores is not None and due:
                on_scores()
            trainer.begin_row()
    trainer.finish()


def make_optimizer(settings: TrainSettings) -> keras.optimizers.Optimizer:
    """The optimizer of a schedule, with a moving average of the weights."""
    return OPTIMIZERS[settings.optimizer](
        settings.learning_rate,
        clipnorm=settings.clip_norm or None,
        use_ema=True,
        ema_momentum=settings.average_momentum,
    )


class _Trainer:
    """A model in training, and what was measured since the last row of its log."""

    def __init__(self, task: TrainingTask, settings: TrainSettings, folder: Path, name: str) -> None:
        self._model, self._task, self._settings = task.model, task, settings
        self._folder, self._name = folder, name
        self._checkpoint = folder / f"{name}.npz"
        optimizer = make_optimizer(settings)
        optimizer.build(self._model.trainable_variables)
        self._model.compile(optimizer, task.loss)
        self._first = restore_checkpoint(self._model, self._checkpoint)
        self._snapshot_steps = cycle_ends(settings) if settings.cycles > 1 else ()
        self._scores: dict[str, str] = {}
        rows = [row for row in read_log(folder / f"{name}.csv") if int(row["step"]) <= self._first]
        self._dev_losses = [float(row[DEV_LOSS]) for row in rows if row.get(DEV_LOSS)]
        self.begin_row()

    def steps(self, workers: int) -> Iterator[tuple[int, tuple[dict[str, np.ndarray], np.ndarray]]]:
        """The steps that are left, each with its batch, beside a progress bar."""
        first, last = self._first, self._settings.steps
        self._progress = tqdm(range(first, last), initial=first, total=last, desc=self._name, unit="step", disable=None)
        yield from zip(self._progress, prefetched(self._task.batch, first, last, workers), strict=True)

    def train(self, step: int, inputs: dict[str, np.ndarray], target: np.ndarray) -> None:
        """One step on one batch."""
        self._model.optimizer.learning_rate = learning_rate(step, self._settings, self._dev_losses)
        self._losses.append(float(self._model.train_on_batch(inputs, target)))
        loss = {"loss": f"{np.mean(self._losses[-SHOWN_LOSSES:]):.4f}"}
        self._progress.set_postfix(loss | self._scores, refresh=False)

    def keep_snapshot(self, done: int) -> None:
        """Keep the averaged weights if a cycle is over after `done` steps."""
        if done in self._snapshot_steps:
            with _averaged(self._model):
                number = self._snapshot_steps.index(done) + 1
                save_snapshot(self._model, snapshot_path(self._folder, self._name, number))

    def keep_checkpoint(self, done: int, scored: bool) -> None:
        """Write a row of the log, with scores if they are due, and a checkpoint."""
        speed = len(self._losses) / (time.monotonic() - self._began_s)
        row = {
            "step": str(done),
            "loss": f"{np.mean(self._losses):.5f}",
            "learning_rate": f"{learning_rate(done - 1, self._settings, self._dev_losses):.3g}",
            "steps_per_s": f"{speed:.3f}",
        }
        if self._task.score is not None and scored:
            with _averaged(self._model):
                scores = self._task.score(self._model)
            self._scores = {key: f"{value:.4f}" for key, value in scores.items() if np.isfinite(value)}
            row |= self._scores
            if DEV_LOSS in self._scores:
                self._dev_losses.append(float(self._scores[DEV_LOSS]))  # as the log has it, for one who goes on
        add_row(self._folder / f"{self._name}.csv", row)
        save_checkpoint(self._model, done, self._checkpoint)
        if self._progress.disable:  # stderr is no terminal
            left = tqdm.format_interval((self._settings.steps - done) / speed)
            values = ", ".join(f"{key} {value}" for key, value in row.items() if key != "learning_rate")
            print(f"{self._name}: {values}, {left} left", file=sys.stderr, flush=True)

    def begin_row(self) -> None:
        """Forget the losses and the time of the row before."""
        self._losses: list[float] = []
        self._began_s = time.monotonic()

    def finish(self) -> None:
        """Leave the averaged weights in the model."""
        self._model.optimizer.finalize_variable_values(self._model.trainable_variables)


@contextmanager
def _averaged(model: keras.Model) -> Iterator[None]:
    """Give the model the averaged weights inside, and its own again afterwards."""
    variables = model.trainable_variables
    kept = [np.array(variable) for variable in variables]
    model.optimizer.finalize_variable_values(variables)
    for variable in variables:
        variable.assign(np.array(variable))  # under JAX it shares the memory of the average, which a call would donate
    try:
        yield
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)

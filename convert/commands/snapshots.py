"""`seld-convert snapshots`: the snapshots of a training in cycles, alone and as ensembles, on its development data.

A snapshot ensemble averages answers (Huang et al. 2017) and costs a net per snapshot. The mean of their weights is one
net, whose norms need the moments that go with it (Izmailov et al. 2018).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convert.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    import keras
    import numpy as np

    from convert.commands.options import Subparsers
    from convert.training.dev_score import Predictor
    from convert.training.snapshots import Weights

NORM_BATCHES = 100


def add_snapshots_parser(subparsers: Subparsers) -> None:
    """Add the `snapshots` command and its options to a command line; `args.run` is `run_snapshots`."""
    parser = subparsers.add_parser("snapshots", help="compare the ensembles of a training in cycles")
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", dest="run_folder", help="trained with --dev")
    parser.add_argument("--stage", required=True, help="trained with --set training.cycles=N, N > 1")
    parser.add_argument("--keep-mean", action="store_true", help="the mean of the weights becomes the stage's net")
    parser.set_defaults(run=run_snapshots)


def run_snapshots(args: argparse.Namespace) -> int:
    """Print the scores of each snapshot and of ensembles of all of them.

    Returns:
        0, the exit code.

    Raises:
        ValueError: The folder is no run with development data, or the stage was not trained in cycles.
    """
    import_tensorflow()
    from convert.data.cache import load_cache
    from convert.systems.interface import TrainingData
    from convert.training.run_folder import open_run
    from convert.training.snapshots import average_snapshots, load_snapshot, refresh_norms, snapshot_path
    from convert.training.task import training_task
    from convert.training.weights import weights_path

    run = open_run(args.run_folder)
    if args.stage not in run.file.training:
        raise ValueError(f"stage: got {args.stage!r}, wanted one of {', '.join(run.file.training)}")
    training = run.file.training[args.stage]
    paths = [snapshot_path(run.folder, args.stage, number) for number in range(1, training.cycles + 1)]
    snapshots = [load_snapshot(path) for path in paths]
    dev = replace(load_cache(run.folder / "dev_cache"), mean=run.cache.mean, deviation=run.cache.deviation)
    nets = run.nets_of(args.stage)
    data = TrainingData(replace(run.recipe, training=training), run.cache, training.seed, run.nets_of)
    task = training_task(run.system, args.stage, nets, data, dev)
    score = task.score
    assert score is not None  # since there is development data

    def show(name: str, model: Predictor) -> None:
        print(_line(name, score(model)), flush=True)

    for number, weights in enumerate(snapshots, 1):
        task.model.set_weights(weights)
        show(f"snapshot {number}", task.model)
    show("mean of answers", MeanOfAnswers(task.model, snapshots))
    task.model.set_weights(average_snapshots(paths))
    show("mean of weights", task.model)
    refresh_norms(task.model, (task.batch(step)[0] for step in range(NORM_BATCHES)))
    show("the same, norms refreshed", task.model)
    if args.keep_mean:
        for net in nets:
            net.save_weights(weights_path(run.folder, net.name))
    return 0


class MeanOfAnswers:
    """Several snapshots of one model as one that answers with their mean."""

    def __init__(self, model: keras.Model, snapshots: Sequence[Weights]) -> None:
        self._model, self._snapshots = model, snapshots

    def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The mean of the snapshots' answers (batch, ...) to a batch; the model keeps the weights of the last one."""
        import numpy as np

        answers = []
        for weights in self._snapshots:
            self._model.set_weights(weights)
            answers.append(np.asarray(self._model.predict_on_batch(inputs)))
        return np.mean(answers, axis=0)


def _line(name: str, scores: Mapping[str, float]) -> str:
    return f"{name + ':':<27}" + "  ".join(f"{key} {value:.4f}" for key, value in scores.items())

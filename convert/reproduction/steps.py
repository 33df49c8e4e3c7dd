"""A `Paper` and folders of corpora -> the commands that train and score its models, and the figures that they find.

Every step is a command of `seld-convert` that somebody could type, and is printed as one. A model whose weights are
there is not trained again, one that was stopped goes on, and scores are kept under the command that found them: so a
reproduction that is begun again does what is left.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.data.folders import split_weight
from convert.reproduction.paper import Model, Paper, Row, Table
from convert.systems import find_system
from convert.systems.interface import TrainableSystem
from convert.training.recipes import find_recipe
from convert.training.weights import weights_path
from edge.files import write_atomically

Command = Callable[[Sequence[str]], str]
"""Arguments of `seld-convert` -> what it prints on stdout. It raises ValueError if the command fails."""

KERAS, INT8 = "keras", "int8"
COMMAND = "command.txt"  # in a run: what trained it
SHARED = ("cache", "dev_cache")  # folders of a run that depend on its data alone


@dataclass(frozen=True, slots=True)
class Plan:
    """A paper, and how it is reproduced here."""

    paper: Paper
    folders: Mapping[str, Path]  # of the corpora, by name
    out: Path
    changes: tuple[str, ...] = ()  # other values in all recipes, as `train --set` takes them
    options: tuple[str, ...] = ()  # further options of `train`, which change no result
    export: bool = False  # whether models are exported to int8 and scored once more
    pretrained: Path | None = None  # a checkpoint that nets begin with whose stages take one

    def run_folder(self, model: Model) -> Path:
        """The training run of a model."""
        return self.out / model.name

    def bundle_folder(self, model: Model) -> Path:
        """The bundle of a model."""
        return self.out / f"{model.name}-bundle"

    def is_trained(self, model: Model) -> bool:
        """Whether all its weights are there: each is written when its stage is done."""
        return all(weights_path(self.run_folder(model), stage).is_file() for stage in trained_stages(model))

    def train_words(self, model: Model) -> list[str]:
        """The command that trains a model."""
        changes = {word.partition("=")[0]: word for word in (*model.set, *self.changes)}
        return [
            "train",
            *("--model", model.recipe),
            *(word for each in model.train for word in ("--data", self._located(each))),
            *(word for each in model.dev for word in ("--dev", self._located(each))),
            *(word for stage in model.stages for word in ("--stage", stage)),
            *(word for each in changes.values() for word in ("--set", each)),
            *(("--pretrained", str(self.pretrained)) if self.pretrained and takes_checkpoint(model) else ()),
            *("--out", str(self.run_folder(model))),
        ]

    def export_words(self, model: Model) -> list[str]:
        """The command that exports a model. The papers' scores are measured apart from it."""
        return ["export", "--run", str(self.run_folder(model)), "--out", str(self.bundle_folder(model)), "--unchecked"]

    def evaluate_words(self, table: Table, row: Row, rung: str = KERAS) -> list[str]:
        """The command that scores a row."""
        model = self.paper.model(row.model)
        run = str(self.run_folder(model))
        options = [*table.evaluate, *row.evaluate, "--scenes", self._located(table.test), "--json"]
        if "--step-1" in options:
            return ["evaluate", "--run", run, *options]
        source = ["--run", run, "--keras-only"] if rung == KERAS else ["--model", str(self.bundle_folder(model))]
        return ["evaluate", *source, *self.paper.evaluate, *options]

    def _located(self, word: str) -> str:
        """A word of a paper, such as `starss22:dev-test@0.5`, with the folder of its corpus."""
        corpus, weight = split_weight(word)
        name = corpus.partition(":")[0]
        if name not in self.folders:
            raise ValueError(f"data: got no folder of {name}, wanted {name}=DIR, or a folder {name} in --data")
        return f"{corpus}={self.folders[name]}" + ("" if weight is None else f"@{weight:g}")


def trained_stages(model: Model) -> tuple[str, ...]:
    """The stages of a model that are trained."""
    return model.stages or _system(model).stages


def takes_checkpoint(model: Model) -> bool:
    """Whether a stage of a model that is trained can begin with a published checkpoint."""
    return not _system(model).importers.keys().isdisjoint(trained_stages(model))


def _system(model: Model) -> TrainableSystem:
    return find_system(find_recipe(model.recipe).system)


def train_model(plan: Plan, model: Model, command: Command) -> None:
    """Train a model, unless that is done. Raises ValueError if another training began in its folder."""
    words = shown(plan.train_words(model))
    path = plan.run_folder(model) / COMMAND
    if path.is_file() and path.read_text(encoding="utf-8") != words:
        raise ValueError(f"{path}: got another training, wanted {words}, or another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, words)
    if plan.is_trained(model):
        return
    if model.begins:
        take_over(plan, model)
    command([*plan.train_words(model), *plan.options])


def take_over(plan: Plan, model: Model) -> None:
    """Give a model the features and the weights of the one that it begins with, but for the stages it trains itself."""
    begins = plan.paper.model(model.begins)
    source, folder = plan.run_folder(begins), plan.run_folder(model)
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHARED:
        if (source / name).is_dir() and not (folder / name).exists():
            (folder / name).symlink_to(Path("..") / source.name / name, target_is_directory=True)
    for stage in trained_stages(begins):
        if stage not in trained_stages(model):
            shutil.copyfile(weights_path(source, stage), weights_path(folder, stage))


def score_row(plan: Plan, table: Table, row: Row, command: Command) -> dict[str, dict[str, Any]]:
    """Score a row of a table by rung whose model is trained, or take its scores from the disk."""
    model = plan.paper.model(row.model)
    if plan.export and "--step-1" not in (*table.evaluate, *row.evaluate):
        if not (plan.bundle_folder(model) / "manifest.json").is_file():
            command(plan.export_words(model))
        return {rung: _scores(plan, plan.evaluate_words(table, row, rung), rung, command) for rung in (KERAS, INT8)}
    return {KERAS: _scores(plan, plan.evaluate_words(table, row), KERAS, command)}


def figures(table: Table, row: Row, scores: Mapping[str, Any]) -> dict[str, float]:
    """Our figures of a row by column, in the units of the table; a column without one is left out."""
    found = {}
    for column in table.columns:
        path = column.metric if row.metrics is None else row.metrics.get(column.name, "")
        value = _at(scores, path) if path else None
        if value is not None:
            found[column.name] = column.factor * value
    return found


def _scores(plan: Plan, words: list[str], rung: str, command: Command) -> dict[str, Any]:
    name = hashlib.sha256(json.dumps(words).encode()).hexdigest()[:12]
    path = plan.out / "scores" / f"{name}.json"
    if not path.is_file():
        scores = json.loads(command(words))[rung]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"command": shown(words), "scores": scores}, indent=1) + "\n")
    return dict(json.loads(path.read_text(encoding="utf-8"))["scores"])


def shown(words: Sequence[str]) -> str:
    """A command as somebody would type it."""
    return shlex.join(["seld-convert", *words])


def _at(scores: Any, path: str) -> float | None:
    """The number at a path such as `2022_macro.er` or `doa_error_deg.1.0`; None where nothing could be measured."""
    for key in path.split("."):
        scores = scores[int(key)] if isinstance(scores, list) else scores[key]
    return None if scores is None else float(scores)

"""`run.json` of a training run: which model, made of what, and how each stage was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convert.train import TrainSettings
from edge.config import build

RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class RunFile:
    """What `run.json` says."""

    model: str  # name of the recipe
    sources: list[dict[str, Any]]  # what the data were made of: rows of source, licence, clips
    training: dict[str, TrainSettings]  # schedule of each stage that was trained
    changes: dict[str, Any] = field(default_factory=dict)  # of the recipe, see `recipes.changed`


def write_run(folder: Path, run: RunFile, stages: Sequence[str]) -> None:
    """Write `run.json` into a run. Those of the model's `stages` that were trained before keep their schedule."""
    path = folder / RUN_FILE
    before = read_run(folder, stages) if path.is_file() else run
    training = (before.training if before.model == run.model else {}) | run.training
    folder.mkdir(parents=True, exist_ok=True)
    table = {
        "model": run.model,
        "sources": run.sources,
        "training": {key: asdict(each) for key, each in training.items()},
        "changes": run.changes,
    }
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def read_run(folder: Path, stages: Sequence[str]) -> RunFile:
    """Read `run.json`. In one of an earlier version a single schedule stands for all `stages` of the model.

    Raises ValueError if there is none in the folder, or something else than `write_run` writes.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        raise ValueError(f"{folder}: got no {RUN_FILE}, wanted a folder that `seld-convert train` wrote")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        model, sources, training = table["model"], list(table["sources"]), dict(table["training"])
        changes = dict(table.get("changes", {}))
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: got something else, wanted JSON with model, training and sources") from None
    where = f"{path}: training"
    if all(isinstance(schedule, Mapping) for schedule in training.values()):
        schedules = {stage: build(TrainSettings, each, f"{where}: {stage}") for stage, each in training.items()}
    else:
        schedules = dict.fromkeys(stages, build(TrainSettings, training, where))
    return RunFile(str(model), sources, schedules, changes)

"""`run.json` and `recipe.toml` of a training run: which model, made of what, and how each stage was trained."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convert.systems.recipe import Recipe, TrainSettings
from convert.training.recipes import RECIPE_SUFFIX, changed, find_recipe, read_recipe
from edge.files import write_atomically
from edge.settings import build

RUN_FILE = "run.json"
RECIPE_FILE = f"recipe{RECIPE_SUFFIX}"  # a copy of the user's own recipe; a run of a shipped recipe has none


@dataclass(frozen=True, slots=True)
class RunFile:
    """The contents of `run.json`."""

    model: str  # name of the recipe
    sources: list[dict[str, Any]]  # what the data were made of: rows of source, licence, clips
    training: dict[str, TrainSettings]  # schedule of each stage that was trained
    changes: dict[str, Any] = field(default_factory=dict)  # of the recipe, see `recipes.changed`
    arrays: tuple[str, ...] = ("foa",)  # of the recordings, the most frequent first


def write_run(folder: Path, run: RunFile) -> None:
    """Write `run.json` into a run. Stages of the same model that were trained there before keep their schedule.

    Raises:
        ValueError: There is a `run.json` that `write_run` did not write.
    """
    path = folder / RUN_FILE
    before = read_run(folder) if path.is_file() else run
    training = (before.training if before.model == run.model else {}) | run.training
    folder.mkdir(parents=True, exist_ok=True)
    table = {
        "model": run.model,
        "sources": run.sources,
        "training": {key: asdict(each) for key, each in training.items()},
        "changes": run.changes,
        "arrays": run.arrays,
    }
    write_atomically(path, json.dumps(table, indent=1) + "\n")


def read_run(folder: Path) -> RunFile:
    """Read `run.json`. Raises ValueError if there is none in the folder, or one that `write_run` did not write."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise ValueError(f"{folder}: got no {RUN_FILE}, wanted a folder that `seld-convert train` wrote")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        model, sources, training = table["model"], list(table["sources"]), table["training"]
        training = {str(stage): dict(schedule) for stage, schedule in training.items()}
        changes, arrays = dict(table.get("changes", {})), tuple(map(str, table.get("arrays", ("foa",))))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: got something else, wanted JSON with model, training and sources") from None
    schedules = {stage: build(TrainSettings, each, f"{path}: training: {stage}") for stage, each in training.items()}
    return RunFile(str(model), sources, schedules, changes, arrays)


def keep_recipe(folder: Path, model: str) -> None:
    """Copy the recipe of a run into its folder if it is the user's own file, so that the run can be read without it.

    Args:
        folder: The run.
        model: Name of a shipped recipe or path of a recipe.
    """
    copy = folder / RECIPE_FILE
    if model.endswith(RECIPE_SUFFIX):
        text = Path(model).read_text(encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(copy, text)
    else:
        copy.unlink(missing_ok=True)


def run_recipe(folder: Path) -> Recipe:
    """The recipe of a run with the changes that were made to it. Raises ValueError if the folder is no run."""
    run, own = read_run(folder), folder / RECIPE_FILE
    return changed(read_recipe(own) if own.is_file() else find_recipe(run.model), run.changes)

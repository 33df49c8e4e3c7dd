"""A tiny recipe -> a run of two steps of each stage, as the tests of export need it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import tensorflow as tf

from convert.cli import main
from convert.systems.recipe import Recipe
from convert.training import dev_score
from convert.training.csv_log import read_log
from convert.training.recipes import RECIPES
from convert.training.run_folder import Run


def trained_run_of(recipe: Recipe, scenes: Path, folder: Path) -> Iterator[Path]:
    """Train a recipe in `folder`, scored on development data; `find_recipe` knows it until the fixture ends.

    Two steps take less time than to compile them, which the tests of the trainer and of coloc do.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, recipe.name, recipe)
        patch.setattr(dev_score, "CHUNKS", 16)
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
            patch.setenv(name, "1")
        options = ["--data", str(scenes), "--dev", str(scenes), "--out", str(folder)]
        tf.config.run_functions_eagerly(True)
        try:
            assert main(["train", "--model", recipe.name, *options, "--jobs", "1", "--threads", "1"]) == 0
        finally:
            tf.config.run_functions_eagerly(False)
        yield folder


def check_stages(run: Run, stages: tuple[str, ...], score_of: Mapping[str, str]) -> None:
    """Every stage was trained for two steps and has its development loss and score."""
    assert tuple(run.file.training) == stages
    for stage, score in score_of.items():
        rows = read_log(run.folder / f"{stage}.csv")
        assert [row["step"] for row in rows] == ["1", "2"]
        assert float(rows[-1]["dev_loss"]) > 0.0 and score in rows[-1]

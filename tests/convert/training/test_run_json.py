"""`run.json`: each stage keeps its schedule, and files of earlier versions are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert.systems.recipe import TrainSettings
from convert.training.run_json import RunFile, read_run, write_run

STAGES = ("localizer", "classifier")
SOURCES = [{"source": "a", "licence": "CC0", "clips": 3}]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    schedules = {"localizer": TrainSettings(steps=5), "classifier": TrainSettings(seed=2)}
    run = RunFile("coloc-edge", SOURCES, schedules, {"sizes": {"filters": [4, 8, 8]}})
    write_run(tmp_path / "run", run)
    assert read_run(tmp_path / "run") == run


def test_stages_trained_one_after_the_other_keep_their_schedules(tmp_path: Path) -> None:
    first, second, again = (TrainSettings(steps=steps) for steps in (5, 7, 9))
    write_run(tmp_path, RunFile("coloc-edge", [], {"localizer": first}))
    write_run(tmp_path, RunFile("coloc-edge", SOURCES, {"classifier": second}))
    assert read_run(tmp_path) == RunFile("coloc-edge", SOURCES, {"localizer": first, "classifier": second})
    write_run(tmp_path, RunFile("coloc-edge", SOURCES, {"localizer": again}))
    assert read_run(tmp_path).training == {"localizer": again, "classifier": second}
    write_run(tmp_path, RunFile("coloc-paper", SOURCES, {"localizer": again}))
    assert read_run(tmp_path).training == {"localizer": again}  # of another model nothing is kept


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"run: got no run\.json, wanted a folder that `seld-convert train` wrote"),
        ("{", r"run\.json: got something else, wanted JSON with model, training and sources"),
        ("3", r"run\.json: got something else"),
        ('{"model": "a"}', r"run\.json: got something else"),
        ('{"model": "a", "sources": [], "training": {"x": {"step": 1}}}', r"training: x: got unknown key 'step'"),
        ('{"model": "a", "sources": [], "training": {"x": {"steps": 0}}}', r"training: x: got steps 0"),
    ],
)
def test_files_that_are_none(content: str | None, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    if content is not None:
        (folder / "run.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_run(folder)

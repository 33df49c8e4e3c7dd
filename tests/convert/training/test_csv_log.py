"""The csv log of a training: rows are added, replaced, and get new columns."""

from __future__ import annotations

from pathlib import Path

from convert.training.csv_log import add_row, read_log


def test_a_log_takes_new_columns_and_replaces_what_was_not_before(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    assert read_log(path) == []
    for row in ({"step": "2", "loss": "1"}, {"step": "4", "loss": "2"}, {"step": "6", "loss": "3"}):
        add_row(path, row)
    add_row(path, {"step": "4", "loss": "5", "dev_loss": "6"})
    assert read_log(path) == [{"step": "2", "loss": "1", "dev_loss": ""}, {"step": "4", "loss": "5", "dev_loss": "6"}]
    assert [path.name for path in tmp_path.iterdir()] == ["net.csv"]

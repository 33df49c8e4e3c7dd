"""The log of a training, `STAGE.csv`: one row per checkpoint."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from edge.files import write_atomically


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows of a log by column, in order; none without the file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add_row(path: Path, row: Mapping[str, str]) -> None:
    """Add a row to a log, in the place of all rows from its `step` on; new columns come last."""
    rows = [*(old for old in read_log(path) if int(old["step"]) < int(row["step"])), row]
    content = StringIO(newline="")
    writer = csv.DictWriter(content, list(dict.fromkeys(name for each in rows for name in each)))
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, content.getvalue())

"""A table of a paper and our figures -> text: each figure of the paper, and ours beside it. It is Markdown too."""

from __future__ import annotations

from collections.abc import Mapping

from convert.reproduction.paper import Column, Table

Figures = Mapping[str, Mapping[str, float]]
"""By rung (`keras`, `int8`), then by column."""

NOTHING = "-"


def table_text(table: Table, ours: Mapping[str, Figures]) -> str:
    """A table as text.

    Args:
        table: The table.
        ours: Our figures by label of the row. A row without any says `-`.

    Returns:
        Lines. A cell is `paper / ours`, or `paper / Keras / int8` if there are int8 figures.
    """
    rungs = list(dict.fromkeys(rung for figures in ours.values() for rung in figures)) or ["ours"]
    names = ["ours"] if len(rungs) == 1 else rungs
    head = ["", *(f"{column.name}: paper / {' / '.join(names)}" for column in table.columns)]
    rows = [
        [row.label, *(_cell(column, row.paper, ours.get(row.label, {}), rungs) for column in table.columns)]
        for row in table.rows
    ]
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows]
    first = f"| {' | '.join(cell.ljust(width) for cell, width in zip(head, widths, strict=True))} |"
    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([f"Table {table.number}: {table.title}", "", first, rule, *lines, ""])


def _cell(column: Column, paper: Mapping[str, float], ours: Figures, rungs: list[str]) -> str:
    values = [paper.get(column.name), *(ours.get(rung, {}).get(column.name) for rung in rungs)]
    if all(value is None for value in values):
        return ""
    return " / ".join(NOTHING if value is None else f"{value:.{column.digits}f}" for value in values)

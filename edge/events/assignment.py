"""A matrix of costs -> which row goes with which column, so that the sum of the costs is smallest.

The shortest augmenting paths of Crouse, "On implementing 2D rectangular assignment algorithms", IEEE Transactions on
Aerospace and Electronic Systems 52 (2016). scipy has it too, but its module takes 24 MB of the memory of a device, and
here are a few rows and columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge.types import FloatArray

_NONE = -1


def assign(cost: FloatArray) -> list[tuple[int, int]]:
    """Pair as many rows with columns as there are of the fewer of both.

    Args:
        cost: finite costs (rows, columns).

    Returns:
        Row and column of each pair, by row. Of equally good pairings, it is that of scipy's `linear_sum_assignment`.
    """
    rows, columns = cost.shape
    if rows > columns:
        return sorted((row, column) for column, row in enumerate(_columns_of_rows(cost.T.tolist())))
    return list(enumerate(_columns_of_rows(cost.tolist())))


def _columns_of_rows(cost: Sequence[Sequence[float]]) -> list[int]:
    """The column of each row; there are at least as many columns."""
    rows, columns = len(cost), len(cost[0]) if cost else 0
    of_row, of_column = [_NONE] * columns, [_NONE] * rows  # the row of a column, and the column of a row
    row_price, column_price = [0.0] * rows, [0.0] * columns
    for row in range(rows):
        before = [_NONE] * columns  # the row before a column on the shortest path to it
        length = [math.inf] * columns  # of that path
        left, visited = list(range(columns))[::-1], []
        here, so_far, end = row, 0.0, _NONE
        while end == _NONE:
            visited.append(here)
            best, shortest = _NONE, math.inf
            for place, column in enumerate(left):
                through = so_far + cost[here][column] - row_price[here] - column_price[column]
                if through < length[column]:
                    before[column], length[column] = here, through
                free = of_row[column] == _NONE
                if length[column] < shortest or (length[column] == shortest and free):
                    best, shortest = place, length[column]
            so_far, column = shortest, left[best]
            left[best] = left[-1]
            left.pop()
            end, here = (column, here) if of_row[column] == _NONE else (_NONE, of_row[column])
        row_price[row] += so_far
        for other in visited[1:]:
            row_price[other] += so_far - length[of_column[other]]
        for column in set(range(columns)) - set(left):
            column_price[column] -= so_far - length[column]
        while end != _NONE:
            here = before[end]
            of_row[end] = here
            of_column[here], end = end, of_column[here]
            if here == row:  # where the path began
                break
    return of_column

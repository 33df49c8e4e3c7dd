"""Rows in pushes of any length -> overlapping windows of one length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class Framer:
    """Cuts a stream of rows into overlapping windows.

    Windows have `length` rows and start `hop` rows apart. The first window begins with `history` rows of zeros, as if
    the stream had been silent before it started.
    """

    def __init__(self, length: int, hop: int, row_shape: tuple[int, ...], history: int = 0) -> None:
        """Begin a stream.

        Args:
            length: Rows in a window.
            hop: Rows from the start of a window to that of the next one.
            row_shape: Shape of one row.
            history: Rows of zeros before the first row that is pushed.

        Raises:
            ValueError: The lengths do not fit together.
        """
        if not 0 < hop <= length or not 0 <= history < length:
            raise ValueError(f"got length {length}, hop {hop}, history {history}, wanted 0 < hop <= length > history")
        self._window = np.zeros((length, *row_shape), dtype=np.float32)
        self._hop = hop
        self._history = history
        self._filled = history

    @property
    def pending(self) -> int:
        """Rows pushed since the end of the last window."""
        return self._filled - (len(self._window) - self._hop)

    def push(self, rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Take the next rows.

        Args:
            rows: Rows (n, *row_shape).

        Yields:
            Each window (length, *row_shape) that the rows complete. It is valid until the next one is requested.
        """
        length = len(self._window)
        taken = 0
        while taken < len(rows):
            count = min(length - self._filled, len(rows) - taken)
            self._window[self._filled : self._filled + count] = rows[taken : taken + count]
            self._filled += count
            taken += count
            if self._filled == length:
                yield self._window
                self._window[: length - self._hop] = self._window[self._hop :]
                self._filled = length - self._hop

    def reset(self) -> None:
        """Forget the past: the next row pushed is the first of a new stream."""
        self._window[: self._history] = 0.0
        self._filled = self._history

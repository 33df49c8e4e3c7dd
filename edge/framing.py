"""Pushes of any length in -> windows of one length out. The only buffer on the path."""

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
        if not 0 < hop <= length or not 0 <= history < length:
            raise ValueError(f"got length {length}, hop {hop}, history {history}, wanted 0 < hop <= length > history")
        self._window = np.zeros((length, *row_shape), dtype=np.float32)
        self._hop = hop
        self._history = history
        self._filled = history

    @property
    def pending(self) -> int:
        """Rows pushed that no window has covered as its new part yet."""
        return self._filled - (len(self._window) - self._hop)

    def push(self, rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Yield every window (length, *row_shape) that `rows` (n, *row_shape) completes. It is valid until the next."""
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
        """Forget everything pushed so far."""
        self._window[: self._history] = 0.0
        self._filled = self._history

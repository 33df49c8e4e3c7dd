"""Events and label frames -> wherever they are wanted: the protocol that everything behind the loop implements."""

from __future__ import annotations

from typing import Protocol

from edge.types import Item


class Sink(Protocol):
    """A destination of results. It ignores the kinds of items that it has no use for."""

    def emit(self, item: Item) -> None:
        """Take one item without blocking for long.

        Args:
            item: a finished event, an update of one that is not finished, or a row of a decoded label frame; the rows
                come in the order of time.

        Raises:
            OSError: the item could not be delivered and the run is to end.
        """

    def close(self) -> None:
        """Release files and connections. A second call does nothing."""


class Outlet(Sink, Protocol):
    """A sink that leads out of the process, and so may fail to deliver."""

    @property
    def dropped(self) -> int:
        """Number of items that could not be delivered so far. Any thread may ask."""

    @property
    def alive(self) -> bool:
        """Whether everything that delivers in the background still works. Any thread may ask."""

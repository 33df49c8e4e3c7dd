"""Events and rows -> nothing: for measurements, and for runs that only serve metrics."""

from __future__ import annotations

from edge.types import Item


class NullSink:
    """Discards everything."""

    dropped = 0  # nothing fails here
    alive = True

    def emit(self, item: Item) -> None:
        """Discard the item."""

    def close(self) -> None:
        """Do nothing: there is no resource to release."""

"""A net that keeps what it was asked: examples as the device will feed them."""

from __future__ import annotations

from edge.nets.net import Net, Past
from edge.types import FloatArray


class RecordingNet:
    """A net that keeps what it was asked: examples as the device will feed them, states rolled forward."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self.examples: list[dict[str, FloatArray]] = []

    def __call__(self, past: Past | None = None, **inputs: FloatArray) -> dict[str, FloatArray]:
        """As the net inside."""
        self.examples.append({**inputs, **{name: state[0] for name, state in (past or {}).items()}})
        return self._net(past, **inputs)

    def fresh(self) -> Past:
        """As the net inside."""
        return self._net.fresh()

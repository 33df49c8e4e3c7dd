"""A net that records its inputs: examples as the device will feed them, for calibration."""

from __future__ import annotations

from edge.nets.net import Net, Past
from edge.types import FloatArray


class RecordingNet:
    """A net that answers as the net inside and records the inputs of every call, states among them."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self.examples: list[dict[str, FloatArray]] = []  # without the batch axis

    def __call__(self, past: Past | None = None, **inputs: FloatArray) -> dict[str, FloatArray]:
        """The answer of the net inside, whose `past` is changed as that net changes it."""
        self.examples.append({**inputs, **{name: state[0] for name, state in (past or {}).items()}})
        return self._net(past, **inputs)

    def fresh(self) -> Past:
        """The past of a net that has not been called yet."""
        return self._net.fresh()

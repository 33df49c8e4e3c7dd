"""TrellisNet (Bai et al. 2019): sequences -> sequences, causal, one weight-tied convolution at every level."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops


@keras.saving.register_keras_serializable("seld_edge")
class TrellisNet(keras.layers.Layer):
    """A causal network with the same weights at every level: (B, T, n) -> (B, T, units).

    At a level with dilation d:

    i, o, g, f = W1 x(t-d) + W2 x(t) + U1 h(t-d) + U2 h(t) + b
    c'(t) = sigmoid(f) c(t-d) + sigmoid(i) tanh(g)
    h'(t) = sigmoid(o) tanh(c'(t))

    h and c of the level before are zero at the first level, and everything is zero before the first row. Weights are
    normalised (weight norm): each column of W and of U is a direction times a length. The converter computes that once,
    as it depends on constants only; what remains are shifts, products and gates that survive int8 TFLite.
    """

    def __init__(self, units: int, dilations: Sequence[int], **keywords: object) -> None:
        super().__init__(**keywords)
        if units < 1 or not dilations or min(dilations) < 1:
            raise ValueError(
                f"got units {units}, dilations {tuple(dilations)}, wanted at least 1 and one or more, all positive"
            )
        self.units = units
        self.dilations = tuple(dilations)

    def build(self, shape: tuple[int, ...]) -> None:
        """Add directions (2 n, 4 units) and (2 units, 4 units), earlier row first, lengths (4 units), and the bias."""
        gates = 4 * self.units
        self.input_direction = self.add_weight((2 * shape[-1], gates), "glorot_uniform", name="input_direction")
        self.input_length = self.add_weight((gates,), "ones", name="input_length")
        self.hidden_direction = self.add_weight((2 * self.units, gates), "glorot_uniform", name="hidden_direction")
        self.hidden_length = self.add_weight((gates,), "ones", name="hidden_length")
        self.bias = self.add_weight((gates,), "zeros", name="bias")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The states h of the last level."""
        from_input = _normalised(self.input_direction, self.input_length)
        from_hidden = _normalised(self.hidden_direction, self.hidden_length)
        injected = {rows: ops.matmul(_with_earlier(x, rows), from_input) + self.bias for rows in set(self.dilations)}
        hidden = cell = None
        for rows in self.dilations:
            gates = injected[rows]
            if hidden is not None:
                gates = gates + ops.matmul(_with_earlier(hidden, rows), from_hidden)
            # slices, as the converter leaves a split in float
            into, out, candidate, keep = (gates[..., g * self.units : (g + 1) * self.units] for g in range(4))
            fresh = ops.sigmoid(into) * ops.tanh(candidate)
            cell = fresh if cell is None else ops.sigmoid(keep) * _earlier(cell, rows) + fresh
            hidden = ops.sigmoid(out) * ops.tanh(cell)
        return hidden


def _normalised(direction: keras.Variable, length: keras.Variable) -> keras.KerasTensor:
    return direction * (length / ops.sqrt(ops.sum(ops.square(direction), axis=0)))


def _earlier(x: keras.KerasTensor, rows: int) -> keras.KerasTensor:
    """x(t - rows)."""
    return ops.pad(x, [[0, 0], [rows, 0], [0, 0]])[:, : x.shape[1]]


def _with_earlier(x: keras.KerasTensor, rows: int) -> keras.KerasTensor:
    """x(t - rows) and x(t), stacked: the inputs of a causal kernel of two."""
    return ops.concatenate([_earlier(x, rows), x], axis=-1)

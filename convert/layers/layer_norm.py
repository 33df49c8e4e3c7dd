"""A layer norm that survives int8 TFLite: rows of any spread -> rows of mean 0 and deviation 1, scaled and shifted.

The layer norm of Keras leaves float tensors behind (NEG). In int8 it is also wrong wherever rows are of different
loudness: variances lie as far apart as the squares of their rows, and one scale holds them all, so that most variances
are rounded to nearly nothing.

A layer norm takes out any factor of a row. So each row is first divided by the root of its mean deviation a, which
leaves only the root of the spread. With the centred row c and r = 1 / sqrt(a + sqrt(epsilon)),

    c / sqrt(mean(c^2) + epsilon) = (c r) / sqrt(mean((c r)^2) + epsilon r^2)

for any r: the result is that of Keras, up to the rounding of float32.
"""

from __future__ import annotations

from math import prod, sqrt

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("seld_edge")
class QuantizableLayerNorm(layers.Layer):
    """`keras.layers.LayerNormalization` over the last axes, with the same weights: gamma and beta of these axes.

    Args:
        axes: How many axes, counted from the last.
        epsilon: Added to the variance.
    """

    def __init__(self, axes: int = 1, epsilon: float = 1e-5, **keywords: object) -> None:
        super().__init__(**keywords)
        self.axes = axes
        self.epsilon = epsilon

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Add gamma and beta."""
        normed = shape[-self.axes :]
        self.gamma = self.add_weight(normed, "ones", name="gamma")
        self.beta = self.add_weight(normed, "zeros", name="beta")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """(..., d) -> the same shape."""
        shape = x.shape
        rows, width = shape[1 : len(shape) - self.axes], prod(shape[len(shape) - self.axes :])
        x = ops.reshape(x, (-1, *rows, width))
        x = x - ops.mean(x, axis=-1, keepdims=True)
        root = ops.rsqrt(ops.mean(ops.abs(x), axis=-1, keepdims=True) + sqrt(self.epsilon))
        x = x * root
        # The sign is turned twice: for batches of one, Keras takes a sum of these shapes for that of maps and a bias.
        variance = ops.mean(x * x, axis=-1, keepdims=True) - (root * root) * -self.epsilon
        gamma, beta = (ops.reshape(weight, (width,)) for weight in (self.gamma, self.beta))
        x = x * ops.rsqrt(variance) * gamma + beta
        return ops.reshape(x, (-1, *shape[1:]))

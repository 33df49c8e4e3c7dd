"""Attention from dense layers, reshapes and products of matrices, which survive int8 TFLite. Sequences -> sequences.

A sequence is (n, d). Maps (n, f, d) are f separate sequences, one in each band. For attention along another axis, put
that axis first, or fold the axes before it into the batch.
"""

from __future__ import annotations

from math import prod

import keras
import numpy as np
from keras import layers, ops

from convert.layers.layer_norm import QuantizableLayerNorm

EPSILON = 1e-5  # of norms
NORMS = ("batch", "layer")


def self_attention(x: keras.KerasTensor, heads: int, name: str, bias: bool = True) -> keras.KerasTensor:
    """Multi-head self-attention along n (Vaswani et al. 2017): (n, d) or (n, f, d) -> the same shape.

    The last layer is the dense layer `NAME_conv`, into which `blocks.fold_norms` folds a batch norm `NAME_norm`.

    Args:
        x: The sequences.
        heads: Number of heads; a divisor of d.
        name: What the names of the layers begin with.
        bias: Whether queries, keys and values have one.
    """
    return cross_attention(x, x, x.shape[-1], heads, name, bias)


def cross_attention(
    x: keras.KerasTensor, source: keras.KerasTensor, width: int, heads: int, name: str, bias: bool = True
) -> keras.KerasTensor:
    """Attention from one sequence to another: (n, d), (m, e) -> (n, width). Layers are named as in `self_attention`.

    Args:
        x: The sequence of the queries.
        source: The sequence of the keys and values.
        width: Of the result and of queries, keys and values; a multiple of `heads`.
        heads: Number of heads.
        name: What the names of the layers begin with.
        bias: Whether queries, keys and values have one.
    """
    query = layers.Dense(width, use_bias=bias, name=f"{name}_query")(x)
    key = layers.Dense(width, use_bias=bias, name=f"{name}_key")(source)
    value = layers.Dense(width, use_bias=bias, name=f"{name}_value")(source)
    return layers.Dense(width, name=f"{name}_conv")(attended(query, key, value, heads))


def attended(
    query: keras.KerasTensor, key: keras.KerasTensor, value: keras.KerasTensor, heads: int = 1
) -> keras.KerasTensor:
    """Dot-product attention: softmax(Q K^T / sqrt(d / heads)) V in each head.

    Bands and heads share an axis, so that no tensor has more than four.

    Args:
        query: (n, d) or (n, f, d).
        key: (m, d) or (m, f, d).
        value: (m, e) or (m, f, e).
        heads: Number of heads.

    Returns:
        (n, e) or (n, f, e).

    Raises:
        ValueError: The heads do not divide d and e.
    """
    width, value_width = query.shape[-1], value.shape[-1]
    if width % heads or value_width % heads:
        raise ValueError(f"got {heads} heads for widths {width} and {value_width}, wanted divisors of both")
    places = query.shape[1:-1]
    query = _split(query * float((width // heads) ** -0.5), heads)
    weights = ops.softmax(ops.matmul(query, ops.swapaxes(_split(key, heads), -1, -2)), axis=-1)
    x = ops.matmul(weights, _split(value, heads))
    if len(x.shape) == 4:
        x = ops.transpose(x, (0, 2, 1, 3))
    return layers.Reshape((*places, value_width))(x)


def _split(x: keras.KerasTensor, heads: int) -> keras.KerasTensor:
    """(n, f, d) -> (f heads, n, d / heads); a sequence with one head stays as it is."""
    n, *others, width = x.shape[1:]
    if prod(others) * heads == 1:
        return layers.Reshape((n, width))(x)
    return ops.transpose(layers.Reshape((n, prod(others) * heads, width // heads))(x), (0, 2, 1, 3))


def with_positions(x: keras.KerasTensor) -> keras.KerasTensor:
    """Add the sinusoidal encoding of each place along n: (n, d) or (n, f, d) -> the same shape."""
    places = sinusoids(np.arange(x.shape[1]), x.shape[-1])
    return x + (places[:, None] if len(x.shape) == 4 else places)


def sinusoids(places: np.ndarray, width: int) -> np.ndarray:
    """Sinusoidal encoding of places (Vaswani et al. 2017): (n,) -> (n, width).

    Even columns are sines, odd ones cosines, with periods from 2 pi to 10000 times that.
    """
    columns = np.arange(width)
    angles = places[:, None] * 10000.0 ** (-2.0 * (columns // 2) / width)
    return np.where(columns % 2, np.cos(angles), np.sin(angles)).astype(np.float32)


def normed(x: keras.KerasTensor, norm: str, name: str, deployed: bool = False, axes: int = 1) -> keras.KerasTensor:
    """Layer norm over the last `axes`, or a batch norm behind `NAME_conv`, a convolution or dense layer.

    Args:
        x: The output of `NAME_conv`, if the norm is a batch norm.
        norm: `layer` or `batch`.
        name: The norm is named `NAME_norm`.
        deployed: Leave out a batch norm, which `blocks.fold_norms` puts into the kernel; take the layer norm that
            survives int8, with the same weights and results.
        axes: How many axes a layer norm is over.
    """
    if norm == "layer" and deployed:
        return QuantizableLayerNorm(axes, epsilon=EPSILON, name=f"{name}_norm")(x)
    if norm == "layer":
        return layers.LayerNormalization(tuple(range(-axes, 0)), epsilon=EPSILON, name=f"{name}_norm")(x)
    return x if deployed else layers.BatchNormalization(epsilon=EPSILON, momentum=0.97, name=f"{name}_norm")(x)


def added(
    x: keras.KerasTensor, branch: keras.KerasTensor, norm: str, name: str, deployed: bool = False
) -> keras.KerasTensor:
    """The sum of `x` and a branch of attention, followed by a layer norm if `norm` is `layer`.

    There is no batch norm. Behind the sum there is no layer that it could fold into. In the branch it would amplify the
    small differences that attention makes, and with them the rounding errors of int8.
    """
    return normed(x + branch, norm, name, deployed) if norm == "layer" else x + branch

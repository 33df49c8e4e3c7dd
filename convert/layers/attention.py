"""Attention from dense layers, reshapes and products of matrices, which survive int8 TFLite. Sequences -> sequences.

A sequence is (n, d). Maps (n, f, d) are f sequences of their own, one in each band; whoever wants attention along
another axis puts it first, or folds the axes before it into the batch.
"""

from __future__ import annotations

from math import prod

import keras
import numpy as np
from keras import layers, ops

NORMS = ("batch", "layer")


def self_attention(x: keras.KerasTensor, heads: int, name: str, bias: bool = True) -> keras.KerasTensor:
    """(n, d) or (n, f, d) -> the same: multi-head self-attention along n (Vaswani et al. 2017).

    `bias` is that of queries, keys and values. The last layer is the dense layer `NAME_conv`, into which
    `layers.fold_norms` folds a batch norm `NAME_norm`.
    """
    return cross_attention(x, x, x.shape[-1], heads, name, bias)


def cross_attention(
    x: keras.KerasTensor, told: keras.KerasTensor, width: int, heads: int, name: str, bias: bool = True
) -> keras.KerasTensor:
    """x (n, d), which asks, and told (m, e), which answers -> (n, width). Layers are those of `self_attention`."""
    query = layers.Dense(width, use_bias=bias, name=f"{name}_query")(x)
    key = layers.Dense(width, use_bias=bias, name=f"{name}_key")(told)
    value = layers.Dense(width, use_bias=bias, name=f"{name}_value")(told)
    return layers.Dense(width, name=f"{name}_conv")(attended(query, key, value, heads))


def attended(
    query: keras.KerasTensor, key: keras.KerasTensor, value: keras.KerasTensor, heads: int = 1
) -> keras.KerasTensor:
    """(n, d), (m, d), (m, e) -> (n, e): softmax(Q K^T / sqrt(d / heads)) V in each head; or (n, f, d) and so on.

    Bands and heads are one axis, so that no tensor has more than four. Raises ValueError if the heads do not divide d
    and e.
    """
    width, told = query.shape[-1], value.shape[-1]
    if width % heads or told % heads:
        raise ValueError(f"got {heads} heads for widths {width} and {told}, wanted divisors of both")
    asked = query.shape[1:-1]
    query = _split(query * float((width // heads) ** -0.5), heads)
    weights = ops.softmax(ops.matmul(query, ops.swapaxes(_split(key, heads), -1, -2)), axis=-1)
    x = ops.matmul(weights, _split(value, heads))
    if len(x.shape) == 4:
        x = ops.transpose(x, (0, 2, 1, 3))
    return layers.Reshape((*asked, told))(x)


def _split(x: keras.KerasTensor, heads: int) -> keras.KerasTensor:
    """(n, f, d) -> (f heads, n, d / heads); a sequence with one head stays as it is."""
    n, *others, width = x.shape[1:]
    if prod(others) * heads == 1:
        return layers.Reshape((n, width))(x)
    return ops.transpose(layers.Reshape((n, prod(others) * heads, width // heads))(x), (0, 2, 1, 3))


def with_positions(x: keras.KerasTensor) -> keras.KerasTensor:
    """(n, d) or (n, f, d) -> the same, with the sinusoidal encoding of each place along n added."""
    places = sinusoids(np.arange(x.shape[1]), x.shape[-1])
    return x + (places[:, None] if len(x.shape) == 4 else places)


def sinusoids(places: np.ndarray, width: int) -> np.ndarray:
    """(n,) -> (n, width): sines in even and cosines in odd columns, of periods from 2 pi to 10000 times that."""
    columns = np.arange(width)
    angles = places[:, None] * 10000.0 ** (-2.0 * (columns // 2) / width)
    return np.where(columns % 2, np.cos(angles), np.sin(angles)).astype(np.float32)


def normed(
    x: keras.KerasTensor, norm: str, name: str, deployed: bool = False, axes: int | tuple[int, ...] = -1
) -> keras.KerasTensor:
    """Layer norm over `axes`, or a batch norm for what `NAME_conv`, a convolution or dense layer, gives.

    A deployed batch norm is none: `layers.fold_norms` puts it into the kernel.
    """
    if norm == "layer":
        return layers.LayerNormalization(axes, epsilon=1e-5, name=f"{name}_norm")(x)
    return x if deployed else layers.BatchNormalization(epsilon=1e-5, momentum=0.97, name=f"{name}_norm")(x)


def added(
    x: keras.KerasTensor, branch: keras.KerasTensor, norm: str, name: str, axes: int | tuple[int, ...] = -1
) -> keras.KerasTensor:
    """The sum of x and what attention makes of it, with a layer norm behind it, if that is the norm.

    There is no batch norm. Behind the sum it would fold into nothing. That of the branch would make large what little
    attention tells apart, and what int8 has rounded with it.
    """
    return normed(x + branch, norm, name, axes=axes) if norm == "layer" else x + branch

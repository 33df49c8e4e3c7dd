"""CST-former (Shul and Choi 2024): convolutions, then attention along channels, bands and time, in Keras.

It is the trunk of the fusion net of two-step, and by itself a row of the paper's tables. Blocks and sizes are those of
its authors' code (github.com/yusunnny/CST-former, task 33: unfolded local embedding, CMT blocks). With `norm` "layer"
it differs from theirs in three things:

* the norms of the feed-forward layers stand before the GELU, not behind it, so that they fold;
* the convolutions drop out single values, not whole maps;
* no weights of attention are dropped out.

With "batch", sums have no norm (`attention.added` says why), and dropout is in the branches.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from convert.layers.attention import normed, self_attention
from convert.layers.poolnet import normed_conv
from convert.systems.two_step.sizes import TwoStepSizes

FORWARD_DROPOUT = 0.1  # of what the feed-forward layers add


def cst_former(x: keras.KerasTensor, sizes: TwoStepSizes, deployed: bool = False) -> keras.KerasTensor:
    """Features (frames, bands, 7) -> (labels, n), by the sizes of the fusion net."""
    for number, (filters, pool) in enumerate(zip(sizes.fusion_filters, sizes.fusion_pools, strict=True), 1):
        x = encoded(x, filters, pool, sizes, f"encoder{number}", deployed)
    return cst_blocks(x, sizes, deployed)


def cst_blocks(x: keras.KerasTensor, sizes: TwoStepSizes, deployed: bool = False) -> keras.KerasTensor:
    """All blocks behind the convolutions: (labels, f, c) -> (labels, n)."""
    for number in range(1, sizes.fusion_blocks + 1):
        x = cst_block(x, sizes, f"block{number}", deployed)
    return layers.Reshape((sizes.labels, -1))(x)


def encoded(
    x: keras.KerasTensor, filters: int, pool: tuple[int, int], sizes: TwoStepSizes, name: str, deployed: bool
) -> keras.KerasTensor:
    """`blocks.conv_block` with the upper limit of the other activations on its ReLU."""
    x = layers.MaxPooling2D(pool, name=f"{name}_pool")(normed_conv(x, filters, name, deployed, relu=False))
    x = layers.ReLU(6.0 if sizes.fusion_activation == "relu6" else None, name=f"{name}_relu")(x)
    return x if deployed else layers.Dropout(sizes.dropout, name=f"{name}_dropout")(x)


def cst_block(x: keras.KerasTensor, sizes: TwoStepSizes, name: str, deployed: bool = False) -> keras.KerasTensor:
    """A block of CST-former: (labels, f, c) -> (labels, f, c).

    Local perception; attention among the channels of each patch, among the bands of each label and among the labels of
    each band; feed-forward with an inverted residual.
    """
    rows, bands, width = x.shape[1:]

    def attention(x: keras.KerasTensor, branch: keras.KerasTensor, kind: str) -> keras.KerasTensor:
        if sizes.norm == "layer":
            x = dropped(x + branch, kind, sizes.dropout)
            return normed(x, sizes.norm, f"{name}_{kind}", deployed, axes=2)
        return x + dropped(branch, kind, sizes.dropout)

    def dropped(x: keras.KerasTensor, kind: str, rate: float) -> keras.KerasTensor:
        return x if deployed else layers.Dropout(rate, name=f"{name}_{kind}_dropout")(x)

    x = x + Depthwise(name=f"{name}_local")(x)
    if sizes.fusion_patch is not None:
        branch = self_attention(as_patches(x, *sizes.fusion_patch), sizes.fusion_heads, f"{name}_channel")
        x = attention(x, as_map(branch, x.shape, *sizes.fusion_patch), "channel")
    branch = self_attention(ops.reshape(x, (-1, bands, width)), sizes.fusion_heads, f"{name}_spectral")
    x = attention(x, ops.reshape(branch, (-1, rows, bands, width)), "spectral")
    x = attention(x, self_attention(x, sizes.fusion_heads, f"{name}_temporal"), "temporal")
    branch = _feed_forward(x, sizes, name, deployed)
    return x + (dropped(branch, "forward", FORWARD_DROPOUT) if sizes.norm == "layer" else branch)


def as_patches(x: keras.KerasTensor, labels: int, bands: int) -> keras.KerasTensor:
    """Maps (t, f, c) -> patches (c, labels * bands), folded into the batch, with at most four axes on the way."""
    _, f, c = x.shape[1:]
    x = ops.reshape(x, (-1, labels, f // bands, bands * c))
    x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, labels * bands, c))
    return ops.transpose(x, (0, 2, 1))


def as_map(x: keras.KerasTensor, shape: tuple[int, ...], labels: int, bands: int) -> keras.KerasTensor:
    """The inverse of `as_patches`: patches -> maps of `shape`, which has a batch axis."""
    t, f, c = shape[1:]
    x = ops.reshape(ops.transpose(x, (0, 2, 1)), (-1, f // bands, labels, bands * c))
    return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, t, f, c))


def _feed_forward(x: keras.KerasTensor, sizes: TwoStepSizes, name: str, deployed: bool) -> keras.KerasTensor:
    """Conv1x1 to more channels, a residual depthwise Conv3x3, Conv1x1 back: (labels, f, c) -> same."""

    def activated(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.Activation(sizes.fusion_activation)(x)

    width = x.shape[-1]
    if sizes.norm == "layer":
        x = normed(x, sizes.norm, f"{name}_forward", deployed)
    x = activated(normed_conv(x, sizes.fusion_expansion * width, f"{name}_wide", deployed, kernel=1, relu=False))
    near = Depthwise(name=f"{name}_near_conv")(x)
    x = x + activated(normed(near, "batch", f"{name}_near", deployed))
    return normed_conv(x, width, f"{name}_narrow", deployed, kernel=1, relu=False)


@keras.saving.register_keras_serializable("seld_edge")
class Depthwise(layers.Layer):
    """A 3x3 convolution (same) of each channel, with bias: (t, f, c) -> (t, f, c).

    Its kernel is (3, 3, 1, c), so that `blocks.fold_norms` can fold a norm into it, as into any other convolution.
    """

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Add kernel and bias."""
        self.kernel = self.add_weight((3, 3, 1, shape[-1]), "glorot_uniform", name="kernel")
        self.bias = self.add_weight((shape[-1],), "zeros", name="bias")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The convolution of each channel."""
        return ops.depthwise_conv(x, ops.transpose(self.kernel, (0, 1, 3, 2)), padding="same") + self.bias

"""Blocks of PoolNet (Liu et al. 2019): global guidance and feature aggregation in a feature pyramid. Maps -> maps.

Maps are (t, f, c). The text of the ETRI report lacks its description of the network, so all of this is reconstructed
from PoolNet as its authors built it, with three changes. There is a batch norm behind every convolution, since no
weights are pre-trained. A convolution that PoolNet has behind a bilinear upsampling comes before it: the parameters are
the same and the work is a quarter or less. Upsampling aligns the middles of rows and bands, not the outermost ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers, ops

BINS = (1, 3, 5)  # of the pyramid pooling module, along time and along frequency
POOLS = (2, 4, 8)  # of the feature aggregation module


def normed_conv(
    x: keras.KerasTensor,
    filters: int,
    name: str,
    deployed: bool = False,
    kernel: int | tuple[int, int] = 3,
    relu: bool = True,
) -> keras.KerasTensor:
    """Convolution (same) -> BN -> ReLU: maps (t, f, c) -> (t, f, filters).

    Args:
        x: The maps.
        filters: Of the convolution.
        name: What the names of the layers begin with.
        deployed: Leave out the norm, which `blocks.fold_norms` puts into the kernel.
        kernel: Size of the kernel, (time, frequency) or both at once.
        relu: Whether a ReLU follows.
    """
    x = layers.Conv2D(filters, kernel, padding="same", name=f"{name}_conv")(x)
    if not deployed:
        x = layers.BatchNormalization(epsilon=1e-5, momentum=0.97, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def resized(x: keras.KerasTensor, rows: int, bands: int) -> keras.KerasTensor:
    """Resize maps (t, f, c) to (rows, bands, c), bilinear between the middles of rows and bands."""
    return x if x.shape[1:3] == (rows, bands) else ops.image.resize(x, (rows, bands), interpolation="bilinear")


def binned(x: keras.KerasTensor, bins: int) -> keras.KerasTensor:
    """Averages over windows of one size that cover a map and overlap where they must: (t, f, c) -> (bins, bins, c).

    Along an axis that is shorter than `bins`, every row is a bin. The mean of the whole map is a mean and no pool: it
    differs little from window to window, and an int8 pool has the scale of its input where a mean has its own.
    """
    if bins == 1:
        return ops.mean(x, axis=(1, 2), keepdims=True)
    counts = [min(bins, size) for size in x.shape[1:3]]
    strides = [size // count for size, count in zip(x.shape[1:3], counts, strict=True)]
    windows = [size - (count - 1) * stride for size, count, stride in zip(x.shape[1:3], counts, strides, strict=True)]
    return layers.AveragePooling2D(tuple(windows), tuple(strides))(x)


def pyramid_pooling(x: keras.KerasTensor, name: str, deployed: bool = False) -> keras.KerasTensor:
    """The pyramid pooling module: maps (t, f, c) -> guidance (t, f, c), from the whole map, its thirds and its fifths.

    The averages over 1, 3 and 5 bins pass a Conv1x1 each and are resized to the map. They are stacked with it and pass
    a Conv3x3.
    """
    rows, bands, filters = x.shape[1:]
    stack = [x]
    for bins in BINS:
        branch = normed_conv(binned(x, bins), filters, f"{name}_bins{bins}", deployed, kernel=1)
        stack.append(resized(branch, rows, bands))
    return normed_conv(layers.Concatenate()(stack), filters, name, deployed)


def aggregation(x: keras.KerasTensor, name: str, deployed: bool = False) -> keras.KerasTensor:
    """The feature aggregation module: ReLU(x + sum over p of up(Conv3x3(AveragePool_p(x)))), maps (t, f, c) -> same.

    Rows and bands at the end that do not fill a pool are left out of it.
    """
    rows, bands, filters = x.shape[1:]
    total = x
    for pool in POOLS:
        pooled = layers.AveragePooling2D(pool)(x)
        pooled = normed_conv(pooled, filters, f"{name}_pool{pool}", deployed, relu=False)
        total = total + resized(pooled, rows, bands)
    return layers.ReLU(name=f"{name}_relu")(total)


def decoder(
    levels: Sequence[keras.KerasTensor], guidance: keras.KerasTensor, name: str, deployed: bool = False
) -> keras.KerasTensor:
    """The decoder of a feature pyramid: levels and guidance -> maps of the size of the finest level.

    From the top down, each level is the sum of three parts, followed by a Conv3x3: the level above (after aggregation,
    Conv3x3 and upsampling), the encoder's level, and the guidance (after Conv3x3 and upsampling; without frequency
    after Conv3x1, the same in all bands). The finest level is followed by aggregation and Conv3x3; only that one has a
    ReLU, since a dense layer follows.

    Args:
        levels: The encoder's levels, finest first.
        guidance: (t_top, f_top, g) or (t_top, 1, g).
        name: What the names of the layers begin with.
        deployed: Leave out the norms.
    """
    with_bands = guidance.shape[2] > 1
    kernel = (3, 3 if with_bands else 1)
    x = levels[-1]
    for level in range(len(levels) - 1, 0, -1):
        finer = levels[level - 1]
        rows, bands, filters = finer.shape[1:]
        x = aggregation(x, f"{name}{level + 1}", deployed)
        x = normed_conv(x, filters, f"{name}{level + 1}_sum", deployed, relu=False)
        branch = normed_conv(guidance, filters, f"{name}{level}_guide", deployed, kernel)
        branch = resized(branch, rows, bands if with_bands else 1)
        x = finer + resized(x, rows, bands) + branch
        x = normed_conv(x, filters, f"{name}{level}_fuse", deployed, relu=False)
    x = aggregation(x, f"{name}1", deployed)
    return normed_conv(x, x.shape[-1], f"{name}1_sum", deployed)

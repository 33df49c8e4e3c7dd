"""Blocks of PoolNet (Liu et al. 2019): global guidance and feature aggregation in a feature pyramid. Maps -> maps.

Maps are (t, f, c). The ETRI report has lost its description of the network, so all of this is reconstructed from
PoolNet as its authors built it, with three changes. There is a batch norm behind every convolution, since nothing here
is pre-trained. A convolution that PoolNet has behind a bilinear upsampling comes before it: the same parameters, a
quarter of the work or less. Upsampling aligns the middles of rows and bands, not the outermost ones.
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
    """Convolution (same) -> BN -> ReLU. A deployed one has no norm: `layers.fold_norms` puts it into the kernel."""
    x = layers.Conv2D(filters, kernel, padding="same", name=f"{name}_conv")(x)
    if not deployed:
        x = layers.BatchNormalization(epsilon=1e-5, momentum=0.97, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def resized(x: keras.KerasTensor, rows: int, bands: int) -> keras.KerasTensor:
    """(t, f, c) -> (rows, bands, c), bilinear between the middles of rows and bands."""
    return x if x.shape[1:3] == (rows, bands) else ops.image.resize(x, (rows, bands), interpolation="bilinear")


def binned(x: keras.KerasTensor, bins: int) -> keras.KerasTensor:
    """(t, f, c) -> (bins, bins, c): averages over windows of one size that cover the map and overlap where they must.

    Along an axis that is shorter than `bins`, every row is a bin. The mean of all of the map, which differs little from
    window to window, is no pool: an int8 pool has the scale of its input, a mean has one of its own.
    """
    if bins == 1:
        return ops.mean(x, axis=(1, 2), keepdims=True)
    counts = [min(bins, size) for size in x.shape[1:3]]
    strides = [size // count for size, count in zip(x.shape[1:3], counts, strict=True)]
    windows = [size - (count - 1) * stride for size, count, stride in zip(x.shape[1:3], counts, strides, strict=True)]
    return layers.AveragePooling2D(tuple(windows), tuple(strides))(x)


def pyramid_pooling(x: keras.KerasTensor, name: str, deployed: bool = False) -> keras.KerasTensor:
    """(t, f, c) -> (t, f, c), the pyramid pooling module: what there is in all of the map, in its thirds and fifths.

    The averages over 1, 3 and 5 bins go through a Conv1x1 each and back to the size of the map. They are stacked to it
    and go through a Conv3x3.
    """
    rows, bands, filters = x.shape[1:]
    stack = [x]
    for bins in BINS:
        told = normed_conv(binned(x, bins), filters, f"{name}_bins{bins}", deployed, kernel=1)
        stack.append(resized(told, rows, bands))
    return normed_conv(layers.Concatenate()(stack), filters, name, deployed)


def aggregation(x: keras.KerasTensor, name: str, deployed: bool = False) -> keras.KerasTensor:
    """(t, f, c) -> (t, f, c), the feature aggregation module: ReLU(x + sum over p of up(Conv3x3(AveragePool_p(x)))).

    Rows and bands that fill no pool are left out of it.
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
    """The levels of a pyramid, finest first, and guidance (t_top, f_top, g) or (t_top, 1, g) -> maps as the finest.

    From the top down to each level: aggregation, Conv3x3, up; the sum of that, of the level and of the guidance goes
    through a Conv3x3. Guidance comes through Conv3x3 and up; without frequency through Conv3x1 and into all bands
    alike. The finest level is followed by aggregation and Conv3x3; only that has a ReLU, since a dense layer follows.
    """
    with_bands = guidance.shape[2] > 1
    kernel = (3, 3 if with_bands else 1)
    x = levels[-1]
    for level in range(len(levels) - 1, 0, -1):
        finer = levels[level - 1]
        rows, bands, filters = finer.shape[1:]
        x = aggregation(x, f"{name}{level + 1}", deployed)
        x = normed_conv(x, filters, f"{name}{level + 1}_sum", deployed, relu=False)
        told = normed_conv(guidance, filters, f"{name}{level}_guide", deployed, kernel)
        told = resized(told, rows, bands if with_bands else 1)
        x = finer + resized(x, rows, bands) + told
        x = normed_conv(x, filters, f"{name}{level}_fuse", deployed, relu=False)
    x = aggregation(x, f"{name}1", deployed)
    return normed_conv(x, x.shape[-1], f"{name}1_sum", deployed)

"""Keras blocks shared by the nets: built from `keras.ops` alone, and from ops that survive int8 TFLite."""

from __future__ import annotations

import keras
from keras import layers, ops


def conv_block(
    x: keras.KerasTensor, filters: int, pool: tuple[int, int], dropout: float, name: str, deployed: bool = False
) -> keras.KerasTensor:
    """Conv3x3 (same) -> BN -> ReLU -> MaxPool (time, frequency) -> Dropout: one block of the DCASE 2022 baseline."""
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv")(x)
    return pooled_activation(x, pool, dropout, name, deployed)


def conditioned_conv_block(
    features: keras.KerasTensor,
    condition: keras.KerasTensor,
    filters: int,
    pool: tuple[int, int],
    dropout: float,
    name: str,
    deployed: bool = False,
) -> keras.KerasTensor:
    """`conv_block` on features (t, F, c_f) with a condition (T, c) repeated in time and frequency and stacked to them.

    A convolution is linear, so convolving the stack is convolving the two parts and adding. The condition is the same
    in every band, so its part has one value per frame and filter: (t, 1, filters) is added to all bands. It is repeated
    beyond the lowest and the highest band too, where a stacked map would be padded with zeros. The parameters are those
    of the stacked convolution.
    """
    frames, labels = features.shape[1], condition.shape[1]
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv")(features)
    repeated = ops.repeat(ops.expand_dims(condition, 2), frames // labels, axis=1)  # (t, 1, c)
    repeated = ops.concatenate([repeated] * 3, axis=2)  # (t, 3, c): what a 3x3 kernel sees in any band
    repeated = ops.pad(repeated, [[0, 0], [1, 1], [0, 0], [0, 0]])
    shift = layers.Conv2D(filters, 3, padding="valid", use_bias=False, name=f"{name}_condition")(repeated)
    return pooled_activation(x + shift, pool, dropout, name, deployed)


def pooled_activation(
    x: keras.KerasTensor, pool: tuple[int, int], dropout: float, name: str, deployed: bool
) -> keras.KerasTensor:
    """BN -> MaxPool -> ReLU -> Dropout. Pool and ReLU both keep order, so they commute, and the smaller map is cheaper.

    A deployed block has neither norm nor dropout: `quantize.fold_norms` puts the norm into the convolutions.
    """
    if not deployed:
        x = layers.BatchNormalization(epsilon=1e-5, momentum=0.97, name=f"{name}_norm")(x)
    x = layers.MaxPooling2D(pool, name=f"{name}_pool")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    return x if deployed else layers.Dropout(dropout, name=f"{name}_dropout")(x)


def gated_bidirectional_gru(x: keras.KerasTensor, units: int, name: str, deployed: bool = False) -> keras.KerasTensor:
    """(T, n) -> (T, units): two bidirectional GRU layers, tanh, second half times first half (DCASE 2022 baseline).

    A deployed GRU is unrolled: left as a loop it makes the int8 converter crash.
    """
    for layer in (1, 2):
        cell = layers.GRU(units, return_sequences=True, reset_after=True, unroll=deployed, name=f"{name}{layer}")
        x = layers.Bidirectional(cell, name=f"{name}{layer}_both")(x)
    x = ops.tanh(x)
    return x[..., units:] * x[..., :units]

"""Keras blocks shared by the nets, of operations that survive int8 TFLite; and norms folded into convolutions."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops


def conv_block(
    x: keras.KerasTensor,
    filters: int,
    pool: tuple[int, int],
    dropout: float,
    name: str,
    deployed: bool = False,
    causal: bool = False,
) -> keras.KerasTensor:
    """One block of the DCASE 2022 baseline: Conv3x3 (same) -> BN -> ReLU -> MaxPool -> Dropout.

    Args:
        x: Maps (t, f, c).
        filters: Of the convolution.
        pool: (time, frequency).
        dropout: Share of the values.
        name: What the names of the layers begin with.
        deployed: Leave out norm and dropout.
        causal: The convolution takes the two frames before its own, in the place of one before and one behind.

    Returns:
        Maps (t / time, f / frequency, filters).
    """
    if causal:
        x = layers.ZeroPadding2D(((2, 0), (1, 1)))(x)
    x = layers.Conv2D(filters, 3, padding="valid" if causal else "same", name=f"{name}_conv")(x)
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
    """`conv_block` on features (t, F, c_f) stacked with a condition (T, c) that is repeated in time and frequency.

    A convolution is linear, so the convolution of the stack is the sum of the convolutions of its parts. The condition
    is the same in every band, so its part has one value per frame and filter: (t, 1, filters) is added to all bands. It
    continues beyond the lowest and the highest band, where a stacked map would be padded with zeros. The parameters are
    those of the stacked convolution.
    """
    frames, labels = features.shape[1], condition.shape[1]
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv")(features)
    repeated = ops.repeat(ops.expand_dims(condition, 2), frames // labels, axis=1)  # (t, 1, c)
    repeated = ops.concatenate([repeated] * 3, axis=2)  # (t, 3, c): the neighbourhood of a 3x3 kernel in any band
    repeated = ops.pad(repeated, [[0, 0], [1, 1], [0, 0], [0, 0]])
    shift = layers.Conv2D(filters, 3, padding="valid", use_bias=False, name=f"{name}_condition")(repeated)
    return pooled_activation(x + shift, pool, dropout, name, deployed)


def pooled_activation(
    x: keras.KerasTensor, pool: tuple[int, int], dropout: float, name: str, deployed: bool
) -> keras.KerasTensor:
    """BN -> MaxPool -> ReLU -> Dropout.

    Pooling and ReLU are monotonic, so they commute, and ReLU on fewer values is cheaper.

    A deployed block has neither norm nor dropout: `folded_weights` puts the norm into the convolutions.
    """
    if not deployed:
        x = layers.BatchNormalization(epsilon=1e-5, momentum=0.97, name=f"{name}_norm")(x)
    x = layers.MaxPooling2D(pool, name=f"{name}_pool")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    return x if deployed else layers.Dropout(dropout, name=f"{name}_dropout")(x)


@keras.saving.register_keras_serializable("seld_edge")
class RandomLookAhead(layers.Layer):
    """Sequences (B, T, n) -> a mask (B, T, 1): 0 where a backward recurrence starts again, with no look-ahead beyond.

    In training the labels are cut into runs of one random length per example, log-uniform from 1 to `longest` labels,
    but not in `whole_share` of the examples; at inference nothing is cut. So a net learns to work with any look-ahead
    that a device has (latency-controlled recurrence: Zhang et al. 2016, arXiv 1510.08983).
    """

    def __init__(self, longest: int = 30, whole_share: float = 0.3, **keywords: object) -> None:
        super().__init__(**keywords)
        self.longest = longest
        self.whole_share = whole_share
        self.seeds = keras.random.SeedGenerator()

    def call(self, x: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """The mask of a batch."""
        batch, labels = ops.shape(x)[0], x.shape[1]
        if not training:
            return ops.ones((batch, labels, 1), self.compute_dtype)
        length, phase, whole = (keras.random.uniform((batch, 1), seed=self.seeds) for _ in range(3))
        length = ops.exp(length * float(np.log(self.longest)))
        length = ops.where(whole < self.whole_share, float(labels), length)
        index = ops.arange(labels + 1, dtype="float32")
        run = ops.floor((index + phase * length) / length)
        run = ops.where(whole < self.whole_share, 0.0, run)
        return ops.cast(ops.expand_dims(run[:, 1:] == run[:, :-1], -1), self.compute_dtype)


@keras.saving.register_keras_serializable("seld_edge")
class ResettableGRU(layers.Layer):
    """A bidirectional GRU whose backward half forgets where a mask is 0: (B, T, n), (B, T, 1) -> (B, T, 2 * units).

    With a mask of ones it is `Bidirectional(GRU(units, return_sequences=True))`, with the same weights in that order.
    """

    def __init__(self, units: int, **keywords: object) -> None:
        super().__init__(**keywords)
        self.units = units

    def build(self, x_shape: tuple[int | None, ...], keep_shape: tuple[int | None, ...]) -> None:
        """Add kernel, recurrent kernel and biases of both directions."""
        for direction in ("forward", "backward"):
            for name, rows, initializer in (
                ("kernel", x_shape[-1], "glorot_uniform"),
                ("recurrent", self.units, "orthogonal"),
                ("bias", 2, "zeros"),
            ):
                weight = self.add_weight((rows, 3 * self.units), initializer, name=f"{direction}_{name}")
                setattr(self, f"{direction}_{name}", weight)

    def call(self, x: keras.KerasTensor, keep: keras.KerasTensor) -> keras.KerasTensor:
        """The states of both directions, each from a scan over time."""
        x = ops.transpose(x, (1, 0, 2))  # time first
        keep = ops.flip(ops.transpose(keep, (1, 0, 2)), 0)
        ahead = ops.matmul(x, self.forward_kernel) + self.forward_bias[0]
        back = ops.flip(ops.matmul(x, self.backward_kernel) + self.backward_bias[0], 0)
        ahead = self._scan(ahead, ops.ones_like(keep), self.forward_recurrent, self.forward_bias[1])
        back = self._scan(back, keep, self.backward_recurrent, self.backward_bias[1])
        return ops.transpose(ops.concatenate([ahead, ops.flip(back, 0)], axis=-1), (1, 0, 2))

    def _scan(
        self, projected: keras.KerasTensor, keep: keras.KerasTensor, kernel: keras.Variable, bias: keras.KerasTensor
    ) -> keras.KerasTensor:
        """Projected inputs (T, B, 3 * units) -> states (T, B, units)."""

        def cell(
            state: keras.KerasTensor, inputs: tuple[keras.KerasTensor, keras.KerasTensor]
        ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
            outer, kept = inputs
            state = state * kept
            inner = ops.matmul(state, kernel) + bias
            update, reset, _ = ops.split(ops.sigmoid(outer + inner), 3, axis=-1)
            candidate = ops.tanh(outer[..., 2 * self.units :] + reset * inner[..., 2 * self.units :])
            state = update * state + (1.0 - update) * candidate
            return state, state

        start = ops.zeros_like(projected[0, :, : self.units])
        return ops.scan(cell, start, (projected, keep))[1]


def gated_bidirectional_gru(
    x: keras.KerasTensor, units: int, name: str, deployed: bool = False, random_look_ahead: bool = True
) -> keras.KerasTensor:
    """Two bidirectional GRU layers, tanh, second half times first half (DCASE 2022 baseline): (T, n) -> (T, units).

    In training the look-ahead is random, or all of the window without `random_look_ahead`. A deployed GRU is unrolled:
    as a loop it makes the int8 converter crash.
    """
    if not deployed:
        look_ahead = f"{name}_look_ahead"
        cut = (
            RandomLookAhead(name=look_ahead) if random_look_ahead else RandomLookAhead(whole_share=1.0, name=look_ahead)
        )
        keep = cut(x)
    for layer in (1, 2):
        if deployed:
            cell = layers.GRU(units, return_sequences=True, reset_after=True, unroll=True, name=f"{name}{layer}")
            x = layers.Bidirectional(cell, name=f"{name}{layer}_both")(x)
        else:
            x = ResettableGRU(units, name=f"{name}{layer}_both")(x, keep)
    x = ops.tanh(x)
    return x[..., units:] * x[..., :units]


def folded_weights(trained: keras.Model, block: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The convolutions of a trained block with its batch norm folded in.

    `BLOCK_norm` is folded into `BLOCK_conv` and `BLOCK_condition`. It normalises their sum, so TFLite's own folding,
    which needs a norm directly behind one convolution, does not apply.

    Args:
        trained: A model with these layers.
        block: The name of the block.

    Returns:
        Kernel, bias and the kernel of the condition, which is empty if there is none.
    """
    norm = trained.get_layer(f"{block}_norm")
    gamma, beta, mean, variance = norm.get_weights()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    kernel, bias = trained.get_layer(f"{block}_conv").get_weights()
    conditions = [layer for layer in trained.layers if layer.name == f"{block}_condition"]
    condition = conditions[0].get_weights()[0] * scale if conditions else np.empty(0)
    return kernel * scale, (bias - mean) * scale + beta, condition


def fold_norms(trained: keras.Model, deployed: keras.Model) -> None:
    """Copy the weights of `trained` into `deployed`, folding the batch norms, which `deployed` does not have."""
    norms = [layer for layer in trained.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in trained.layers:
        if layer.weights and layer not in norms:
            deployed.get_layer(layer.name).set_weights(layer.get_weights())
    for norm in norms:
        block = norm.name.removesuffix("_norm")
        kernel, bias, condition = folded_weights(trained, block)
        deployed.get_layer(f"{block}_conv").set_weights([kernel, bias])
        if condition.size:
            deployed.get_layer(f"{block}_condition").set_weights([condition])

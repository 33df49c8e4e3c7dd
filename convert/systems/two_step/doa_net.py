"""Two-step in Keras: the DoA net of step 1 (Yu 2025, section 2.1.1), where the sources are, track by track.

It is IPDnet (Wang, Yang and Li 2024) as the paper changes it. Figure 2 is lost, so from the text, from IPDnet and from
what the text cites are reconstructed:

* stem: a convolution raises the maps to the net's channels; the stem of `two-step-edge` has more convolutions, and max
  pools;
* "PConv at the input stage", in place of IPDnet's concatenation of the input behind every recurrence: a partial
  convolution (FasterNet, Chen et al. 2023) before each pair of full-band and narrow-band block;
* the frequency-convolution modules: those of SpatialNet (Quan and Li 2024), a residual convolution along frequency, but
  with ReLU, without groups and with the norm behind the convolution, where a batch norm folds;
* the full-band LSTM has no sum around it, as the text says; the narrow-band attention has one, as every transformer and
  SepReformer, from which its down- and up-sampling come, have;
* the rows of Table 1 above the last are IPDnet as its authors have it, and with the frequency convolutions; which of
  them has PConv is not said: here the last alone (`doa_partial_convs`);
* the first row of Table 1 is CST-former (`doa_cst_former`) with an output like that of the others: its own trunk and
  dense layers. What the paper had it answer is not said;
* head: IPDnet's three convolutions with two average pools, of which the first takes what is left of the frames of a
  label. IPDnet answers in every band; here a dense layer on all bands that are left takes the place of the third
  convolution, since x, y, z have no frequency. One more before it makes D_DoA features of each label.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from convert.layers.attention import added, normed, self_attention, with_positions
from convert.layers.blocks import conv_block
from convert.layers.poolnet import normed_conv
from convert.systems.two_step.cst_former import cst_former
from convert.systems.two_step.sizes import TwoStepSizes


def build_doa(sizes: TwoStepSizes, deployed: bool = False) -> keras.Model:
    """`features` (frames, bands, 7) -> `output` (labels, 3 K), x, y, z of each track in turn, and `hidden` (labels, D).

    Args:
        sizes: Sizes of the net.
        deployed: Build the form for the converter: norms folded (`blocks.fold_norms`), no dropout.
    """
    features = keras.Input((sizes.frames, sizes.bands, 7), name="features")
    if sizes.doa_cst_former:
        x = layers.Dense(sizes.doa_hidden, name="hidden")(cst_former(features, sizes, deployed))
    else:
        x = _ipdnet(features, sizes, deployed)
    output = layers.Dense(3 * sizes.tracks, activation="tanh", dtype="float32", name="output")(x)
    return keras.Model({"features": features}, {"output": output, "hidden": x}, name="doa")


def _ipdnet(features: keras.KerasTensor, sizes: TwoStepSizes, deployed: bool) -> keras.KerasTensor:
    """(frames, bands, 7) -> (labels, D)."""
    x = features
    for number, (filters, pool) in enumerate(zip(sizes.doa_filters, sizes.doa_pools, strict=True), 1):
        x = conv_block(x, filters, pool, sizes.dropout, f"stem{number}", deployed)
    narrow = narrow_band if sizes.doa_attention else narrow_recurrence
    for number in range(1, sizes.doa_blocks + 1):
        if sizes.doa_partial_convs:
            x = partial_conv(x, f"input{number}", deployed)
        x = _told(full_band(x, sizes, f"full{number}", deployed), features, sizes, f"full{number}")
        x = _told(narrow(x, sizes, f"narrow{number}", deployed), features, sizes, f"narrow{number}")
    return _head(x, sizes, deployed)


def partial_conv(x: keras.KerasTensor, name: str, deployed: bool = False) -> keras.KerasTensor:
    """Partial convolution: Conv3x3 on a quarter of the channels only, then Conv1x1 -> BN -> ReLU; (t, f, c) -> same."""
    share = x.shape[-1] // 4
    convolved = layers.Conv2D(share, 3, padding="same", use_bias=False, name=f"{name}_part")(x[..., :share])
    return normed_conv(layers.Concatenate()([convolved, x[..., share:]]), x.shape[-1], name, deployed, kernel=1)


def full_band(x: keras.KerasTensor, sizes: TwoStepSizes, name: str, deployed: bool = False) -> keras.KerasTensor:
    """A bidirectional LSTM along the bands of each frame, between convolutions along them: (t, f, c) -> (t, f, d)."""
    frames, bands, width = x.shape[1:]
    units = sizes.doa_filters[-1] // 2
    if sizes.doa_frequency_convs:
        x = _frequency_conv(x, sizes, f"{name}_before", deployed)
    x = ops.reshape(x, (-1, bands, width))
    x = BidirectionalLSTM(units, name=f"{name}_lstm")(x)
    x = ops.reshape(x, (-1, frames, bands, 2 * units))
    x = x if deployed else layers.Dropout(sizes.dropout, name=f"{name}_dropout")(x)
    return _frequency_conv(x, sizes, f"{name}_after", deployed) if sizes.doa_frequency_convs else x


def narrow_band(x: keras.KerasTensor, sizes: TwoStepSizes, name: str, deployed: bool = False) -> keras.KerasTensor:
    """Multi-head self-attention along the labels of each band, added to the input: (t, f, c) -> same."""
    frames = x.shape[1] // sizes.labels
    branch = layers.AveragePooling2D((frames, 1), name=f"{name}_down")(x) if frames > 1 else x
    branch = self_attention(with_positions(branch), sizes.doa_heads, name)
    branch = branch if deployed else layers.Dropout(sizes.dropout, name=f"{name}_dropout")(branch)
    branch = layers.UpSampling2D((frames, 1), name=f"{name}_up")(branch) if frames > 1 else branch
    return added(x, branch, sizes.norm, name, deployed)


def narrow_recurrence(
    x: keras.KerasTensor, sizes: TwoStepSizes, name: str, deployed: bool = False
) -> keras.KerasTensor:
    """The narrow band of IPDnet, an LSTM along the frames of each band: (t, f, c) -> (t, f, d)."""
    frames, bands, width = x.shape[1:]
    x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, frames, width))
    x = layers.LSTM(sizes.doa_filters[-1], return_sequences=True, unroll=deployed, name=f"{name}_lstm")(x)
    x = ops.transpose(ops.reshape(x, (-1, bands, frames, sizes.doa_filters[-1])), (0, 2, 1, 3))
    return x if deployed else layers.Dropout(sizes.dropout, name=f"{name}_dropout")(x)


def _told(x: keras.KerasTensor, features: keras.KerasTensor, sizes: TwoStepSizes, name: str) -> keras.KerasTensor:
    """(t, f, c) -> the same or, without partial convolutions, with the features of these frames and bands behind it."""
    if sizes.doa_partial_convs:
        return x
    pool = features.shape[1] // x.shape[1], features.shape[2] // x.shape[2]
    features = layers.AveragePooling2D(pool, name=f"{name}_features")(features) if pool != (1, 1) else features
    return layers.Concatenate()([x, features])


def _frequency_conv(x: keras.KerasTensor, sizes: TwoStepSizes, name: str, deployed: bool) -> keras.KerasTensor:
    """(t, f, c) -> (t, f, c): x + ReLU(norm(convolution along frequency))."""
    branch = layers.Conv2D(x.shape[-1], (1, sizes.doa_kernel), padding="same", name=f"{name}_conv")(x)
    return x + layers.ReLU(name=f"{name}_relu")(normed(branch, sizes.norm, name, deployed))


def _head(x: keras.KerasTensor, sizes: TwoStepSizes, deployed: bool) -> keras.KerasTensor:
    """(t, f, c) -> (labels, D)."""
    time_pools = (x.shape[1] // sizes.labels, 1)
    for number, pool in enumerate(zip(time_pools, sizes.doa_head_pools, strict=True), 1):
        x = normed_conv(x, sizes.doa_head_filters, f"head{number}", deployed)
        x = layers.AveragePooling2D(pool, name=f"head{number}_pool")(x)
    x = layers.Dense(sizes.doa_hidden, name="hidden_conv")(layers.Reshape((sizes.labels, -1))(x))
    return layers.ReLU(name="hidden")(normed(x, sizes.norm, "hidden", deployed))


@keras.saving.register_keras_serializable("seld_edge")
class BidirectionalLSTM(layers.Layer):
    """A bidirectional LSTM in plain operations: (B, n, d) -> (B, n, 2 units).

    Each step computes both directions at once, and all gates of one kind at once. The outputs are those of
    `Bidirectional(LSTM(units, return_sequences=True))`, whose loop makes the int8 converter crash. The columns of its
    weights are in another order: gates i, f, o and the candidate.
    """

    def __init__(self, units: int, **keywords: object) -> None:
        super().__init__(**keywords)
        self.units = units

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Add kernel, recurrent kernel and bias of both directions."""
        for direction in ("forward", "backward"):
            for name, rows, initializer in (
                ("kernel", shape[-1], "glorot_uniform"),
                ("recurrent", self.units, "orthogonal"),
                ("bias", 1, _open_forget_gates),
            ):
                weight = self.add_weight((rows, 4 * self.units), initializer, name=f"{direction}_{name}")
                setattr(self, f"{direction}_{name}", weight)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The states at each place: those of the forward direction, then those of the backward direction."""
        both = 2 * self.units
        kernel, recurrent = self._of_both("kernel"), self._of_both("recurrent")
        bias = ops.sum(self._of_both("bias"), axis=0)
        outer = ops.matmul(ops.concatenate([x, ops.flip(x, 1)], axis=-1), kernel) + bias
        state = cell = None
        states = []
        for projected in ops.unstack(outer, axis=1):  # one op; on the device a slice for each place triples the time
            gates = projected if state is None else projected + ops.matmul(state, recurrent)
            opened = ops.sigmoid(gates[:, : 3 * both])
            fresh = opened[:, :both] * ops.tanh(gates[:, 3 * both :])
            cell = fresh if cell is None else opened[:, both : 2 * both] * cell + fresh
            state = opened[:, 2 * both :] * ops.tanh(cell)
            states.append(state)
        x = ops.stack(states, axis=1)
        return ops.concatenate([x[..., : self.units], ops.flip(x[..., self.units :], 1)], axis=-1)

    def _of_both(self, name: str) -> keras.KerasTensor:
        """(rows, 4 units) of each direction -> (2 rows, 8 units): rows one after the other, columns gate by gate."""
        weights = []
        for index, direction in enumerate(("forward", "backward")):
            weight = getattr(self, f"{direction}_{name}")
            weight = ops.reshape(weight, (-1, 4, 1, self.units))
            weights.append(ops.pad(weight, [[0, 0], [0, 0], [index, 1 - index], [0, 0]]))
        return ops.reshape(ops.concatenate(weights, axis=0), (-1, 8 * self.units))


def _open_forget_gates(shape: tuple[int, int], dtype: str) -> keras.KerasTensor:
    """A bias (1, 4 units) with which the gates f start open, as in Keras."""
    return ops.reshape(ops.repeat(ops.array([0.0, 1.0, 0.0, 0.0], dtype), shape[1] // 4), shape)

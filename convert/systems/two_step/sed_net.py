"""The SED net of two-step in Keras: classes track by track (Yu 2025, section 2.1.2), after ATST-SED (Shao 2024).

A convolutional branch and a transformer (ATST-Frame, Li 2023) take the same log-mel spectrogram of one microphone;
their outputs for each label frame are stacked and pass a GRU. The paper changes the last layer only: a probability of
each class in each track. Reconstructed, as the label rate, the STFT and the hop are not those of ATST-SED:

* features have 128 bands, of which band 2 b + m is map m of row b, as for the convolutions. The transformer takes 64
  bands over the same range: the mean of the two maps, in dB;
* time is pooled to label frames within the convolutions, by 5 in all where ATST-SED pools by 2 and 2;
* patches of ATST-Frame are 4 frames of 10 ms long: 2 frames here (`-paper`), or a label frame (`-edge`). A label frame
  takes the mean of its patches, each weighted by its share of the label frame, as ATST-SED's pooling does up to
  rounding;
* a dense layer without activation makes D_sed features out of the GRU's, for the fusion net; ATST-SED has none;
* with `norm` "layer" the blocks are as in ATST-Frame, normed before each branch; with "batch" they have no norms: one
  at the end of a branch would fold away, but amplify the small differences that attention makes, and with them the
  rounding errors of int8.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from convert.layers.attention import normed, self_attention
from convert.systems.two_step.sizes import TwoStepSizes

MLP_RATIO = 4


@keras.saving.register_keras_serializable("seld_edge")
class LearnedPositions(layers.Layer):
    """Adds a learned vector to each row: (n, d) -> (n, d)."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Add the vectors (n, d)."""
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        self.positions = self.add_weight(shape[1:], start, name="positions")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The sum of rows and vectors."""
        return x + self.positions


def build_sed(sizes: TwoStepSizes, classes: int, deployed: bool = False) -> keras.Model:
    """`features` (frames, bands, 2) -> `output` (labels, K C), probabilities track by track; `hidden` (labels, D_sed).

    Args:
        sizes: Sizes of the net.
        classes: Number of classes C.
        deployed: Build the form for the converter: norms folded (`blocks.fold_norms`), no dropout, GRU unrolled.
    """
    features = keras.Input((sizes.frames, sizes.bands, 2), name="features")
    x = _convolutions(features, sizes, deployed)
    if sizes.sed_transformer_depth:
        frames = transformer(ops.mean(features, axis=-1), sizes, deployed)
        x = layers.Concatenate()([x, label_means(frames, sizes)])
    x = layers.Dense(sizes.sed_dense_units, name="dense")(x)
    for number in range(1, sizes.sed_gru_layers + 1):
        cell = layers.GRU(sizes.sed_gru_units, return_sequences=True, unroll=deployed, name=f"gru{number}")
        x = layers.Bidirectional(cell, name=f"gru{number}_both")(x)
    x = x if deployed else layers.Dropout(sizes.dropout, name="dropout")(x)
    hidden = layers.Dense(sizes.sed_hidden, name="hidden")(x)
    output = layers.Dense(sizes.sed_tracks * classes, activation="sigmoid", dtype="float32", name="output")(hidden)
    return keras.Model({"features": features}, {"output": output, "hidden": hidden}, name="sed")


def transformer(mel: keras.KerasTensor, sizes: TwoStepSizes, deployed: bool = False) -> keras.KerasTensor:
    """ATST-Frame: log-mel (frames, bands) -> (patches, width). `convert.systems.two_step.atst` sets its layers."""
    length = sizes.sed_patch_frames
    x = layers.Reshape((sizes.frames // length, length * sizes.bands))(mel)
    x = layers.Dense(sizes.sed_transformer_width, name="patches")(x)
    x = LearnedPositions(name="positions")(x)
    for number in range(sizes.sed_transformer_depth):
        x = _transformer_block(x, sizes, f"transformer{number}", deployed)
    return normed(x, "layer", "transformer", deployed) if sizes.norm == "layer" else x


def label_means(x: keras.KerasTensor, sizes: TwoStepSizes) -> keras.KerasTensor:
    """The mean over each label frame, whose frames have the values of their patches: (patches, d) -> (labels, d)."""
    if sizes.sed_patch_frames == sizes.frames_per_label:
        return x
    x = ops.repeat(x, sizes.sed_patch_frames, axis=1)
    return layers.AveragePooling1D(sizes.frames_per_label)(x)


def _transformer_block(x: keras.KerasTensor, sizes: TwoStepSizes, name: str, deployed: bool) -> keras.KerasTensor:
    """Attention, then two dense layers, each added to its input (Dosovitskiy et al. 2021): (n, d) -> (n, d)."""

    def prepared(x: keras.KerasTensor, branch: str) -> keras.KerasTensor:
        return normed(x, sizes.norm, f"{name}_{branch}", deployed) if sizes.norm == "layer" else x

    def dropped(x: keras.KerasTensor, branch: str) -> keras.KerasTensor:
        return x if deployed else layers.Dropout(sizes.dropout, name=f"{name}_{branch}_dropout")(x)

    result = self_attention(prepared(x, "attention"), sizes.sed_transformer_heads, f"{name}_attention", bias=False)
    x = x + dropped(result, "attention")
    result = layers.Dense(MLP_RATIO * x.shape[-1], activation="gelu", name=f"{name}_mlp")(prepared(x, "out"))
    return x + dropped(layers.Dense(x.shape[-1], name=f"{name}_out_conv")(result), "out")


def _convolutions(features: keras.KerasTensor, sizes: TwoStepSizes, deployed: bool) -> keras.KerasTensor:
    """Blocks of Conv3x3 -> BN -> context gating -> Dropout -> AvgPool: (frames, bands, 2) -> (labels, n)."""
    x = layers.Reshape((sizes.frames, 2 * sizes.bands, 1))(features)
    for number, (filters, pool) in enumerate(zip(sizes.sed_filters, sizes.sed_pools, strict=True), 1):
        name = f"block{number}"
        x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv")(x)
        x = normed(x, "batch", name, deployed)
        x = x * layers.Dense(filters, activation="sigmoid", name=f"{name}_gate")(x)
        x = x if deployed else layers.Dropout(sizes.dropout, name=f"{name}_dropout")(x)
        x = layers.AveragePooling2D(pool, name=f"{name}_pool")(x)
    return layers.Reshape((sizes.labels, -1))(x)

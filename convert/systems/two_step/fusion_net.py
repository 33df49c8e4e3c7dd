"""Two-step in Keras: the fusion net of step 2 (Yu 2025, section 2.2.2), which finds classes and their directions.

It is CST-former (`cst_former`), into whose convolutional encoder the features of step 1 are fused by the modules
of LAVT (Yang et al. 2022). Figure 1 is lost, so from the text and these two works are reconstructed:

* beams are stacked to the features, as further maps;
* one SAAM and one FIG after each convolution block. The words are the label frames, and a word is the features of the
  DoA and the SED net for its label frame, side by side: both are about the same time, and attention can weigh both
  together;
* words and pixels carry the sinusoidal encoding of their time, in queries and keys alone. The words of LAVT have
  their order from a language model; without an encoding, a pixel could not attend to the features of its own time;
* where LAVT has instance norms, there is the norm of the sizes;
* the second layer of a gate starts at zero, so that the net starts as CST-former. LAVT initialises both with zeros,
  so that no gradient would reach them;
* the head of `two-step-edge` takes the words once more and has gates: multi-ACCDOA is a direction times an activity, a
  product that a head of two dense layers has to learn. With such a head no event was found after 800 steps;
* with the activation ReLU6, which products of maps need in int8, the encoder's ReLU is limited to 6, too.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from convert.layers.attention import attended, normed, sinusoids, with_positions
from convert.systems.two_step.cst_former import cst_blocks, encoded
from convert.systems.two_step.sizes import TwoStepSizes

MULTI_ACCDOA_TRACKS = 3  # N, of each class, with an axis each for x, y, z


def build_fusion(sizes: TwoStepSizes, classes: int, deployed: bool = False) -> keras.Model:
    """Features and outputs of step 1 -> `output` (labels, 9 C), multi-ACCDOA as [track][axis][class].

    Inputs are `features` (frames, bands, 7) and, as far as the sizes ask for them, `beams` (frames, bands, K), `doa`
    (labels, D_DoA) and `sed` (labels, D_SED).

    Args:
        sizes: Sizes of the net.
        classes: Number of classes C.
        deployed: Build the form for the converter: norms folded (`blocks.fold_norms`), no dropout.
    """
    shapes: dict[str, tuple[int, ...]] = {"features": (sizes.frames, sizes.bands, 7)}
    if sizes.fuse_beams:
        shapes["beams"] = (sizes.frames, sizes.bands, sizes.tracks)
    if sizes.fuse_doa:
        shapes["doa"] = (sizes.labels, sizes.doa_hidden)
    if sizes.fuse_sed:
        shapes["sed"] = (sizes.labels, sizes.sed_hidden)
    inputs = {name: keras.Input(shape, name=name) for name, shape in shapes.items()}
    x = _stacked([inputs[name] for name in ("features", "beams") if name in inputs])
    words = _stacked([inputs[name] for name in ("doa", "sed") if name in inputs])
    for number, (filters, pool) in enumerate(zip(sizes.fusion_filters, sizes.fusion_pools, strict=True), 1):
        x = encoded(x, filters, pool, sizes, f"encoder{number}", deployed)
        if words is not None:
            x = gated(x, spatial_acoustic(x, words, sizes, f"saam{number}", deployed), f"gate{number}")
    x = cst_blocks(x, sizes, deployed)
    x = _gated_head(x, words, sizes, classes, deployed) if sizes.fusion_gated_head else _linear_head(x, sizes, classes)
    return keras.Model(inputs, {"output": x}, name="fusion")


def _linear_head(x: keras.KerasTensor, sizes: TwoStepSizes, classes: int) -> keras.KerasTensor:
    """The head of CST-former, two dense layers: (labels, n) -> (labels, 9 C)."""
    x = layers.Dense(sizes.fusion_dense_units, name="dense")(x)
    return layers.Dense(3 * MULTI_ACCDOA_TRACKS * classes, activation="tanh", dtype="float32", name="output")(x)


def _gated_head(
    x: keras.KerasTensor, words: keras.KerasTensor | None, sizes: TwoStepSizes, classes: int, deployed: bool
) -> keras.KerasTensor:
    """(labels, n) and words (labels, e) -> (labels, 9 C): a direction of each class, times its activity.

    Directions start with a length near zero, which the words can change at once; otherwise all gates would close first.
    """
    inputs = [(x, "dense")] + ([] if words is None else [(words, "told")])
    parts = [
        normed(layers.Dense(sizes.fusion_dense_units, name=f"{n}_conv")(y), "batch", n, deployed) for y, n in inputs
    ]
    x = layers.Activation(sizes.fusion_activation)(layers.Add()(parts) if words is not None else parts[0])
    x = x if words is None else _stacked([x, words])
    few, small = keras.initializers.Constant(-1.0), keras.initializers.RandomNormal(stddev=0.01)
    shape = sizes.labels, MULTI_ACCDOA_TRACKS, -1, classes
    active = layers.Dense(
        MULTI_ACCDOA_TRACKS * classes, "sigmoid", kernel_initializer=small, bias_initializer=few, name="active"
    )(x)
    direction = layers.Dense(3 * MULTI_ACCDOA_TRACKS * classes, "tanh", kernel_initializer=small, name="direction")(x)
    x = layers.Reshape(shape)(direction) * layers.Reshape(shape)(active)
    x = layers.Reshape((sizes.labels, 3 * MULTI_ACCDOA_TRACKS * classes))(x)
    return layers.Activation("linear", dtype="float32", name="output")(x)


def _stacked(parts: list[keras.KerasTensor]) -> keras.KerasTensor | None:
    return layers.Concatenate()(parts) if len(parts) > 1 else next(iter(parts), None)


def spatial_acoustic(
    x: keras.KerasTensor, words: keras.KerasTensor, sizes: TwoStepSizes, name: str, deployed: bool = False
) -> keras.KerasTensor:
    """SAAM, attention from pixels to words: pixels (t, f, c) and words (labels, e) -> (t, f, c).

    LAVT's pixel-word attention: softmax(Q K^T / sqrt c) V, times a Conv1x1 of the pixels, followed by one more Conv1x1.
    Q and V are normed. LAVT has a Conv1x1 and the norm behind the attention. As both are linear, that Conv1x1 is part
    of V here. So is the norm: while all pixels attend to nearly the same, a norm behind the attention would amplify the
    small differences, and with them the rounding errors of int8 (an SNR of 4 dB behind the second SAAM).
    """
    rows, bands, width = x.shape[1:]
    places = (np.arange(rows) + 0.5) * sizes.labels / rows - 0.5  # the middles of the rows, in labels
    query = layers.Dense(width, name=f"{name}_query_conv")(x + sinusoids(places, width)[:, None])
    query = normed(query, sizes.norm, f"{name}_query", deployed)
    key = layers.Dense(width, name=f"{name}_key")(with_positions(words))
    value = normed(layers.Dense(width, name=f"{name}_conv")(words), sizes.norm, name, deployed)
    branch = attended(layers.Reshape((rows * bands, width))(query), key, value)
    branch = layers.Reshape((rows, bands, width))(branch)
    pixels = layers.Dense(width, sizes.fusion_activation, name=f"{name}_seen")(x)
    return layers.Dense(width, sizes.fusion_activation, name=f"{name}_both")(pixels * branch)


def gated(x: keras.KerasTensor, branch: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """FIG, LAVT's language gate: x + tanh(W2 ReLU(W1 branch)) branch."""
    width = x.shape[-1]
    opened = layers.Dense(width, "relu", use_bias=False, name=f"{name}1")(branch)
    opened = layers.Dense(width, "tanh", use_bias=False, kernel_initializer="zeros", name=f"{name}2")(opened)
    return x + opened * branch

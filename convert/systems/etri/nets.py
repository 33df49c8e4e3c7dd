"""ETRI in Keras: the nets SAD, SED and DOAE (Park, Suh and Jeong, DCASE 2020 Task 3, section 3).

The text lacks how they are built, except for this: a U-shaped feature pyramid after PoolNet, which needs no choice of a
pooling size; "a dense layer" and sigmoid in SED, tanh in DOAE; TrellisNet as the global guidance of DOAE; SED has
2,143,950 parameters, DOAE 2,360,796 (14 classes, 256 bands). Reconstructed from that, from PoolNet
(`convert.layers.poolnet`) and from TrellisNet (`convert.layers.trellis`):

* filters: 32 at full size, then 64, 64 and 128 at 1/2, 1/4 and 1/8 of it, two convolutions each, each with bias and
  norm; TrellisNet with 256 units and weight norm on the mean over the bands of the top level. Of about 100,000 SED nets
  of this kind with powers of two for filters (other levels, convolutions, biases, norms and heads) and their DOAE nets,
  this pair meets both counts best: SED has 2,143,758 (192 less than the paper's), DOAE 2,360,316 (480 less);
* the head: one dense layer on all bands of each row of the finest level. Its outputs are resized to the frame rate,
  bilinear, and averaged over each label frame; the activation comes last. All but the activation is linear, so the
  result is that of maps resized to the frame rate, for a fraction of the work;
* DOAE of `etri-edge` does not output angles: it outputs the share of each class in each place of the spectrogram, and
  the device weighs the active intensity with that (`edge.systems.etri.masks`). The dense layer and tanh of the paper
  have to learn the angles of a vector from the examples of each class, and did not within the training time available;
* guidance of DOAE has no frequency: each level gets it through Conv3x1, the same in every band;
* the dilations of TrellisNet: 1, 1, 2, 4, 8, a receptive field of 17 rows of 8 frames, most of a window;
* SAD is SED with one output ("the rest of the settings are the same as the SAD network", section 3.2.2).
"""

from __future__ import annotations

import math

import keras
from keras import layers, ops

from convert.layers.blocks import conv_block
from convert.layers.poolnet import decoder, normed_conv, pyramid_pooling
from convert.layers.trellis import TrellisNet
from convert.systems.etri.sizes import EtriSizes
from edge.systems.etri.masks import INTENSITY, STEADY_LABELS
from edge.systems.etri.window import NETS


def build_sad(sizes: EtriSizes, deployed: bool = False) -> keras.Model:
    """SAD: `features` (frames, bands, 3) -> `output` (labels, 1), the probability that any class is active."""
    return build_net("sad", sizes, 1, deployed)


def build_sed(sizes: EtriSizes, classes: int, deployed: bool = False) -> keras.Model:
    """SED: `features` (frames, bands, 3) -> `output` (labels, K), the probability of each class."""
    return build_net("sed", sizes, classes, deployed)


def build_doae(sizes: EtriSizes, classes: int, deployed: bool = False) -> keras.Model:
    """DOAE: `features` (frames, bands, 10) -> `output` (labels, 2 K), K azimuths, K elevations in degrees / 180.

    With `doae_masks`, `masks` (frames / 2, bands / 2, K) in its place: see `edge.systems.etri.masks`.
    """
    return build_net("doae", sizes, 2 * classes, deployed)


def build_net(name: str, sizes: EtriSizes, outputs: int, deployed: bool) -> keras.Model:
    """Build a net: encoder, global guidance, decoder and head.

    Args:
        name: `sad`, `sed` or `doae`.
        sizes: Sizes of all three.
        outputs: Of each label frame.
        deployed: Build the form for the converter: norms folded (`blocks.fold_norms`), no dropout.
    """
    maps = NETS[name].stop - NETS[name].start
    filters: tuple[int, ...] = getattr(sizes, f"{name}_filters")
    features = keras.Input((sizes.frames, sizes.bands, maps), name="features")
    x = conv_block(features, filters[0], (2, 2), sizes.dropout, "encoder0", deployed)
    levels: list[keras.KerasTensor] = []
    for level, count in enumerate(filters[1:], 1):
        if levels:
            x = layers.MaxPooling2D(2, name=f"encoder{level}_pool")(x)
            x = x if deployed else layers.Dropout(sizes.dropout, name=f"encoder{level}_dropout")(x)
        for number in range(sizes.convolutions):
            x = normed_conv(x, count, f"encoder{level}_{number + 1}", deployed)
        levels.append(x)
    x = decoder(levels, _guidance(name, levels[-1], sizes, deployed), "decoder", deployed)
    x = layers.Dropout(sizes.dropout, name="dropout")(x) if not deployed else x
    if name == "doae" and sizes.doae_masks:
        masks = layers.Conv2D(outputs // 2, 1, activation="sigmoid", dtype="float32", name="masks")(x)
        return keras.Model({"features": features}, {"masks": masks}, name=name)
    x = _to_labels(layers.Reshape((x.shape[1], 1, -1))(x), sizes, outputs)
    activation = "tanh" if name == "doae" else "sigmoid"
    x = layers.Activation(activation, dtype="float32", name="output")(x)
    return keras.Model({"features": features}, {"output": x}, name=name)


def with_angles(doae: keras.Model, sizes: EtriSizes) -> keras.Model:
    """A DOAE with masks -> a model with the angles (labels, 2 K) that follow from them, for training.

    The device computes the same in `edge.systems.etri.masks`.
    """
    features, masks = doae.input["features"], doae.output["masks"]
    rows, bands = masks.shape[1:3]
    pool = sizes.frames // rows, sizes.bands // bands
    intensity = layers.AveragePooling2D(pool)(features[..., INTENSITY])
    x = ops.repeat(ops.matmul(ops.transpose(masks, (0, 1, 3, 2)), intensity), pool[0], axis=1)  # (frames, K, 3)
    x = layers.AveragePooling2D((sizes.frames_per_label, 1))(x)
    x = layers.AveragePooling2D((STEADY_LABELS, 1), 1, padding="same")(x)
    left, up, front = x[..., 0], x[..., 1], x[..., 2]  # in the order of the maps: y, z, x
    azimuth = ops.arctan2(left, front)
    elevation = ops.arctan2(up, ops.sqrt(ops.square(left) + ops.square(front) + 1e-9))
    return keras.Model(features, layers.Concatenate()([azimuth / math.pi, elevation / math.pi]), name="doae")


def _guidance(name: str, top: keras.KerasTensor, sizes: EtriSizes, deployed: bool) -> keras.KerasTensor:
    """The top of the pyramid (t, f, c) -> global guidance: (t, f, c) from pooling or, in DOAE, (t, 1, units)."""
    if name != "doae":
        return pyramid_pooling(top, "guidance", deployed)
    x = ops.mean(top, axis=2)
    x = TrellisNet(sizes.trellis_units, sizes.trellis_dilations, name="trellis")(x)
    return ops.expand_dims(x, 2)


def _to_labels(x: keras.KerasTensor, sizes: EtriSizes, outputs: int) -> keras.KerasTensor:
    """Rows (t, 1, n) of the finest level -> (labels, outputs) by one dense layer."""
    x = layers.Dense(outputs, name="dense")(x)
    x = ops.image.resize(x, (sizes.frames, 1), interpolation="bilinear")
    x = layers.AveragePooling2D((sizes.frames_per_label, 1))(x)
    return layers.Reshape((sizes.labels, outputs))(x)

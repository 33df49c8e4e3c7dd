"""CoLoC in Keras: conditioned localizer and classifier (Kapka, DCASE 2022 Task 3).

Two nets of one shape, each with a tiny encoder. Given known directions, the localizer finds the direction of another
source; given one direction, the classifier finds the class of the source there. They are trained separately (section
3).
"""

from __future__ import annotations

import keras
from keras import layers, ops

from convert.layers.blocks import conditioned_conv_block, conv_block, gated_bidirectional_gru
from convert.systems.coloc.distance import answers, tells_distance
from convert.systems.coloc.sizes import CrnnSizes

ENCODER_CHANNELS = 5  # c, section 3.5


def build_encoder(labels: int, name: str) -> keras.Model:
    """L_enc and C_enc: directions (labels, 3) -> embeddings (labels, c), one dense layer with tanh (section 3.5)."""
    direction = keras.Input((labels, 3), name="direction")
    embedding = layers.Dense(ENCODER_CHANNELS, activation="tanh", name="dense")(direction)
    return keras.Model({"direction": direction}, {"embedding": embedding}, name=name)


def build_crnn(
    sizes: CrnnSizes, outputs: int, activation: str, name: str, deployed: bool = False, distance: bool = False
) -> keras.Model:
    """L_net and C_net: features (frames, bands, maps) and embedding (labels, c) -> (labels, outputs) (section 3.5).

    The flattening before the GRU is frequency-major, the baseline's is channel-major: the same function up to a
    permutation of weights, with one transposition less on the device.

    Args:
        sizes: Sizes of the net.
        outputs: Of the last layer.
        activation: Of the last layer.
        name: Of the model.
        deployed: Build the form for the converter: norms folded (`blocks.fold_norms`), GRU unrolled.
        distance: Give the net the output `distance`, too.
    """
    features = keras.Input((sizes.frames, sizes.bands, sizes.maps), name="features")
    embedding = keras.Input((sizes.labels, ENCODER_CHANNELS), name="embedding")
    x = conditioned_conv_block(features, embedding, sizes.filters[0], sizes.pools[0], sizes.dropout, "block1", deployed)
    for number in (1, 2):
        x = conv_block(x, sizes.filters[number], sizes.pools[number], sizes.dropout, f"block{number + 1}", deployed)
    x = layers.Reshape((sizes.labels, -1))(x)
    x = gated_bidirectional_gru(x, sizes.gru_units, "gru", deployed, sizes.random_look_ahead)
    x = layers.Dense(sizes.dense_units, name="dense")(x)
    found = answers(x, outputs, activation, distance)
    return keras.Model({"features": features, "embedding": embedding}, found, name=name)


def build_localizer(sizes: CrnnSizes, deployed: bool = False) -> keras.Model:
    """L_net: 3 outputs with tanh, a direction whose length tells whether there is a source."""
    return build_crnn(sizes, 3, "tanh", "localizer", deployed)


def build_classifier(sizes: CrnnSizes, classes: int, deployed: bool = False, distance: bool = False) -> keras.Model:
    """C_net: K + 1 outputs with softmax; the last is "none of the classes" (section 2.4)."""
    return build_crnn(sizes, classes + 1, "softmax", "classifier", deployed, distance)


def build_trainable(encoder: keras.Model, net: keras.Model) -> keras.Model:
    """Encoder and net as one model: `directions` (labels, slots, 3), `weights` (labels, slots), `features` -> output.

    The embedding is the weighted sum over the slots (section 2.3, step n): weights are 1 / r for r known directions.
    The output of a net that tells a distance has that behind the others.
    """
    features = keras.Input(net.get_layer("features").output.shape[1:], name="features")
    labels = net.get_layer("embedding").output.shape[1]
    directions = keras.Input((labels, None, 3), name="directions")
    weights = keras.Input((labels, None), name="weights")
    embeddings = encoder.get_layer("dense")(directions)  # (labels, slots, c)
    embedding = ops.sum(embeddings * ops.expand_dims(weights, -1), axis=2)
    found = net({"features": features, "embedding": embedding})
    output = ops.concatenate([found["output"], found["distance"]], axis=-1) if tells_distance(net) else found["output"]
    return keras.Model({"features": features, "directions": directions, "weights": weights}, output, name=net.name)

"""CoLoC in Keras with causal nets: all passes of a label frame are answered as soon as that label frame is heard.

The convolutions look back only and know nothing of the condition, so the *trunk* is computed once for all passes. The
condition enters behind it, label frame by label frame, and a forward recurrence follows. Sets are generated in sequence
as in the paper (section 2.3). What the nets may look ahead they look ahead once: they answer `look_ahead` label frames
late.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from convert.layers.blocks import conv_block
from convert.systems.coloc.distance import answers
from convert.systems.coloc.nets import ENCODER_CHANNELS
from convert.systems.coloc.sizes import CrnnSizes


def build_causal_crnn(
    sizes: CrnnSizes,
    look_ahead: int,
    outputs: int,
    activation: str,
    name: str,
    deployed: bool = False,
    distance: bool = False,
) -> keras.Model:
    """Causal L_net or C_net: features (frames, bands, maps) and embedding (labels, c) -> (labels, outputs).

    Behind the end of a window the trunk hears `look_ahead` label frames of zeros.

    Args:
        sizes: Sizes of the net.
        look_ahead: Label frames heard after the one that is answered.
        outputs: Of the last layer.
        activation: Of the last layer.
        name: Of the model.
        deployed: Build the form for the converter: norms folded (`blocks.fold_norms`), GRU unrolled.
        distance: Give the net the output `distance`, too.
    """
    features = keras.Input((sizes.frames, sizes.bands, sizes.maps), name="features")
    embedding = keras.Input((sizes.labels, ENCODER_CHANNELS), name="embedding")
    x = layers.ZeroPadding2D(((0, look_ahead * sizes.frames_per_label), (0, 0)))(features)
    for number, pool in enumerate(sizes.pools):
        block = f"block{number + 1}"
        x = conv_block(x, sizes.filters[number], pool, sizes.dropout, block, deployed, causal=True)
    x = layers.Reshape((sizes.labels, x.shape[2] * x.shape[3]))(x[:, look_ahead:])
    x = conditioned(x, embedding, sizes.condition_units)
    if not deployed:
        x = layers.Dropout(sizes.dropout, name="condition_dropout")(x)
    for layer in (1, 2):
        x = layers.GRU(sizes.gru_units, return_sequences=True, unroll=deployed, name=f"gru{layer}")(x)
    x = layers.Dense(sizes.dense_units, name="dense")(x)
    found = answers(x, outputs, activation, distance)
    return keras.Model({"features": features, "embedding": embedding}, found, name=name)


def conditioned(rows: keras.KerasTensor, embedding: keras.KerasTensor, units: int) -> keras.KerasTensor:
    """Rows (T, n) and embeddings (T, c) of the same label frames -> (T, units).

    The embedding scales and shifts a projection of the row (FiLM: Perez et al. 2018, arXiv 1709.07871), then ReLU.
    """
    projected = layers.Dense(units, use_bias=False, name="condition_rows")(rows)
    scale = layers.Dense(units, bias_initializer="ones", name="condition_scale")(embedding)
    shift = layers.Dense(units, name="condition_shift")(embedding)
    return ops.relu(projected * scale + shift)

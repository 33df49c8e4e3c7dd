"""The step nets of causal CoLoC: a trained stage, cut into a trunk and a pass that take one label frame at a time.

They are built in the form for the converter, carry their state as inputs and outputs, and take their weights from the
trained stage. `edge.systems.coloc.causal` is the loop over them.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from convert.layers.blocks import folded_weights
from convert.systems.coloc.causal_nets import conditioned
from convert.systems.coloc.distance import answers, tells_distance
from convert.systems.coloc.nets import ENCODER_CHANNELS
from convert.systems.coloc.sizes import CrnnSizes
from convert.systems.coloc.step_nets import convolved, unrolled


def build_causal_steps(sizes: CrnnSizes, trained: keras.Model) -> dict[str, keras.Model]:
    """The trunk and the pass of a trained stage, by name, in the order in which the device asks them."""
    nets = build_trunk(sizes, trained), build_pass(sizes, trained)
    return {net.name: net for net in nets}


def build_trunk(sizes: CrnnSizes, trained: keras.Model) -> keras.Model:
    """The convolutions: `features` of a label frame -> its `shared_labels` (1, bands, filters).

    The states are the last two rows that each convolution was given: frames for the first one, then label frames.
    """
    x = features = keras.Input((sizes.frames_per_label, sizes.bands, sizes.maps), name="features")
    inputs, outputs = {"features": features}, {}
    for number, (state, pool) in enumerate(zip(("first", "second", "third"), sizes.pools, strict=True)):
        before = keras.Input((2, *x.shape[2:]), name=f"state_{state}")
        x = layers.Concatenate(axis=1)([before, x])
        inputs[before.name], outputs[before.name] = before, x[:, -2:]
        x = layers.ReLU()(layers.MaxPooling2D(pool)(convolved(x, sizes.filters[number], f"block{number + 1}_conv")))
    model = keras.Model(inputs, {"shared_labels": x, **outputs}, name=f"{trained.name}_trunk")
    for block in ("block1", "block2", "block3"):
        kernel, bias, _ = folded_weights(trained, block)
        model.get_layer(f"{block}_conv").set_weights([kernel, bias])
    return model


def build_pass(sizes: CrnnSizes, trained: keras.Model) -> keras.Model:
    """Condition and recurrence: `shared_labels` and `embedding` (1, c) of a label frame -> `output` (1, outputs).

    And `distance` (1, 1), if the trained stage has it.
    """
    last = trained.get_layer("output")
    bands = sizes.pooled_bands
    shared = keras.Input((1, bands, sizes.filters[2]), name="shared_labels")
    embedding = keras.Input((1, ENCODER_CHANNELS), name="embedding")
    inputs, after = {"shared_labels": shared, "embedding": embedding}, {}
    x = conditioned(layers.Reshape((1, bands * sizes.filters[2]))(shared), embedding, sizes.condition_units)
    weights: dict[str, list[np.ndarray]] = {}
    for layer in (1, 2):
        before = keras.Input((1, sizes.gru_units), name=f"state_forward{layer}")
        gru = trained.get_layer(f"gru{layer}")
        (state,), layer_weights = unrolled(x, before[:, 0], gru.name, gru.get_weights())
        weights |= layer_weights
        # one tensor for incoming and outgoing states gives both the same scale in int8
        x = ops.stack([before[:, 0], state], axis=1)[:, 1:]
        inputs[before.name], after[before.name] = before, x
    x = layers.Dense(sizes.dense_units, name="dense")(x)
    found = answers(x, last.units, keras.activations.serialize(last.activation), tells_distance(trained))
    model = keras.Model(inputs, {**found, **after}, name=f"{trained.name}_pass")
    for name in ("condition_rows", "condition_scale", "condition_shift", "dense", *found):
        weights[name] = trained.get_layer(name).get_weights()
    for name, values in weights.items():
        model.get_layer(name).set_weights(values)
    return model

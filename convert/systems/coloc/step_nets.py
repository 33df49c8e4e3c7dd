"""The step nets of CoLoC: a stage trained on windows, cut into nets that take one label frame and carry their state.

They are built in the form for the converter and take their weights from a trained stage. Along time every size but that
of the states is free, so that one net also takes a whole clip at once. `edge.systems.coloc.passes` describes what
each net computes; tests compare the two bit by bit.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from convert.layers.blocks import folded_weights
from convert.systems.coloc.distance import answers, tells_distance
from convert.systems.coloc.nets import ENCODER_CHANNELS, CrnnSizes
from edge.systems.coloc.passes import LONGEST_HOP


def build_steps(sizes: CrnnSizes, trained: keras.Model, look_ahead: int) -> dict[str, keras.Model]:
    """The step nets of a trained stage by name, each before the one that takes its output.

    Args:
        sizes: Those of the trained net.
        trained: The localizer or the classifier.
        look_ahead: Label frames of look-ahead of the recurrence.
    """
    stage, last = trained.name, trained.get_layer("output")
    activation = keras.activations.serialize(last.activation)
    nets = (
        build_front(sizes, trained, f"{stage}_front"),
        build_blocks(sizes, trained, f"{stage}_blocks"),
        build_recurrence(sizes, trained, look_ahead, last.units, activation, f"{stage}_recurrence"),
    )
    return {net.name: net for net in nets}


def build_front(sizes: CrnnSizes, trained: keras.Model, name: str) -> keras.Model:
    """The first convolution, pooled over frequency: `features` of a label frame -> `shared_maps` of the one before.

    Pooling over frequency before the condition is added gives the same: the condition is the same in every band.
    """
    per_label, pool = sizes.frames_per_label, sizes.frequency_pools[0]
    bands, filters = sizes.bands // pool, sizes.filters[0]
    features = keras.Input((per_label, sizes.bands, sizes.maps), name="features")
    last_features = keras.Input((2, sizes.bands, sizes.maps), name="state_features")
    last_frames = keras.Input((per_label - 1, bands, filters), name="state_frames")  # of the label frame before
    x = layers.Concatenate(axis=1)([last_features, features])
    x_pooled = convolved(x, filters, "block1_conv")
    x_pooled = layers.MaxPooling2D((1, pool))(x_pooled)
    frames = layers.Concatenate(axis=1)([last_frames, x_pooled])
    outputs = {
        "shared_maps": frames[:, : 1 - per_label],
        "state_features": x[:, -2:],
        "state_frames": frames[:, 1 - per_label :],
    }
    model = keras.Model(
        {"features": features, "state_features": last_features, "state_frames": last_frames}, outputs, name=name
    )
    kernel, bias, _ = folded_weights(trained, "block1")
    model.get_layer("block1_conv").set_weights([kernel, bias])
    return model


def build_blocks(sizes: CrnnSizes, trained: keras.Model, name: str) -> keras.Model:
    """The other convolutions: `shared_maps` and `condition` (frames + 2, 1, c) -> `shared_labels` two labels before."""
    per_label, filters = sizes.frames_per_label, sizes.filters
    bands = [sizes.bands // sizes.frequency_pools[0]]
    bands.append(bands[0] // sizes.frequency_pools[1])
    maps = keras.Input((per_label, bands[0], filters[0]), name="shared_maps")
    condition = keras.Input((per_label + 2, 1, ENCODER_CHANNELS), name="condition")
    inputs = {"shared_maps": maps, "condition": condition}
    outputs = {}
    shift = layers.Conv2D(filters[0], (3, 1), use_bias=False, name="block1_condition")(condition)
    x = layers.ReLU()(layers.MaxPooling2D((per_label, 1))(maps + shift))
    for number, state in ((1, "state_second"), (2, "state_third")):
        before = keras.Input((2, bands[number - 1], filters[number - 1]), name=state)
        inputs[state] = before
        x = layers.Concatenate(axis=1)([before, x])
        outputs[state] = x[:, -2:]
        x = convolved(x, filters[number], f"block{number + 1}_conv")
        x = layers.ReLU()(layers.MaxPooling2D((1, sizes.frequency_pools[number]))(x))
    model = keras.Model(inputs, {"shared_labels": x, **outputs}, name=name)
    _, _, condition_kernel = folded_weights(trained, "block1")
    model.get_layer("block1_condition").set_weights(
        [condition_kernel.sum(axis=1, keepdims=True)]
    )  # the same in every band
    for block in ("block2", "block3"):
        kernel, bias, _ = folded_weights(trained, block)
        model.get_layer(f"{block}_conv").set_weights([kernel, bias])
    return model


def build_recurrence(
    sizes: CrnnSizes, trained: keras.Model, look_ahead: int, outputs: int, activation: str, name: str
) -> keras.Model:
    """The GRU and the output: `shared_labels` of look_ahead + 1 label frames -> `output` of the first `LONGEST_HOP`.

    Inputs are the forward states before the first label frame, outputs those after each of the first `LONGEST_HOP`; the
    backward halves begin at the last label frame. Layer 2 runs forward only as far as its outputs are used. A trained
    net that tells a distance gives `distance` of the same label frames.

    Args:
        sizes: Those of the trained net.
        trained: The localizer or the classifier.
        look_ahead: Label frames of look-ahead.
        outputs: Of the last layer.
        activation: Of the last layer.
        name: Of the model.
    """
    labels, hops, units = look_ahead + 1, min(LONGEST_HOP, look_ahead + 1), sizes.gru_units
    bands = sizes.pooled_bands
    shared = keras.Input((labels, bands, sizes.filters[2]), name="shared_labels")
    inputs, after = {"shared_labels": shared}, {}
    rows = layers.Reshape((labels, bands * sizes.filters[2]))(shared)
    gru_weights: dict[str, list[np.ndarray]] = {}
    for layer in (1, 2):
        before = keras.Input((1, units), name=f"state_forward{layer}")
        inputs[before.name] = before
        weights = trained.get_layer(f"gru{layer}_both").get_weights()
        first = before[:, 0]
        ahead_count = labels if layer == 1 else hops
        ahead, ahead_weights = unrolled(rows[:, :ahead_count], first, f"ahead{layer}", weights[:3])
        back, back_weights = unrolled(rows[:, ::-1], None, f"back{layer}", weights[3:])
        gru_weights |= ahead_weights | back_weights
        # one tensor for incoming and outgoing states gives both the same scale in int8
        carried = ops.stack([first, *ahead[:hops]], axis=1)
        after[before.name] = carried[:, 1:]
        both = [ops.concatenate(pair, axis=-1) for pair in zip(ahead, back[::-1], strict=False)]
        rows = ops.stack(both, axis=1)
    x = ops.tanh(rows)
    x = x[..., units:] * x[..., :units]
    x = layers.Dense(sizes.dense_units, name="dense")(x)
    found = answers(x, outputs, activation, tells_distance(trained))
    model = keras.Model(inputs, {**found, **after}, name=name)
    for layer_name in ("dense", *found):
        model.get_layer(layer_name).set_weights(trained.get_layer(layer_name).get_weights())
    for layer_name, values in gru_weights.items():
        model.get_layer(layer_name).set_weights(values)
    return model


def convolved(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Conv3x3, valid in time and padded with zeros in frequency."""
    x = layers.ZeroPadding2D(((0, 0), (1, 1)))(x)
    return layers.Conv2D(filters, 3, name=name)(x)


def unrolled(
    rows: keras.KerasTensor, state: keras.KerasTensor | None, name: str, weights: list[np.ndarray]
) -> tuple[list[keras.KerasTensor], dict[str, list[np.ndarray]]]:
    """The states (units,) of a GRU after each of the rows (T, n), and the weights of its layers by name."""
    kernel, recurrent, bias = weights
    units = len(recurrent)
    project = layers.Dense(3 * units, name=f"{name}_project")
    recur = layers.Dense(3 * units, name=f"{name}_recur")
    projected = project(rows)
    states = []
    for index in range(rows.shape[1]):
        outer = projected[:, index]
        if state is None:
            state = ops.zeros_like(outer[:, :units])
        inner = recur(state)
        gates = ops.sigmoid(outer[:, : 2 * units] + inner[:, : 2 * units])
        update, reset = gates[:, :units], gates[:, units:]
        candidate = ops.tanh(outer[:, 2 * units :] + reset * inner[:, 2 * units :])
        state = update * state + (1.0 - update) * candidate
        states.append(state)
    return states, {f"{name}_project": [kernel, bias[0]], f"{name}_recur": [recurrent, bias[1]]}

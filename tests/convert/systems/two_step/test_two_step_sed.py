"""The SED net of two-step: its sizes, its blocks against their equations, and that it is the same in int8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from convert.layers.attention import NORMS
from convert.layers.blocks import fold_norms
from convert.layers.poolnet import resized
from convert.quantize.converter import to_tflite
from convert.quantize.ladder import snr_db
from convert.systems.two_step.sed_net import build_sed, label_means
from convert.systems.two_step.sizes import TwoStepSizes
from convert.training.recipes import find_recipe
from edge.nets.net import LiteRtNet

EDGE_SIZES, PAPER_SIZES = (find_recipe(name).sizes for name in ("two-step-edge", "two-step-paper"))

Unsettle = Callable[[keras.Model, int], None]
CLASSES = 3
TINY = replace(
    EDGE_SIZES,
    frames=30,
    sed_filters=(3, 4, 6),
    sed_pools=((5, 4), (1, 4), (1, 8)),
    sed_transformer_width=8,
    sed_transformer_depth=1,
    sed_transformer_heads=2,
    sed_dense_units=6,
    sed_gru_units=4,
    sed_hidden=5,
)


def examples(count: int, seed: int = 0, sizes: TwoStepSizes = TINY) -> np.ndarray:
    """Features that come and go with the bands and with time, as sounds do."""
    rng = np.random.default_rng(seed)
    shape = (count, sizes.frames, sizes.bands, 2)
    slow = ops.convert_to_numpy(resized(rng.normal(size=(count, 5, 4, 2)).astype(np.float32), *shape[1:3]))
    return (1.5 * slow + 0.5 * rng.normal(size=shape)).astype(np.float32)


def outputs(model: keras.Model, features: np.ndarray) -> dict[str, np.ndarray]:
    return {name: ops.convert_to_numpy(y) for name, y in model({"features": features}, training=False).items()}


def at(model: keras.Model, layer: str, features: np.ndarray) -> np.ndarray:
    """What a layer gives."""
    return ops.convert_to_numpy(keras.Model(model.input, model.get_layer(layer).output)({"features": features}))


def settle(model: keras.Model, features: np.ndarray) -> None:
    """Give the norms the statistics of what they see, as a training does."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model({"features": features}, training=True)


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def transformer_parameters(width: int, depth: int, patches: int, patch: int) -> int:
    """Of ATST-Frame, from its description."""
    block = 2 * 2 * width + 3 * width**2 + width**2 + width + 8 * width**2 + 5 * width
    return (patch + 1) * width + patches * width + depth * block + 2 * width


def test_the_sizes_of_the_paper() -> None:
    sizes = replace(PAPER_SIZES, sed_transformer_depth=1)  # twelve take half a minute and say no more
    net = build_sed(sizes, 13)
    assert net.input["features"].shape[1:] == (250, 64, 2)
    assert {name: y.shape[1:] for name, y in net.output.items()} == {"output": (50, 6 * 13), "hidden": (50, 64)}
    branch = sum(
        int(np.prod(weight.shape))
        for layer in net.layers
        if layer.name.startswith(("patches", "positions", "transformer"))
        for weight in layer.trainable_weights
    )
    assert branch == transformer_parameters(768, 1, 125, 2 * 64)
    assert transformer_parameters(768, 12, 250, 4 * 64) == pytest.approx(85e6, rel=0.01)  # of ATST-Frame
    without = build_sed(replace(sizes, sed_transformer_depth=0), 13)
    assert trainable(net) - trainable(without) == branch + 768 * 128  # that the dense layer hears
    assert without.get_layer("dense").input.shape[1:] == (50, 128)
    assert without.get_layer("gru2_both").output.shape[1:] == (50, 256)


def test_the_edge_sizes() -> None:
    net = build_sed(EDGE_SIZES, 13)
    assert net.input["features"].shape[1:] == (250, 64, 2)
    assert {name: y.shape[1:] for name, y in net.output.items()} == {"output": (50, 3 * 13), "hidden": (50, 48)}
    assert trainable(net) == 571_255


def test_the_convolutions_hear_128_bands_in_their_order(unsettle: Unsettle) -> None:
    """Conv3x3 -> BN -> context gating -> AvgPool, written out."""
    net = build_sed(TINY, CLASSES)
    unsettle(net, 0)
    x = examples(1)
    bands = np.stack([x[0, :, band // 2, band % 2] for band in range(128)], axis=-1)[..., None]
    kernel, bias = net.get_layer("block1_conv").get_weights()
    padded = np.pad(bands, ((1, 1), (1, 1), (0, 0)))
    y = bias + sum(padded[t : t + 30, f : f + 128] @ kernel[t, f] for t in range(3) for f in range(3))
    gamma, beta, mean, variance = net.get_layer("block1_norm").get_weights()
    y = (y - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    gate, gate_bias = net.get_layer("block1_gate").get_weights()
    y = y / (1 + np.exp(-(y @ gate + gate_bias)))
    y = y.reshape(6, 5, 32, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(at(net, "block1_pool", x)[0], y, atol=1e-3 * np.abs(y).max())


@pytest.mark.parametrize("patch", [1, 2, 3, 5, 6, 10, 15])
def test_a_label_hears_each_patch_by_the_share_of_it_that_it_fills(patch: int) -> None:
    patches = keras.Input((TINY.frames // patch, 8))
    net = keras.Model(patches, label_means(patches, replace(TINY, sed_patch_frames=patch)))
    x = np.random.default_rng(0).normal(size=patches.shape[1:]).astype(np.float32)
    frames = np.repeat(x, patch, axis=0)
    told = ops.convert_to_numpy(net(x[None]))[0]
    np.testing.assert_allclose(told, frames.reshape(TINY.labels, 5, 8).mean(axis=1), atol=1e-5)


def test_the_transformer_hears_means_of_neighbouring_bands() -> None:
    net = build_sed(TINY, CLASSES)
    x = examples(2)
    swapped = x[..., ::-1]  # neighbours change places: their means stay
    np.testing.assert_allclose(at(net, "positions", x), at(net, "positions", swapped), atol=1e-5)
    assert np.abs(at(net, "block3_pool", x) - at(net, "block3_pool", swapped)).max() > 1e-3


def test_positions_are_learned() -> None:
    net = build_sed(TINY, CLASSES)
    (positions,) = net.get_layer("positions").trainable_weights
    assert positions.shape == (6, 8)
    x = examples(1)
    added = at(net, "positions", x) - at(net, "patches", x)
    np.testing.assert_allclose(added[0], ops.convert_to_numpy(positions), atol=1e-5)


def test_outputs_are_probabilities_of_what_the_hidden_features_say() -> None:
    net = build_sed(TINY, CLASSES)
    y = outputs(net, 10 * examples(2))
    kernel, bias = net.get_layer("output").get_weights()
    np.testing.assert_allclose(y["output"], 1 / (1 + np.exp(-(y["hidden"] @ kernel + bias))), atol=1e-5)
    assert y["output"].shape == (2, TINY.labels, TINY.tracks * CLASSES)


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("norm", NORMS)
def test_a_deployed_net_with_folded_norms_is_the_trained_one(norm: str, depth: int, unsettle: Unsettle) -> None:
    sizes = replace(TINY, norm=norm, sed_transformer_depth=depth)
    trained, deployed = build_sed(sizes, CLASSES), build_sed(sizes, CLASSES, deployed=True)
    unsettle(trained, 0)
    settle(trained, examples(16, seed=9))
    x = examples(3)
    wanted, before = outputs(trained, x), outputs(deployed, x)
    assert np.abs(before["output"] - wanted["output"]).max() > 1e-2
    fold_norms(trained, deployed)
    got = outputs(deployed, x)
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], atol=1e-4)
    kinds = (keras.layers.BatchNormalization, keras.layers.LayerNormalization, keras.layers.Dropout)
    assert any(isinstance(layer, kinds) for layer in trained.layers)
    assert not any(isinstance(layer, kinds) for layer in deployed.layers)


@pytest.mark.long  # that of the fusion net has layers of both
def test_an_int8_net_has_no_float_tensor(unsettle: Unsettle) -> None:
    sizes = replace(TINY, frames=15)
    trained, deployed = build_sed(sizes, CLASSES), build_sed(sizes, CLASSES, deployed=True)
    unsettle(trained, 0)
    settle(trained, examples(16, 9, sizes))
    fold_norms(trained, deployed)
    net = LiteRtNet(to_tflite(deployed, [{"features": maps} for maps in examples(20, 1, sizes)]))
    assert net.output_shapes == {"output": (3, TINY.tracks * CLASSES), "hidden": (3, 5)}
    types = net.tensor_types()
    assert types["int8"] > 0
    assert not [name for name in types if name.startswith("float")]
    x = examples(8, 2, sizes)
    wanted = outputs(trained, x)
    answers = [net(features=maps) for maps in x]
    for name, reference in wanted.items():
        assert snr_db(reference, np.stack([answer[name] for answer in answers])) > 12.0

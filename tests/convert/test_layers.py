"""Keras blocks against the textbook form, and the files that have to run on any backend."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from convert.layers import conditioned_conv_block, conv_block, gated_bidirectional_gru

ROOT = Path(__file__).parents[2]


@cache
def reached(path: Path) -> set[str]:
    """Top-level packages that a file imports, wherever in it, itself or through files of this project."""
    packages: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for module in modules:
            file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
            packages |= reached(file) if file.is_file() else {module.partition(".")[0]}
    return packages


@pytest.mark.parametrize("file", ["layers.py", "losses.py", "systems/coloc.py"])
def test_nets_and_losses_know_no_backend(file: str) -> None:
    packages = reached(ROOT / "convert" / file)
    assert "keras" in packages
    assert not packages & {"tensorflow", "tf_keras", "torch", "jax"}


@pytest.mark.parametrize("file", ["quantize.py", "export.py"])  # itself, and through others
def test_the_check_of_imports_sees_tensorflow(file: str) -> None:
    assert "tensorflow" in reached(ROOT / "convert" / file)


def test_a_condition_is_a_convolution_over_the_stacked_maps() -> None:
    frames, labels, bands, maps, channels, filters = 10, 2, 6, 3, 4, 5
    rng = np.random.default_rng(0)
    features = keras.Input((frames, bands, maps))
    condition = keras.Input((labels, channels))
    block = conditioned_conv_block(features, condition, filters, (1, 1), 0.0, "block", deployed=True)
    model = keras.Model([features, condition], block)
    kernel = rng.normal(size=(3, 3, maps, filters)).astype(np.float32)
    told_kernel = rng.normal(size=(3, 3, channels, filters)).astype(np.float32)
    bias = rng.normal(size=filters).astype(np.float32)
    model.get_layer("block_conv").set_weights([kernel, bias])
    model.get_layer("block_condition").set_weights([told_kernel])
    x = rng.normal(size=(2, frames, bands, maps)).astype(np.float32)
    c = rng.normal(size=(2, labels, channels)).astype(np.float32)

    repeated = np.repeat(c, frames // labels, axis=1)[:, :, None].repeat(bands, axis=2)
    stacked = np.concatenate([x, repeated], axis=-1)
    stacked_kernel = np.concatenate([kernel, told_kernel], axis=2)
    expected = np.maximum(ops.convert_to_numpy(ops.conv(stacked, stacked_kernel, padding="same")) + bias, 0)
    got = ops.convert_to_numpy(model([x, c]))
    np.testing.assert_allclose(got[:, :, 1:-1], expected[:, :, 1:-1], atol=1e-4)
    assert np.abs(got - expected)[:, :, [0, -1]].max() > 0.1  # the two outer bands see the condition beyond the edge
    assert model.count_params() == stacked_kernel.size + bias.size


@pytest.mark.parametrize("pool", [(5, 4), (1, 2)])
def test_pool_before_relu_is_relu_before_pool(pool: tuple[int, int]) -> None:
    inputs = keras.Input((10, 8, 2))
    model = keras.Model(inputs, conv_block(inputs, 3, pool, 0.1, "block"))
    x = np.random.default_rng(0).normal(size=(2, 10, 8, 2)).astype(np.float32)
    kernel, bias = model.get_layer("block_conv").get_weights()
    norm = model.get_layer("block_norm")
    gamma = np.array([1.0, -2.0, 0.5], np.float32)  # a negative one: ReLU and pool come after the norm
    norm.set_weights([gamma, *norm.get_weights()[1:]])
    y = ops.conv(x, kernel, padding="same") + bias
    y = keras.layers.MaxPooling2D(pool)(ops.relu(norm(y)))
    np.testing.assert_allclose(ops.convert_to_numpy(model(x)), ops.convert_to_numpy(y), atol=1e-5)
    assert model.output.shape[1:] == (10 // pool[0], 8 // pool[1], 3)


def test_the_gated_gru_multiplies_its_directions_and_unrolls_to_the_same() -> None:
    units = 3
    x = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    nets = []
    for deployed in (False, True):
        inputs = keras.Input((4, 5))
        nets.append(keras.Model(inputs, gated_bidirectional_gru(inputs, units, "gru", deployed)))
    loop, unrolled = nets
    for layer in ("gru1_both", "gru2_both"):
        unrolled.get_layer(layer).set_weights(loop.get_layer(layer).get_weights())
    second = keras.Model(loop.input, loop.get_layer("gru2_both").output)
    both = np.tanh(ops.convert_to_numpy(second(x)))
    expected = both[..., :units] * both[..., units:]
    assert expected.shape == (2, 4, units)
    np.testing.assert_allclose(ops.convert_to_numpy(loop(x)), expected, atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(unrolled(x)), expected, atol=1e-5)

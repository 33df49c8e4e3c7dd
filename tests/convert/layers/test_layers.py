"""Keras blocks against the textbook form, and the files that have to run on any backend."""

from __future__ import annotations

import ast
import itertools
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from convert.layers.blocks import (
    RandomLookAhead,
    ResettableGRU,
    conditioned_conv_block,
    conv_block,
    gated_bidirectional_gru,
)
from tests.paths import ROOT


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


@pytest.mark.parametrize("file", ["layers/blocks.py", "losses.py", "systems/coloc/system.py", "training/trainer.py"])
def test_nets_and_losses_know_no_backend(file: str) -> None:
    packages = reached(ROOT / "convert" / file)
    assert "keras" in packages
    assert not packages & {"tensorflow", "tf_keras", "torch", "jax"}


@pytest.mark.parametrize("file", ["quantize/converter.py", "quantize/export.py"])  # itself, and through others
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


def look_ahead_masks(longest: int, whole_share: float, labels: int = 50, count: int = 400) -> np.ndarray:
    """Masks (count, labels) as drawn in training."""
    keras.utils.set_random_seed(0)
    layer = RandomLookAhead(longest, whole_share)
    return ops.convert_to_numpy(layer(np.zeros((count, labels, 4), np.float32), training=True))[..., 0]


def runs_of(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of labels that a mask (labels,) cuts; the first and the last may be cut off."""
    ends = np.flatnonzero(mask[:-1] == 0) + 1
    return np.diff(np.concatenate([[0], ends, [len(mask)]])).tolist()


def test_runs_are_as_long_as_one_random_length_per_example() -> None:
    longest, masks = 12, look_ahead_masks(12, 0.0)
    assert set(np.unique(masks)) == {0, 1}
    inner = [runs_of(mask)[1:-1] for mask in masks]
    for runs in inner:
        assert runs
        assert max(runs) - min(runs) <= 1
    lengths = np.array([np.mean(runs) for runs in inner])
    assert 1 <= lengths.min() < 1.2
    assert 11 < lengths.max() <= longest
    assert np.median(lengths) == pytest.approx(np.sqrt(longest), rel=0.25)  # log-uniform
    first = {runs_of(mask)[0] for mask in masks}
    assert len(first) > 6  # runs begin anywhere


def test_as_many_examples_are_left_whole_as_asked() -> None:
    whole = np.mean(look_ahead_masks(12, 0.3).min(axis=1) == 1)
    assert whole == pytest.approx(0.3, abs=0.08)
    assert look_ahead_masks(12, 1.0).min() == 1
    assert look_ahead_masks(1, 0.0).max() == 0  # no look-ahead at all


@pytest.mark.parametrize("training", [False, None])
def test_outside_of_training_nothing_is_cut(training: bool | None) -> None:
    layer = RandomLookAhead(12, 0.0)
    mask = ops.convert_to_numpy(layer(np.zeros((3, 50, 4), np.float32), training=training))
    np.testing.assert_array_equal(mask, np.ones((3, 50, 1)))


@pytest.fixture
def recurrence() -> tuple[ResettableGRU, keras.layers.Layer, np.ndarray]:
    """A resettable GRU, the usual one with its weights, and an input (2, 9, 5)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 9, 5)).astype(np.float32)
    own = ResettableGRU(3)
    own(x, np.ones((2, 9, 1), np.float32))
    own.set_weights([rng.normal(size=weight.shape).astype(np.float32) for weight in own.get_weights()])
    usual = keras.layers.Bidirectional(keras.layers.GRU(3, return_sequences=True))
    usual.build(x.shape)
    usual.set_weights(own.get_weights())  # in the same order
    return own, usual, x


def test_without_cuts_it_is_a_bidirectional_gru(recurrence: tuple) -> None:
    own, usual, x = recurrence
    both = ops.convert_to_numpy(own(x, np.ones((2, 9, 1), np.float32)))
    assert both.shape == (2, 9, 6)
    np.testing.assert_allclose(both, ops.convert_to_numpy(usual(x)), atol=1e-5)
    assert [tuple(weight.shape) for weight in own.weights] == [tuple(weight.shape) for weight in usual.weights]


def test_cuts_part_the_backward_half_into_runs(recurrence: tuple) -> None:
    own, usual, x = recurrence
    ends = {0: (2, 3, 7), 1: (5,)}  # of each example
    keep = np.ones((2, 9, 1), np.float32)
    for example, labels in ends.items():
        keep[example, list(labels)] = 0
    both = ops.convert_to_numpy(own(x, keep))
    np.testing.assert_allclose(both[..., :3], ops.convert_to_numpy(usual(x))[..., :3], atol=1e-5)
    for example, labels in ends.items():
        for first, last in itertools.pairwise((-1, *labels, 8)):
            run = x[[example], first + 1 : last + 1]
            alone = ops.convert_to_numpy(usual.backward_layer(run))[:, ::-1]
            np.testing.assert_allclose(both[[example], first + 1 : last + 1, 3:], alone, atol=1e-5)
    whole = ops.convert_to_numpy(own(x, np.ones((2, 9, 1), np.float32)))
    assert np.abs(both - whole)[..., 3:].max() > 0.01


def test_the_gated_gru_hides_the_future_in_training_alone() -> None:
    inputs = keras.Input((20, 5))
    net = keras.Model(inputs, gated_bidirectional_gru(inputs, 3, "gru"))
    x = np.random.default_rng(0).normal(size=(8, 20, 5)).astype(np.float32)
    asked = [ops.convert_to_numpy(net(x, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*asked)
    trained = [ops.convert_to_numpy(net(x, training=True)) for _ in range(2)]
    assert np.abs(trained[0] - asked[0]).max() > 1e-3
    assert np.abs(trained[0] - trained[1]).max() > 1e-3


def test_without_a_random_look_ahead_it_hears_the_whole_window_in_training_too() -> None:
    inputs = keras.Input((20, 5))
    net = keras.Model(inputs, gated_bidirectional_gru(inputs, 3, "gru", random_look_ahead=False))
    x = np.random.default_rng(0).normal(size=(8, 20, 5)).astype(np.float32)
    asked, trained = (ops.convert_to_numpy(net(x, training=training)) for training in (False, True))
    np.testing.assert_array_equal(asked, trained)

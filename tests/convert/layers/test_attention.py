"""Attention against its equations in numpy, and what it knows of order."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

from convert.layers.attention import added, attended, cross_attention, normed, self_attention, sinusoids, with_positions
from convert.layers.blocks import fold_norms
from convert.quantize.converter import to_tflite
from convert.quantize.ladder import snr_db
from edge.nets.net import LiteRtNet

Unsettle = Callable[[keras.Model, int], None]
LABELS, BANDS, WIDTH = 6, 3, 8


def block(shape: tuple[int, ...], build: Callable[[keras.KerasTensor], keras.KerasTensor]) -> keras.Model:
    x = keras.Input(shape, name="x")
    return keras.Model({"x": x}, {"y": build(x)})


def answer(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(model({"x": x}, training=False)["y"])


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax(x: np.ndarray) -> np.ndarray:
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def by_numpy(query: np.ndarray, key: np.ndarray, value: np.ndarray, heads: int) -> np.ndarray:
    """One sequence, head by head."""
    parts = zip(*(np.split(x, heads, axis=-1) for x in (query, key, value)), strict=True)
    return np.concatenate([softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v for q, k, v in parts], axis=-1)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_every_query_gets_the_values_of_the_keys_it_is_like(heads: int) -> None:
    query, key, value = draw(2, 5, 8, seed=1), draw(2, 7, 8, seed=2), draw(2, 7, 4, seed=3)
    got = ops.convert_to_numpy(attended(*map(ops.convert_to_tensor, (query, key, value)), heads))
    expected = [by_numpy(*each, heads) for each in zip(query, key, value, strict=True)]
    np.testing.assert_allclose(got, np.stack(expected), atol=1e-5)


@pytest.mark.parametrize("heads", [1, 2])
def test_maps_are_a_sequence_in_each_band(heads: int, unsettle: Unsettle) -> None:
    of_maps = block((LABELS, BANDS, WIDTH), lambda x: self_attention(x, heads, "a"))
    of_sequences = block((LABELS, WIDTH), lambda x: self_attention(x, heads, "a"))
    unsettle(of_maps, 0)
    of_sequences.set_weights(of_maps.get_weights())
    x = draw(2, LABELS, BANDS, WIDTH)
    expected = [answer(of_sequences, x[:, :, band]) for band in range(BANDS)]
    np.testing.assert_allclose(answer(of_maps, x), np.stack(expected, axis=2), atol=1e-5)


def test_the_bias_is_that_of_queries_keys_and_values() -> None:
    with_bias, without = (
        block((LABELS, WIDTH), lambda x, bias=bias: self_attention(x, 2, "a", bias)) for bias in (True, False)
    )
    assert without.count_params() == 4 * WIDTH**2 + WIDTH
    assert with_bias.count_params() == 4 * (WIDTH**2 + WIDTH)


def test_words_that_are_alike_tell_everyone_the_same() -> None:
    x, told = keras.Input((5, 3), name="x"), keras.Input((7, 4), name="told")
    model = keras.Model({"x": x, "told": told}, {"y": cross_attention(x, told, 6, 2, "a")})
    y = ops.convert_to_numpy(model({"x": draw(2, 5, 3), "told": np.repeat(draw(2, 1, 4), 7, axis=1)})["y"])
    assert y.shape == (2, 5, 6)
    np.testing.assert_allclose(y, np.broadcast_to(y[:, :1], y.shape), atol=1e-6)
    assert np.abs(y).max() > 1e-3


def test_order_is_known_from_positions_alone(unsettle: Unsettle) -> None:
    order = np.random.default_rng(0).permutation(LABELS)
    x = draw(2, LABELS, BANDS, WIDTH)
    unplaced = block(x.shape[1:], lambda x: self_attention(x, 2, "a"))
    placed = block(x.shape[1:], lambda x: self_attention(with_positions(x), 2, "a"))
    for model in (unplaced, placed):
        unsettle(model, 0)
    np.testing.assert_allclose(answer(unplaced, x[:, order]), answer(unplaced, x)[:, order], atol=1e-5)
    assert np.abs(answer(placed, x[:, order]) - answer(placed, x)[:, order]).max() > 1e-2


def test_positions_are_alike_by_their_distance() -> None:
    places = sinusoids(np.arange(50), 16)
    assert places.shape == (50, 16)
    np.testing.assert_allclose(places[0], np.tile([0.0, 1.0], 8))
    np.testing.assert_allclose(places[:, 0], np.sin(np.arange(50)), atol=1e-6)
    alike = places @ places.T
    for distance in (0, 1, 7):
        diagonal = np.diagonal(alike, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-4)
    assert np.all(alike.argmax(axis=1) == np.arange(50))


def test_a_layer_norm_is_over_the_axes_asked_for() -> None:
    x = 3.0 + 5.0 * draw(2, LABELS, BANDS, WIDTH)
    for axes in (1, 2):
        y = answer(block(x.shape[1:], lambda x, axes=axes: normed(x, "layer", "a", axes=axes)), x)
        last = tuple(range(-axes, 0))
        np.testing.assert_allclose(y.mean(axis=last), 0.0, atol=1e-5)
        np.testing.assert_allclose(y.std(axis=last), 1.0, atol=1e-3)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_sums_have_a_layer_norm_behind_them_or_none(norm: str) -> None:
    model = block((LABELS, WIDTH), lambda x: added(x, 2.0 * x, norm, "a"))
    x = draw(2, LABELS, WIDTH)
    expected = 3.0 * x if norm == "batch" else (x - x.mean(axis=-1, keepdims=True)) / x.std(axis=-1, keepdims=True)
    np.testing.assert_allclose(answer(model, x), expected, atol=1e-3)


def test_a_batch_norm_folds_into_the_last_layer_of_attention(unsettle: Unsettle) -> None:
    trained, deployed = (
        block((LABELS, WIDTH), lambda x, d=d: normed(self_attention(x, 2, "a"), "batch", "a", d)) for d in (False, True)
    )
    unsettle(trained, 0)
    fold_norms(trained, deployed)
    x = draw(2, LABELS, WIDTH)
    np.testing.assert_allclose(answer(deployed, x), answer(trained, x), atol=1e-4)
    assert not [layer for layer in deployed.layers if isinstance(layer, keras.layers.BatchNormalization)]


def test_int8_attention_has_no_float_tensor(unsettle: Unsettle) -> None:
    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        return added(x, self_attention(with_positions(x), 2, "a"), "layer", "a", deployed=True)

    model = block((LABELS, BANDS, WIDTH), build)
    unsettle(model, 0)
    net = LiteRtNet(to_tflite(model, [{"x": x} for x in draw(40, LABELS, BANDS, WIDTH, seed=1)]))
    types = net.tensor_types()
    assert types["int8"] > 0
    assert not [name for name in types if name.startswith("float")]
    x = draw(10, LABELS, BANDS, WIDTH, seed=2)
    assert snr_db(answer(model, x), np.stack([net(x=each)["y"] for each in x])) > 20.0


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^got 3 heads for widths 8 and 8, wanted divisors of both"):
        block((LABELS, WIDTH), lambda x: self_attention(x, 3, "a"))

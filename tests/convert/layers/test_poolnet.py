"""The blocks of PoolNet against their equations in numpy."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from convert.layers.poolnet import aggregation, binned, decoder, pyramid_pooling, resized

Unsettle = Callable[[keras.Model, int], None]


def block(shape: tuple[int, int, int], build: Callable[[keras.KerasTensor], keras.KerasTensor]) -> keras.Model:
    x = keras.Input(shape)
    return keras.Model(x, build(x))


def answer(model: keras.Model, *inputs: np.ndarray) -> np.ndarray:
    """Of one example, without the batch axis."""
    batch = [x[None] for x in inputs]
    return ops.convert_to_numpy(model(batch if len(batch) > 1 else batch[0], training=False))[0]


def maps(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def convolved(model: keras.Model, name: str, x: np.ndarray) -> np.ndarray:
    """Convolution with zeros around the map, tap by tap, and its norm."""
    kernel, bias = model.get_layer(f"{name}_conv").get_weights()
    rows, bands = x.shape[:2]
    above, beside = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = np.pad(x, ((above, above), (beside, beside), (0, 0)))
    y = sum(
        padded[row : row + rows, band : band + bands] @ kernel[row, band]
        for row in range(kernel.shape[0])
        for band in range(kernel.shape[1])
    )
    norm = model.get_layer(f"{name}_norm")
    gamma, beta, mean, variance = norm.get_weights()
    return (y + bias - mean) / np.sqrt(variance + norm.epsilon) * gamma + beta


def averaged(x: np.ndarray, windows: tuple[int, int], strides: tuple[int, int]) -> np.ndarray:
    rows, bands = (
        (size - window) // stride + 1 for size, window, stride in zip(x.shape, windows, strides, strict=False)
    )
    return np.array(
        [
            [
                x[row * strides[0] :, band * strides[1] :][: windows[0], : windows[1]].mean(axis=(0, 1))
                for band in range(bands)
            ]
            for row in range(rows)
        ]
    )


def stretched(x: np.ndarray, rows: int, bands: int) -> np.ndarray:
    """Bilinear between the middles; beyond the outermost ones nothing changes."""
    for axis, size in ((0, rows), (1, bands)):
        place = (np.arange(size) + 0.5) * x.shape[axis] / size - 0.5
        place = np.clip(place, 0, x.shape[axis] - 1)
        low = np.minimum(place.astype(int), max(x.shape[axis] - 2, 0))
        share = np.expand_dims(place - low, tuple(range(1, x.ndim)))
        x = np.moveaxis(x, axis, 0)
        x = np.moveaxis(x[low] * (1 - share) + x[np.minimum(low + 1, len(x) - 1)] * share, 0, axis)
    return x


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.0)


def aggregated(model: keras.Model, name: str, x: np.ndarray) -> np.ndarray:
    branches = (
        stretched(convolved(model, f"{name}_pool{p}", averaged(x, (p, p), (p, p))), *x.shape[:2]) for p in (2, 4, 8)
    )
    return relu(x + sum(branches))


@pytest.mark.parametrize("size", [(16, 8), (25, 11), (8, 9)])
def test_aggregation_adds_what_is_around_at_three_scales(size: tuple[int, int], unsettle: Unsettle) -> None:
    model = block((*size, 3), lambda x: aggregation(x, "level"))
    unsettle(model, 0)
    x = maps(*size, 3)
    np.testing.assert_allclose(answer(model, x), aggregated(model, "level", x), atol=1e-4)


@pytest.mark.parametrize("size", [(25, 8), (15, 5), (9, 3), (2, 16)])
def test_pyramid_pooling_stacks_averages_of_the_whole_map_to_it(size: tuple[int, int], unsettle: Unsettle) -> None:
    model = block((*size, 2), lambda x: pyramid_pooling(x, "top"))
    unsettle(model, 0)
    x = maps(*size, 2)
    stack = [x]
    for bins in (1, 3, 5):
        strides = tuple(max(length // bins, 1) for length in size)
        windows = tuple(max(length - (bins - 1) * stride, 1) for length, stride in zip(size, strides, strict=True))
        y = relu(convolved(model, f"top_bins{bins}", averaged(x, windows, strides)))  # type: ignore[arg-type]
        stack.append(stretched(y, *size))
    expected = relu(convolved(model, "top", np.concatenate(stack, axis=-1)))
    np.testing.assert_allclose(answer(model, x), expected, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 40), bands=st.integers(1, 40), bins=st.integers(1, 7))
def test_bins_are_as_many_as_asked_and_cover_the_map(rows: int, bands: int, bins: int) -> None:
    x = np.zeros((rows, bands, rows + bands), np.float32)
    x[np.arange(rows), :, np.arange(rows)] = 1.0  # each row and each band has a map of its own
    x[:, np.arange(bands), rows + np.arange(bands)] = 1.0
    y = answer(block(x.shape, lambda maps: binned(maps, bins)), x)
    assert y.shape[:2] == (min(bins, rows), min(bins, bands))
    assert y.max(axis=(0, 1)).min() > 0  # no row and no band is left out
    np.testing.assert_allclose(y.sum(axis=-1), 2.0, rtol=1e-5)  # averages
    middles = y[:, 0, :rows] @ np.arange(rows)
    assert middles[0] + middles[-1] == pytest.approx(rows - 1, abs=1e-3)  # as far from the beginning as from the end


@pytest.mark.parametrize(
    ("size", "wanted"), [((5, 4), (20, 8)), ((3, 1), (25, 8)), ((12, 4), (25, 8)), ((1, 1), (6, 2))]
)
def test_maps_are_resized_between_their_middles(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    x = maps(*size, 2)
    got = answer(block(x.shape, lambda maps: resized(maps, *wanted)), x)
    assert got.shape == (*wanted, 2)
    np.testing.assert_allclose(got, stretched(x, *wanted), atol=1e-5)


def test_a_map_of_the_right_size_is_left_as_it_is() -> None:
    x = keras.Input((5, 4, 2))
    assert resized(x, 5, 4) is x


@pytest.mark.parametrize("guided_bands", [4, 1])
def test_the_decoder_goes_down_the_pyramid_with_the_guidance(guided_bands: int, unsettle: Unsettle) -> None:
    shapes = [(36, 32, 2), (18, 16, 3), (9, 8, 4)]
    inputs = [keras.Input(shape) for shape in (*shapes, (9, guided_bands, 5))]
    model = keras.Model(inputs, decoder(inputs[:3], inputs[3], "decoder"))
    unsettle(model, 0)
    for level in (1, 2):
        kernel, _ = model.get_layer(f"decoder{level}_guide_conv").get_weights()
        assert kernel.shape == (3, 3 if guided_bands > 1 else 1, 5, shapes[level - 1][2])
    *levels, guidance = (maps(*shape, seed=seed) for seed, shape in enumerate((*shapes, (9, guided_bands, 5))))
    x = levels[2]
    for level in (2, 1):
        size = shapes[level - 1][:2]
        x = convolved(model, f"decoder{level + 1}_sum", aggregated(model, f"decoder{level + 1}", x))
        told = relu(convolved(model, f"decoder{level}_guide", guidance))
        x = levels[level - 1] + stretched(x, *size) + stretched(told, *size)
        x = convolved(model, f"decoder{level}_fuse", x)
    expected = relu(convolved(model, "decoder1_sum", aggregated(model, "decoder1", x)))
    assert expected.shape == shapes[0]
    got = answer(model, *levels, guidance)
    np.testing.assert_allclose(got, expected, atol=1e-3 * np.abs(expected).max())

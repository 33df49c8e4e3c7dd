"""The layer norm for int8: its results are those of Keras' own, and rows of any loudness survive int8."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from convert.layers.attention import EPSILON, normed
from convert.quantize.converter import to_tflite
from convert.quantize.ladder import LEAST_SNR_DB, snr_db
from edge.nets.net import LiteRtNet

SHAPE = (12, 16, 64)  # bands and channels as in the fusion net of two-step-paper


def net(axes: int, deployed: bool) -> keras.Model:
    x = keras.Input(SHAPE, name="x")
    return keras.Model({"x": x}, {"y": normed(x, "layer", "a", deployed, axes)})


def rows(count: int, seed: int, spread: float) -> np.ndarray:
    """Rows with an offset; the logarithm of their deviations has a normal distribution."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, *SHAPE)) * np.exp(spread * rng.normal(size=(count, *SHAPE[:1], 1, 1)))
    return (x + rng.normal(size=(count, *SHAPE[:1], 1, 1))).astype(np.float32)


def answer(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(model({"x": x})["y"])


@pytest.mark.parametrize("axes", [1, 2])
def test_results_and_weights_are_those_of_keras(axes: int) -> None:
    ours, theirs = net(axes, deployed=True), net(axes, deployed=False)
    assert any(isinstance(layer, layers.LayerNormalization) for layer in theirs.layers)
    assert not any(isinstance(layer, layers.LayerNormalization) for layer in ours.layers)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=weight.shape) for weight in theirs.get_weights()]
    for model in (ours, theirs):
        model.get_layer("a_norm").set_weights(weights)
    x = rows(4, 1, spread=2.0)
    x[0] = 0.0  # and rows so quiet that they are divided by nearly the root of epsilon
    x[1] = 0.1 * EPSILON**0.5 * rng.normal(size=SHAPE)
    np.testing.assert_allclose(answer(ours, x), answer(theirs, x), atol=2e-5)


def test_rows_of_any_loudness_survive_int8() -> None:
    """The deviations of rows lie about a factor of 10 apart: the layer norm of Keras rounds most of them to nothing."""
    calibration, x = ([{"x": row} for row in rows(count, seed, spread=0.7)] for count, seed in ((40, 1), (20, 2)))
    wanted = answer(net(2, deployed=False), np.stack([each["x"] for each in x]))
    snr, floats = {}, {}
    for deployed in (False, True):
        converted = LiteRtNet(to_tflite(net(2, deployed), calibration))
        snr[deployed] = snr_db(wanted, np.stack([converted(**each)["y"] for each in x]))
        floats[deployed] = sum(count for kind, count in converted.tensor_types().items() if kind.startswith("float"))
    assert floats == {False: 2, True: 0}
    assert snr[False] < 0.0 and snr[True] > LEAST_SNR_DB["int8"], snr

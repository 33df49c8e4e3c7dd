"""Folding of norms and conversion to TFLite."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from convert.quantize import fold_norms, to_tflite
from convert.systems.coloc import CrnnSizes, build_classifier, build_localizer
from edge.nets import LiteRtNet

SIZES = CrnnSizes(frames=20, bands=16, maps=7, filters=(4, 4, 4), frequency_pools=(4, 2, 2), gru_units=3, dense_units=4)


def unsettle_norms(model: keras.Model, seed: int) -> None:
    """Give every weight, and the norms' own, values as after a training."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            gamma = rng.uniform(0.5, 2.0, size) * rng.choice([-1, 1], size)
            layer.set_weights([gamma, rng.normal(size=size), rng.normal(size=size), rng.uniform(0.2, 3.0, size)])
        elif layer.weights:
            layer.set_weights([weight + rng.normal(0, 0.1, weight.shape) for weight in layer.get_weights()])


def examples(count: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "features": rng.normal(size=(SIZES.frames, SIZES.bands, SIZES.maps)).astype(np.float32),
            "embedding": rng.uniform(-1, 1, (SIZES.labels, 5)).astype(np.float32),
        }
        for _ in range(count)
    ]


def keras_output(model: keras.Model, example: dict[str, np.ndarray]) -> np.ndarray:
    return ops.convert_to_numpy(model({name: value[None] for name, value in example.items()})["output"])[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_deployed_net_with_folded_norms_is_the_trained_one(seed: int) -> None:
    trained, deployed = build_classifier(SIZES, 3), build_classifier(SIZES, 3, deployed=True)
    unsettle_norms(trained, seed)
    for example in examples(3, seed):
        assert np.abs(keras_output(deployed, example) - keras_output(trained, example)).max() > 1e-2
    fold_norms(trained, deployed)
    for example in examples(3, seed):
        np.testing.assert_allclose(keras_output(deployed, example), keras_output(trained, example), atol=1e-4)


@pytest.fixture(scope="module")
def localizer() -> keras.Model:
    trained, deployed = build_localizer(SIZES), build_localizer(SIZES, deployed=True)
    unsettle_norms(trained, 0)
    fold_norms(trained, deployed)
    return deployed


def shapes(net: LiteRtNet) -> dict[str, list[int]]:
    return {name: [int(n) for n in detail["shape"]] for name, detail in (net.inputs | net.outputs).items()}


SHAPES = {"features": [1, 20, 16, 7], "embedding": [1, 4, 5], "output": [1, 4, 3]}


def test_a_float_net_is_the_keras_net(localizer: keras.Model) -> None:
    net = LiteRtNet(to_tflite(localizer))
    assert shapes(net) == SHAPES
    for example in examples(3, seed=5):
        np.testing.assert_allclose(net(**example)["output"], keras_output(localizer, example), atol=1e-5)


def test_an_int8_net_has_no_float_tensor_and_keeps_its_names(localizer: keras.Model) -> None:
    net = LiteRtNet(to_tflite(localizer, examples(30)))
    assert shapes(net) == SHAPES
    assert {np.dtype(detail["dtype"]) for detail in (net.inputs | net.outputs).values()} == {np.dtype(np.int8)}
    types = net.tensor_types()
    assert types["int8"] > 0
    assert not [name for name in types if name.startswith("float")]
    wanted, got = (
        np.stack([answer(example) for example in examples(10, seed=5)])
        for answer in (lambda example: keras_output(localizer, example), lambda example: net(**example)["output"])
    )
    assert np.abs(got - wanted).max() < 0.2
    assert np.corrcoef(wanted.ravel(), got.ravel())[0, 1] > 0.97


def test_calibration_is_fed_by_name() -> None:
    """Two inputs of one shape: their order in the examples, and the converter's, do not matter."""
    loud, quiet = keras.Input((4,), name="a_loud"), keras.Input((4,), name="b_quiet")
    model = keras.Model({"a_loud": loud, "b_quiet": quiet}, {"sum": loud + 100.0 * quiet})
    rng = np.random.default_rng(0)
    values = {"a_loud": rng.uniform(-100, 100, (50, 4)), "b_quiet": rng.uniform(-1, 1, (50, 4))}
    for order in (("a_loud", "b_quiet"), ("b_quiet", "a_loud")):
        net = LiteRtNet(to_tflite(model, [{name: values[name][i] for name in order} for i in range(50)]))
        scales = {name: detail["quantization"][0] for name, detail in net.inputs.items()}
        assert scales == {"a_loud": pytest.approx(200 / 255, rel=0.05), "b_quiet": pytest.approx(2 / 255, rel=0.05)}

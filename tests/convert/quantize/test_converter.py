"""Folding of norms and conversion to TFLite."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

from convert.layers.blocks import fold_norms
from convert.quantize.converter import pinned, to_tflite
from convert.systems.coloc.nets import CrnnSizes, build_classifier, build_localizer
from edge.nets.net import LiteRtNet

Unsettle = Callable[[keras.Model, int], None]
SIZES = CrnnSizes(frames=20, bands=16, maps=7, filters=(4, 4, 4), frequency_pools=(4, 2, 2), gru_units=3, dense_units=4)


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
def test_a_deployed_net_with_folded_norms_is_the_trained_one(unsettle: Unsettle, seed: int) -> None:
    trained, deployed = build_classifier(SIZES, 3), build_classifier(SIZES, 3, deployed=True)
    unsettle(trained, seed)
    for example in examples(3, seed):
        assert np.abs(keras_output(deployed, example) - keras_output(trained, example)).max() > 1e-2
    fold_norms(trained, deployed)
    for example in examples(3, seed):
        np.testing.assert_allclose(keras_output(deployed, example), keras_output(trained, example), atol=1e-4)


@pytest.fixture(scope="module")
def localizer(unsettle: Unsettle) -> keras.Model:
    keras.utils.set_random_seed(0)  # some random nets lose much in int8
    trained, deployed = build_localizer(SIZES), build_localizer(SIZES, deployed=True)
    unsettle(trained, 0)
    fold_norms(trained, deployed)
    return deployed


def shapes(net: LiteRtNet) -> dict[str, list[int]]:
    return {name: [int(n) for n in detail["shape"]] for name, detail in (net.inputs | net.outputs).items()}


def test_conversion_leaves_stderr_to_our_own_messages(
    localizer: keras.Model, capfd: pytest.CaptureFixture[str]
) -> None:
    """The converter writes to file descriptor 2 past every log."""
    to_tflite(localizer, examples(2))
    assert "fully_quantize" not in capfd.readouterr().err


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
    """With two inputs of one shape, neither their order in the examples nor that of the converter matters."""
    loud, quiet = keras.Input((4,), name="a_loud"), keras.Input((4,), name="b_quiet")
    model = keras.Model({"a_loud": loud, "b_quiet": quiet}, {"sum": loud + 100.0 * quiet})
    rng = np.random.default_rng(0)
    values = {"a_loud": rng.uniform(-100, 100, (50, 4)), "b_quiet": rng.uniform(-1, 1, (50, 4))}
    for order in (("a_loud", "b_quiet"), ("b_quiet", "a_loud")):
        net = LiteRtNet(to_tflite(model, [{name: values[name][i] for name in order} for i in range(50)]))
        scales = {name: detail["quantization"][0] for name, detail in net.inputs.items()}
        assert scales == {"a_loud": pytest.approx(200 / 255, rel=0.05), "b_quiet": pytest.approx(2 / 255, rel=0.05)}


@pytest.mark.parametrize("quantization", [(0.05, -20), (0.3, 100), (0.011, -128)])
def test_a_pinned_input_has_the_scale_of_its_maker(quantization: tuple[float, int]) -> None:
    scale, zero_point = quantization
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    given, other = keras.Input((6,), name="shared_rows"), keras.Input((6,), name="x")
    model = keras.Model({"shared_rows": given, "x": other}, {"y": given + other})
    rng = np.random.default_rng(0)
    examples = [{"shared_rows": rng.uniform(-1, 1, 6), "x": rng.uniform(-1, 1, 6)} for _ in range(30)]
    examples[7]["shared_rows"][3] = 200.0  # the maker saturates there
    kept = [dict(example) for example in examples]
    changed = pinned(examples, "shared_rows", quantization)
    assert examples == kept  # they are used for other nets too
    for before, after in zip(examples[1:], changed[1:], strict=True):
        np.testing.assert_array_equal(after["shared_rows"], np.clip(before["shared_rows"], low, high))
        assert after["x"] is before["x"]
    np.testing.assert_array_equal(changed[0]["shared_rows"][2:], np.clip(examples[0]["shared_rows"][2:], low, high))
    inputs = LiteRtNet(to_tflite(model, changed)).inputs
    assert inputs["shared_rows"]["quantization"] == (pytest.approx(scale, rel=1e-5), zero_point)
    own = LiteRtNet(to_tflite(model, examples)).inputs
    assert own["shared_rows"]["quantization"][0] == pytest.approx(201 / 255, rel=0.01)
    assert inputs["x"]["quantization"] == own["x"]["quantization"]

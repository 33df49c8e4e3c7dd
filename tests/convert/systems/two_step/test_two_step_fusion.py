"""The fusion net of two-step: its blocks, the paper's ablation, and that it is the same in int8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers, ops

from convert.layers.blocks import fold_norms
from convert.layers.poolnet import resized
from convert.quantize.converter import to_tflite
from convert.quantize.ladder import snr_db
from convert.systems.two_step.cst_former import Depthwise, as_map, as_patches
from convert.systems.two_step.fusion_net import build_fusion, gated, spatial_acoustic
from convert.systems.two_step.sizes import TwoStepSizes
from convert.training.recipes import find_recipe
from edge.nets.net import LiteRtNet

EDGE_SIZES, PAPER_SIZES = (find_recipe(name).sizes for name in ("two-step-edge", "two-step-paper"))

Unsettle = Callable[[keras.Model, int], None]
Examples = dict[str, np.ndarray]
CLASSES = 2
TINY = TwoStepSizes(
    frames=30,
    bands=16,
    doa_filters=(32, 64),
    doa_pools=((5, 2), (1, 1)),
    doa_head_pools=(2, 2),
    doa_hidden=5,
    sed_filters=(2,),
    sed_pools=((5, 2),),
    sed_hidden=3,
    fusion_filters=(6, 8),
    fusion_pools=((5, 2), (1, 2)),
    fusion_blocks=1,
    fusion_patch=(2, 2),
    fusion_dense_units=8,
)
AT_FRAME_RATE = replace(TINY, norm="layer", fusion_activation="gelu", fusion_pools=((1, 2), (5, 2)))
SMALL_HEAD = replace(
    EDGE_SIZES, doa_hidden=32, sed_hidden=32, fusion_pools=((5, 4), (1, 4), (1, 2)), fusion_dense_units=128
)
ALONE = {"fuse_doa": False, "fuse_beams": False, "fuse_sed": False}


def build(sizes: TwoStepSizes = TINY, deployed: bool = False) -> keras.Model:
    return build_fusion(sizes, CLASSES, deployed)


def examples(count: int, seed: int = 0, sizes: TwoStepSizes = TINY) -> Examples:
    """Maps that come and go with the bands and with time; what step 1 feels is at least zero."""
    rng = np.random.default_rng(seed)
    maps = 7 + sizes.tracks
    slow = ops.convert_to_numpy(
        resized(rng.normal(size=(count, 5, 4, maps)).astype(np.float32), sizes.frames, sizes.bands)
    )
    both = (1.5 * slow + 0.5 * rng.normal(size=slow.shape)).astype(np.float32)
    words = np.abs(rng.normal(size=(count, sizes.labels, sizes.doa_hidden + sizes.sed_hidden))).astype(np.float32)
    doa, sed = np.split(words, [sizes.doa_hidden], axis=-1)
    return {"features": both[..., :7], "beams": both[..., 7:], "doa": doa, "sed": sed}


def block(shapes: dict[str, tuple[int, ...]], build: Callable[..., keras.KerasTensor]) -> keras.Model:
    inputs = {name: keras.Input(shape, name=name) for name, shape in shapes.items()}
    return keras.Model(inputs, {"output": build(**inputs)})


def outputs(model: keras.Model, inputs: Examples) -> np.ndarray:
    return ops.convert_to_numpy(model({name: inputs[name] for name in model.input}, training=False)["output"])


def settle(model: keras.Model, inputs: Examples) -> None:
    """Give the norms the statistics of what they see, as a training does."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(inputs, training=True)


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_the_sizes_of_the_paper() -> None:
    assert trainable(build_fusion(replace(PAPER_SIZES, **ALONE), 13)) == 391_733  # CST-former's own
    whole = build_fusion(PAPER_SIZES, 13)
    assert trainable(whole) == 507_509
    assert whole.output["output"].shape[1:] == (50, 117)


def test_the_edge_sizes() -> None:
    model = build_fusion(EDGE_SIZES, 13)
    assert model.name == "fusion"
    assert {name: tensor.shape[1:] for name, tensor in model.input.items()} == {
        "features": (250, 64, 7),
        "beams": (250, 64, 3),
        "doa": (50, 48),
        "sed": (50, 48),
    }
    assert model.output["output"].shape[1:] == (50, 117)
    assert trainable(model) == 817_500


@pytest.mark.parametrize("left", ["doa", "beams", "sed"])
def test_what_is_not_fused_does_not_exist(left: str) -> None:
    names = [name for name in ("features", "beams", "doa", "sed") if name != left]
    model = build(replace(TINY, **{f"fuse_{left}": False}))
    assert list(model.input) == names
    assert outputs(model, examples(2)).shape == (2, TINY.labels, 9 * CLASSES)


def test_without_words_there_is_no_attention_to_them() -> None:
    model = build(replace(TINY, **ALONE))
    assert list(model.input) == ["features"]
    assert not [layer.name for layer in model.layers if layer.name.startswith(("saam", "gate"))]


def test_the_net_starts_as_cst_former_and_opens_its_gates_to_the_words(unsettle: Unsettle) -> None:
    model = build(replace(TINY, fusion_gated_head=False))  # the other hears the words once more
    x = examples(2)
    others = x | {name: x[name][::-1] for name in ("doa", "sed")}
    np.testing.assert_array_equal(outputs(model, others), outputs(model, x))
    unsettle(model, 0)
    for name in ("doa", "sed", "beams"):
        assert np.abs(outputs(model, x | {name: x[name][::-1]}) - outputs(model, x)).max() > 1e-3


def test_a_gate_is_that_of_lavt(unsettle: Unsettle) -> None:
    shape = (3, 4, 6)
    model = block({"x": shape, "told": shape}, lambda x, told: gated(x, told, "gate"))
    x, told = draw(2, *shape), draw(2, *shape, seed=1)
    np.testing.assert_array_equal(outputs(model, {"x": x, "told": told}), x)
    unsettle(model, 0)
    first, second = (model.get_layer(f"gate{number}").get_weights()[0] for number in (1, 2))
    expected = x + np.tanh(np.maximum(told @ first, 0.0) @ second) * told
    np.testing.assert_allclose(outputs(model, {"x": x, "told": told}), expected, atol=1e-5)


def words_to_pixels(unsettle: Unsettle) -> keras.Model:
    model = block(
        {"x": (6, 2, 8), "words": (6, 5)}, lambda x, words: spatial_acoustic(x, words, TINY, "saam", deployed=True)
    )
    unsettle(model, 0)
    return model


def test_words_say_to_a_pixel_what_lavt_has_them_say(unsettle: Unsettle) -> None:
    model, x, words = words_to_pixels(unsettle), draw(1, 6, 2, 8), draw(1, 6, 5, seed=1)

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        kernel, bias = model.get_layer(f"saam_{name}").get_weights()
        return x @ kernel + bias

    def places(width: int) -> np.ndarray:
        columns = np.arange(width)
        angles = np.arange(6)[:, None] / 10000.0 ** ((columns - columns % 2) / width)
        return np.where(columns % 2 == 0, np.sin(angles), np.cos(angles))

    query = dense("query_conv", x[0] + places(8)[:, None]).reshape(12, 8)
    scores = query @ dense("key", words[0] + places(5)).T / np.sqrt(8)
    weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    told = (weights @ dense("conv", words[0])).reshape(6, 2, 8)
    seen = np.maximum(dense("seen", x[0]), 0.0)
    expected = np.maximum(dense("both", seen * told), 0.0)
    np.testing.assert_allclose(outputs(model, {"x": x, "words": words})[0], expected, atol=1e-4)


def test_pixels_of_a_finer_map_lie_between_the_labels() -> None:
    """With queries and keys that are the encoding of time alone, each row asks most for its own label."""
    width = 16
    model = block(
        {"x": (30, 2, width), "words": (6, width)},
        lambda x, words: spatial_acoustic(x, words, TINY, "saam", deployed=True),
    )
    for name, scale in (("query_conv", 20.0), ("key", 20.0), ("conv", 1.0), ("both", 1.0)):
        model.get_layer(f"saam_{name}").set_weights([scale * np.eye(width), np.zeros(width)])
    model.get_layer("saam_seen").set_weights([np.zeros((width, width)), np.ones(width)])
    words = np.zeros((1, 6, width), np.float32)
    words[0, :, :6] = 1e-3 * np.eye(6)
    heard = outputs(model, {"x": np.zeros((1, 30, 2, width), np.float32), "words": words})[0, :, 0, :6]
    np.testing.assert_array_equal(heard.argmax(axis=1), np.arange(30) // 5)


def test_patches_hold_their_places_in_columns_and_make_the_map_again() -> None:
    x = draw(2, 6, 4, 3)
    patches = ops.convert_to_numpy(as_patches(ops.convert_to_tensor(x), 3, 2))
    assert patches.shape == (2 * 2 * 2, 3, 6)
    np.testing.assert_array_equal(patches[0], x[0, :3, :2].reshape(6, 3).T)
    np.testing.assert_array_equal(patches[3], x[0, 3:, 2:].reshape(6, 3).T)
    np.testing.assert_array_equal(ops.convert_to_numpy(as_map(ops.convert_to_tensor(patches), x.shape, 3, 2)), x)


def test_a_depthwise_convolution_is_keras_one(unsettle: Unsettle) -> None:
    ours = block({"x": (5, 4, 3)}, lambda x: Depthwise(name="ours")(x))
    theirs = block({"x": (5, 4, 3)}, lambda x: layers.DepthwiseConv2D(3, padding="same", name="theirs")(x))
    unsettle(ours, 0)
    kernel, bias = ours.get_layer("ours").get_weights()
    theirs.get_layer("theirs").set_weights([kernel.transpose(0, 1, 3, 2), bias])
    x = {"x": draw(2, 5, 4, 3)}
    np.testing.assert_allclose(outputs(ours, x), outputs(theirs, x), atol=1e-5)


@pytest.mark.parametrize("sizes", [TINY, AT_FRAME_RATE], ids=["labels", "frames"])
def test_a_deployed_net_with_folded_norms_is_the_trained_one(sizes: TwoStepSizes, unsettle: Unsettle) -> None:
    trained, deployed = build(sizes), build(sizes, deployed=True)
    unsettle(trained, 0)
    x = examples(3, sizes=sizes)
    assert np.abs(outputs(deployed, x) - outputs(trained, x)).max() > 1e-2
    fold_norms(trained, deployed)
    np.testing.assert_allclose(outputs(deployed, x), outputs(trained, x), atol=1e-3)
    kinds = (layers.BatchNormalization, layers.LayerNormalization, layers.Dropout)
    assert any(isinstance(layer, kinds) for layer in trained.layers)
    assert not any(isinstance(layer, kinds) for layer in deployed.layers)


def test_every_weight_learns(unsettle: Unsettle) -> None:
    model = build(replace(TINY, dropout=0.0, fusion_gated_head=False))  # the other's norm takes out a shift before it
    unsettle(model, 0)
    settle(model, examples(8, seed=9))
    before = [(weight, ops.convert_to_numpy(weight)) for weight in model.trainable_weights]
    model.compile(keras.optimizers.Adam(1e-3), loss={"output": "mse"}, run_eagerly=True)
    x = examples(8)
    model.train_on_batch(x, {"output": 0.5 * np.sign(x["features"][:, ::5, :1, :6].repeat(3, axis=-1)[:, :, 0])})
    assert not [weight.path for weight, old in before if np.array_equal(ops.convert_to_numpy(weight), old)]


@pytest.mark.parametrize("sizes", [TINY, pytest.param(AT_FRAME_RATE, marks=pytest.mark.long)], ids=["edge", "paper"])
def test_an_int8_net_has_no_float_tensor(sizes: TwoStepSizes, unsettle: Unsettle) -> None:
    trained, deployed = build(sizes), build(sizes, deployed=True)
    unsettle(trained, 0)
    settle(trained, examples(32, seed=9))
    fold_norms(trained, deployed)

    def singly(inputs: Examples) -> list[Examples]:
        return [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]

    net = LiteRtNet(to_tflite(deployed, singly(examples(40, seed=1))))
    assert net.input_shapes == {name: tensor.shape[1:] for name, tensor in trained.input.items()}
    types = net.tensor_types()
    assert types["int8"] > 0
    assert not [name for name in types if name.startswith("float")]
    x = examples(10, seed=2)
    got = np.stack([net(**each)["output"] for each in singly(x)])
    assert snr_db(outputs(trained, x), got) > 12.0


def test_the_gated_head_says_where_a_class_would_be_times_how_sure_it_is() -> None:
    net = build_fusion(SMALL_HEAD, 13)
    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=(2, *x.shape[1:])).astype(np.float32) for name, x in net.input.items()}
    parts = keras.Model(net.input, [net.get_layer(name).output for name in ("direction", "active", "output")])
    direction, active, output = (ops.convert_to_numpy(each) for each in parts(given))
    assert np.abs(direction).max() < 0.9 and 0.1 < active.mean() < 0.5  # nothing is decided at the start
    wanted = direction.reshape(2, 50, 3, 3, 13) * active.reshape(2, 50, 3, 1, 13)
    np.testing.assert_allclose(output.reshape(wanted.shape), wanted, atol=1e-6)


def test_the_head_of_the_paper_does_not_gate() -> None:
    net = build_fusion(replace(EDGE_SIZES, fusion_gated_head=False), 13)
    assert "active" not in {layer.name for layer in net.layers}

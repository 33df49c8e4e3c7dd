"""The DoA net of two-step: its blocks, what it answers, and that it is the same in int8."""

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
from convert.systems.two_step.doa_net import BidirectionalLSTM, build_doa, full_band, narrow_band, partial_conv
from convert.systems.two_step.sizes import TwoStepSizes
from convert.training.recipes import find_recipe
from edge.frontend.maps import FEATURES
from edge.nets.net import LiteRtNet

EDGE_SIZES, PAPER_SIZES = (find_recipe(name).sizes for name in ("two-step-edge", "two-step-paper"))

Unsettle = Callable[[keras.Model, int], None]
TINY = TwoStepSizes(
    frames=30,
    bands=16,
    doa_filters=(4, 8),
    doa_pools=((5, 2), (1, 2)),
    doa_heads=2,
    doa_head_filters=6,
    doa_head_pools=(2, 2),
    doa_hidden=5,
    sed_filters=(2,),
    sed_pools=((5, 2),),
    fusion_filters=(4,),
    fusion_pools=((5, 2),),
)
AT_FRAME_RATE = replace(TINY, doa_filters=(8,), doa_pools=((1, 2),), norm="layer", doa_head_pools=(2, 4))


def examples(count: int, seed: int = 0, sizes: TwoStepSizes = TINY) -> np.ndarray:
    """Features that come and go with the bands and with time, as sounds do."""
    rng = np.random.default_rng(seed)
    shape = (count, sizes.frames, sizes.bands, 7)
    slow = ops.convert_to_numpy(resized(rng.normal(size=(count, 5, 4, 7)).astype(np.float32), *shape[1:3]))
    return (1.5 * slow + 0.5 * rng.normal(size=shape)).astype(np.float32)


def block(shape: tuple[int, ...], build: Callable[[keras.KerasTensor], keras.KerasTensor]) -> keras.Model:
    x = keras.Input(shape, name="features")
    return keras.Model({"features": x}, {"output": build(x)})


def outputs(model: keras.Model, features: np.ndarray, name: str = "output") -> np.ndarray:
    return ops.convert_to_numpy(model({"features": features}, training=False)[name])


def settle(model: keras.Model, features: np.ndarray) -> None:
    """Give the norms the statistics of what they see, as a training does."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model({"features": features}, training=True)


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape[1:] for name, tensor in {**model.input, **model.output}.items()}


def moved(model: keras.Model, x: np.ndarray, changed: np.ndarray) -> np.ndarray:
    return np.abs(outputs(model, changed) - outputs(model, x))


def test_the_sizes_of_the_paper() -> None:
    model = build_doa(PAPER_SIZES)
    assert shapes(model) == {"features": (250, 64, 7), "output": (50, 18), "hidden": (50, 64)}
    assert trainable(model) == 1_049_682


def test_the_edge_sizes() -> None:
    model = build_doa(EDGE_SIZES)
    assert model.name == "doa"
    assert shapes(model) == {"features": (250, 64, 7), "output": (50, 9), "hidden": (50, 48)}
    assert len(FEATURES["logmel_iv"][1]) == 7
    assert trainable(model) == 977_097


def test_answers_are_within_a_cube_and_the_hidden_ones_make_them() -> None:
    model = build_doa(TINY)
    x = 10 * examples(2)
    y, hidden = outputs(model, x), outputs(model, x, "hidden")
    assert y.shape == (2, TINY.labels, 3 * TINY.tracks)
    assert hidden.shape == (2, TINY.labels, TINY.doa_hidden)
    assert np.abs(y).max() <= 1
    assert y.min() < 0
    kernel, bias = model.get_layer("output").get_weights()
    np.testing.assert_allclose(np.tanh(hidden @ kernel + bias), y, atol=1e-5)


def test_the_lstm_is_keras_bidirectional_one(unsettle: Unsettle) -> None:
    ours = block((5, 3), lambda x: BidirectionalLSTM(4, name="lstm")(x))
    both = layers.Bidirectional(layers.LSTM(4, return_sequences=True, name="cell"), name="lstm")
    theirs = block((5, 3), both)
    fresh = ours.get_layer("lstm").get_weights()
    np.testing.assert_array_equal(fresh[2][0], np.repeat([0.0, 1.0, 0.0, 0.0], 4))
    unsettle(ours, 0)
    order = [0, 1, 3, 2]  # theirs: i, f, candidate, o
    weights = [
        np.concatenate([np.split(weight, 4, axis=-1)[gate] for gate in order], axis=-1)
        for weight in ours.get_layer("lstm").get_weights()
    ]
    both.set_weights([weight[0] if len(weight) == 1 else weight for weight in weights])
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(outputs(ours, x), outputs(theirs, x), atol=1e-5)


def test_a_partial_convolution_sees_neighbours_in_a_quarter_of_the_channels(unsettle: Unsettle) -> None:
    model = block((6, 5, 8), lambda x: partial_conv(x, "p", deployed=True))
    unsettle(model, 0)
    x = np.random.default_rng(0).normal(size=(1, 6, 5, 8)).astype(np.float32)
    for channel, reached in ((1, (3, 3)), (2, (1, 1))):
        changed = x.copy()
        changed[:, 2, 3, channel] += 9.0
        rows, bands = np.nonzero(moved(model, x, changed)[0].max(axis=-1))
        assert (np.ptp(rows) + 1, np.ptp(bands) + 1) == reached


def test_the_full_band_block_takes_each_frame_by_itself(unsettle: Unsettle) -> None:
    model = block((6, 4, 8), lambda x: full_band(x, TINY, "full"))
    unsettle(model, 0)
    x = np.random.default_rng(0).normal(size=(1, 6, 4, 8)).astype(np.float32)
    changed = x.copy()
    changed[:, 2, 1] += 1.0
    reached = moved(model, x, changed)[0].max(axis=-1) > 0
    np.testing.assert_array_equal(reached, np.arange(6)[:, None] * np.ones(4) == 2)


@pytest.mark.parametrize("sizes", [TINY, AT_FRAME_RATE], ids=["labels", "frames"])
def test_the_narrow_band_block_takes_each_band_by_itself(sizes: TwoStepSizes, unsettle: Unsettle) -> None:
    frames = sizes.left("doa")[0]
    model = block((frames, 4, 8), lambda x: narrow_band(x, sizes, "narrow"))
    unsettle(model, 0)
    x = np.random.default_rng(0).normal(size=(1, frames, 4, 8)).astype(np.float32)
    changed = x.copy()
    changed[:, 2, 1] += 1.0
    reached = moved(model, x, changed)[0].max(axis=-1) > 0
    np.testing.assert_array_equal(reached, np.ones(frames)[:, None] * np.arange(4) == 1)


def test_attention_down_sampled_tells_all_frames_of_a_label_the_same(unsettle: Unsettle) -> None:
    model = block((30, 4, 8), lambda x: narrow_band(x, replace(AT_FRAME_RATE, norm="batch"), "narrow", deployed=True))
    unsettle(model, 0)
    x = np.random.default_rng(0).normal(size=(1, 30, 4, 8)).astype(np.float32)
    told = (outputs(model, x) - x)[0].reshape(6, 5, 4, 8)
    np.testing.assert_allclose(told, np.broadcast_to(told[:, :1], told.shape), atol=1e-5)
    assert np.ptp(told, axis=0).max() > 1e-3


@pytest.mark.parametrize("sizes", [TINY, AT_FRAME_RATE], ids=["labels", "frames"])
def test_a_deployed_net_with_folded_norms_is_the_trained_one(sizes: TwoStepSizes, unsettle: Unsettle) -> None:
    trained, deployed = build_doa(sizes), build_doa(sizes, deployed=True)
    unsettle(trained, 0)
    x = examples(3, sizes=sizes)
    assert np.abs(outputs(deployed, x) - outputs(trained, x)).max() > 1e-2
    fold_norms(trained, deployed)
    for name in ("output", "hidden"):
        np.testing.assert_allclose(outputs(deployed, x, name), outputs(trained, x, name), atol=1e-3)
    kinds = (layers.BatchNormalization, layers.Dropout)
    assert any(isinstance(layer, kinds) for layer in trained.layers)
    assert not any(isinstance(layer, kinds) for layer in deployed.layers)


def test_every_weight_learns(unsettle: Unsettle) -> None:
    model = build_doa(replace(TINY, dropout=0.0))
    unsettle(model, 0)
    settle(model, examples(8, seed=9))
    before = {weight.path: ops.convert_to_numpy(weight) for weight in model.trainable_weights}
    model.compile(keras.optimizers.Adam(1e-3), loss={"output": "mse", "hidden": None}, run_eagerly=True)
    x = examples(8)
    model.train_on_batch({"features": x}, {"output": 0.5 * np.sign(x[:, ::5, :9, 0])})
    same = [path for path, weight in before.items() if np.array_equal(weight, _weight(model, path))]
    assert not same


def _weight(model: keras.Model, path: str) -> np.ndarray:
    return next(ops.convert_to_numpy(weight) for weight in model.trainable_weights if weight.path == path)


@pytest.mark.long  # that of the fusion net has layers of both
def test_an_int8_net_has_no_float_tensor(unsettle: Unsettle) -> None:
    trained, deployed = build_doa(TINY), build_doa(TINY, deployed=True)
    unsettle(trained, 0)
    settle(trained, examples(32, seed=9))
    fold_norms(trained, deployed)
    net = LiteRtNet(to_tflite(deployed, [{"features": maps} for maps in examples(40, seed=1)]))
    assert net.input_shapes | net.output_shapes == shapes(trained)
    types = net.tensor_types()
    assert types["int8"] > 0
    assert not [name for name in types if name.startswith("float")]
    x = examples(10, seed=2)
    answers = [net(features=maps) for maps in x]
    for name in ("output", "hidden"):
        assert snr_db(outputs(trained, x, name), np.stack([answer[name] for answer in answers])) > 12.0


def test_the_first_row_of_table_1_is_cst_former() -> None:
    """Its trunk and dense layers, as the code of its authors has them, and an output of 3 K for their 9 C."""
    net = build_doa(replace(PAPER_SIZES, doa_cst_former=True, doa_hidden=128))
    assert shapes(net) == {"features": (250, 64, 7), "output": (50, 18), "hidden": (50, 128)}
    convolutions = 7 * 9 * 64 + 64 + 2 * (64 * 9 * 64 + 64) + 3 * 2 * 64
    attention = 4 * (40 * 40 + 40) + 2 * 4 * (64 * 64 + 64) + 3 * 2 * 16 * 64  # of patches, bands, labels; norms
    wide = 4 * 64
    forward = 2 * 64 + (64 * wide + wide + 2 * wide) + (9 * wide + wide + 2 * wide) + (wide * 64 + 64 + 2 * 64)
    head = 16 * 64 * 128 + 128
    block = (9 * 64 + 64) + attention + forward
    assert trainable(net) == convolutions + 2 * block + head + (128 * 18 + 18)
    assert convolutions + 2 * block + head + (128 * 117 + 117) == 391_733  # with their output, of 13 classes


@pytest.mark.parametrize("frequency_convs", [False, True])
def test_the_rows_of_table_1_before_the_last(frequency_convs: bool) -> None:
    """IPDnet concatenates its input behind each recurrence; its LSTM along time hears each band alone."""
    row = {"doa_attention": False, "doa_partial_convs": False, "doa_frequency_convs": frequency_convs}
    sizes = replace(AT_FRAME_RATE, **row)
    net = build_doa(sizes)
    assert net.output["output"].shape[1:] == (6, 9)
    lstm = net.get_layer("narrow1_lstm")
    assert lstm.input.shape[1:] == (30, 8 + 7) and lstm.units == 8
    assert net.get_layer("head1_conv").kernel.shape[2] == 8 + 7
    names = {layer.name.partition("1_")[2] for layer in net.layers if layer.name.startswith("full1_")}
    assert ("before_conv" in names and "after_conv" in names) == frequency_convs
    assert not [layer for layer in net.layers if layer.name.startswith("input1")]
    band, other = (np.zeros((1, 30, 16, 7), np.float32) for _ in range(2))
    hears = keras.Model(net.input, lstm.output)
    other[:, 10:] = 1.0
    before, after = (np.asarray(hears({"features": each}))[:, :10] for each in (band, other))
    np.testing.assert_allclose(before[:, :8], after[:, :8], atol=1e-5)  # it runs forward: the stem alone looks ahead
    assert build_doa(AT_FRAME_RATE).count_params() != net.count_params()

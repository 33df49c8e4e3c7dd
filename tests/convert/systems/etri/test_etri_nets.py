"""The nets of ETRI: their sizes, what they answer, and that they are the same in int8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from convert.layers.blocks import fold_norms
from convert.layers.poolnet import resized
from convert.quantize.converter import to_tflite
from convert.quantize.ladder import snr_db
from convert.systems.etri.nets import build_doae, build_sad, build_sed, with_angles
from convert.systems.etri.sizes import EtriSizes
from convert.training.recipes import find_recipe
from edge.frontend.maps import FEATURES
from edge.geometry import unit_vector
from edge.nets.net import LiteRtNet
from edge.systems.etri.masks import mask_directions
from edge.systems.etri.window import NETS

EDGE_SIZES, PAPER_SIZES = (find_recipe(name).sizes for name in ("etri-edge", "etri-paper"))

Unsettle = Callable[[keras.Model, int], None]
CLASSES = 3
TINY = EtriSizes(
    frames=40,
    bands=32,
    frames_per_label=5,
    sad_filters=(3, 4, 4),
    sed_filters=(4, 4, 6),
    doae_filters=(4, 4, 6),
    trellis_units=5,
    trellis_dilations=(1, 1, 2),
)
ANGLES = replace(TINY, doae_masks=False)
KINDS = [("sad", TINY), ("sed", TINY), ("doae", TINY), ("doae", ANGLES)]


def build(stage: str, sizes: EtriSizes, classes: int = CLASSES, deployed: bool = False) -> keras.Model:
    if stage == "sad":
        return build_sad(sizes, deployed)
    return {"sed": build_sed, "doae": build_doae}[stage](sizes, classes, deployed)


def examples(stage: str, count: int, seed: int = 0, sizes: EtriSizes = TINY) -> np.ndarray:
    """Features that come and go with the bands and with time, as sounds do."""
    rng = np.random.default_rng(seed)
    shape = (count, sizes.frames, sizes.bands, len(range(13)[NETS[stage]]))
    slow = ops.convert_to_numpy(resized(rng.normal(size=(count, 5, 4, shape[-1])).astype(np.float32), *shape[1:3]))
    return (1.5 * slow + 0.5 * rng.normal(size=shape)).astype(np.float32)


def settle(model: keras.Model, features: np.ndarray) -> None:
    """Give the norms the statistics of what they see, as a training does."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model({"features": features}, training=True)


def outputs(model: keras.Model, features: np.ndarray) -> np.ndarray:
    (output,) = model({"features": features}, training=False).values()
    return ops.convert_to_numpy(output)


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def shapes(model: keras.Model) -> tuple[tuple[int, ...], ...]:
    (output,) = model.output.values()
    return model.input["features"].shape[1:], output.shape[1:]


def test_the_sizes_of_the_paper() -> None:
    sad, sed, doae = (build(stage, PAPER_SIZES, 14) for stage in NETS)
    assert trainable(sed) == 2_143_758
    assert trainable(doae) == 2_360_316
    assert trainable(sed) == pytest.approx(2_143_950, rel=1e-4)  # section 3.2.2
    assert trainable(doae) == pytest.approx(2_360_796, rel=3e-4)  # section 3.2.3
    head = 128 * 64 + 1  # of each output: bands and filters of the finest level
    assert trainable(sad) == trainable(sed) - 13 * head
    assert shapes(sad) == ((200, 256, 3), (20, 1))
    assert shapes(sed) == ((200, 256, 3), (20, 14))
    assert shapes(doae) == ((200, 256, 10), (20, 28))


def test_the_edge_sizes() -> None:
    nets = [build(stage, EDGE_SIZES, 13) for stage in NETS]
    assert [shapes(net) for net in nets] == [
        ((200, 64, 3), (40, 1)),
        ((200, 64, 3), (40, 13)),
        ((200, 64, 10), (100, 32, 13)),
    ]
    assert [trainable(net) for net in nets] == [34_925, 296_845, 242_421]


def test_the_nets_take_all_maps_of_the_features() -> None:
    maps = [shapes(build(stage, TINY))[0][-1] for stage in ("sed", "doae")]
    assert sum(maps) == len(FEATURES["etri"][1])


def test_outputs_are_probabilities_and_half_turns() -> None:
    for stage in NETS:
        y = outputs(build(stage, ANGLES), 10 * examples(stage, 2))
        assert y.shape == (2, TINY.labels, {"sad": 1, "sed": CLASSES, "doae": 2 * CLASSES}[stage])
        assert np.abs(y).max() <= 1
        assert (y.min() < 0) == (stage == "doae")


def test_labels_are_the_means_of_their_frames() -> None:
    """The head alone: a dense layer on each row, back at frame rate, averaged over the label frame."""
    model = build("sed", TINY)
    rows = keras.Model(model.input, model.get_layer("dense").output)
    x = examples("sed", 1)
    (at_rows,) = ops.convert_to_numpy(rows({"features": x}))  # (20, 1, K)
    middles = (np.arange(20) + 0.5) * 2 - 0.5  # in frames
    expected = np.stack(
        [
            np.interp(np.arange(40), middles, at_rows[:, 0, index]).reshape(8, 5).mean(axis=1)
            for index in range(CLASSES)
        ],
        axis=-1,
    )
    np.testing.assert_allclose(outputs(model, x)[0], 1 / (1 + np.exp(-expected)), atol=1e-5)


def test_masks_are_trained_for_the_angles_that_the_device_computes(unsettle: Unsettle) -> None:
    model, x = build("doae", TINY), examples("doae", 1)
    unsettle(model, 0)
    masks = outputs(model, x)
    assert masks.shape == (1, 20, 16, CLASSES) and 0.0 <= masks.min() < masks.max() <= 1.0
    (angles,) = 180.0 * ops.convert_to_numpy(with_angles(model, TINY)(x))
    directions = mask_directions(masks[0], x[0], TINY.labels)
    np.testing.assert_allclose(unit_vector(angles[:, :CLASSES], angles[:, CLASSES:]), directions, atol=1e-3)


@pytest.mark.parametrize("stage", NETS)
def test_answers_lie_where_the_sound_is(stage: str, unsettle: Unsettle) -> None:
    sizes, windows = replace(ANGLES, frames=160), 4
    model = build(stage, sizes)
    unsettle(model, 0)
    settle(model, examples(stage, 16, seed=9, sizes=sizes))
    before_activation = keras.Model(model.input, {"output": model.layers[-1].input})
    x = examples(stage, windows, sizes=sizes)
    usual = outputs(before_activation, x)
    places = np.arange(2, sizes.labels - 2, 3)
    found = []
    for label in places:
        changed = x.copy()
        changed[:, 5 * label : 5 * label + 5] += 1.0
        moved = np.abs(outputs(before_activation, changed) - usual).sum(axis=(0, 2))
        found.append(np.argmax(moved))
    assert np.median(np.abs(np.array(found) - places)) <= 1


@pytest.mark.parametrize(("stage", "sizes"), KINDS)
def test_a_deployed_net_with_folded_norms_is_the_trained_one(stage: str, sizes: EtriSizes, unsettle: Unsettle) -> None:
    trained, deployed = build(stage, sizes), build(stage, sizes, deployed=True)
    unsettle(trained, 0)
    settle(trained, examples(stage, 32, seed=9))
    x = examples(stage, 3)
    assert np.abs(outputs(deployed, x) - outputs(trained, x)).max() > 1e-2
    fold_norms(trained, deployed)
    np.testing.assert_allclose(outputs(deployed, x), outputs(trained, x), atol=1e-4)
    kinds = (keras.layers.BatchNormalization, keras.layers.Dropout)
    assert any(isinstance(layer, kinds) for layer in trained.layers)
    assert not any(isinstance(layer, kinds) for layer in deployed.layers)


@pytest.mark.parametrize(
    ("stage", "sizes"),
    [*(pytest.param(*kind, marks=pytest.mark.long) for kind in KINDS[:3]), KINDS[3]],  # test_etri_export converts three
)
def test_an_int8_net_has_no_float_tensor(stage: str, sizes: EtriSizes, unsettle: Unsettle) -> None:
    trained, deployed = build(stage, sizes), build(stage, sizes, deployed=True)
    unsettle(trained, 0)
    settle(trained, examples(stage, 32, seed=9))
    fold_norms(trained, deployed)
    (answer,) = trained.output
    net = LiteRtNet(to_tflite(deployed, [{"features": maps} for maps in examples(stage, 40, seed=1)]))
    assert (net.input_shapes, net.output_shapes) == tuple(
        {name: shape} for name, shape in zip(("features", answer), shapes(trained), strict=True)
    )
    types = net.tensor_types()
    assert types["int8"] > 0
    assert not [name for name in types if name.startswith("float")]
    x = examples(stage, 10, seed=2)
    got = np.stack([net(features=maps)[answer] for maps in x])
    assert snr_db(outputs(trained, x), got) > 12.0


def test_windows_of_another_length_are_refused() -> None:
    model = build("sed", TINY)
    with pytest.raises(ValueError, match=r"expected shape=\(None, 40, 32, 3\), found shape=\(1, 80, 32, 3\)"):
        model({"features": np.zeros((1, 80, 32, 3), np.float32)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 202}, "got frames 202, wanted a multiple of frames_per_label 5"),
        ({"frames_per_label": 0}, "got frames 200, wanted a multiple of frames_per_label 0"),
        ({"frames": 0}, "got frames 0, wanted a multiple of frames_per_label 5"),
        ({"frames": 220}, "got frames 220, bands 64 for 3 levels of sad_filters, wanted multiples of 8, 64 or more"),
        ({"frames": 40}, "got frames 40, bands 64 for 3 levels of sad_filters, wanted multiples of 8, 64 or more"),
        ({"bands": 32}, "got frames 200, bands 32 for 3 levels of sad_filters, wanted multiples of 8, 64 or more"),
        ({"doae_filters": (8,) * 5}, "got frames 200, bands 64 for 4 levels of doae_filters, wanted multiples of 16"),
        ({"sed_filters": (8,)}, r"got sed_filters \(8,\), wanted at least two, all positive"),
        ({"sad_filters": (8, 0)}, r"got sad_filters \(8, 0\), wanted at least two, all positive"),
        ({"convolutions": 0}, "got convolutions 0, trellis_units 64, dropout 0.05, wanted at least 1, at least 1"),
        ({"dropout": 1.0}, "got convolutions 1, trellis_units 64, dropout 1.0, wanted at least 1, at least 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        replace(EDGE_SIZES, **changes)  # type: ignore[arg-type]

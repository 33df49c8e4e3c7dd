"""The nets of CoLoC: their sizes, and that training asks them as the device does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from convert.quantize.keras_net import KerasNet
from convert.systems.coloc.nets import (
    ENCODER_CHANNELS,
    build_classifier,
    build_encoder,
    build_localizer,
    build_trainable,
)
from convert.systems.coloc.sizes import CrnnSizes
from convert.training.recipes import RECIPES
from edge.frontend.maps import FEATURES
from edge.nets.net import Past
from edge.stage_clock import StageClock
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.window import ColocWindow
from edge.systems.label_stepper import LabelStepper
from edge.types import FeatureFrames, Spectra

EDGE_SIZES, PAPER_SIZES = (RECIPES[name].sizes for name in ("coloc-edge", "coloc-paper"))

TINY = CrnnSizes(frames=50, bands=32, filters=(4, 4, 4), gru_units=4, dense_units=4)


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_the_sizes_of_the_paper() -> None:
    localizer, classifier = build_localizer(PAPER_SIZES), build_classifier(PAPER_SIZES, 13)
    assert trainable(localizer) == 2_300_547  # "slightly above 2, 3 million", section 3.5
    assert trainable(classifier) == 2_301_966  # 13 classes and none of them
    assert localizer.output["output"].shape == (None, 50, 3)
    assert classifier.output["output"].shape == (None, 50, 14)
    assert {name: tensor.shape[1:] for name, tensor in localizer.input.items()} == {
        "features": (250, 513, 11),
        "embedding": (50, 5),
    }


def test_an_encoder_has_20_parameters() -> None:
    encoder = build_encoder(50, "localizer_encoder")
    assert trainable(encoder) == encoder.count_params() == 20
    assert encoder.output["embedding"].shape == (None, 50, ENCODER_CHANNELS)
    direction = np.random.default_rng(0).normal(size=(1, 50, 3)).astype(np.float32)
    kernel, bias = encoder.get_layer("dense").get_weights()
    embedding = ops.convert_to_numpy(encoder({"direction": direction})["embedding"])
    np.testing.assert_allclose(embedding, np.tanh(direction @ kernel + bias), atol=1e-6)


def test_the_edge_recipe() -> None:
    assert trainable(build_localizer(EDGE_SIZES)) == 476_835
    assert (EDGE_SIZES.bands, EDGE_SIZES.filters, EDGE_SIZES.labels) == (64, (32, 64, 128), 50)


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.system == "coloc"])
def test_recipes_fit_together(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.sizes.bands == recipe.features.bands
    assert recipe.sizes.maps == len(FEATURES[recipe.features.kind][1])
    assert recipe.sizes.frames_per_label == recipe.stft.frames_per_label
    assert recipe.sizes.labels == recipe.device.get("window_labels", 50)


def test_outputs_are_vectors_within_a_cube_and_probabilities() -> None:
    rng = np.random.default_rng(0)
    inputs = {
        "features": 10 * rng.normal(size=(2, 50, 32, 7)).astype(np.float32),
        "embedding": rng.uniform(-1, 1, (2, 10, 5)).astype(np.float32),
    }
    vectors = ops.convert_to_numpy(build_localizer(TINY)(inputs)["output"])
    assert vectors.shape == (2, 10, 3)
    assert np.abs(vectors).max() <= 1
    assert vectors.min() < 0 < vectors.max()
    probability = ops.convert_to_numpy(build_classifier(TINY, 6)(inputs)["output"])
    assert probability.shape == (2, 10, 7)
    assert probability.min() >= 0
    np.testing.assert_allclose(probability.sum(axis=-1), 1, atol=1e-5)


def test_a_deployed_net_has_the_same_layers_but_norm_and_dropout() -> None:
    def names(deployed: bool) -> set[str]:
        return {layer.name for layer in build_localizer(TINY, deployed).layers if layer.weights}

    assert names(False) - names(True) == {f"block{number}_norm" for number in (1, 2, 3)}
    assert names(True) < names(False)
    dropout = replace(TINY, dropout=0.5)
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in build_localizer(dropout, True).layers)


class Asked:
    """A net that notes its inputs and answers with given outputs, one after the other."""

    def __init__(self, name: str, answers: list[np.ndarray]) -> None:
        self.name, self.answers, self.inputs = name, answers, []

    def __call__(self, past: Past | None = None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        self.inputs.append(inputs)
        return {self.name: self.answers[len(self.inputs) - 1]}

    def fresh(self) -> Past:
        return {}


def test_training_embeds_what_the_device_loop_embeds() -> None:
    """The mean over known directions, the origin where one is missing: sections 2.3 and 3.1 meet here."""
    rng = np.random.default_rng(0)
    labels = TINY.labels
    encoder, net = build_encoder(labels, "localizer_encoder"), build_localizer(TINY)
    encoder.get_layer("dense").bias.assign([0.3, -0.2, 0.1, 0.5, -0.4])  # the origin embeds to something
    first, second = rng.normal(size=(2, labels, 3)).astype(np.float32)
    first, second = (each / np.linalg.norm(each, axis=-1, keepdims=True) for each in (first, second))
    second[:4] = 0.0  # there is only one source in the first frames
    first[:2] = 0.0  # and none at all in the very first

    class Extractor:
        look_ahead_labels, channels = 0, 4

        def push(self, spectra: Spectra) -> Iterator[FeatureFrames]:
            yield FeatureFrames(np.zeros((5, TINY.bands, TINY.maps), np.float32), spectra.start)

        def finish(self) -> Iterator[FeatureFrames]:
            return iter(())

        def reset(self) -> None:
            """There is no past."""

    localizer = Asked("output", [first, second, np.zeros((labels, 3), np.float32)])
    nets = {
        "localizer_encoder": KerasNet(encoder),
        "localizer": localizer,
        "classifier_encoder": KerasNet(build_encoder(labels, "classifier_encoder")),
        "classifier": KerasNet(build_classifier(TINY, 2)),
    }
    recipe = RECIPES["coloc-edge"]
    settings = ColocSettings(window_labels=labels, hop_labels=labels, max_overlap=3)
    stepper = LabelStepper(Extractor(), recipe.stft, StageClock())  # type: ignore[arg-type]
    loop = ColocWindow(nets, stepper, 2, settings)
    maps = rng.normal(size=(TINY.frames, TINY.bands, TINY.maps)).astype(np.float32)
    loop.infer(maps)
    assert len(localizer.inputs) == 3

    model = build_trainable(encoder, net)
    for known, asked in enumerate(localizer.inputs):
        directions = np.stack([first, second, np.zeros_like(first)], axis=1)  # (labels, slots, 3)
        complete = np.any(directions != 0, axis=-1).sum(axis=1) >= known
        directions[:, known:] = 0.0
        directions[~complete] = 0.0
        weights = np.zeros((labels, 3), np.float32)
        weights[:, : max(known, 1)] = 1.0 / max(known, 1)
        trained = model({"features": maps[None], "directions": directions[None], "weights": weights[None]})
        ran = net({"features": maps[None], "embedding": asked["embedding"][None]})["output"]
        np.testing.assert_allclose(ops.convert_to_numpy(trained), ops.convert_to_numpy(ran), atol=1e-5)
        origin = np.tanh(encoder.get_layer("dense").bias)
        at_origin = np.all(np.isclose(asked["embedding"], origin, atol=1e-6), axis=-1)
        np.testing.assert_array_equal(at_origin, ~complete | (known == 0))

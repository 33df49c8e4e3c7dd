"""The distance of CoLoC's classifier: its loss and scores by hand, its nets on the device, and all without it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from convert.data.cache import FeatureCache
from convert.data.tracks import label_tracks
from convert.losses import focal_cross_entropy
from convert.quantize.export import convert_nets
from convert.quantize.keras_net import KerasNet
from convert.systems.batches import training_sampling
from convert.systems.coloc import examples as coloc_examples
from convert.systems.coloc.batches import batch_maker
from convert.systems.coloc.distance import classifier_loss, distance_scores
from convert.systems.coloc.examples import STAGES
from convert.systems.coloc.nets import ENCODER_CHANNELS, build_classifier
from convert.systems.coloc.step_nets import build_steps
from convert.systems.coloc.system import COLOC
from convert.systems.interface import TrainingData
from convert.systems.recipe import Recipe
from convert.training.run_folder import random_run
from convert.training.weights import start_stage, weights_path
from edge.arrays.profile import load_array
from edge.frontend.stft import StftSettings
from edge.nets.bundle import Bundle, load_bundle, write_bundle
from edge.runtime.pipeline import build_pipeline, build_system
from edge.scoring.annotations import Label
from edge.stage_clock import StageClock
from edge.systems.coloc.causal import ColocCausal
from edge.systems.coloc.distance import FARTHEST_M, NEAREST_M, metres
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.window import ColocWindow
from edge.systems.label_stepper import LabelStepper
from edge.types import AudioBlock, Event, FrameRow, Spectra
from tests.convert.systems.coloc.clip_maps import Clip
from tests.convert.systems.coloc.tiny_recipe import BANDS, LABELS, tiny_recipe

Unsettle = Callable[[keras.Model, int], None]


def tiny(**device: object) -> Recipe:
    return tiny_recipe("coloc-edge", look_ahead_labels=1, **device)


# what is learnt


def test_the_loss_by_hand() -> None:
    """Two label frames with an event, at 1 m and at 4 m, one without, and one at an unknown distance."""
    target = np.array([[[0, 1.0], [1, 4.0], [2, 0.0], [0, 0.0]]], np.float32)
    probabilities = np.array([[[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.9, 0.1, 0.0]]], np.float32)
    told_m = np.array([2.0, 3.0, 0.3, 15.0])
    scale = np.log(told_m / NEAREST_M) / np.log(FARTHEST_M / NEAREST_M)
    answer = np.concatenate([probabilities, scale[None, :, None].astype(np.float32)], axis=-1)
    distance = (math.log(2.0) + math.log(4.0 / 3.0)) / 2
    focal = np.mean([-(1 - p) * math.log(p) for p in (0.5, 0.7, 0.8, 0.9)])
    assert float(focal_cross_entropy(target[..., 0], probabilities)) == pytest.approx(focal, rel=1e-5)
    for weight in (0.5, 2.0):
        assert float(classifier_loss(weight)(target, answer)) == pytest.approx(focal + weight * distance, rel=1e-5)
    scores = distance_scores(target, answer)
    classes = {"dev_right_percent": 100.0, "dev_recall_percent": 100.0}
    assert scores == pytest.approx(classes | {"dev_distance_error": (1.0 + 0.25) / 2}, rel=1e-5)
    target[..., 1] = 0.0
    assert float(classifier_loss(0.5)(target, answer)) == pytest.approx(focal, rel=1e-5)


def test_distances_stay_with_their_events(make_cache: Callable[..., FeatureCache]) -> None:
    """Two sources at different distances, one of them unknown, through turning, stacking and silence."""
    labels = [Label(frame, 0, 0, 30.0, 0.0, 150.0) for frame in range(30)]
    labels += [Label(frame, 1, 0, -90.0, 0.0, None if frame < 20 else 400.0) for frame in range(10, 40)]
    tracks = label_tracks(labels, 40, 2, distances=True)
    assert tracks.shape == (3, 40, 5)
    np.testing.assert_array_equal(tracks[:, [5, 15, 25, 35], 4], [[1.5, 1.5, 1.5, 4.0], [0, 0, 4.0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(tracks[..., :4], label_tracks(labels, 40, 2))
    recipe = replace(tiny(distance=True), augmentation=replace(tiny().augmentation, silence_share=0.5))
    batch = batch_maker("classifier", make_cache(tracks, (0, 40)), training_sampling(recipe, 0))
    found = set()
    for step in range(3):
        _, target = batch(step)
        assert target.shape[1:] == (LABELS, 2)
        found |= set(map(tuple, target.reshape(-1, 2).tolist()))
    assert found == {(0.0, 1.5), (1.0, 0.0), (1.0, 4.0), (2.0, 0.0)}
    _, target = batch_maker("localizer", make_cache(tracks, (0, 40)), training_sampling(recipe, 0))(0)
    assert target.shape[1:] == (LABELS, 4, 4)


def test_a_training_step_moves_the_distance(make_cache: Callable[..., FeatureCache]) -> None:
    """Through batches, model and loss of the stage: what is told comes nearer to 12 m, where everything is."""
    labels = [Label(frame, 0, 0, 30.0, 0.0, 1200.0) for frame in range(40)]
    cache = make_cache(label_tracks(labels, 40, 2, distances=True), (0, 40))
    recipe = replace(tiny(distance=True), training=replace(tiny().training, batch_size=2))
    nets = COLOC.build("classifier", recipe, 2)
    model, loss = COLOC.trainable("classifier", recipe, nets), COLOC.loss("classifier", recipe, 2)
    model.compile(keras.optimizers.Adam(0.05), loss)
    inputs, target = COLOC.batches("classifier", TrainingData(recipe, cache, 0, lambda stage: ()))(0)
    before = COLOC.scores("classifier", recipe, 2)(target, model.predict_on_batch(inputs))
    for _ in range(3):
        model.train_on_batch(inputs, target)
    after = COLOC.scores("classifier", recipe, 2)(target, model.predict_on_batch(inputs))
    assert after["dev_distance_error"] < before["dev_distance_error"] - 0.05


def test_without_the_switch_nets_and_weights_are_what_they_were() -> None:
    """The class layers of both have the same initial weights, and nothing else is there without."""
    built = {}
    for distance in (False, True):
        keras.utils.set_random_seed(3)
        built[distance] = build_classifier(tiny().sizes, 3, distance=distance)
    assert set(built[False].output) == {"output"} and set(built[True].output) == {"output", "distance"}
    names = [layer.name for layer in built[False].layers if layer.weights]
    assert {layer.name for layer in built[True].layers if layer.weights} == {*names, "distance"}
    for name in names:
        for one, other in zip(*(built[each].get_layer(name).get_weights() for each in (False, True)), strict=True):
            np.testing.assert_array_equal(one, other)
    assert COLOC.loss("classifier", tiny(), 3) is focal_cross_entropy
    assert "distance" not in COLOC.net_settings(tiny().device)
    assert COLOC.net_settings(tiny(distance=True).device)["distance"] is True


def test_weights_without_a_distance_are_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = COLOC.build("classifier", tiny(), 3)
    for net in known:
        net.save_weights(weights_path(tmp_path, net.name))
    monkeypatch.setattr("convert.training.weights.start_recipe", lambda folder: tiny())
    begun = start_stage("classifier", tiny(distance=True), 3, tmp_path)
    assert set(begun[1].output) == {"output", "distance"}
    for net, other in zip(begun, known, strict=True):
        for layer in (layer for layer in other.layers if layer.weights):
            for one, wanted in zip(net.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
                np.testing.assert_array_equal(one, wanted)


# what runs


def test_the_recurrence_of_the_device_tells_the_distance_of_the_window(unsettle: Unsettle) -> None:
    """With a look-ahead over all of the rows, the first answer of both is that to the whole window."""
    recipe = tiny(distance=True)
    trained = build_classifier(recipe.sizes, 3, distance=True)
    unsettle(trained, 0)
    rng = np.random.default_rng(1)
    inputs = {
        "features": rng.normal(size=(5 * LABELS, BANDS, 7)).astype(np.float32),
        "embedding": rng.uniform(-1, 1, (LABELS, ENCODER_CHANNELS)).astype(np.float32),
    }
    rows = KerasNet(keras.Model(trained.input, {"rows": trained.get_layer("block3_relu").output}))(**inputs)["rows"]
    wanted = KerasNet(trained)(**inputs)
    net = KerasNet(build_steps(recipe.sizes, trained, LABELS - 1)["classifier_recurrence"])
    got = net(net.fresh(), shared_labels=rows)
    for name in ("output", "distance"):
        np.testing.assert_allclose(got[name][0], wanted[name][0], atol=1e-5)
    assert np.ptp(wanted["distance"]) > 1e-3


def test_causal_nets_tell_the_same_distance_as_windows(unsettle: Unsettle) -> None:
    """Window and causal loop over the same weights; the streaming mode is above."""
    recipe = tiny(distance=True, causal=True, max_overlap=3)
    trained = {net.name: net for stage in STAGES for net in COLOC.build(stage, recipe, 3)}
    for seed, net in enumerate(trained.values()):
        unsettle(net, seed)
    nets = {name: KerasNet(model) for name, model in {**trained, **COLOC.device_nets(recipe, trained)}.items()}
    maps = np.random.default_rng(0).normal(size=(LABELS, 5, BANDS, 7)).astype(np.float32)
    found = []
    for kind, changes in ((ColocWindow, {"mode": "window", "hop_labels": LABELS}), (ColocCausal, {})):
        stepper = LabelStepper(Clip(maps), StftSettings(), StageClock())  # type: ignore[arg-type]
        system = kind(nets, stepper, 3, ColocSettings(**{**recipe.device, **changes}))
        spectra = [Spectra(np.ones((5, 4, 513), np.complex64), 5 * label) for label in range(LABELS)]
        answers = [*(answer for each in spectra for answer in system.step(each)), *system.finish()]
        direction, distance_m = (np.concatenate([getattr(a, n) for a in answers]) for n in ("direction", "distance_m"))
        found.append(np.where(direction.any(axis=-1), distance_m, 0.0))
    assert np.count_nonzero(found[0]) >= LABELS and np.ptp(found[0][found[0] > 0]) > 0.01
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3)


@pytest.fixture(
    scope="module",
    params=[pytest.param(False, id="bidirectional", marks=pytest.mark.long), pytest.param(True, id="causal")],
)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An int8 bundle of tiny nets that find something everywhere and tell how far away it is."""
    recipe, folder = tiny(distance=True), tmp_path_factory.mktemp("distance")
    recipe = replace(recipe, conversion=replace(recipe.conversion, float_ops=("SPLIT",)))  # of biases that are zero
    if request.param:
        recipe = replace(recipe, device={**recipe.device, "causal": True})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"STREAMED_SCENES": 2, "STREAMED_LABELS": 20}.items():
            patch.setattr(coloc_examples, name, value)
        bundles, checks = convert_nets(random_run(recipe, folder), ("int8",), share=0.1)
    assert all(check.float_tensors == check.allowed_tensors for check in checks)
    write_bundle(folder / "bundle", bundles["int8"])
    return load_bundle(str(folder / "bundle"))


def test_int8_events_have_distances(bundle: Bundle) -> None:
    assert bundle.manifest.settings["distance"] is True
    samples = np.random.default_rng(0).normal(0, 0.1, (30 * 2400, 4)).astype(np.float32)
    decode = {"on": 0.02, "off": 0.01, "min_duration_labels": 1, "join_deg": 180.0}
    items: dict[bool, list[object]] = {}
    for distance in (True, False):
        system = build_system(bundle, overrides={"distance": distance})
        pipeline = build_pipeline(bundle, load_array("foa"), system, decode)
        items[distance] = [*pipeline.push(AudioBlock(samples, 0)), *pipeline.finish()]
    events = [item for item in items[True] if isinstance(item, Event)]
    assert events and all(event.distance_m is not None for event in events)
    assert all(NEAREST_M <= (event.distance_m or 0.0) <= FARTHEST_M for event in events)
    rows = [item for item in items[True] if isinstance(item, FrameRow)]
    assert rows and all(row.distance_cm is not None for row in rows)
    plain = [replace(item, distance_cm=None) for item in rows]
    assert plain == [item for item in items[False] if isinstance(item, FrameRow)]  # the rest is the same to the bit


def test_int8_distances_are_those_of_the_scale(bundle: Bundle) -> None:
    """What a net tells is 256 steps between nearest and farthest: no other value occurs."""
    nets = bundle.nets()
    name = "classifier_pass" if "classifier_pass" in nets else "classifier_recurrence"
    step, zero = nets[name].outputs["distance"]["quantization"]
    assert (step, zero) == (pytest.approx(1 / 256), -128)
    assert metres(np.float32(step * 128)) == pytest.approx(2.0, rel=1e-3)

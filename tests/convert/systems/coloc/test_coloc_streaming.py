"""The step nets against the nets they were cut from, as Keras computes them and in int8."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import keras
import numpy as np
import pytest

from convert.quantize.converter import pinned, to_tflite
from convert.quantize.ladder import KerasNet, check_net
from convert.systems.coloc.nets import (
    ENCODER_CHANNELS,
    build_classifier,
    build_encoder,
    build_localizer,
)
from convert.systems.coloc.sizes import CrnnSizes
from convert.systems.coloc.step_nets import build_recurrence, build_steps
from convert.systems.recording_net import RecordingNet
from edge.audio.wav import read_wav
from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import Stft, StftSettings
from edge.nets.net import LiteRtNet, Net, Past, check_shared
from edge.stage_clock import StageClock
from edge.systems.coloc.passes import CONVOLUTION_LABELS, Pass
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.streaming import ColocStreaming
from edge.systems.coloc.window import ColocWindow
from edge.systems.label_stepper import LabelStepper
from edge.types import AudioBlock, Spectra
from tests.convert.systems.coloc.clip_maps import Clip
from tests.paths import ROOT

Unsettle = Callable[[keras.Model, int], None]
SIZES = CrnnSizes(bands=8, filters=(4, 5, 6), frequency_pools=(2, 2, 1), gru_units=6, dense_units=6)
CLASSES = 3
DEMO = ROOT / "edge" / "demo" / "scene.wav"


def trained_stage(stage: str, labels: int, unsettle: Unsettle, seed: int = 0, silent: bool = False) -> keras.Model:
    """A net with weights as after a training. `silent`: where maps and condition are zero, so are the blocks."""
    sizes = replace(SIZES, frames=5 * labels)
    trained = build_localizer(sizes) if stage == "localizer" else build_classifier(sizes, CLASSES)
    unsettle(trained, seed)
    for number in (1, 2, 3) if silent else ():
        norm = trained.get_layer(f"block{number}_norm")
        gamma, _, mean, variance = norm.get_weights()
        _, bias = trained.get_layer(f"block{number}_conv").get_weights()
        quiet = -(bias - mean) * gamma / np.sqrt(variance + norm.epsilon) - 0.1 * np.arange(len(gamma))
        norm.set_weights([gamma, quiet, mean, variance])
    return trained


def clip(labels: int, seed: int = 0, silent: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Maps (labels, 5, bands, maps) and conditions (labels, n), of which the last `silent` are zero."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(labels, 5, SIZES.bands, SIZES.maps)).astype(np.float32)
    told = rng.uniform(-1, 1, (labels, ENCODER_CHANNELS)).astype(np.float32)
    maps[labels - silent :] = told[labels - silent :] = 0.0
    return maps, told


class Rows:
    """In place of a recurrence: what it would be given."""

    def __call__(self, past: Past | None = None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        return {"output": inputs["shared_labels"]}

    def fresh(self) -> Past:
        return {}


def streamed(
    nets: Mapping[str, Net], stage: str, look_ahead: int, maps: np.ndarray, told: np.ndarray, hop: int = 1
) -> np.ndarray:
    """Answers of one pass to a clip, label frame by label frame as the device feeds it."""
    front = nets[f"{stage}_front"]
    past, each = front.fresh(), Pass(nets[f"{stage}_blocks"], nets[f"{stage}_recurrence"], look_ahead)
    before = np.concatenate([np.zeros_like(told[:2]), told])
    answers = []
    for label, frames in enumerate(maps):
        shared = front(past, features=frames)["shared_maps"]
        answer = each.push(shared, before[label : label + 3], hop) if label else None
        if answer is not None:
            answers.append(answer)
    return np.stack(answers)


def keras_steps(trained: keras.Model, look_ahead: int) -> dict[str, Net]:
    sizes = replace(SIZES, frames=trained.get_layer("features").output.shape[1])
    return {name: KerasNet(model) for name, model in build_steps(sizes, trained, look_ahead).items()}


def rows_of(trained: keras.Model, maps: np.ndarray, told: np.ndarray) -> np.ndarray:
    """What the convolutions of the window net give to its recurrence: (labels, bands, filters)."""
    convolutions = keras.Model(trained.input, {"output": trained.get_layer("block3_relu").output})
    return KerasNet(convolutions)(features=maps.reshape(-1, *maps.shape[2:]), embedding=told)["output"]


def whole(trained: keras.Model, maps: np.ndarray, told: np.ndarray) -> np.ndarray:
    return KerasNet(trained)(features=maps.reshape(-1, *maps.shape[2:]), embedding=told)["output"]


# Keras


@pytest.mark.parametrize("seed", [0, 1])
def test_the_convolutions_of_a_stream_are_those_of_the_window(unsettle: Unsettle, seed: int) -> None:
    """From the first label frame on, where both have zeros before; the last three of a window have zeros behind."""
    trained = trained_stage("localizer", 10, unsettle, seed)
    maps, told = clip(10, seed)
    rows = streamed({**keras_steps(trained, 0), "localizer_recurrence": Rows()}, "localizer", 0, maps, told)
    wanted = rows_of(trained, maps, told)
    assert wanted.std() > 0.1
    assert len(rows) == 10 - CONVOLUTION_LABELS
    np.testing.assert_allclose(rows, wanted[:-CONVOLUTION_LABELS], atol=1e-4)


@pytest.mark.parametrize("stage", ["localizer", "classifier"])
def test_with_a_look_ahead_over_the_clip_the_first_answer_is_that_of_the_window(unsettle: Unsettle, stage: str) -> None:
    """The clip ends in silence, which is to the convolutions what the end of the window is."""
    trained = trained_stage(stage, 8, unsettle, silent=True)
    maps, told = clip(8 + CONVOLUTION_LABELS, silent=CONVOLUTION_LABELS + 4)
    (first,) = streamed(keras_steps(trained, 7), stage, 7, maps, told)
    wanted = whole(trained, maps[:8], told[:8])
    np.testing.assert_allclose(first, wanted[0], atol=1e-5)
    assert np.abs(first - wanted[1]).max() > 2e-4  # not that of another label


@pytest.mark.long  # the test above is about the first answers
def test_later_answers_are_those_of_the_window_too_if_states_are_carried(unsettle: Unsettle) -> None:
    """Each with a look-ahead to the end of the clip."""
    trained = trained_stage("localizer", 6, unsettle)
    maps, told = clip(6)
    rows, wanted = rows_of(trained, maps, told), whole(trained, maps, told)
    sizes = replace(SIZES, frames=30)
    past: Past = {}
    for label in range(6):
        net = KerasNet(build_recurrence(sizes, trained, 5 - label, 3, "tanh", "recurrence"))
        past = past or net.fresh()
        answer = net(past, shared_labels=rows[label:])["output"]
        np.testing.assert_allclose(answer[0], wanted[label], atol=1e-5)
        past = {name: states[:, :1] for name, states in past.items()}
    assert np.abs(np.diff(wanted, axis=0)).max(axis=1).min() > 1e-3


def test_the_second_answer_of_a_run_is_the_first_of_the_next_with_less_look_ahead(unsettle: Unsettle) -> None:
    trained = trained_stage("localizer", 6, unsettle)
    rows = np.random.default_rng(0).uniform(0, 1, (4, 2, 6)).astype(np.float32)
    nets = [KerasNet(build_recurrence(SIZES, trained, ahead, 3, "tanh", "recurrence")) for ahead in (3, 2)]
    past = nets[0].fresh()
    both = nets[0](past, shared_labels=rows)["output"]
    after_first = {name: states[:, :1] for name, states in past.items()}
    first = nets[1](after_first, shared_labels=rows[1:])["output"][0]
    np.testing.assert_allclose(both[1], first, atol=1e-6)
    for name in past:
        np.testing.assert_allclose(past[name][:, 1], after_first[name][:, 0], atol=1e-6)


@pytest.mark.parametrize("look_ahead", [0, 2])
def test_an_answer_sees_as_far_ahead_as_it_says_and_no_further(unsettle: Unsettle, look_ahead: int) -> None:
    """Of the last label frame in its range it sees the first frame: what the first convolution looks ahead."""
    labels, changed = 14, 9
    nets = keras_steps(trained_stage("localizer", labels, unsettle), look_ahead)
    maps, told = clip(labels)
    usual = streamed(nets, "localizer", look_ahead, maps, told)
    assert len(usual) == labels - CONVOLUTION_LABELS - look_ahead

    def first_changed(maps: np.ndarray, told: np.ndarray) -> int:
        moved = np.abs(streamed(nets, "localizer", look_ahead, maps, told) - usual).max(axis=1)
        assert np.all(moved[np.argmax(moved > 0) :] > 0)  # states carry it on
        return int(np.argmax(moved > 0))

    soonest = changed - CONVOLUTION_LABELS - look_ahead
    for frame, wanted in ((0, soonest), (1, soonest + 1), (4, soonest + 1)):
        with_impulse = maps.copy()
        with_impulse[changed, frame] += 3.0
        assert first_changed(with_impulse, told) == wanted
    with_impulse = told.copy()
    with_impulse[changed] *= -1.0
    assert first_changed(maps, with_impulse) == soonest


def answers_of(system: ColocStreaming | ColocWindow, labels: int) -> Iterator[np.ndarray]:
    """Activity and direction of all label frames, after a reset."""
    system.reset()
    heard = [each for n in range(labels) for each in system.step(Spectra(np.ones((5, 4, 513), np.complex64), 5 * n))]
    heard += system.finish()
    assert [each.start for each in heard] in ([0], list(range(labels)))
    for name in ("activity", "direction"):
        yield np.concatenate([getattr(each, name) for each in heard])


@pytest.mark.slow
def test_with_full_look_ahead_both_modes_answer_the_same(unsettle: Unsettle) -> None:
    """Through the whole loop. What sounds is over well before the window is, so that its edge has no effect."""
    keras.utils.set_random_seed(0)  # one with which all passes find something
    labels, sounding = 20, 5
    nets: dict[str, Net] = {}
    for seed, stage in enumerate(("localizer", "classifier")):
        encoder = build_encoder(labels, f"{stage}_encoder")  # its bias is zero, and so is the embedding of the origin
        trained = trained_stage(stage, labels, unsettle, seed, silent=True)
        for layer in (1, 2):  # of silence nothing remains
            gru = trained.get_layer(f"gru{layer}_both")
            factors = {"kernel": 1.0, "recurrent": 0.3, "bias": 0.0}
            gru.set_weights(
                [w * factors[v.name.partition("_")[2]] for w, v in zip(gru.get_weights(), gru.weights, strict=True)]
            )
        for name, factor in (("dense", 3.0), ("output", 3.0)):
            kernel, bias = trained.get_layer(name).get_weights()
            trained.get_layer(name).set_weights([factor * kernel, 0.0 * bias])
        nets |= {encoder.name: KerasNet(encoder), stage: KerasNet(trained), **keras_steps(trained, labels - 1)}
    maps, _ = clip(labels, silent=labels - sounding)
    settings = ColocSettings("window", 3, 0.02, window_labels=labels, hop_labels=labels, look_ahead_labels=labels - 1)
    steppers = (LabelStepper(Clip(maps), StftSettings(), StageClock()) for _ in range(2))  # type: ignore[arg-type]
    systems = (
        ColocWindow(nets, next(steppers), CLASSES, settings),
        ColocStreaming(nets, next(steppers), CLASSES, settings),
    )
    (activity, direction), (streamed_activity, streamed_direction) = (answers_of(each, labels) for each in systems)
    found = np.any(direction != 0, axis=-1).sum(axis=1)
    assert found[:sounding].min() == 3 and found[-4:].max() == 0  # all passes began with the first label frame
    np.testing.assert_allclose(streamed_direction, direction, atol=1e-3)
    np.testing.assert_allclose(streamed_activity, activity, atol=1e-3)
    assert np.abs(direction[0, 0] - direction[0, 1]).max() > 0.02  # the second pass was told something


# int8


def recorded(models: Mapping[str, keras.Model], look_ahead: int, clips: list[np.ndarray]) -> dict[str, list]:
    """Examples of what the step nets of a localizer are asked: states rolled forward, conditions from everywhere."""
    nets = {name: RecordingNet(KerasNet(model)) for name, model in models.items()}
    for seed, maps in enumerate(clips):
        told = np.random.default_rng(seed).uniform(-1, 1, (len(maps), ENCODER_CHANNELS)).astype(np.float32)
        streamed(nets, "localizer", look_ahead, maps, told)
    return {name: net.examples for name, net in nets.items()}


def converted(models: Mapping[str, keras.Model], examples: Mapping[str, list]) -> dict[str, bytes]:
    """The step nets in int8, one after the other, as `convert.quantize.export` does it."""
    flatbuffers: dict[str, bytes] = {}
    scales: dict[str, tuple[float, int]] = {}
    for name, model in models.items():
        calibration = examples[name]
        for tensor in scales.keys() & {each.name for each in model.inputs}:
            calibration = pinned(calibration, tensor, scales[tensor])
        flatbuffers[name] = to_tflite(model, calibration)
        scales |= {tensor: d["quantization"] for tensor, d in LiteRtNet(flatbuffers[name]).outputs.items()}
    return flatbuffers


def sounds(bands: int) -> list[np.ndarray]:
    """Maps (labels, 5, bands, 7) of three clips: noise, bursts of a tone, and the beginning of the demo scene."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (24000 * 23 // 10, 4))
    seconds = np.arange(24000 * 17 // 10) / 24000
    bursts = 0.2 * np.sin(2 * np.pi * 440 * seconds) * (seconds % 0.45 < 0.2)
    scene, _ = read_wav(DEMO)
    clips = [noise, np.outer(bursts, [1.0, 0.5, -0.2, 0.6]), scene[24000 * 2 : 24000 * 5]]
    extractor = FeatureExtractor(FeatureSettings("logmel_iv", bands), StftSettings())
    maps = []
    for samples in clips:
        stft = Stft(StftSettings(), 4)
        groups = [*stft.push(AudioBlock(samples.astype(np.float32), 0)), *stft.finish()]
        maps.append(np.stack([extractor(spectra).maps for spectra in groups]))
    everything = np.concatenate(maps)
    mean, deviation = (f(everything, axis=(0, 1)) for f in (np.mean, np.std))
    return [(each - mean) / (deviation + 1e-3) for each in maps]


@pytest.fixture(scope="module", params=[SIZES, CrnnSizes()], ids=["tiny", "edge"])
def int8_convolutions(request: pytest.FixtureRequest, unsettle: Unsettle) -> tuple[bytes, bytes, list[np.ndarray]]:
    """Front and blocks of a localizer in int8, and the clips by which they were calibrated."""
    sizes, clips = request.param, sounds(request.param.bands)
    trained = build_localizer(sizes)
    unsettle(trained, 0)
    models = build_steps(sizes, trained, 0)
    examples = recorded(models, 0, [maps[:12] for maps in clips])
    del models["localizer_recurrence"]
    front, blocks = converted(models, examples).values()
    return front, blocks, clips


@pytest.mark.slow
def test_int8_convolutions_of_a_clip_do_not_depend_on_how_it_is_cut(
    int8_convolutions: tuple[bytes, bytes, list[np.ndarray]], convolved: Callable[..., np.ndarray]
) -> None:
    """Bit by bit: at once, in blocks of any number of label frames, and one by one as on the device."""
    front, blocks, clips = int8_convolutions
    nets = {"localizer_front": LiteRtNet(front), "localizer_blocks": LiteRtNet(blocks), "localizer_recurrence": Rows()}
    for seed, maps in enumerate(clips):
        told = np.random.default_rng(seed).uniform(-1, 1, (len(maps), ENCODER_CHANNELS)).astype(np.float32)
        on_device = streamed(nets, "localizer", 0, maps, told)
        assert len(on_device) == len(maps) - CONVOLUTION_LABELS > 10
        assert on_device.dtype == np.int8 and len(np.unique(on_device)) > 10
        for size in (1, 2, 3, 7, len(maps)):
            np.testing.assert_array_equal(convolved(front, blocks, maps, told, size), on_device)


@pytest.fixture(scope="module")
def int8_steps(unsettle: Unsettle) -> tuple[dict[str, keras.Model], dict[str, list], dict[str, bytes]]:
    """The step nets of a tiny localizer, what they were asked, and their int8 form."""
    trained = trained_stage("localizer", 16, unsettle)
    models = build_steps(SIZES, trained, 2)
    examples = recorded(models, 2, [clip(16, seed)[0] for seed in range(6)])
    return models, examples, converted(models, {name: each[:-16] for name, each in examples.items()})


Int8Steps = tuple[dict[str, keras.Model], dict[str, list], dict[str, bytes]]


@pytest.mark.slow
def test_int8_step_nets_answer_as_keras_does(int8_steps: Int8Steps) -> None:
    models, examples, flatbuffers = int8_steps
    for name, model in models.items():
        check = check_net(name, "int8", KerasNet(model), LiteRtNet(flatbuffers[name]), examples[name][-16:])
        assert check.passed and check.snr_db > 18, str(check)


@pytest.mark.slow
def test_int8_step_nets_carry_and_hand_on_with_one_scale(int8_steps: Int8Steps) -> None:
    models, examples, flatbuffers = int8_steps
    nets = {name: LiteRtNet(flatbuffer) for name, flatbuffer in flatbuffers.items()}
    states = {name: sorted(net.fresh()) for name, net in nets.items()}
    assert states == {
        "localizer_front": ["state_features", "state_frames"],
        "localizer_blocks": ["state_second", "state_third"],
        "localizer_recurrence": ["state_forward1", "state_forward2"],
    }
    for name, net in nets.items():
        for state in states[name]:
            assert net.inputs[state]["quantization"] == net.outputs[state]["quantization"]
    check_shared(nets["localizer_front"], nets["localizer_blocks"], "shared_maps")
    check_shared(nets["localizer_blocks"], nets["localizer_recurrence"], "shared_labels")
    quieter = [{**each, "shared_maps": 0.5 * each["shared_maps"]} for each in examples["localizer_blocks"]]
    apart = LiteRtNet(to_tflite(models["localizer_blocks"], quieter))
    with pytest.raises(ValueError, match=r"^got shared_maps with scale .*, wanted "):
        check_shared(nets["localizer_front"], apart, "shared_maps")


@pytest.mark.slow
def test_an_int8_pass_answers_as_a_keras_pass_does(int8_steps: Int8Steps) -> None:
    """Over a whole stream: errors do not build up in the states."""
    models, _, flatbuffers = int8_steps
    maps, told = clip(60, seed=9)
    for hop in (1, 2):
        wanted = streamed({name: KerasNet(model) for name, model in models.items()}, "localizer", 2, maps, told, hop)
        got = streamed({name: LiteRtNet(each) for name, each in flatbuffers.items()}, "localizer", 2, maps, told, hop)
        assert len(got) == len(wanted) == 60 - CONVOLUTION_LABELS - 2
        error = np.abs(got - wanted)
        assert error[-20:].mean() < 0.1 * wanted.std() + error[:20].mean()
        assert np.corrcoef(wanted.ravel(), got.ravel())[0, 1] > 0.98

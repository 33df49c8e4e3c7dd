"""What both modes of CoLoC have in common, and how a bundle chooses one."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from edge.array import foa_encoder, load_array
from edge.bundle import load_bundle
from edge.decode import Decoder, DecodeSettings
from edge.features import FeatureExtractor, FeatureSettings
from edge.geometry import angle_between_deg, unit_vector
from edge.runtime import Pipeline, build_pipeline, build_system
from edge.stft import Stft, StftSettings
from edge.systems import coloc_streaming, coloc_window
from edge.systems.coloc import from_bundle
from edge.systems.coloc_settings import MODES, ColocSettings
from edge.systems.coloc_streaming import ColocStreaming
from edge.systems.coloc_window import ColocWindow
from edge.types import AudioBlock, Event


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


# The stream, in label frames


def test_streams_of_any_length_are_answered_label_by_label(scene_of, mode):
    """The defaults, for all lengths from one label frame to more than three windows."""
    scene = scene_of("mixed")
    system = scene.system(mode=mode)
    for length in [*range(1, 70), *range(70, 181, 11)]:
        system.reset()
        scene.check(scene.answers(system, range(length)), range(length))


@pytest.mark.parametrize("resumed", [25, 100, 3])
def test_a_gap_closes_the_stream_and_begins_another(scene_of, mode, resumed):
    scene = scene_of("mixed")
    labels = [*range(17), *range(resumed, resumed + 45)]
    scene.check(scene.answers(scene.system(mode=mode), labels), labels)


def test_reset_and_finish_equal_a_new_system(scene_of, mode):
    scene = scene_of("mixed")
    fresh = scene.answers(scene.system(mode=mode), range(33))
    system = scene.system(mode=mode)
    scene.answers(system, range(27), finish=False)
    system.reset()
    for _ in range(2):
        again = scene.answers(system, range(33))
        assert [answer.start for answer in again] == [answer.start for answer in fresh]
        for one_answer, other in zip(again, fresh, strict=True):
            assert_array_equal(one_answer.activity, other.activity)
            assert_array_equal(one_answer.direction, other.direction)
        system.reset()


def test_finish_goes_on_where_it_ended(scene_of, mode):
    scene = scene_of("mixed")
    system = scene.system(mode=mode)
    assert list(system.finish()) == []
    scene.check(scene.answers(system, range(13)), range(13))
    scene.check(scene.answers(system, range(13, 20)), range(13, 20))


def test_answers_stay_as_they_are_while_the_next_ones_are_computed(scene_of, mode):
    scene = scene_of("mixed")
    system = scene.system(mode=mode, window_labels=8, hop_labels=2, max_overlap=3, look_ahead_labels=1)
    answers, kept = [], []
    for label in range(60):
        for answer in system.step(scene.spectra(label)):
            answers.append(answer)
            kept.append((answer.activity.copy(), answer.direction.copy()))
    assert kept
    for answer, (activity, direction) in zip(answers, kept, strict=True):
        assert_array_equal(answer.activity, activity)
        assert_array_equal(answer.direction, direction)


@pytest.mark.parametrize(
    ("threshold", "found"), [(0.5, [3, 4, 5, 6, 7]), (0.25, [1, 2, 3, 4, 5, 6, 7]), (0.75, [5, 6, 7])]
)
def test_the_threshold_is_on_the_length(scene_of, mode, threshold, found):
    lengths = [0.1, 0.3, 0.45, 0.55, 0.7, 0.8, 0.9, 1.0]
    scene = scene_of("one", lambda label, n: lengths[label])
    system = scene.system(mode=mode, max_overlap=1, threshold=threshold)
    answers = scene.answers(system, range(8))
    activity, direction = (
        np.concatenate([getattr(each, n)[:, 0] for each in answers]) for n in ("activity", "direction")
    )
    assert np.flatnonzero(np.any(direction != 0, axis=-1)).tolist() == found
    assert np.flatnonzero(np.any(activity != 0, axis=-1)).tolist() == found
    assert_allclose(np.linalg.norm(direction[found], axis=-1), 1.0, atol=1e-6)


# Settings and bundles


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "windows"},
        {"max_overlap": 0},
        {"max_overlap": 4},
        {"hop_labels": 0},
        {"hop_labels": 51},
        {"hop_labels": 11},
        {"threshold": 0.0},
        {"threshold": 1.0},
        {"look_ahead_labels": -1},
        {"look_ahead_labels": 101},
    ],
)
def test_settings_that_make_no_sense(changes):
    with pytest.raises(ValueError, match=r"^got .*, wanted "):
        ColocSettings(**changes)


def test_a_bundle_without_nets_for_the_mode_says_which_are_missing(tiny_bundle):
    bundle = load_bundle(str(tiny_bundle))
    nets = dict(bundle.nets())
    del nets["classifier"], nets["localizer_front"], nets["classifier_blocks"]
    with pytest.raises(ValueError, match=r"^tiny: got nets .*, wanted for mode 'window' also classifier$"):
        from_bundle(bundle, nets, {})
    missing = "localizer_front, classifier_blocks"
    with pytest.raises(ValueError, match=rf"^tiny: got nets .*, wanted for mode 'streaming' also {missing}$"):
        from_bundle(bundle, nets, {"mode": "streaming"})


def test_a_bundle_with_nets_of_both_modes_runs_in_either(tiny_bundle):
    bundle = load_bundle(str(tiny_bundle))
    assert isinstance(build_system(bundle), ColocWindow)  # as its settings say
    assert isinstance(build_system(bundle, overrides={"mode": "streaming"}), ColocStreaming)
    streaming = replace(bundle.manifest, settings={**bundle.manifest.settings, "mode": "streaming"})
    assert isinstance(build_system(replace(bundle, manifest=streaming)), ColocStreaming)


def test_settings_can_be_overridden_and_are_checked(tiny_bundle):
    bundle = load_bundle(str(tiny_bundle))
    assert build_system(bundle, overrides={"hop_labels": 4}).latency_s == pytest.approx(0.7)
    assert build_system(bundle, overrides={"mode": "streaming"}).latency_s == pytest.approx(1.6)
    with pytest.raises(ValueError, match=r"^system: got unknown key 'overlap', wanted one of mode, max_overlap"):
        build_system(bundle, overrides={"overlap": 3})
    with pytest.raises(ValueError, match=r"^system: got max_overlap 9, wanted 1, 2 or 3$"):
        build_system(bundle, overrides={"max_overlap": 9})
    with pytest.raises(
        ValueError, match=r"^tiny: localizer_encoder: got direction of shape \[10, 3\], wanted \[20, 3\] by "
    ):
        build_system(bundle, overrides={"window_labels": 20})
    wanted = r"wanted \[4, 'any', 'any'\] by window_labels 10 and look_ahead_labels 3"
    with pytest.raises(ValueError, match=rf"^tiny: localizer_recurrence: got shared_labels .*3, 1, 20\], {wanted}$"):
        build_system(bundle, overrides={"mode": "streaming", "look_ahead_labels": 3})
    with pytest.raises(ValueError, match=r"^decode: got unknown key 'onn', wanted one of on, off"):
        build_pipeline(bundle, load_array("foa"), build_system(bundle), {"onn": 0.5})


def test_every_tensor_that_a_mode_uses_is_looked_for(tiny_bundle, mode):
    bundle = load_bundle(str(tiny_bundle))
    nets, good = dict(bundle.nets()), bundle.manifest.nets
    for name in {"window": coloc_window.NETS, "streaming": coloc_streaming.NETS}[mode]:
        for kind in ("inputs", "outputs"):
            for tensor in (tensor for tensor in good[name][kind] if not tensor.startswith("state_")):
                tensors = {other: shape for other, shape in good[name][kind].items() if other != tensor}
                manifest = replace(bundle.manifest, nets={**good, name: {**good[name], kind: tensors}})
                with pytest.raises(ValueError, match=rf"^tiny: {name}: got {tensor} of shape \[\], wanted \["):
                    from_bundle(replace(bundle, manifest=manifest), nets, {"mode": mode})


def test_nets_of_another_kind_take_the_place_of_the_bundles_own(scene_of, tiny_bundle, mode):
    """As the ladder does with Keras' nets, in a bundle that has no files yet."""
    whole = load_bundle(str(tiny_bundle))
    bundle = replace(whole, manifest=replace(whole.manifest, nets={}), flatbuffers={})
    system = build_system(bundle, nets=scene_of("mixed").nets, overrides={"mode": mode})
    assert system.latency_s == pytest.approx({"window": 0.6, "streaming": 1.6}[mode])


# The whole pipeline


class Ear:
    """Nets made of sums over the features, in float: nothing is hidden by rounding."""

    def fresh(self):
        return {}


class EarEncoder(Ear):
    def __call__(self, past=None, *, direction):
        return {"embedding": direction}


def ear_localized(maps, embedding):
    """Mean intensity of label frames (labels, frames, bands, maps), and nothing where a direction is known already."""
    vector = maps[..., [6, 4, 5]].mean(axis=(1, 2)) / np.float32(0.75 / (12000 / 512))
    return np.where(np.any(embedding != 0, axis=-1, keepdims=True), np.float32(0), vector)


def ear_classified(maps, embedding):
    level_db = maps[..., 0].mean(axis=1)
    low = 1 / (1 + np.exp((level_db[:, 32:].mean(axis=1) - level_db[:, :32].mean(axis=1)) / 10))
    return np.stack([low, 1 - low, 0 * low], axis=1).astype(np.float32)


class EarWindow(Ear):
    def __init__(self, answer):
        self._answer = answer

    def __call__(self, past=None, *, features, embedding):
        return {"output": self._answer(features.reshape(len(embedding), -1, *features.shape[1:]), embedding)}


class EarFront(Ear):
    """The label frame before."""

    def __call__(self, past=None, *, features):
        before, past["state_features"] = past["state_features"], features
        return {"shared_maps": before}

    def fresh(self):
        return {"state_features": np.zeros((5, 64, 7), np.float32)}


class EarBlocks(Ear):
    """Two label frames before: maps (1, 5, 64, 7), and what was told about them beside the maps."""

    def __call__(self, past=None, *, shared_maps, condition):
        told = np.broadcast_to(condition[1], (*shared_maps.shape[:2], 3))
        answer, past["state_second"] = past["state_second"], past["state_third"]
        past["state_third"] = np.concatenate([shared_maps, told], axis=-1)[None]
        return {"shared_labels": answer}

    def fresh(self):
        return dict.fromkeys(("state_second", "state_third"), np.zeros((1, 5, 64, 10), np.float32))


class EarRecurrence(Ear):
    """Nine parts of what is there, one part of what was there before."""

    def __init__(self, answer):
        self._answer = answer

    def __call__(self, past=None, *, shared_labels):
        maps, embedding = shared_labels[:2, ..., :7], shared_labels[:2, 0, 0, 7:]
        answers = self._answer(maps, embedding)
        before = np.concatenate([past["state_forward"][0], answers[:-1]])
        past["state_forward"] = answers[None]
        return {"output": np.float32(0.9) * answers + np.float32(0.1) * before}

    def fresh(self):
        return {"state_forward": np.zeros((1, 1, 3), np.float32)}


def pipeline_with_ears(mode):
    stft = StftSettings()
    nets = {}
    for stage, answer in (("localizer", ear_localized), ("classifier", ear_classified)):
        nets |= {f"{stage}_encoder": EarEncoder(), stage: EarWindow(answer), f"{stage}_front": EarFront()}
        nets |= {f"{stage}_blocks": EarBlocks(), f"{stage}_recurrence": EarRecurrence(answer)}
    settings = ColocSettings(mode, window_labels=10, hop_labels=2, look_ahead_labels=2)
    kind = {"window": ColocWindow, "streaming": ColocStreaming}[mode]
    system = kind(nets, FeatureExtractor(FeatureSettings(), stft), stft, 2, settings)
    decoder = Decoder(DecodeSettings(), ("low", "high"), 0.1)
    return Pipeline(foa_encoder(load_array("foa")), Stft(stft, 4), system, decoder)


def run_through(pipeline, blocks):
    return [item for block in blocks for item in pipeline.push(block)] + list(pipeline.finish())


def heard(items):
    return [(item.name, item.onset_s, item.offset_s) for item in items if isinstance(item, Event)]


def test_events_and_rows_do_not_depend_on_the_blocks(sounds, cut, block_samples, mode):
    whole = run_through(pipeline_with_ears(mode), [AudioBlock(sounds, 0)])
    assert heard(whole) == [("low", 1.0, 2.0), ("high", 3.0, 4.0)]
    assert run_through(pipeline_with_ears(mode), cut(sounds, block_samples)) == whole  # floats and all


def test_with_a_gap_they_do_not_depend_on_the_blocks_either(sounds, cut, block_samples, mode):
    """From 1.5 s to 2.87 s nothing was heard."""
    resumed = 68_900
    early, late = sounds[:36_000], sounds[resumed:]

    def with_gap(size):
        after = cut(late, size, start=resumed)
        after[0] = AudioBlock(after[0].samples, resumed, lost=resumed - 36_000)
        return [*cut(early, size), *after]

    pipeline = pipeline_with_ears(mode)
    got = run_through(pipeline, with_gap(block_samples))
    assert pipeline.lost_samples == resumed - 36_000
    assert got == run_through(pipeline_with_ears(mode), with_gap(10**9))
    assert heard(got) == [("low", 1.0, 1.5), ("high", 3.0, 4.0)]


def test_reset_makes_the_pipeline_new(sounds, mode):
    fresh = run_through(pipeline_with_ears(mode), [AudioBlock(sounds, 0)])
    pipeline = pipeline_with_ears(mode)
    list(pipeline.push(AudioBlock(sounds[:40_000], 0)))
    for _ in range(2):
        pipeline.reset()
        assert run_through(pipeline, [AudioBlock(sounds, 0)]) == fresh


def tiny_pipeline(tiny_bundle, mode):
    bundle = load_bundle(str(tiny_bundle))
    return build_pipeline(bundle, load_array("foa"), build_system(bundle, overrides={"mode": mode}))


def test_the_tiny_bundle_in_int8_hears_the_same(tiny_bundle, sounds, cut, block_samples, mode):
    pipeline = tiny_pipeline(tiny_bundle, mode)
    got = run_through(pipeline, cut(sounds, block_samples))
    assert heard(got) == [("low", 1.0, 2.0), ("high", 3.0, 4.0)]
    events = [item for item in got if isinstance(item, Event)]
    for event, direction in zip(events, ((30, -20), (-120, 40)), strict=True):
        got_there = unit_vector(event.azimuth_deg, event.elevation_deg)
        assert angle_between_deg(got_there, unit_vector(*direction)) < 2.0
    pipeline.reset()
    assert run_through(pipeline, [AudioBlock(sounds, 0)]) == got


def test_features_that_come_late_are_refused(tiny_bundle, mode):
    bundle = load_bundle(str(tiny_bundle))
    late = FeatureSettings("etri", bundle.manifest.features.bands)
    statistics = np.ones((late.bands, 13), np.float32)
    bundle = replace(bundle, manifest=replace(bundle.manifest, features=late), mean=statistics, deviation=statistics)
    nets = bundle.nets()
    with pytest.raises(ValueError, match=r"got features 'etri', wanted a kind without look-ahead$"):
        from_bundle(replace(bundle, manifest=replace(bundle.manifest, nets={})), nets, {"mode": mode})


def test_a_plane_wave_from_anywhere_comes_out_of_the_loop_where_it_came_from(tiny_bundle, plane_wave, mode):
    """Through features, int8 nets, loop and decoder: within the steps of int8 and a little."""
    pipeline = tiny_pipeline(tiny_bundle, mode)
    noise = np.convolve(np.random.default_rng(0).normal(0, 0.02, 24000), [2.0, *np.ones(15)], "same")  # more of the low
    turn = np.pi * (3 - np.sqrt(5))
    for n in range(20):
        azimuth, elevation = np.rad2deg(turn * n) % 360 - 180, np.rad2deg(np.arcsin((2 * n + 1) / 20 - 1))
        pipeline.reset()
        items = run_through(pipeline, [AudioBlock(plane_wave(noise, azimuth, elevation), 0)])
        (event,) = [item for item in items if isinstance(item, Event)]
        got = unit_vector(event.azimuth_deg, event.elevation_deg)
        assert angle_between_deg(got, unit_vector(azimuth, elevation)) < 2.0
        assert (event.onset_s, event.offset_s) == (0.0, 1.0)

"""Properties of both modes of CoLoC, and how a bundle chooses one."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from edge.arrays.profile import load_array
from edge.frontend.maps import FeatureSettings
from edge.nets.bundle import load_bundle
from edge.runtime.pipeline import build_pipeline, build_system
from edge.stage_clock import StageClock
from edge.systems.coloc import streaming as coloc_streaming
from edge.systems.coloc import window as coloc_window
from edge.systems.coloc.build import from_bundle
from edge.systems.coloc.settings import MODES, ColocSettings
from edge.systems.coloc.streaming import ColocStreaming
from edge.systems.coloc.window import ColocWindow
from edge.types import AudioBlock
from tests.edge.scenes import around, check_direction, events_of, heard, joined, low_noise, run_through


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


@pytest.mark.parametrize(
    ("threshold", "found"), [(0.5, [3, 4, 5, 6, 7]), (0.25, [1, 2, 3, 4, 5, 6, 7]), (0.75, [5, 6, 7])]
)
def test_the_threshold_applies_to_the_length_of_a_vector(scene_of, mode, threshold, found):
    lengths = [0.1, 0.3, 0.45, 0.55, 0.7, 0.8, 0.9, 1.0]
    scene = scene_of("one", lambda label, n: lengths[label])
    system = scene.system(mode=mode, max_overlap=1, threshold=threshold)
    activity, direction = (each[:, 0] for each in joined(scene.answers(system, range(8))))
    assert np.flatnonzero(np.any(direction != 0, axis=-1)).tolist() == found
    assert np.flatnonzero(np.any(activity != 0, axis=-1)).tolist() == found
    assert_allclose(np.linalg.norm(direction[found], axis=-1), 1.0, atol=1e-6)


# Settings and bundles


def built(bundle, nets, **overrides):
    return from_bundle(bundle, nets, overrides, load_array("foa"), StageClock())


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
        {"perturbation_deg": -1.0},
        {"perturbation_deg": 90.5},
        {"mode": "streaming", "perturbation_deg": 5.0},
    ],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match=r"^got .*, wanted "):
        ColocSettings(**changes)


def test_a_bundle_without_nets_for_the_mode_says_which_are_missing(tiny_bundle):
    bundle = load_bundle(str(tiny_bundle))
    nets = dict(bundle.nets())
    del nets["classifier"], nets["localizer_front"], nets["classifier_blocks"]
    with pytest.raises(ValueError, match=r"^tiny: got nets .*, wanted for mode 'window' also classifier$"):
        built(bundle, nets)
    missing = "localizer_front, classifier_blocks"
    with pytest.raises(ValueError, match=rf"^tiny: got nets .*, wanted for mode 'streaming' also {missing}$"):
        built(bundle, nets, mode="streaming")


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


def test_streaming_refuses_the_perturbation_that_only_windows_have(tiny_bundle):
    """It was ignored there, so that a setting of the paper seemed to be in force."""
    bundle = load_bundle(str(tiny_bundle))
    assert build_system(bundle, overrides={"mode": "window", "perturbation_deg": 5.0}).settings.perturbation_deg == 5.0
    assert build_system(bundle, overrides={"mode": "streaming", "perturbation_deg": 0}).settings.perturbation_deg == 0.0
    with pytest.raises(
        ValueError, match=r"^system: got perturbation_deg 5.0 with mode 'streaming', wanted 0, or mode 'window'$"
    ):
        build_system(bundle, overrides={"mode": "streaming", "perturbation_deg": 5})


def test_every_tensor_that_a_mode_uses_is_checked(tiny_bundle, mode):
    bundle = load_bundle(str(tiny_bundle))
    nets, good = dict(bundle.nets()), bundle.manifest.nets
    for name in {"window": coloc_window.NETS, "streaming": coloc_streaming.NETS}[mode]:
        for kind in ("inputs", "outputs"):
            for tensor in (tensor for tensor in good[name][kind] if not tensor.startswith("state_")):
                tensors = {other: shape for other, shape in good[name][kind].items() if other != tensor}
                manifest = replace(bundle.manifest, nets={**good, name: {**good[name], kind: tensors}})
                with pytest.raises(ValueError, match=rf"^tiny: {name}: got {tensor} of shape \[\], wanted \["):
                    built(replace(bundle, manifest=manifest), nets, mode=mode)


def test_other_nets_can_replace_those_of_the_bundle(scene_of, tiny_bundle, mode):
    """As Keras nets do during quantization, in a bundle that has no files yet."""
    whole = load_bundle(str(tiny_bundle))
    bundle = replace(whole, manifest=replace(whole.manifest, nets={}), flatbuffers={})
    system = build_system(bundle, nets=scene_of("mixed").nets, overrides={"mode": mode})
    assert system.latency_s == pytest.approx({"window": 0.6, "streaming": 1.6}[mode])


# The whole pipeline, with the tiny bundle


def tiny_pipeline(tiny_bundle, mode):
    bundle = load_bundle(str(tiny_bundle))
    return build_pipeline(bundle, load_array("foa"), build_system(bundle, overrides={"mode": mode}))


def test_the_tiny_bundle_in_int8_finds_the_same_events(tiny_bundle, sounds, cut, block_samples, mode):
    pipeline = tiny_pipeline(tiny_bundle, mode)
    got = run_through(pipeline, cut(sounds, block_samples))
    assert heard(got) == [("low", 1.0, 2.0), ("high", 3.0, 4.0)]
    for event, direction in zip(events_of(got), ((30, -20), (-120, 40)), strict=True):
        check_direction(event, direction, within_deg=2.0)
    pipeline.reset()
    assert run_through(pipeline, [AudioBlock(sounds, 0)]) == got


def test_features_with_look_ahead_are_refused(tiny_bundle, mode):
    bundle = load_bundle(str(tiny_bundle))
    late = FeatureSettings("etri", bundle.manifest.features.bands)
    statistics = np.ones((late.bands, 13), np.float32)
    bundle = replace(bundle, manifest=replace(bundle.manifest, features=late), mean=statistics, deviation=statistics)
    nets = bundle.nets()
    with pytest.raises(ValueError, match=r"got features 'etri', wanted a kind without look-ahead$"):
        built(replace(bundle, manifest=replace(bundle.manifest, nets={})), nets, mode=mode)


def test_a_plane_wave_keeps_its_direction_through_the_pipeline(tiny_bundle, plane_wave, mode):
    """Through features, int8 nets, system and decoder, within little more than the steps of int8."""
    pipeline, noise = tiny_pipeline(tiny_bundle, mode), low_noise(24000)
    for direction in around(20):
        pipeline.reset()
        (event,) = events_of(run_through(pipeline, [AudioBlock(plane_wave(noise, *direction), 0)]))
        check_direction(event, direction, within_deg=2.0)
        assert (event.onset_s, event.offset_s) == (0.0, 1.0)

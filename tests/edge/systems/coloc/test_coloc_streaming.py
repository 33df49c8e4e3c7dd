import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import StftSettings
from edge.stage_clock import StageClock
from edge.systems.coloc.passes import CONVOLUTION_LABELS
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.streaming import ColocStreaming
from edge.systems.label_stepper import LabelStepper

SILENCE = -1


def streaming(scene, look_ahead=5, **changes):
    return scene.system(mode="streaming", look_ahead_labels=look_ahead, **changes)


def delay_of(look_ahead):
    """Delay of one pass in label frames."""
    return CONVOLUTION_LABELS + look_ahead


def runs_of_the_first_pass(sounding, labels):
    """Runs of its recurrence, which answers about two label frames at a time, except for those that follow a sound."""
    runs = label = 0
    while label < labels:
        runs, label = runs + 1, label + (1 if label - 1 in sounding else 2)
    return runs


# What is answered, and when


@settings(max_examples=60)
@given(st.integers(0, 7), st.integers(0, 50), st.integers(1, 3), st.integers(0, 100))
def test_any_look_ahead_answers_label_by_label(scene_of, look_ahead, length, most, first):
    scene = scene_of("mixed")
    labels = range(first, first + length)
    scene.check(scene.answers(streaming(scene, look_ahead, max_overlap=most), labels), labels)


@pytest.mark.parametrize("sounds", ["nothing", "one", "two", "three", "mixed"])
def test_any_number_of_directions_is_answered(scene_of, sounds):
    scene = scene_of(sounds)
    for most in (1, 2, 3):
        scene.check(scene.answers(streaming(scene, max_overlap=most), range(40)), range(40))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), min_size=1, max_size=12), st.integers(0, 5))
def test_passes_that_stop_and_start_again_lose_nothing(scene_of, runs, look_ahead):
    counts = [count for count, length in runs for _ in range(length)]
    scene = scene_of(lambda label: [scene_of.compass[(label // 3 + n) % 4] for n in range(counts[label])])
    answers = scene.answers(streaming(scene, look_ahead, max_overlap=3), range(len(counts)))
    scene.check(answers, range(len(counts)))


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("look_ahead", [0, 1, 5])
def test_each_answer_comes_exactly_after_the_latency(scene_of, look_ahead, most):
    scene = scene_of("mixed")
    system = streaming(scene, look_ahead, max_overlap=most)
    waits = round(system.latency_s / scene.stft.label_s)
    for label in range(60):
        answered = [answer.start for answer in system.step(scene.spectra(label))]
        assert answered == ([label + 1 - waits] if label + 1 >= waits else [])  # its sound began that long before


def test_the_default_latency_is_two_and_a_half_seconds(scene_of):
    stepper = LabelStepper(FeatureExtractor(FeatureSettings(), StftSettings()), StftSettings(), StageClock())
    settings = ColocSettings(mode="streaming")
    system = ColocStreaming(scene_of("mixed").nets, stepper, 5, settings)
    assert system.latency_s == pytest.approx(2.5)  # three passes, one after the other, of 0.3 + 0.5 s; and a label


def test_the_end_of_a_stream_is_padded_with_silence(scene_of):
    scene = scene_of("mixed")
    scene.answers(streaming(scene), range(6))
    heard = [scene.numbers(inputs["features"])[0] for inputs in scene.inputs("localizer_front")]
    assert heard == [*range(6), *[SILENCE] * (3 * delay_of(5))]  # as much of it as the last answer needs


# What is computed


def test_every_label_frame_is_convolved_once_for_all_passes(scene_of):
    scene = scene_of("three")
    scene.answers(streaming(scene, max_overlap=3), range(50), finish=False)
    for stage, heard in (("localizer", range(50)), ("classifier", range(50 - 3 * delay_of(5)))):
        assert [scene.numbers(each["features"])[0] for each in scene.inputs(f"{stage}_front")] == list(heard)


def calls_by_step(scene, system, labels):
    """Calls of each net by name: a list of (step, inputs, state before)."""
    calls = {name: [] for name in scene.nets}
    for label in labels:
        scene.calls.clear()
        list(system.step(scene.spectra(label)))
        for name, inputs, past in scene.calls:
            calls[name].append((label, inputs, past))
    return calls


def pushed(call):
    return int(call[1]["shared_maps"].flat[0])


@pytest.mark.parametrize(
    ("sounding", "told", "runs"),
    [
        ([], 0, []),
        ([20], 6, [(19, 24)]),  # one push before, to begin with, and those that the last answer waits for
        ([20, 24], 10, [(19, 28)]),
        ([20, 26], 12, [(19, 30)]),  # asked again just before it would stop
        ([20, 27], 12, [(19, 24), (26, 31)]),
        ([20, 40], 12, [(19, 24), (39, 44)]),
    ],
)
def test_a_further_pass_runs_only_where_the_pass_before_found_something(scene_of, sounding, told, runs):
    scene, look_ahead = scene_of(lambda label: scene_of.compass[:1] if label in sounding else []), 2
    delay = delay_of(look_ahead)
    calls = calls_by_step(scene, streaming(scene, look_ahead, max_overlap=2), range(70))
    first = [call for call in calls["localizer_blocks"] if pushed(call) == call[0] - 1]
    second = [call for call in calls["localizer_blocks"] if pushed(call) == call[0] - 1 - delay]
    assert len(first) == 69 and len(first) + len(second) == len(calls["localizer_blocks"])
    classifier = calls["classifier_blocks"]
    assert {call[0] - 1 - pushed(call) for call in classifier} <= {2 * delay}
    for asked in (second, classifier):
        assert len(asked) == told
        fresh = [pushed(call) for call in asked if (call[2]["state_second"] == -9).all()]
        assert fresh == [begun for begun, _ in runs]  # it forgot what was before the pause
        assert [pushed(call) for call in asked] == [n for begun, end in runs for n in range(begun, end + 1)]
    answered = sum(end - begun + 1 - (delay - 1) for begun, end in runs)
    assert len(calls["localizer_recurrence"]) == runs_of_the_first_pass(sounding, 70 - delay) + answered


@pytest.mark.parametrize(
    ("sounding", "heard"),
    [([], []), ([0], range(6)), ([20], range(19, 26)), ([20, 27], [*range(19, 26), *range(26, 33)])],
)
def test_the_front_of_the_classifier_restarts_with_the_label_frame_before(scene_of, sounding, heard):
    scene = scene_of(lambda label: scene_of.compass[:1] if label in sounding else [])
    calls = calls_by_step(scene, streaming(scene, look_ahead=2), range(70))["classifier_front"]
    assert [scene.numbers(inputs["features"])[0] for _, inputs, _ in calls] == list(heard)
    fresh = [scene.numbers(inputs["features"])[0] for _, inputs, past in calls if past["state_features"] == -9]
    assert fresh == [max(0, label - 1) for label in sounding]


def test_only_live_tracks_are_classified_each_by_its_own_pass(scene_of):
    scene = scene_of(lambda label: scene_of.compass[: 3 if label >= 40 else 1])
    calls = calls_by_step(scene, streaming(scene, look_ahead=2, max_overlap=3), range(80))["classifier_blocks"]
    asked = [sum(step == label for step, _, _ in calls) for label in range(80)]
    delay = 3 * delay_of(2)
    assert asked == [0] * (delay + 1) + [1] * 39 + [3] * (40 - delay)


def test_conditions_are_zeros_only_before_the_stream(scene_of):
    """As a window is padded. The nets of the scene refuse all other conditions but means of known directions."""
    scene = scene_of("mixed")
    scene.answers(streaming(scene, max_overlap=3), range(10, 30))
    at_the_start = 0
    for stage in ("localizer", "classifier"):
        for inputs in scene.inputs(f"{stage}_blocks"):
            told = np.any(inputs["condition"][:, 0] != 0, axis=-1).tolist()
            assert told == [inputs["shared_maps"].flat[0] != 10, True, True, True]
            at_the_start += not told[0]
    assert at_the_start == 3 + 3  # passes that began with label 10: two directions are known there, three right after


def test_directions_are_encoded_once_for_each_stage(scene_of):
    scene = scene_of("two")
    system = streaming(scene)
    origins = scene.inputs("localizer_encoder") + scene.inputs("classifier_encoder")
    assert len(origins) == 2 and not any(inputs["direction"].any() for inputs in origins)
    scene.calls.clear()
    scene.answers(system, range(50), finish=False)
    assert scene.count("localizer_encoder") == 50 - delay_of(5)  # of the first directions: no pass asks for a third
    assert scene.count("classifier_encoder") == 50 - 2 * delay_of(5)  # of both at once
    assert_allclose(scene.inputs("classifier_encoder")[0]["direction"][:3], [*scene.directions_at(0), [0, 0, 0]])


# Levels


def test_levels_have_fewer_tracks_then_fewer_recurrences(scene_of):
    assert streaming(scene_of(), max_overlap=3).levels == (
        "3 tracks",
        "2 tracks",
        "1 track",
        "1 track, recurrences every 200 ms",
    )


@pytest.mark.parametrize(("level", "tracks"), [(0, 3), (1, 2), (2, 1), (3, 1)])
def test_lower_levels_name_fewer_directions(scene_of, level, tracks):
    scene = scene_of("three")
    system = streaming(scene, max_overlap=3)
    system.set_level(level)
    answers = scene.answers(system, range(40))
    assert [answer.start for answer in answers] == list(range(40))
    scene.directions_at = lambda label: scene_of("three").directions_at(label)[:tracks]
    scene.check(answers, range(40))


def test_at_the_lowest_level_one_run_of_a_recurrence_answers_about_two_labels(scene_of):
    """The first has the whole look-ahead, the second one label frame less."""
    look_ahead, heard = 4, 60
    scene = scene_of("one")
    system = streaming(scene, look_ahead, max_overlap=1)
    system.set_level(len(system.levels) - 1)
    calls = calls_by_step(scene, system, range(heard))
    for stage, behind in (("localizer", 1), ("classifier", 2)):
        asked = calls[f"{stage}_recurrence"]
        labels = heard - behind * delay_of(look_ahead)
        assert len(asked) == (labels + 1) // 2
        for number, (step, inputs, past) in enumerate(asked):
            seen = inputs["shared_labels"][:, 0, 0].astype(int).tolist()
            assert seen == list(range(2 * number, 2 * number + look_ahead + 1))
            assert step == seen[0] + behind * delay_of(look_ahead)  # no sooner than at full quality
            assert number == 0 or past["state_forward"].item() == seen[0] - 1  # what came after the second answer
        assert len(calls[f"{stage}_blocks"]) == heard - 1 - (behind - 1) * delay_of(look_ahead)


def test_with_no_look_ahead_a_recurrence_answers_about_one_label(scene_of):
    scene = scene_of("one")
    system = streaming(scene, look_ahead=0)
    assert system.levels == ("2 tracks", "1 track")
    system.set_level(1)
    scene.check(scene.answers(system, range(30)), range(30))


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=20), st.integers(0, 3))
def test_changes_of_level_lose_nothing_and_repeat_nothing(scene_of, runs, look_ahead):
    scene, delay = scene_of("three"), delay_of(look_ahead)
    system = streaming(scene, look_ahead, max_overlap=3)
    levels = [min(level, len(system.levels) - 1) for level, length in runs for _ in range(length)]
    answers = []
    for label, level in enumerate(levels):
        system.set_level(level)
        answers += system.step(scene.spectra(label))
    answers += system.finish()
    levels += levels[-1:] * 4 * delay  # while it finished
    found = [int(np.any(answer.direction[0] != 0, axis=-1).sum()) for answer in answers]
    scene.directions_at = lambda label: scene_of("three").directions_at(label)[: found[label]]
    scene.check(answers, range(len(found)))
    assert len(found) == len(levels) - 4 * delay
    for label, count in enumerate(found):
        used = {max(1, 3 - level) for level in levels[label : label + 4 * delay]}
        assert min(used) <= count <= max(used)
        assert count >= 1


def test_full_quality_returns_after_a_change_of_level(scene_of):
    scene = scene_of("three")
    system = streaming(scene, look_ahead=1, max_overlap=3)
    answers = []
    for label in range(90):
        system.set_level(2 if 30 <= label < 50 else 0)
        answers += system.step(scene.spectra(label))
    found = [int(np.any(answer.direction[0] != 0, axis=-1).sum()) for answer in answers]
    delay = delay_of(1)
    assert found[: 30 - 2 * delay] == [3] * (30 - 2 * delay)
    assert set(found[30 - delay : 49 - delay]) == {1}  # the second pass is asked when the first has answered
    assert found[49 - delay :] == [3] * (len(found) - 49 + delay)  # and begins with one label more


# Passes have pasts of their own


def test_states_of_one_stream_do_not_reach_the_next(scene_of):
    scene = scene_of("three")
    system = streaming(scene, max_overlap=3)
    scene.answers(system, range(40), finish=False)
    scene.calls.clear()
    scene.answers(system, range(100, 102), finish=False)
    after = scene.calls[-2:]
    assert [name for name, _, _ in after] == ["localizer_front", "localizer_blocks"]
    assert_array_equal(after[0][2]["state_features"], 100)
    assert_array_equal(after[1][2]["state_second"], -9)

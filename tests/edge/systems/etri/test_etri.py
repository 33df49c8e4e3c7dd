import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.events.decoder import Decoder, DecodeSettings
from edge.geometry import azimuth_elevation_deg, unit_vector
from edge.systems.etri.window import NETS, strongest
from edge.types import AudioBlock
from tests.edge.etri_scene import TINY, Replaced, Scene, analytic_pipeline
from tests.edge.scenes import (
    BELL,
    DOG,
    DOOR,
    NAMES,
    SILENCE,
    around,
    check_direction,
    check_slots,
    events_of,
    joined,
    low_noise,
    run_through,
)

QUICK = {"post_sed": False, "post_doa": False}


# The stream, in label frames


def test_streams_of_any_length_are_answered_label_by_label():
    """The defaults, for all lengths from one label frame to more than three windows."""
    scene = Scene()
    system = scene.system(**QUICK)
    for length in [*range(1, 45), *range(45, 140, 11)]:
        system.reset()
        scene.check(scene.answers(system, range(length)), range(length))


@settings(max_examples=60)
@given(st.data())
def test_windows_of_any_size_answer_label_by_label(data):
    window, ahead = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 3))
    hop, length, slots = data.draw(st.integers(1, window)), data.draw(st.integers(0, 40)), data.draw(st.integers(1, 3))
    scene = Scene()
    system = scene.system(ahead, window_labels=window, hop_labels=hop, max_overlap=slots, post_sed=False, path_labels=5)
    scene.check(scene.answers(system, range(length)), range(length), slots)


def test_windows_after_a_gap_hold_nothing_from_before():
    scene = Scene()
    system = scene.system(window_labels=8, hop_labels=4)
    scene.answers(system, range(14), finish=False)
    scene.calls.clear()
    scene.answers(system, range(40, 47), finish=False)
    assert scene.windows("sad")[-1] == [SILENCE, SILENCE, *range(40, 46)]


# Windows


def test_windows_are_padded_with_silence_before_and_after_the_stream():
    scene = Scene("nothing")
    scene.answers(scene.system(window_labels=8, hop_labels=4), range(6))
    assert scene.windows("sad") == [[SILENCE, SILENCE, *range(6)], [2, 3, 4, 5, *[SILENCE] * 4]]


@pytest.mark.parametrize(
    ("hop", "windows"),
    [
        (4, [[SILENCE, SILENCE, *range(6)], list(range(2, 10)), list(range(6, 14))]),
        (5, [[SILENCE, SILENCE, *range(6)], list(range(3, 11))]),  # the odd one comes before the answer
        (8, [list(range(8))]),
    ],
)
def test_windows_overlap_as_the_settings_say(hop, windows):
    scene = Scene("nothing")
    scene.answers(scene.system(0, window_labels=8, hop_labels=hop), range(15), finish=False)
    assert scene.windows("sad") == windows


def test_by_default_windows_of_200_frames_share_50():
    scene = Scene("nothing")
    scene.answers(scene.system(), range(140), finish=False)
    windows = scene.windows("sad")
    assert len(windows) == 4 and all(len(window) == 40 for window in windows)
    assert all(one[-10:] == other[:10] for one, other in itertools.pairwise(windows))  # of 20 ms each, 5 in a label


# The nets, one after the other


def test_in_silence_one_net_runs_for_each_window():
    scene = Scene("nothing")
    scene.check(scene.answers(scene.system(), range(150)), range(150))
    assert scene.count("sad") == 5 and scene.count("sed") == scene.count("doae") == 0


def test_sed_and_doae_run_where_sad_finds_something_in_the_answered_part():
    scene = Scene(lambda label: [BELL] if label in (3, 21) else [])
    answers = scene.answers(scene.system(window_labels=10, hop_labels=6, **QUICK), range(36))
    scene.check(answers, range(36))
    assert scene.count("sad") == 6
    wanted = [
        [SILENCE, SILENCE, *range(8)],
        list(range(16, 26)),
    ]  # not the window from 10 on, which hears 21 at its end
    assert scene.windows("sed") == scene.windows("doae") == wanted


@pytest.mark.parametrize(("threshold", "found"), [(0.5, [5, 6]), (0.35, [3, 4, 5, 6]), (0.7, [6])])
def test_the_threshold_of_sad(threshold, found):
    scene = Scene("one")
    scene.nets["sad"] = Replaced(scene, "sad", lambda number: [number / 8 if 0 <= number < 7 else 0.0])
    answers = scene.answers(scene.system(sad_threshold=threshold, **QUICK), range(60))
    activity = np.concatenate([answer.activity for answer in answers])
    assert np.flatnonzero(activity.any(axis=(1, 2))).tolist() == found
    assert scene.count("sad") == 2 and scene.count("sed") == 1


def test_sed_counts_only_where_sad_finds_something():
    scene = Scene("seldom")  # elsewhere all classes would sound, says SED
    scene.check(scene.answers(scene.system(**QUICK), range(60)), range(60))
    assert scene.count("sed") == 2


def test_doae_is_not_asked_where_sed_finds_no_class():
    scene = Scene("one")
    scene.nets["sed"] = Replaced(scene, "sed", lambda number: [0.4, 0.3, 0.2, 0.1])
    activity = np.concatenate([answer.activity for answer in scene.answers(scene.system(), range(60))])
    assert not activity.any()
    assert scene.count("sed") == 2 and scene.count("doae") == 0


def test_the_nets_of_a_window_run_in_different_steps():
    scene = Scene("one")
    scene.answers(scene.system(0, window_labels=10, hop_labels=6), range(30), finish=False)
    steps = {name: [step for step, called, _ in scene.calls if called == name] for name in NETS}
    assert steps == {"sad": [7, 13, 19, 25], "sed": [8, 14, 20, 26], "doae": [9, 15, 21, 27]}
    assert scene.windows("sad") == scene.windows("sed") == scene.windows("doae")  # and all see the same


def test_with_short_hops_windows_are_under_way_together():
    scene = Scene()
    scene.check(scene.answers(scene.system(window_labels=5, hop_labels=1, **QUICK), range(30)), range(30))
    for name, late in (("sed", 1), ("doae", 2)):
        began = {tuple(numbers): step for step, called, numbers in scene.calls if called == "sad"}
        steps = [(step, began[tuple(numbers)]) for step, called, numbers in scene.calls if called == name]
        assert all(step - first == late for step, first in steps if step < 29)  # in the last step all is finished


def test_stages_are_timed_by_name():
    scene = Scene("one")
    system = scene.system(window_labels=10, hop_labels=6)
    for label in range(30):
        scene.step(system, label)
        system.clock.end()
    stages = system.clock.stages()
    assert list(stages) == ["features", "sad", "sed", "doae", "post"]
    assert [timing.steps for timing in stages.values()] == [30, 4, 4, 4, 4]


# Latency


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("sizes", [(40, 30), (10, 2), (7, 7), (9, 1), (10, 7)])
@pytest.mark.parametrize("post", [QUICK, {"sad_median_labels": 3, "sed_median_labels": {"bell": 5}, "path_labels": 7}])
def test_no_answer_comes_later_than_the_latency(ahead, sizes, post):
    scene = Scene()
    scene.check_latency(scene.system(ahead, window_labels=sizes[0], hop_labels=sizes[1], **post))


def test_the_longest_delay_of_an_impulse_is_the_latency():
    waited = []
    changes = {"window_labels": 8, "hop_labels": 5, "path_labels": 3}
    for impulse in range(30):
        scene = Scene(lambda label, impulse=impulse: [DOG] if label == impulse else [])
        system = scene.system(2, **changes)
        heard = [
            (label, answer.start + int(np.flatnonzero(answer.activity.any(axis=(1, 2)))[0]))
            for label in range(60)
            for answer in scene.step(system, label)
            if answer.activity.any()
        ]
        ((step, place),) = heard
        assert place == impulse
        waited.append(step + 1 - impulse)
    assert max(waited) == 2 + (5 + 1) + 2 + 1 == round(system.latency_s / TINY.label_s)


def test_the_default_latency():
    """One label frame for the features, 3.5 s for the window, one step each for two nets, half of a path."""
    assert Scene().system().latency_s == pytest.approx(0.1 + 3.5 + 0.2 + 1.0)


# Quality


def test_lower_levels_have_longer_hops():
    scene = Scene("nothing")
    assert scene.system().levels == ("windows every 3.0 s", "windows every 4.0 s")
    assert scene.system(hop_labels=40).levels == ("windows every 4.0 s",)
    system = scene.system(hop_labels=5)
    assert system.levels == tuple(f"windows every {hop} s" for hop in (0.5, 1.0, 2.0, 4.0))
    for level, (windows, latency_s) in enumerate([(80, 2.2), (40, 2.5), (20, 3.0), (10, 4.0)]):
        system.reset()
        system.set_level(level)
        assert system.latency_s == pytest.approx(latency_s + 0.1 + 0.2 + 1.0)
        scene.calls.clear()
        scene.answers(system, range(400))
        assert scene.count("sad") == windows


@settings(max_examples=40)
@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9)), max_size=8))
def test_a_change_of_level_loses_nothing_and_repeats_nothing(hop, changes):
    scene = Scene()
    scene.check_changes_of_level(scene.system(window_labels=9, hop_labels=hop, **QUICK), changes, 100)


# Slots


def test_the_strongest_classes_come_first_and_each_has_its_own_direction():
    activity = np.float32([[0.6, 0.0, 0.9, 0.7], [0.0, 0.0, 0.0, 0.8], [0.0] * 4])
    direction = unit_vector([[0, 10, 20, 30]] * 3, 5.0).astype(np.float32)
    alone, where = strongest(activity, direction, 2)
    assert_array_equal(alone[0], np.float32([[0, 0, 0.9, 0], [0, 0, 0, 0.7]]))
    assert_array_equal(where[0], direction[0, [2, 3]])
    assert_array_equal(alone[1], np.float32([[0, 0, 0, 0.8], [0] * 4]))
    assert_array_equal(where[1], [direction[1, 3], [0, 0, 0]])
    assert not alone[2].any() and not where[2].any()


def test_there_is_a_slot_for_each_class_that_may_sound_at_once():
    for slots in (1, 2, 3):
        scene = Scene(lambda label: [DOOR, DOG, BELL])
        scene.check(scene.answers(scene.system(max_overlap=slots), range(50)), range(50), slots)


def test_elevations_above_90_degrees_are_clipped():
    scene = Scene(lambda label: [(0, 30.0, 110.0)])
    (direction,) = {
        tuple(each)
        for answer in scene.answers(scene.system(**QUICK), range(40))
        for each in answer.direction[:, 0].round(5).tolist()
    }
    assert direction == (0.0, 0.0, 1.0)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_for_any_output_a_slot_has_one_class_and_a_unit_vector(seed, post_sed, post_doa):
    scene, rng = Scene(), np.random.default_rng(seed)
    for name, width in (("sad", 1), ("sed", len(NAMES)), ("doae", 2 * len(NAMES))):
        low = -1.0 if name == "doae" else 0.0
        answer = lambda number, low=low, width=width: rng.uniform(low, 1.0, width).round(rng.integers(0, 3))  # noqa: E731
        scene.nets[name] = Replaced(scene, name, answer)
    changes = {"window_labels": 8, "hop_labels": 6, "sed_median_labels": {"bell": 5, "dog": 3}, "path_labels": 5}
    system = scene.system(max_overlap=3, post_sed=post_sed, post_doa=post_doa, **changes)
    check_slots(*joined(scene.answers(system, range(50))))


def decoded(answers, **changes):
    decoder = Decoder(DecodeSettings(**changes), NAMES, 0.1)
    items = [item for answer in answers for item in decoder.push(answer)] + list(decoder.finish())
    return sorted(events_of(items), key=lambda event: event.name)


def test_two_classes_at_once_are_two_events_with_their_own_directions():
    scene = Scene(lambda label: [DOG] * (10 <= label < 50) + [BELL] * (20 <= label < 70))
    bell, dog = decoded(scene.answers(scene.system(), range(80)))
    assert (bell.name, bell.onset_s, bell.offset_s) == ("bell", 2.0, 7.0)
    assert (dog.name, dog.onset_s, dog.offset_s) == ("dog", 1.0, 5.0)
    assert_allclose([bell.azimuth_deg, bell.elevation_deg, bell.score], [30.0, 10.0, 0.9], atol=1e-3)
    assert_allclose([dog.azimuth_deg, dog.elevation_deg, dog.score], [-100.0, -40.0, 0.8], atol=1e-3)


def test_two_classes_at_one_place_are_two_events():
    scene = Scene(lambda label: [(2, 40.0, 0.0)] * (10 <= label < 50) + [(3, 40.0, 0.0)] * (20 <= label < 60))
    door, voice = decoded(scene.answers(scene.system(), range(80)))
    assert (door.name, door.onset_s, door.offset_s) == ("door", 1.0, 5.0)
    assert (voice.name, voice.onset_s, voice.offset_s) == ("voice", 2.0, 6.0)


def test_a_source_that_crosses_180_degrees_is_one_event():
    scene = Scene(lambda label: [(1, (150.0 + 2.0 * label + 180.0) % 360.0 - 180.0, 0.0)] if 5 <= label < 45 else [])
    answers = scene.answers(scene.system(), range(60))
    (event,) = decoded(answers)
    assert (event.onset_s, event.offset_s) == (0.5, 4.5)
    azimuth, _ = azimuth_elevation_deg(np.concatenate([answer.direction[:, 0] for answer in answers])[5:45])
    assert_allclose(np.unwrap(azimuth, period=360.0), 160.0 + 2.0 * np.arange(40), atol=1e-3)


# The whole pipeline


def test_a_plane_wave_keeps_its_direction_through_the_pipeline(plane_wave):
    pipeline, noise = analytic_pipeline(), low_noise(24000)
    for direction in around(12):
        pipeline.reset()
        (event,) = events_of(run_through(pipeline, [AudioBlock(plane_wave(noise, *direction), 0)]))
        check_direction(event, direction)
        assert (event.name, event.onset_s, event.offset_s) == ("low", 0.0, 1.0)

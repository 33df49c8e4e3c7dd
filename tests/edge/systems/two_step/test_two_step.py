import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.arrays.profile import load_array
from edge.frontend.beams import Beamformer
from edge.geometry import angle_between_deg, unit_vector
from edge.stage_clock import StageClock
from tests.edge.scenes import BELL, NAMES, SILENCE, check_slots, joined
from tests.edge.two_step_scene import Scene

# The stream, in label frames


def test_streams_of_any_length_are_answered_label_by_label():
    """The defaults, for lengths from one label frame to more than three windows."""
    scene = Scene()
    system = scene.system()
    for length in [*range(1, 14), 29, 60, 113, 150]:
        system.reset()
        scene.check(scene.answers(system, range(length)), range(length))


@settings(max_examples=30)
@given(st.data())
def test_windows_of_any_size_answer_label_by_label(data):
    window, length, slots = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 40)), data.draw(st.integers(1, 3))
    changes = {"window_labels": window, "hop_labels": data.draw(st.integers(1, window)), "max_overlap": slots}
    scene = Scene(data.draw(st.sampled_from(["mixed", "seldom"])))
    scene.check(scene.answers(scene.system(**changes), range(length)), range(length), slots)


def test_windows_after_a_gap_hold_nothing_from_before():
    """The fusion net of the scene would also refuse beams from before."""
    scene = Scene()
    system = scene.system(window_labels=8, hop_labels=4)
    scene.answers(system, range(14), finish=False)
    scene.calls.clear()
    scene.answers(system, range(40, 49), finish=False)
    assert scene.windows("doa")[-1] == scene.windows("fusion")[-1] == [SILENCE, SILENCE, *range(40, 46)]


# Windows, and the nets one after the other


@pytest.mark.parametrize(
    ("hop", "windows"),
    [
        (4, [[SILENCE, SILENCE, *range(6)], [*range(2, 10)], [*range(6, 14)], [10, 11, 12, 13, 14, *[SILENCE] * 3]]),
        (5, [[SILENCE, SILENCE, *range(6)], [*range(3, 11)], [*range(8, 15), SILENCE]]),  # the odd one comes before
        (8, [[*range(8)], [*range(8, 15), SILENCE]]),
    ],
)
def test_windows_overlap_as_the_settings_say_with_silence_before_and_after(hop, windows):
    scene = Scene("one")
    scene.answers(scene.system(window_labels=8, hop_labels=hop), range(15))
    assert scene.windows("doa") == scene.windows("sed") == scene.windows("fusion") == windows


def test_in_silence_one_net_runs_for_each_window():
    scene = Scene("nothing")
    scene.check(scene.answers(scene.system(), range(150)), range(150))
    assert scene.count("doa") == 15 and scene.count("sed") == scene.count("fusion") == 0


def test_sed_and_fusion_run_where_doa_is_sure_in_the_answered_part():
    scene = Scene(lambda label: [BELL] if label in (3, 21) else [])
    scene.check(scene.answers(scene.system(window_labels=10, hop_labels=6), range(36)), range(36))
    assert scene.count("doa") == 6
    wanted = [[SILENCE, SILENCE, *range(8)], [*range(16, 26)]]  # not the one from 10 on, which hears 21 at its end
    assert scene.windows("sed") == scene.windows("fusion") == wanted


@pytest.mark.parametrize(("sure", "heard"), [(0.5, [6, 7]), (0.45, [4, 5, 6, 7]), (0.65, [])])
def test_doa_is_sure_of_tracks_longer_than_the_setting(sure, heard):
    """One such track is enough. The answer about the window then counts also where DOA was not sure."""
    scene = Scene("one")
    scene.tracks_at = lambda number: ((0.1, 0.1, 0.1), (0.0, 0.0, 0.1), (0.0, -min(number, 6) / 10, 0.0))
    activity, _ = joined(scene.answers(scene.system(window_labels=2, hop_labels=2, sure=sure), range(8)))
    assert np.flatnonzero(activity.any(axis=(1, 2))).tolist() == heard


def recorded(scene, monkeypatch):
    """Record the beams among the calls of the scene."""

    class Recorded(Beamformer):
        def __call__(self, bins, vectors):
            scene.calls.append((scene.stepped, "beams", []))
            return super().__call__(bins, vectors)

    monkeypatch.setattr("edge.systems.two_step.beams.Beamformer", Recorded)


def test_each_net_and_the_beams_of_a_window_have_their_own_step(monkeypatch):
    scene = Scene("one")
    recorded(scene, monkeypatch)
    scene.answers(scene.system(window_labels=10, hop_labels=6), range(30), finish=False)
    began = np.array([7, 13, 19, 25])
    assert scene.steps() == {name: list(began + n) for n, name in enumerate(("doa", "beams", "sed", "fusion"))}


@pytest.mark.parametrize("hop", [4, 5, 9])
def test_with_hops_of_four_labels_or_more_each_step_does_one_thing(monkeypatch, hop):
    scene = Scene()
    recorded(scene, monkeypatch)
    scene.answers(scene.system(window_labels=9, hop_labels=hop), range(60), finish=False)
    steps = list(itertools.chain(*scene.steps().values()))
    assert len(steps) == len(set(steps)) > 4 * 60 // hop - 10


def test_stages_are_timed_by_name():
    scene = Scene("one")
    clock = StageClock(now_ns=itertools.count(0, 1000).__next__)
    system = scene.system(clock, window_labels=10, hop_labels=6)
    for label in range(30):
        scene.step(system, label)
        clock.end()
    stages = clock.stages()
    assert list(stages) == ["features", "doa", "beams", "sed", "fusion", "accdoa"]
    assert [timing.steps for timing in stages.values()] == [30, 4, 4, 4, 4, 4]


# What the fusion net is told


@pytest.mark.parametrize("fused", [(), ("doa",), ("beams",), ("sed",), ("beams", "sed"), ("doa", "sed")])
def test_what_the_fusion_net_does_not_take_is_not_computed(monkeypatch, fused):
    """The fusion net of the scene refuses inputs that it does not take."""
    scene = Scene(fused=fused)
    recorded(scene, monkeypatch)
    scene.check(scene.answers(scene.system(window_labels=10, hop_labels=6), range(30)), range(30))
    assert set(scene.steps()) == {"doa", "fusion", *({"beams", "sed"} & set(fused))}
    steps = scene.steps()
    assert set(np.subtract(steps["fusion"][:3], steps["doa"][:3])) == {3}  # whether or not: as late


def test_beams_are_those_of_the_array():
    for array in ("em32_tetra", "open_tetra", "foa"):
        scene = Scene(array=array)
        system = scene.system(window_labels=10, hop_labels=6)
        assert system.array == load_array(array)
        scene.check(scene.answers(system, range(20)), range(20))
        system.reset()
    scene.array = "em32_tetra"
    with pytest.raises(AssertionError, match="Not equal to tolerance"):  # the fusion net hears a difference
        scene.answers(system, range(20))


# Latency and quality


@pytest.mark.parametrize("sizes", [(50, 10), (10, 2), (7, 7), (9, 1), (10, 7)])
def test_no_answer_comes_later_than_the_latency(sizes):
    scene = Scene("seldom")
    scene.check_latency(scene.system(window_labels=sizes[0], hop_labels=sizes[1]))


def test_lower_levels_have_longer_hops():
    scene = Scene("nothing")
    assert scene.system(window_labels=40, hop_labels=40).levels == ("windows every 4.0 s",)
    system = scene.system()
    assert system.levels == tuple(f"windows every {hop} s" for hop in (1.0, 2.0, 4.0, 5.0))
    for level, (windows, latency_s) in enumerate([(40, 1.0 + 2.0), (20, 2.0 + 1.5), (10, 4.0 + 0.5), (8, 5.0)]):
        system.reset()
        system.set_level(level)
        assert system.latency_s == pytest.approx(latency_s + 0.3)  # each net and the beams a step of their own
        scene.calls.clear()
        scene.answers(system, range(400))
        assert scene.count("doa") == windows


@settings(max_examples=20)
@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 59), st.integers(0, 9)), max_size=6))
def test_a_change_of_level_loses_nothing_and_repeats_nothing(hop, changes):
    scene = Scene(fused=("doa",))
    scene.check_changes_of_level(scene.system(window_labels=9, hop_labels=hop), changes, 60)


# Slots


@pytest.mark.parametrize(("threshold", "found"), [(0.5, [5, 6]), (0.35, [3, 4, 5, 6]), (0.7, [6])])
def test_the_threshold_applies_to_the_length_of_a_vector(threshold, found):
    scene = Scene("one")
    scene.accdoa_at = lambda number: np.full((3, 3, len(NAMES)), max(number, 0) % 7 / 8 / np.sqrt(3))
    activity, direction = joined(scene.answers(scene.system(threshold=threshold, max_overlap=1), range(7)))
    assert np.flatnonzero(activity.any(axis=(1, 2))).tolist() == found
    assert_allclose(direction[found, 0], np.full((len(found), 3), np.sqrt(1 / 3)), atol=1e-6)


def test_near_tracks_of_a_class_are_one_source():
    """One class from 0 and 20 degrees; the number of slots is `max_overlap`."""
    scene = Scene("one")
    vectors = np.stack([0.9 * unit_vector(0.0, 0.0), np.zeros(3), 0.8 * unit_vector(20.0, 0.0)])
    scene.accdoa_at = lambda number: vectors[..., None] * np.eye(len(NAMES))[2]
    for slots, unify_deg, sounding in ((3, 15.0, 2), (3, 21.0, 1), (1, 15.0, 1), (2, 15.0, 2)):
        system = scene.system(max_overlap=slots, unify_deg=unify_deg)
        activity, direction = joined(scene.answers(system, range(12)))
        assert activity.shape[1] == direction.shape[1] == slots
        assert_array_equal(np.flatnonzero(activity[5]), 2 + 4 * np.arange(sounding))
        angle_deg = angle_between_deg(direction[5, 0], unit_vector(0.0, 0.0))
        assert angle_deg == pytest.approx(9.4 if unify_deg > 20 else 0.0, abs=0.1)


def test_directions_are_steered_by_the_tracks_of_doa():
    """The fusion net names 0 degrees; the DOA net names 20, and is sure in the first label frames only."""
    scene = Scene("one")
    sure, not_sure = (tuple((length * unit_vector(20.0, 0.0)).tolist()) for length in (0.8, 0.4))
    nothing = (0.0, 0.0, 0.0)
    scene.tracks_at = lambda number: ((sure if number < 6 else not_sure), nothing, nothing)
    scene.accdoa_at = lambda number: 0.9 * unit_vector(0.0, 0.0)[:, None] * np.ones((3, 1, len(NAMES)))
    for steer, azimuth_deg in (({}, 0.0), ({"steer_deg": 19.0}, 0.0), ({"steer_deg": 21.0, "steer_share": 0.5}, 10.0)):
        activity, direction = joined(scene.answers(scene.system(max_overlap=1, **steer), range(10)))
        assert activity[:, 0].any(axis=1).all()
        for label in range(10):
            wanted = unit_vector(azimuth_deg if label < 6 else 0.0, 0.0)
            assert angle_between_deg(direction[label, 0], wanted) < 0.1


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_for_any_output_a_slot_has_one_class_and_a_unit_vector(seed, slots):
    def say(number, width):
        rng = np.random.default_rng([seed, number + 1, width])
        return (rng.uniform(-1.2, 1.2, (3, 3, width)) * rng.integers(0, 2, (3, 1, width))).round(rng.integers(0, 4))

    scene = Scene(fused=("sed",))
    scene.tracks_at = lambda number: tuple(map(tuple, say(number, 1)[..., 0]))
    scene.accdoa_at = lambda number: say(number, len(NAMES))
    system = scene.system(window_labels=8, hop_labels=6, max_overlap=slots, steer_deg=60.0)
    check_slots(*joined(scene.answers(system, range(40))))

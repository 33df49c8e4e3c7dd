"""Streams of label frames through every system."""

from functools import partial

import pytest
from numpy.testing import assert_array_equal

from tests.edge import etri_scene, two_step_scene
from tests.edge.scenes import joined

LOOPS = {
    "etri": {"window_labels": 8, "hop_labels": 5, "sad_median_labels": 3, "sed_median_labels": {"dog": 5}},
    "two_step": {"window_labels": 8, "hop_labels": 5},
    "coloc-window": {},
    "coloc-streaming": {},
}


@pytest.fixture(params=LOOPS)
def loop(request):
    return request.param


@pytest.fixture
def scene(loop, scene_of):
    kinds = {"etri": etri_scene.Scene, "two_step": two_step_scene.Scene, "coloc": scene_of}
    return kinds[loop.partition("-")[0]]("mixed")


@pytest.fixture
def system(scene, loop):
    """A function from settings that differ from the defaults to a system with the nets of the scene."""
    mode = loop.partition("-")[2]
    return partial(scene.system, mode=mode) if mode else scene.system


@pytest.mark.parametrize("resumed", [25, 100, 3])
def test_a_gap_ends_the_stream_and_begins_another(scene, system, resumed):
    labels = [*range(17), *range(resumed, resumed + 45)]
    scene.check(scene.answers(system(), labels), labels)


def test_reset_and_finish_equal_a_new_system(scene, system, loop):
    fresh = scene.answers(system(**LOOPS[loop]), range(33))
    used = system(**LOOPS[loop])
    scene.answers(used, range(27), finish=False)
    used.reset()
    for _ in range(2):
        again = scene.answers(used, range(33))
        assert [answer.start for answer in again] == [answer.start for answer in fresh]
        for one, other in zip(joined(again), joined(fresh), strict=True):
            assert_array_equal(one, other)
        used.reset()


def test_the_stream_goes_on_after_finish(scene, system):
    used = system()
    assert list(used.finish()) == []
    scene.check(scene.answers(used, range(13)), range(13))
    scene.check(scene.answers(used, range(13, 20)), range(13, 20))


def test_answers_are_not_changed_by_later_steps(scene, system):
    used = system(window_labels=8, hop_labels=2, max_overlap=3)
    kept = [
        (answer, answer.activity.copy(), answer.direction.copy())
        for label in range(60)
        for answer in scene.answers(used, [label], finish=False)
    ]
    assert kept
    for answer, activity, direction in kept:
        assert_array_equal(answer.activity, activity)
        assert_array_equal(answer.direction, direction)

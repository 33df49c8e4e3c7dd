"""Label frames of a stream, and their maps."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge.stage_clock import StageClock
from edge.systems.label_stepper import LabelStepper
from edge.types import Spectra
from tests.edge.etri_scene import MAPS, TINY, Numbers, Scene
from tests.edge.scenes import SILENCE


def stepper_with(look_ahead_labels):
    return LabelStepper(Numbers(look_ahead_labels), TINY, StageClock())


def numbers(maps):
    return [int(each[0, 0, 0]) for each in maps]


@pytest.mark.parametrize("look_ahead_labels", [0, 1, 3])
def test_maps_come_as_late_as_the_features_and_the_rest_at_the_end(look_ahead_labels):
    stepper = stepper_with(look_ahead_labels)
    assert stepper.look_ahead_labels == look_ahead_labels
    pushed = [numbers(stepper.push(Scene.spectra(label))) for label in range(6)]
    assert pushed == [[]] * look_ahead_labels + [[label] for label in range(6 - look_ahead_labels)]
    assert numbers(stepper.finish()) == list(range(6 - look_ahead_labels, 6))
    assert list(stepper.finish()) == []


def test_the_next_label_frame_is_counted():
    stepper = stepper_with(0)
    assert stepper.next_label == 0
    for label in range(3):
        assert stepper.label_of(Scene.spectra(label)) == stepper.next_label == label
        stepper.push(Scene.spectra(label))
    assert stepper.label_of(Scene.spectra(9)) == 9 != stepper.next_label  # a gap
    stepper.restart(9)
    assert stepper.next_label == 9


def test_what_was_under_way_is_forgotten_by_a_restart():
    stepper = stepper_with(2)
    stepper.push(Scene.spectra(0))
    stepper.restart(40)
    assert [numbers(stepper.push(Scene.spectra(label))) for label in (40, 41, 42)] == [[], [], [40]]


@pytest.mark.parametrize("look_ahead_labels", [0, 2])
def test_silence_is_known_whatever_the_look_ahead(look_ahead_labels):
    stepper = stepper_with(look_ahead_labels)
    assert_array_equal(stepper.silent_spectra.bins, np.zeros((TINY.frames_per_label, 4, TINY.bins), np.complex64))
    assert_array_equal(stepper.silent_maps, np.full((TINY.frames_per_label, 3, MAPS), SILENCE))
    assert list(stepper.finish()) == []  # and is not of the stream


def test_features_take_a_lap():
    now_ns = iter(range(0, 10**9, 1000)).__next__
    stepper = LabelStepper(Numbers(0), TINY, StageClock(now_ns=now_ns))
    stepper.push(Spectra(Scene.spectra(0).bins, 0))
    stepper.clock.end()
    assert stepper.clock.stages().keys() == {"features"} and stepper.clock.step().steps == 1

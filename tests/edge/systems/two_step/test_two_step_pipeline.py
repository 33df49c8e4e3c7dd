"""Two-step in the whole pipeline, with nets that have ears: what the beams do, and other arrays."""

import numpy as np
import pytest

from edge.arrays.acoustics import array_spectra
from edge.arrays.profile import load_array
from edge.geometry import unit_vector
from edge.types import AudioBlock
from tests.edge import scenes
from tests.edge.scenes import check_direction, events_of, heard, low_noise, run_through
from tests.edge.two_step_scene import Ear, changed, ear_located, pipeline_with_ears

HEARD = [("low", 0.2, 0.7), ("high", 2.2, 2.5)]


@pytest.fixture
def with_gap(sounds, cut):
    """A function that cuts 2.5 s of sound: from 0.7 s to 2.07 s nothing was heard."""
    return lambda size: scenes.with_gap(cut, sounds[19_200:36_000], sounds[68_900:79_200], 49_700, size)


def test_events_and_rows_do_not_depend_on_the_blocks(with_gap, block_samples):
    pipeline = pipeline_with_ears()
    whole = run_through(pipeline, with_gap(10**9))
    assert heard(whole) == HEARD
    for event, direction in zip(events_of(whole), ((30, -20), (-120, 40)), strict=True):
        check_direction(event, direction)
    pipeline.reset()
    assert run_through(pipeline, with_gap(block_samples)) == whole  # floats and all


def test_beams_that_look_elsewhere_are_quieter(with_gap):
    """So the events above came through them; and where there are no beams, the direction does not matter."""
    behind = Ear(lambda features: ear_located(features, sign=-1))
    assert heard(run_through(pipeline_with_ears(doa=behind), with_gap(4096))) == []
    unbeamed = pipeline_with_ears(shapes=changed("fusion", "inputs", "beams"), doa=behind)
    assert heard(run_through(unbeamed, with_gap(4096))) == HEARD


@pytest.mark.parametrize("array", ["foa", "em32_tetra", "open_tetra"])
@pytest.mark.parametrize("direction", [(30, -20), (-110, 45)])
def test_a_plane_wave_comes_out_of_the_loop_where_it_came_from(plane_wave, array, direction):
    """Through encoder, transform, features, beams, loop and decoder, from what the device delivers."""
    noise = low_noise(12000)
    samples, hz = plane_wave(noise, *direction), np.fft.rfftfreq(12000, 1 / 24000)
    if array != "foa":
        toward = unit_vector([direction[0]], [direction[1]])
        spectrum = np.fft.rfft(noise) * array_spectra(load_array(array).capsules, toward, hz)[0]
        samples = np.fft.irfft(spectrum, 12000, axis=1).T.astype(np.float32)
    (event,) = events_of(run_through(pipeline_with_ears(array), [AudioBlock(samples, 0)]))
    assert (event.name, event.onset_s, event.offset_s) == ("low", 0.0, 0.5)
    check_direction(event, direction, within_deg=1.0 if array == "foa" else 3.0)

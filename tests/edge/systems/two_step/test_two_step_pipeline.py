"""Two-step in the whole pipeline, with analytic nets: the effect of the beams, and other arrays."""

import numpy as np
import pytest

from edge.arrays.acoustics import array_spectra
from edge.arrays.profile import load_array
from edge.geometry import unit_vector
from edge.types import AudioBlock
from tests.edge import scenes
from tests.edge.scenes import check_direction, events_of, heard, low_noise, run_through
from tests.edge.two_step_scene import AnalyticNet, analytic_located, analytic_pipeline, changed

HEARD = [("low", 0.2, 0.7), ("high", 2.2, 2.5)]


@pytest.fixture
def with_gap(sounds, cut):
    """A function from a block size to blocks of 2.5 s of sound; the samples from 0.7 s to 2.07 s are lost."""
    return lambda size: scenes.with_gap(cut, sounds[19_200:36_000], sounds[68_900:79_200], 49_700, size)


def test_events_and_rows_do_not_depend_on_the_blocks(with_gap, block_samples):
    pipeline = analytic_pipeline()
    whole = run_through(pipeline, with_gap(10**9))
    assert heard(whole) == HEARD
    for event, direction in zip(events_of(whole), ((30, -20), (-120, 40)), strict=True):
        check_direction(event, direction)
    pipeline.reset()
    assert run_through(pipeline, with_gap(block_samples)) == whole  # floats and all


def test_beams_in_other_directions_are_quieter(with_gap):
    """The fusion net finds nothing if the beams look behind; without beams their direction does not matter."""
    behind = AnalyticNet(lambda features: analytic_located(features, sign=-1))
    assert heard(run_through(analytic_pipeline(doa=behind), with_gap(4096))) == []
    unbeamed = analytic_pipeline(shapes=changed("fusion", "inputs", "beams"), doa=behind)
    assert heard(run_through(unbeamed, with_gap(4096))) == HEARD


@pytest.mark.parametrize("array", ["foa", "em32_tetra", "open_tetra"])
@pytest.mark.parametrize("direction", [(30, -20), (-110, 45)])
def test_a_plane_wave_keeps_its_direction_through_the_pipeline(plane_wave, array, direction):
    """Through encoder, STFT, features, beams, system and decoder, from the signals of the capsules."""
    noise = low_noise(12000)
    samples, hz = plane_wave(noise, *direction), np.fft.rfftfreq(12000, 1 / 24000)
    if array != "foa":
        toward = unit_vector([direction[0]], [direction[1]])
        spectrum = np.fft.rfft(noise) * array_spectra(load_array(array).capsules, toward, hz)[0]
        samples = np.fft.irfft(spectrum, 12000, axis=1).T.astype(np.float32)
    (event,) = events_of(run_through(analytic_pipeline(array), [AudioBlock(samples, 0)]))
    assert (event.name, event.onset_s, event.offset_s) == ("low", 0.0, 0.5)
    check_direction(event, direction, within_deg=1.0 if array == "foa" else 3.0)

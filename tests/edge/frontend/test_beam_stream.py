"""A beam as samples: the sound from its direction, whatever the array and however the stream is cut."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge.arrays.acoustics import array_spectra
from edge.arrays.profile import load_array, shipped_arrays
from edge.frontend.beam_stream import Listener
from edge.geometry import foa_gains, unit_vector
from edge.types import AudioBlock

RATE_HZ = 24000
COUNT = 12000
DIRECTION = 30.0, -20.0
TOWARD = unit_vector(*DIRECTION)


def noise(count=COUNT, seed=1):
    """Noise of 200 Hz to 8 kHz, with silence at both ends, as the filters reach 20 ms."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(0, 0.1, count))
    hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    mono = np.fft.irfft(spectrum * ((hz > 200) & (hz < 8000)), count)
    mono[:1000] = mono[-1000:] = 0.0
    return mono


def delivered(profile, mono, azimuth_deg, elevation_deg):
    """Samples (n, channels) of the array for a plane wave."""
    toward = unit_vector(azimuth_deg, elevation_deg)
    samples = np.zeros((len(mono), profile.channels))
    if profile.mixing is not None:
        samples[:, profile.channel_map] = np.outer(mono, np.linalg.inv(profile.mixing) @ foa_gains(toward))
    else:
        hz = np.fft.rfftfreq(len(mono), 1 / RATE_HZ)
        heard = array_spectra(profile.capsules, toward[None], hz)[0] * np.fft.rfft(mono)
        samples[:, profile.channel_map] = np.fft.irfft(heard, len(mono), axis=1).T
    return samples.astype(np.float32)


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples))))


@pytest.mark.parametrize("name", list(shipped_arrays()))
def test_the_wave_from_the_direction_comes_out_as_it_was(name):
    profile, mono = load_array(name), noise()
    azimuth_deg, elevation_deg = (DIRECTION[0], 0.0) if profile.planar else DIRECTION
    listener = Listener(profile, RATE_HZ)
    samples = delivered(profile, mono, azimuth_deg, elevation_deg)
    toward = unit_vector(azimuth_deg, elevation_deg)
    beam = listener.heard(samples, toward)
    assert beam.shape == (COUNT, 1) and beam.dtype == np.float32
    assert rms(beam[:, 0] - mono) < 0.03 * rms(mono)
    behind = listener.heard(samples, -toward)
    assert rms(behind) < 0.75 * rms(mono)


@pytest.mark.parametrize("name", ["foa", "em32_tetra"])
def test_the_cut_of_the_stream_does_not_matter(name, cut, block_samples):
    listener = Listener(load_array(name), RATE_HZ)
    samples = delivered(listener.profile, noise(4000), *DIRECTION)
    whole, beam = listener.heard(samples, TOWARD), listener.toward(TOWARD)
    blocks = [*(beam(block) for block in cut(samples, block_samples)), *beam.finish()]
    ends = np.cumsum([0, *(len(block.samples) for block in blocks)])
    assert [block.start for block in blocks if len(block.samples)] == [
        start for start, block in zip(ends, blocks, strict=False) if len(block.samples)
    ]
    assert_array_equal(np.concatenate([block.samples for block in blocks]), whole)


def test_after_a_gap_the_beam_begins_anew():
    listener = Listener(load_array("em32_tetra"), RATE_HZ)
    samples = delivered(listener.profile, noise(4000), *DIRECTION)
    beam = listener.toward(TOWARD)
    beam(AudioBlock(samples[:3000], 0))
    after = [beam(AudioBlock(samples, 96000, lost=93000)), *beam.finish()]
    assert next(block.start for block in after if len(block.samples)) == 96000
    assert_array_equal(np.concatenate([block.samples for block in after]), listener.heard(samples, TOWARD))

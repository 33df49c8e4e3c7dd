"""Devices that deliver FOA: order, scale, virtual microphones. Capsules: see test_filter_encoder.py."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from edge.arrays.encoder import foa_encoder
from edge.arrays.profile import load_array
from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import Stft, StftSettings
from edge.geometry import angle_between_deg, unit_vector
from edge.types import AudioBlock

STFT = StftSettings()
TURN = np.pi * (3 - np.sqrt(5))
DIRECTIONS = [(30.0, -20.0), (0.0, 0.0), (90.0, 0.0), (-90.0, 0.0), (180.0, 0.0), (0.0, 90.0), (0.0, -90.0)] + [
    (float(np.rad2deg(TURN * n) % 360 - 180), float(np.rad2deg(np.arcsin((2 * n + 1) / 20 - 1)))) for n in range(20)
]  # the last ones spread evenly over the sphere


def noise():
    return np.random.default_rng(1).normal(0, 0.1, 12000)


def tone():
    return 0.3 * np.sin(2 * np.pi * 1333.0 * np.arange(12000) / 24000)


def delivered(kind, mono, direction):
    """Channels of an array of that kind for a plane wave, by formulas that are independent of the project."""
    x, y, z = unit_vector(*direction)
    gains = {"foa": [1.0, y, z, x], "foa_fuma": [np.sqrt(0.5), x, y, z]}[kind]
    return (mono[:, None] * np.array(gains)).astype(np.float32)


@pytest.mark.parametrize("kind", ["foa", "foa_fuma"])
@pytest.mark.parametrize("sound", [noise, tone])
@pytest.mark.parametrize("settings", [FeatureSettings(), FeatureSettings("logpower_phase_iv", STFT.bins)])
def test_plane_wave_comes_out_where_it_came_from(kind, sound, settings):
    encode, extract = foa_encoder(load_array(kind)), FeatureExtractor(settings, STFT)
    mono = sound()
    for direction in DIRECTIONS:
        stft = Stft(STFT, 4)
        block = encode(AudioBlock(delivered(kind, mono, direction), 0))
        maps = np.concatenate([extract(spectra).maps for spectra in stft.push(block)])
        y, z, x = maps[..., -3:].sum(axis=(0, 1))
        assert angle_between_deg([x, y, z], unit_vector(*direction)) < 2.0, direction


def test_thirty_and_minus_twenty_is_left_of_the_front_and_below():
    block = foa_encoder(load_array("foa_fuma"))(AudioBlock(delivered("foa_fuma", np.ones(3), (30, -20)), 0))
    w, y, z, x = block.samples[0]
    assert w == pytest.approx(1.0, abs=1e-6) and y > 0 and z < 0 and x > 0


def test_foa_passes_through_and_fuma_is_converted():
    samples = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    kept = samples.copy()
    foa = foa_encoder(load_array("foa"))(AudioBlock(samples, 5, lost=3))
    assert_array_equal(foa.samples, samples)
    assert (foa.start, foa.lost) == (5, 3)
    w, x, y, z = samples.T
    fuma = foa_encoder(load_array("foa_fuma"))(AudioBlock(samples, 5, lost=3))
    assert_allclose(fuma.samples, np.stack([w * np.sqrt(2), y, z, x], axis=1), rtol=1e-6)
    assert fuma.samples.dtype == np.float32 and (fuma.start, fuma.lost) == (5, 3)
    assert_array_equal(samples, kept)


@pytest.mark.parametrize("kind", ["foa", "foa_fuma"])
def test_blocks_do_not_matter(kind):
    samples = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    encode = foa_encoder(load_array(kind))
    whole = encode(AudioBlock(samples, 0)).samples
    for size in (1, 7, 480, 4096):
        pieces = [encode(AudioBlock(samples[at : at + size], at)).samples for at in range(0, 5000, size)]
        assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("kind", ["foa", "foa_fuma"])
def test_channel_map_chooses_among_more_channels(tmp_path, kind):
    path = tmp_path / "six.toml"
    path.write_text(f'name = "six"\nkind = "{kind}"\nchannels = 6\nchannel_map = [5, 1, 2, 0]\n')
    six = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    got = foa_encoder(load_array(str(path)))(AudioBlock(six, 0)).samples
    wanted = foa_encoder(load_array(kind))(AudioBlock(six[:, [5, 1, 2, 0]], 0)).samples
    assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["foa", "foa_fuma"])
def test_microphones_are_cardioids_toward_the_corners_of_a_tetrahedron(kind):
    corners = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
    encode, mono = foa_encoder(load_array(kind), microphones=True), noise()
    for direction in DIRECTIONS:
        block = encode(AudioBlock(delivered(kind, mono, direction), 7, lost=3))
        assert (block.start, block.lost) == (7, 3) and block.samples.dtype == np.float32
        gains = 0.5 + 0.5 * corners @ unit_vector(*direction)
        assert_allclose(block.samples[:, 4:], mono[:, None] * gains, atol=1e-6)
    ahead = encode(AudioBlock(delivered(kind, mono, (45.0, np.rad2deg(np.arcsin(np.sqrt(1 / 3))))), 0)).samples[:, 4:]
    assert_allclose(ahead, mono[:, None] * [1, 1 / 3, 1 / 3, 1 / 3], atol=1e-6)  # the first looks front left up


@pytest.mark.parametrize("kind", ["foa", "foa_fuma"])
def test_microphones_follow_the_same_foa_in_blocks_of_any_length(kind, cut):
    samples = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    alone, encode = foa_encoder(load_array(kind)), foa_encoder(load_array(kind), microphones=True)
    whole = encode(AudioBlock(samples, 0)).samples
    assert whole.shape == (5000, 8) and encode.latency_s == 0
    assert_array_equal(whole[:, :4], alone(AudioBlock(samples, 0)).samples)
    for size in (1, 7, 480, 4096):
        assert_array_equal(np.concatenate([encode(block).samples for block in cut(samples, size)]), whole)
    assert encode(AudioBlock(samples[:0], 0)).samples.shape == (0, 8)

"""Delay-and-sum against physics: what microphones pick up of plane waves is written down here again."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from edge.arrays.acoustics import array_spectra, sphere_grid
from edge.arrays.encoder import foa_encoder
from edge.arrays.profile import ArrayProfile, load_array, shipped_arrays
from edge.frontend.beams import Beamformer, track_weights
from edge.frontend.stft import Stft, StftSettings
from edge.geometry import unit_vector
from edge.types import AudioBlock

STFT = StftSettings()
HZ = np.arange(STFT.bins) * STFT.sample_rate_hz / STFT.nfft
SPEED = 343.0
CORNERS = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
DIRECTIONS = np.concatenate([unit_vector([30, 0, 90, 180, 0, 0], [-20, 0, 0, 0, 90, -90]), CORNERS, sphere_grid(30)])
OMNIS = ArrayProfile("omnis", "open", 4, (0, 1, 2, 3), tuple(map(tuple, (0.042 * CORNERS).tolist())))
SHIPPED = list(shipped_arrays())


def foa_microphones(directions):
    """Cardioids in a point."""
    return np.repeat((0.5 + 0.5 * directions @ CORNERS.T)[..., None], len(HZ), axis=2)


def open_microphones(profile, directions):
    positions_m = np.array(profile.capsule_position_m)
    share = {"omni": 1.0, "cardioid": 0.5}[profile.capsule_pattern]
    cosines = directions @ (positions_m / np.linalg.norm(positions_m, axis=1, keepdims=True)).T
    early_s = directions @ positions_m.T / SPEED
    return (share + (1 - share) * cosines)[..., None] * np.exp(2j * np.pi * early_s[..., None] * HZ)


def sphere_microphones(profile, directions):
    """The series of the textbooks, and its limit at 0 Hz."""
    positions_m = np.array(profile.capsule_position_m)
    radius_m = np.linalg.norm(positions_m, axis=1).mean()
    cosines = directions @ positions_m.T / radius_m
    kr, n = 2 * np.pi * HZ[1:] * radius_m / SPEED, np.arange(24)[:, None]
    j, dj = spherical_jn(n, kr), spherical_jn(n, kr, derivative=True)
    h, dh = j - 1j * spherical_yn(n, kr), dj - 1j * spherical_yn(n, kr, derivative=True)
    modes = (2 * n + 1) * 1j**n * (j - dj / dh * h)
    series = eval_legendre(n[:, 0], cosines[..., None]) @ np.nan_to_num(modes)
    return np.concatenate([np.ones((*cosines.shape, 1)), series], axis=2)


def heard(profile, directions):
    """Responses (n, 4, bins) of the microphones to plane waves from directions (n, 3)."""
    model = {"rigid_sphere": sphere_microphones, "open": open_microphones}.get(profile.kind)
    return foa_microphones(directions) if model is None else model(profile, directions)


def array_factor(profile, toward, waves):
    """Theoretical output (waves, bins) in float64 of a beam toward one direction for plane waves from others."""
    (steering,), response = heard(profile, toward[None]), heard(profile, waves)
    return (steering.conj() * response).sum(axis=1) / (np.abs(steering) ** 2).sum(axis=0)


def profile_of(name):
    return OMNIS if name == "omnis" else load_array(name)


@functools.cache
def beamformer_of(name):
    return Beamformer(load_array(name), STFT)


def single(values):
    return values.astype(np.complex64)


def noisy_bins(frames=5, seed=0):
    rng = np.random.default_rng(seed)
    return single(rng.normal(size=(frames, 4, 513)) + 1j * rng.normal(size=(frames, 4, 513)))


@pytest.mark.parametrize("name", [*SHIPPED, "omnis"])
def test_beam_leaves_the_wave_from_its_direction_unchanged(name):
    profile = profile_of(name)
    beamformer = Beamformer(profile, STFT)
    sound = noisy_bins()[:, 0]
    for direction, response in zip(DIRECTIONS, heard(profile, DIRECTIONS), strict=True):
        beams = beamformer(single(sound[:, None] * response), direction[None].astype(np.float32))
        assert beams.shape == (5, 1, 513) and beams.dtype == np.complex64
        error = np.abs(beams[:, 0] - sound) / np.abs(sound)
        assert error.max() < 2e-3, direction  # 0.02 dB and 0.1 degrees


@pytest.mark.parametrize("name", [*SHIPPED, "omnis"])
def test_other_waves_are_attenuated_as_in_theory(name):
    profile, waves = profile_of(name), sphere_grid(200)
    beamformer, responses = Beamformer(profile, STFT), heard(profile, waves)
    for toward in DIRECTIONS[::5]:
        beams = beamformer(single(responses), toward[None].astype(np.float32))[:, 0]
        theory = array_factor(profile, toward, waves)
        assert_allclose(beams, theory, atol=4e-3)
        diffuse = np.mean(np.abs(beams[:, HZ > 2500]) ** 2)  # noise from everywhere
        assert diffuse < 10 ** (-2.0 / 10)


@pytest.mark.parametrize("name", ["foa", "foa_fuma"])
def test_tetrahedron_of_cardioids_makes_a_subcardioid_at_all_frequencies(name):
    """By hand: the sum over the corners of (1 + c.a) (1 + c.v) / 4 is 1 + a.v / 3."""
    waves = sphere_grid(100)
    beams = Beamformer(load_array(name), STFT)(single(foa_microphones(waves)), unit_vector([[30]], [[-20]])[0])[:, 0]
    by_hand = (3 + waves @ unit_vector(30, -20)) / 4
    assert_allclose(beams, np.repeat(by_hand[:, None], 513, axis=1), atol=1e-5)


def test_beams_equal_equations_1_to_4():
    """Open omnis with the source at a kilometre: the beam of the paper except for the delay to the middle."""
    beamformer, bins, distance_m = Beamformer(OMNIS, STFT), noisy_bins(), 1000.0
    for length, weight in ((1.0, 1.0), (0.7, 0.7), (0.51, 0.51), (0.49, 0.01)):
        for direction in DIRECTIONS:
            d_m = np.linalg.norm(distance_m * direction - np.array(OMNIS.capsule_position_m), axis=1) - distance_m
            steering = np.exp(-2j * np.pi * HZ / SPEED * d_m[:, None])
            paper = (weight * steering.conj() * bins).sum(axis=1) / 4
            beams = beamformer(bins, (length * direction[None]).astype(np.float32))
            assert_allclose(beams[:, 0], paper, atol=4e-3 * weight)


def test_check_notices_the_wrong_sign_of_the_delays():
    toward = unit_vector(30, -20)
    bins, sound = noisy_bins(), noisy_bins()[:, 0]
    wave = single(sound[:, None] * heard(OMNIS, toward[None])[0])
    at_it, behind = (Beamformer(OMNIS, STFT)(wave, sign * toward[None])[:, 0] for sign in (1.0, -1.0))
    high = HZ > 2000
    assert np.mean(np.abs(at_it[:, high] - sound[:, high]) ** 2) < 1e-5
    assert np.mean(np.abs(behind[:, high] - sound[:, high]) ** 2) > 0.5
    assert np.mean(np.abs(behind[:, high]) ** 2) < 0.5 * np.mean(np.abs(bins[:, 0, high]) ** 2)


def test_source_at_a_metre_is_as_good_as_far_away():
    """Delays of equation 1 for a source at 1 m, compared with those of a plane wave."""
    for profile in (OMNIS, *(load_array(name) for name in ("em32_tetra", "open_tetra"))):
        positions_m = np.array(profile.capsule_position_m)
        away_m = np.linalg.norm(DIRECTIONS[:, None] - positions_m, axis=2) - 1
        assert np.abs(away_m + DIRECTIONS @ positions_m.T).max() / SPEED < 3e-6


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("direction", [(30.0, -20.0), (-110.0, 45.0)])
def test_sound_comes_through_encoder_transform_and_beam(name, direction):
    """The input is what the device delivers; compared in the band that 10 ms of the encoder's filters resolve."""
    profile, toward = load_array(name), unit_vector(*direction)
    mono = np.random.default_rng(1).normal(0, 0.1, 12000)
    hz, spectrum = np.fft.rfftfreq(12000, 1 / 24000), np.fft.rfft(mono)
    if profile.kind == "foa":
        samples = mono[:, None] * np.array([1.0, toward[1], toward[2], toward[0]])
    elif profile.kind == "foa_fuma":
        samples = mono[:, None] * np.array([np.sqrt(0.5), *toward])
    else:  # with the gains that the profile knows of
        samples = np.zeros((12000, profile.channels))
        heard = np.fft.irfft(spectrum * array_spectra(profile.capsules, toward[None], hz)[0], 12000, axis=1)
        samples[:, profile.channel_map] = heard.T
    encode = foa_encoder(profile, microphones=True)
    blocks = [encode(AudioBlock(samples.astype(np.float32), 0)), *encode.finish()]
    both = np.concatenate([block.samples for block in blocks])
    streams = ([*Stft(STFT, s.shape[1]).push(AudioBlock(s.astype(np.float32), 0))] for s in (both, mono[:, None]))
    beamformer, band = Beamformer(profile, STFT), (HZ > 100) & (HZ < 10_000)
    middle = list(zip(*streams, strict=True))[1:-1]
    assert len(middle) == 3
    for microphones, alone in middle:
        at_it, elsewhere = np.moveaxis(beamformer(microphones.bins[:, 4:], np.stack([toward, -toward])), 1, 0)
        sound = alone.bins[:, 0]
        error = np.linalg.norm((at_it - sound)[:, band]) / np.linalg.norm(sound[:, band])
        assert error < 0.02
        assert np.linalg.norm(elsewhere[:, band]) < 0.7 * np.linalg.norm(sound[:, band])


def test_weights():
    lengths = np.array([0.0, 0.3, 0.4999, 0.5, 0.8, 1.0, 1.7], np.float32)
    weights = track_weights(lengths)
    assert_array_equal(weights, np.float32([0.01, 0.01, 0.01, 0.5, 0.8, 1.0, 1.7]))
    assert weights.dtype == np.float32


@given(st.integers(0, 6), st.integers(1, 7), st.integers(0, 99), st.sampled_from(SHIPPED))
def test_tracks_are_independent_of_each_other(tracks, frames, seed, name):
    vectors = np.random.default_rng(seed).uniform(-1, 1, (tracks, 3)).astype(np.float32)
    bins, beamformer = noisy_bins(frames, seed), beamformer_of(name)
    kept = bins.copy(), vectors.copy()
    beams = beamformer(bins, vectors)
    before = beams.copy()
    assert beams.shape == (frames, tracks, 513) and beams.dtype == np.complex64
    for index, vector in enumerate(vectors):
        assert_allclose(beamformer(bins, vector[None])[:, 0], beams[:, index], atol=1e-5)
    beamformer(noisy_bins(frames, seed + 1), vectors[::-1].copy())
    assert_array_equal(beams, before)  # they may be kept
    assert_array_equal(bins, kept[0])
    assert_array_equal(vectors, kept[1])


@pytest.mark.parametrize("name", SHIPPED)
def test_track_without_a_direction_is_nearly_silent(name):
    bins = noisy_bins()
    with np.errstate(all="raise", under="ignore"):
        beams = Beamformer(load_array(name), STFT)(bins, np.array([(0, 0, 0), (1e-30, 0, 0), (0, 0.2, 0)], np.float32))
    assert np.all(np.isfinite(beams))
    assert np.abs(beams).max() < 0.03 * np.abs(bins).max()


def test_gain_is_limited_where_all_microphones_have_a_null():
    """Four cardioids that point forward have a null behind: the beam there is quiet, not infinite."""
    forward = ((0.05, 0.0, 0.0), (0.05, 0.001, 0.0), (0.05, 0.0, 0.001), (0.05, 0.001, 0.001))
    beamformer = Beamformer(ArrayProfile("f", "open", 4, (0, 1, 2, 3), forward, "cardioid"), STFT)
    bins = noisy_bins()
    with np.errstate(all="raise", under="ignore"):
        beams = beamformer(bins, np.array([(-1, 0, 0), (1, 0, 0)], np.float32))
    assert np.abs(beams[:, 0]).max() < np.abs(beams[:, 1]).max()

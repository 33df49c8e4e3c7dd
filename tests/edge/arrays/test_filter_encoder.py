"""Capsules -> FOA: the model of the array, the filters made of it, and their streaming."""

import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from edge.arrays.acoustics import array_spectra, rigid_sphere, sphere_grid
from edge.arrays.encoder import foa_encoder
from edge.arrays.filter_encoder import MAX_NOISE_GAIN_DB, encoding_filters
from edge.arrays.profile import ArrayProfile, load_array
from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import Stft, StftSettings
from edge.geometry import angle_between_deg, foa_gains, unit_vector
from edge.types import AudioBlock

STFT = StftSettings()
RATE_HZ = STFT.sample_rate_hz
DIRECTIONS = np.concatenate([unit_vector([30, 0, 90, 180, 0, 0], [-20, 0, 0, 0, 90, -90]), sphere_grid(20)])
ALIASING_HZ = {"em32_tetra": 1500, "open_tetra": 2000}  # up to where the next order is small
SHIPPED = list(ALIASING_HZ)
FLAT = ["respeaker_usb4", "seeed_4mic", "xvf3800"]
CIRCLE = ArrayProfile(
    "circle", "open", 4, (0, 1, 2, 3), ((0.03, 0.0, 0.0), (0.0, 0.03, 0.0), (-0.03, 0.0, 0.0), (0.0, -0.03, 0.0))
)


def noise(samples=12000, channels=None, seed=0):
    size = samples if channels is None else (samples, channels)
    return np.random.default_rng(seed).normal(0, 0.1, size).astype(np.float32)


def played(spectra, mono):
    """Circular convolution of a sound (n,) with capsule spectra (capsules, n // 2 + 1): (n, capsules)."""
    return np.fft.irfft(np.fft.rfft(mono) * spectra, len(mono), axis=1).T.astype(np.float32)


def arriving(profile, mono, directions):
    """Samples (n, capsules) of the profile's capsules for plane waves, one array per direction."""
    frequencies_hz = np.fft.rfftfreq(len(mono), 1 / RATE_HZ)
    return [played(spectra, mono) for spectra in array_spectra(profile.capsules, directions, frequencies_hz)]


def encoded(encoder, blocks):
    return np.concatenate([block.samples for block in (*map(encoder, blocks), *encoder.finish())])


def direction_error_deg(profile, samples, direction, highest_hz):
    """Error of the direction of the summed intensity from 200 Hz on, by the device's encoder, STFT and maps."""
    extract = FeatureExtractor(FeatureSettings("logpower_phase_iv", STFT.bins), STFT)
    stft, foa = Stft(STFT, 4), encoded(foa_encoder(profile), [AudioBlock(samples, 0)])
    maps = np.concatenate([extract(spectra).maps for spectra in stft.push(AudioBlock(foa, 0))])
    hz = np.arange(STFT.bins) * RATE_HZ / STFT.nfft
    y, z, x = maps[:, (hz >= 200) & (hz <= highest_hz), -3:].sum(axis=(0, 1))
    return angle_between_deg([x, y, z], direction)


def test_rigid_sphere_has_its_limits_and_equals_the_textbook():
    cosines = np.linspace(-1, 1, 21)
    small = rigid_sphere(cosines, np.array([0.02]))[:, 0]
    assert_allclose(small, 1 + 1.5j * 0.02 * cosines, atol=5e-4)  # a dipole of 3/2: the sphere pushes the air aside
    assert abs(rigid_sphere(np.array([1.0]), np.array([40.0]))[0, 0]) == pytest.approx(2, abs=0.02)  # a hard wall
    kr, n = 3.0, np.arange(40)
    j, dj = spherical_jn(n, kr), spherical_jn(n, kr, derivative=True)
    h, dh = j - 1j * spherical_yn(n, kr), dj - 1j * spherical_yn(n, kr, derivative=True)
    series = eval_legendre(n, cosines[:, None]) @ ((2 * n + 1) * 1j**n * (j - dj / dh * h))
    assert_allclose(rigid_sphere(cosines, np.array([kr]))[:, 0], series, atol=1e-9)


def test_open_capsules_receive_waves_from_ahead_early():
    profile, wave, hz = load_array("open_tetra"), unit_vector(45, 35.2644), 1000.0
    ahead, beside = array_spectra(profile.capsules, wave[None], [hz])[0, :2, 0]
    early_rad = 2 * np.pi * hz * 0.0085 * np.sqrt(3) / 343
    assert ahead == pytest.approx(np.exp(1j * early_rad), abs=1e-6)  # on the axis of the first cardioid
    assert beside == pytest.approx((1 - 1 / 3) / 2 * np.exp(-1j * early_rad / 3), abs=1e-6)


@pytest.mark.parametrize("name", SHIPPED)
def test_plane_waves_come_out_where_they_came_from(name):
    profile = load_array(name)
    for direction, samples in zip(DIRECTIONS, arriving(profile, noise(), DIRECTIONS), strict=True):
        assert direction_error_deg(profile, samples, direction, ALIASING_HZ[name]) < 2.0, direction


def test_plane_waves_at_open_omnis_equal_their_formula():
    profile = replace(load_array("open_tetra"), capsule_pattern="omni")
    hz = np.fft.rfftfreq(12000, 1 / RATE_HZ)
    for seed, direction in enumerate(DIRECTIONS):
        early_s = np.array(profile.capsule_position_m) @ direction / 343
        samples = played(np.exp(2j * np.pi * hz * early_s[:, None]), noise(seed=seed))
        assert direction_error_deg(profile, samples, direction, 3000) < 2.0, direction


@pytest.mark.parametrize("name", SHIPPED)
def test_foa_has_the_gains_and_delays_of_ideal_foa(name):
    hz = np.fft.rfftfreq(24000, 1 / RATE_HZ)
    mono = np.fft.irfft(np.fft.rfft(noise(24000)) * ((hz > 200) & (hz < 800)))
    profile, middle = load_array(name), slice(480, -480)
    for direction, samples in zip(DIRECTIONS, arriving(profile, mono, DIRECTIONS), strict=True):
        foa = encoded(foa_encoder(profile), [AudioBlock(samples, 0)])
        error = foa - mono[:, None] * foa_gains(direction)
        assert np.all(np.std(error[middle], axis=0) < np.std(mono) * np.array([0.02, 0.15, 0.15, 0.15]))
        assert np.argmax(np.correlate(foa[1000:-1000, 0], mono[990:-990])) == 10


@pytest.mark.parametrize("name", SHIPPED)
def test_w_keeps_its_level_in_a_diffuse_field_at_all_frequencies(name):
    capsules, hz = load_array(name).capsules, np.fft.rfftfreq(480, 1 / RATE_HZ)
    filters = np.fft.rfft(encoding_filters(capsules, RATE_HZ), 480, axis=2)
    foa = np.einsum("ocf,pcf->pof", filters, array_spectra(capsules, sphere_grid(500), hz))
    level_db = 10 * np.log10(np.mean(np.abs(foa) ** 2, axis=0))
    assert np.abs(level_db[0, 2:-10]).max() < 0.5
    third_db = level_db[1:, (hz >= 200) & (hz <= 1000)] + 10 * np.log10(3)
    assert np.abs(third_db).max() < 1.0
    assert level_db.max() < 1.0


def test_gain_of_capsule_noise_is_limited():
    for profile in (*map(load_array, [*SHIPPED, *FLAT]), CIRCLE):
        filters = encoding_filters(profile.capsules, RATE_HZ)
        gains_db = 10 * np.log10(np.sum(np.abs(np.fft.rfft(filters, 4800, axis=2)) ** 2, axis=1) + 1e-9)
        assert gains_db.max() < MAX_NOISE_GAIN_DB + 0.1
    assert gains_db[1].max() > 10  # the limit is at work: 3 cm are not much to tell low frequencies apart


def test_flat_array_determines_azimuth_and_no_elevation():
    directions = unit_vector(np.arange(-180, 180, 30), 0)
    for direction, samples in zip(directions, arriving(CIRCLE, noise(), directions), strict=True):
        assert direction_error_deg(CIRCLE, samples, direction, 2000) < 2.0
        foa = encoded(foa_encoder(CIRCLE), [AudioBlock(samples, 0)])
        assert np.abs(foa[:, 2]).max() == 0.0 < np.abs(foa[:, 0]).max()


def azimuth_errors_deg(profile, elevation_deg, hz):
    """Azimuth errors for plane waves from all around after the encoding filters: (directions, frequencies)."""
    azimuths_deg = np.arange(-180.0, 180.0, 10.0)
    waves = array_spectra(profile.capsules, unit_vector(azimuths_deg, elevation_deg), hz)
    filters = np.fft.rfft(encoding_filters(profile.capsules, RATE_HZ), RATE_HZ, axis=2)[:, :, hz]
    foa = np.einsum("ocf,pcf->pof", filters, waves)
    y, _, x = np.moveaxis((foa[:, :1].conj() * foa[:, 1:]).real, 1, 0)
    return np.abs((np.rad2deg(np.arctan2(y, x)) - azimuths_deg[:, None] + 180) % 360 - 180)


@pytest.mark.parametrize(
    ("name", "spacing_m"), [("respeaker_usb4", 0.0453), ("seeed_4mic", 0.0573), ("xvf3800", 0.066)]
)
def test_azimuth_of_flat_arrays_by_frequency(name, spacing_m):
    """Right up to half the aliasing frequency, at which neighbours are half a wavelength apart; wrong above it."""
    profile = load_array(name)
    assert profile.planar
    aliasing_hz = 343 / (2 * spacing_m)
    for elevation_deg in (0.0, 30.0, -60.0):
        errors = azimuth_errors_deg(profile, elevation_deg, np.array([100, 200, 500, round(aliasing_hz / 2)]))
        assert errors.max() < 4.0
        assert np.median(errors, axis=0).max() < 3.0
    low, high = np.median(
        azimuth_errors_deg(profile, 0.0, np.round(aliasing_hz * np.array([0.7, 1.15])).astype(int)), 0
    )
    assert low < 6.0 and high > 20.0


@pytest.mark.parametrize("name", FLAT)
def test_shipped_flat_arrays_find_azimuth(name, cut):
    profile, directions = load_array(name), unit_vector([0, 90, 180, -90, 30, -135], 0)
    for direction, samples in zip(directions, arriving(profile, noise(), directions), strict=True):
        delivered = np.full((len(samples), profile.channels), 7.0, np.float32)  # what is not a microphone is not used
        delivered[:, list(profile.channel_map)] = samples
        assert direction_error_deg(profile, delivered, direction, 1500) < 2.0, direction
    assert_array_equal(
        encoded(foa_encoder(profile), cut(delivered, 777)), encoded(foa_encoder(profile), [AudioBlock(delivered, 0)])
    )


def test_calibration_compensates_gains_and_tilts():
    matched = ArrayProfile("b", "rigid_sphere", 4, (0, 1, 2, 3), load_array("em32_tetra").capsule_position_m)
    uneven = replace(matched, capsule_gain_db=(1.0, -2.0, 0.5, 0.0), capsule_tilt_db=(-2.0, 2.0, -1.0, 1.5))
    for direction, samples in zip(DIRECTIONS[:6], arriving(uneven, noise(), DIRECTIONS[:6]), strict=True):
        assert direction_error_deg(uneven, samples, direction, 1500) < 2.0
        assert direction_error_deg(matched, samples, direction, 1500) > 4.0


@pytest.mark.parametrize("name", SHIPPED)
def test_blocks_do_not_matter(name, cut, block_samples):
    samples = noise(5000 if block_samples > 1 else 2500, 4)
    whole = encoded(foa_encoder(load_array(name)), [AudioBlock(samples, 0)])
    assert whole.shape == samples.shape and whole.dtype == np.float32
    assert_array_equal(encoded(foa_encoder(load_array(name)), cut(samples, block_samples)), whole)


def test_blocks_keep_their_indices_and_arrive_within_the_latency(cut):
    encoder = foa_encoder(load_array("em32_tetra"))
    assert encoder.latency_s == pytest.approx(0.03)
    expected = heard = 0
    for block in cut(noise(6000, 4), 100):
        foa, heard = encoder(block), heard + 100
        assert (foa.start, foa.lost) == (expected, 0)
        expected += len(foa.samples)
        assert heard - expected < encoder.latency_s * RATE_HZ
    assert expected == 5280 + 480  # whole groups, half a group of 10 ms behind
    rest = list(encoder.finish())
    assert [block.start for block in rest] == [expected] and len(rest[0].samples) == 240
    assert list(encoder.finish()) == []


def test_gap_begins_a_new_group_and_counts_the_loss(cut):
    samples, encoder = noise(4000, 4), foa_encoder(load_array("open_tetra"))
    before = [encoder(block) for block in cut(samples[:2000], 300)]
    answered = sum(len(block.samples) for block in before)
    after = [encoder(AudioBlock(samples[2500:2600], 2500, lost=500)), *map(encoder, cut(samples[2600:], 300, 2600))]
    assert (after[0].start, after[0].lost) == (2500, 2500 - answered)
    assert [block.lost for block in after[1:]] == [0] * (len(after) - 1)
    fresh = foa_encoder(load_array("open_tetra"))
    wanted = encoded(fresh, [AudioBlock(samples[2500:], 2500)])
    assert_array_equal(np.concatenate([block.samples for block in (*after, *encoder.finish())]), wanted)


def test_streams_may_begin_late_and_reset_forgets(cut):
    samples, encoder = noise(3000, 4), foa_encoder(load_array("open_tetra"))
    whole = encoded(encoder, [AudioBlock(samples, 0)])
    late = encoder(AudioBlock(samples, 12345))
    assert (late.start, late.lost) == (12345, 0)
    encoder.reset()
    encoder(AudioBlock(noise(1000, 4, seed=9), 0))
    encoder.reset()
    assert_array_equal(encoded(encoder, cut(samples, 700)), whole)
    assert encoded(encoder, [AudioBlock(samples[:0], 0)]).shape == (0, 4)


def test_channel_map_chooses_among_more_channels():
    four, six = load_array("open_tetra"), noise(3000, 6)
    mapped = replace(four, channels=6, channel_map=(5, 1, 2, 0))
    wanted = encoded(foa_encoder(four), [AudioBlock(six[:, [5, 1, 2, 0]], 0)])
    assert_array_equal(encoded(foa_encoder(mapped), [AudioBlock(six, 0)]), wanted)


@pytest.mark.parametrize("name", SHIPPED)
def test_microphones_follow_the_same_foa_at_the_same_time(name, cut):
    samples, profile = noise(5000, 4), load_array(name)
    foa = encoded(foa_encoder(profile), [AudioBlock(samples, 0)])
    encoder = foa_encoder(profile, microphones=True)
    assert encoder.latency_s == foa_encoder(profile).latency_s
    whole = encoded(encoder, [AudioBlock(samples, 0)])
    assert whole.shape == (5000, 8) and whole.dtype == np.float32
    assert_allclose(whole[:, :4], foa, atol=1e-6)
    most_db = max(np.abs([*profile.capsule_gain_db, *profile.capsule_tilt_db, 0.0]))
    error = np.std(whole[:, 4:] - samples, axis=0) / np.std(samples, axis=0)
    assert np.all(error < 10 ** (most_db / 20) - 1 + 1e-5)  # as the device gave them, but for their calibration
    for size in (7, 480, 4096):
        assert_array_equal(encoded(encoder, cut(samples, size)), whole)
    assert encoder(AudioBlock(samples[:0], 0)).samples.shape == (0, 8)


def test_microphones_are_the_channels_that_the_profile_chooses():
    profile = replace(load_array("open_tetra"), channels=6, channel_map=(5, 1, 2, 0))
    six = noise(3000, 6)
    microphones = encoded(foa_encoder(profile, microphones=True), [AudioBlock(six, 0)])[:, 4:]
    assert_allclose(microphones, six[:, [5, 1, 2, 0]], atol=1e-6)


def test_microphones_are_calibrated():
    matched = ArrayProfile("b", "rigid_sphere", 4, (0, 1, 2, 3), load_array("em32_tetra").capsule_position_m)
    uneven = replace(matched, capsule_gain_db=(1.0, -2.0, 0.5, 0.0), capsule_tilt_db=(-2.0, 2.0, -1.0, 1.5))
    for direction in DIRECTIONS[:2]:
        (wanted,), (samples,) = (arriving(profile, noise(4800), direction[None]) for profile in (matched, uneven))
        microphones = encoded(foa_encoder(uneven, microphones=True), [AudioBlock(samples, 0)])[:, 4:]
        middle = slice(480, -480)
        assert np.std((samples - wanted)[middle]) > 0.05 * np.std(wanted)
        assert np.std((microphones - wanted)[middle]) < 0.003 * np.std(wanted)


@pytest.mark.parametrize("rate_hz", [16000, 22050, 48000])
def test_other_rates(rate_hz):
    encoder, samples = foa_encoder(load_array("em32_tetra"), rate_hz), noise(rate_hz // 4, 4)
    assert encoded(encoder, [AudioBlock(samples, 0)]).shape == samples.shape
    assert encoder.latency_s == pytest.approx(0.03, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": '"sphere"'}, "got kind 'sphere', wanted one of foa, foa_fuma, rigid_sphere, open"),
        ({"capsule_position_m": None}, "got capsule_position_m of 0 places, wanted one for each"),
        ({"capsule_position_m": "[[0.1, 0, 0]]"}, "got capsule_position_m of 1 places, wanted one for each"),
        ({"capsule_position_m": "[[0.1, 0]]"}, r"capsule_position_m\[0\]: got \[0.1, 0\], wanted a list of 3"),
        ({"capsule_position_m": "[[1,0,0],[0,1,0],[0,0,1],[1,0,1]]"}, "m from the middle, wanted 0.002 to 0.5 m"),
        ({"capsule_position_m": "[[0,0,0],[0,0.1,0],[0,0,0.1],[0.1,0,0]]"}, "m from the middle, wanted 0.002 to 0.5 m"),
        ({"kind": '"rigid_sphere"', "capsule_pattern": '"omni"', "capsule_position_m": "EVEN"}, "a rigid sphere"),
        ({"kind": '"rigid_sphere"'}, "got cardioid capsules .* wanted omni capsules at one distance"),
        ({"capsule_pattern": '"figure8"'}, "got capsule_pattern 'figure8', wanted one of omni, subcardioid"),
        ({"capsule_gain_db": "[1, 2, 3]"}, r"got capsule_gain_db \[1.0, 2.0, 3.0\], wanted four of -20.0 to 20.0 dB"),
        ({"capsule_tilt_db": "[0, 0, 0, 21]"}, "got capsule_tilt_db .*, wanted four of"),
        ({"capsule_gain_db": "[0, 0, 0, nan]"}, r"capsule_gain_db\[3\]: got nan, wanted a finite number"),
        ({"channel_map": "[0, 1, 2, 2]"}, r"got channel_map \[0, 1, 2, 2\], wanted every capsule once"),
        ({"channel_map": "[0, 1, 2]"}, "wanted four channels of 0 to 3"),
        ({"kind": '"foa"'}, "got capsules, wanted none for kind 'foa': its channels are FOA"),
        ({"radius_m": "1"}, "got unknown key 'radius_m', wanted one of name"),
    ],
)
def test_invalid_profiles_are_refused(tmp_path, changes, message):
    even = "[[0.02,0.02,0.02],[0.02,-0.02,-0.02],[-0.02,0.02,-0.02],[-0.02,-0.02,0.02]]"
    table = {"name": '"a"', "kind": '"open"', "channels": "4", "channel_map": "[0, 1, 2, 3]"}
    table |= {"capsule_pattern": '"cardioid"', "capsule_position_m": even} | changes
    path = tmp_path / "a.toml"
    lines = [f"{key} = {value.replace('EVEN', even[:-6] + '0.021]]')}\n" for key, value in table.items() if value]
    path.write_text("".join(lines))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: .*{message}") as caught:
        load_array(str(path))
    assert "\n" not in str(caught.value)


def test_capsules_of_foa_kinds_are_refused():
    with pytest.raises(ValueError, match=r"^array 'foa': got kind 'foa', wanted one with capsules$"):
        _ = load_array("foa").capsules

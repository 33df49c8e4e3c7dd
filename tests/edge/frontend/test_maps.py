import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.frontend.maps import FEATURES, FeatureExtractor, FeatureSettings, logmel_iv, logpower_phase_iv
from edge.frontend.mel import FilterBank, mel_filters
from edge.frontend.quantities import FLOOR_DB, intensity, power
from edge.frontend.stft import Stft
from edge.geometry import foa_gains, unit_vector
from edge.types import AudioBlock, Spectra
from tests.edge.feature_inputs import ETRI, STFT, noisy_bins

ALL_BINS = FeatureSettings("logpower_phase_iv", STFT.bins)


def plane_wave_bins(azimuth_deg, elevation_deg, seed=0):
    return (noisy_bins(seed=seed)[:, :1] * foa_gains(unit_vector(azimuth_deg, elevation_deg))[:, None]).astype(
        np.complex64
    )


def test_equal_to_the_official_dcase_features(golden):
    official = np.load(golden / "dcase_features" / "foa.npz")
    samples = official["pcm"].astype(np.float32) / np.float32(32768.0)
    extract = FeatureExtractor(FeatureSettings("logmel_iv", 64), STFT)
    stft = Stft(STFT, 4)
    maps = np.concatenate([extract(s).maps for s in [*stft.push(AudioBlock(samples, 0)), *stft.finish()]])
    assert np.all(official["logmel_db"] > official["logmel_db"].max() - 79.0)  # librosa's top_db has clipped nothing
    assert maps.dtype == np.float32 and maps.shape == (100, 64, 7)
    assert_allclose(maps[..., :4], official["logmel_db"], rtol=0, atol=1e-3)
    assert_allclose(maps[..., 4:], official["intensity"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("settings", [FeatureSettings(), ALL_BINS])
@pytest.mark.parametrize("direction", [(30, -20), (0, 0), (90, 0), (-135, 60), (180, -45), (0, 90)])
def test_intensity_maps_point_to_the_source_of_a_plane_wave(settings, direction):
    maps = FeatureExtractor(settings, STFT)(Spectra(plane_wave_bins(*direction), 0)).maps
    y, z, x = maps[..., -3:].sum(axis=(0, 1))
    vector = np.array([x, y, z]) / np.linalg.norm([x, y, z])
    assert_allclose(vector, unit_vector(*direction), atol=1e-3)


@given(st.floats(-180, 180), st.floats(-90, 90), st.integers(0, 99))
def test_intensity_of_a_plane_wave_is_three_quarters_of_its_direction(azimuth, elevation, seed):
    bins = plane_wave_bins(azimuth, elevation, seed)
    x, y, z = unit_vector(azimuth, elevation)
    loud = power(bins)[:, 0] > 1e-3  # the floor of the energy counts where there is next to nothing
    assert_allclose(
        intensity(bins, power(bins)).transpose(0, 2, 1)[loud], np.tile([y, z, x], (loud.sum(), 1)) * 0.75, atol=1e-3
    )


def test_intensity_of_any_field_is_at_most_the_root_of_three_quarters():
    """|W V| <= (|W|^2 + |V|^2 / 3) sqrt(3) / 2: also for bins that no sound field has."""
    bins = np.concatenate([noisy_bins(40, seed) for seed in range(10)])
    length = np.linalg.norm(intensity(bins, power(bins)), axis=1)
    assert 0.75 < length.max() <= np.sqrt(3) / 2 + 1e-6


def test_power_and_intensity_of_bins_in_any_order_and_precision():
    bins = noisy_bins()
    turned = np.asfortranarray(bins)
    wanted = intensity(bins, power(bins))
    assert_array_equal(power(turned), power(bins))
    assert_array_equal(intensity(turned, power(turned)), wanted)
    double = bins.astype(np.complex128)
    assert_allclose(power(double), np.abs(double) ** 2, rtol=1e-12)
    assert_allclose(intensity(double, power(double)), wanted, atol=1e-6)


def test_logpower_and_phase_of_known_bins():
    bins = np.zeros((1, 4, 513), np.complex64)
    bins[0, :, 7] = [1.0, 2.0j, -0.1, 1 - 1j]
    maps = logpower_phase_iv(bins)[0]
    assert maps.shape == (513, 11)
    assert_allclose(maps[7, :4], 20 * np.log10([1.0, 2.0, 0.1, np.sqrt(2)]), atol=1e-5)
    assert_allclose(maps[7, 4:8], [0.0, np.pi / 2, np.pi, -np.pi / 4], atol=1e-6)
    energy = 1 + (4 + 0.01 + 2) / 3
    assert_allclose(maps[7, 8:], np.array([0.0, -0.1, 1.0]) / energy, atol=1e-6)  # Re(conj(W) Y), Z, X
    assert_allclose(np.delete(maps, 7, axis=0), np.tile([-100.0] * 4 + [0.0] * 7, (512, 1)), atol=1e-4)


def test_logpower_phase_iv_under_gain_and_delay():
    """A factor of 10 adds 20 dB and changes nothing else; a rotation of all phases changes only the phases."""
    bins = noisy_bins()
    maps, louder = logpower_phase_iv(bins), logpower_phase_iv(bins * np.float32(10.0))
    assert_allclose(louder[..., :4], maps[..., :4] + 20.0, atol=1e-4)
    assert_allclose(louder[..., 4:], maps[..., 4:], atol=1e-5)
    turned = logpower_phase_iv((bins * np.exp(0.5j)).astype(np.complex64))
    assert_allclose(turned[..., :4], maps[..., :4], atol=1e-4)
    assert_allclose(np.exp(1j * (turned[..., 4:8] - maps[..., 4:8])), np.full((5, 513, 4), np.exp(0.5j)), atol=1e-5)
    assert_allclose(turned[..., 8:], maps[..., 8:], atol=1e-5)
    assert np.all(np.abs(maps[..., 4:8]) <= np.float32(np.pi))


@pytest.mark.parametrize("settings", [FeatureSettings(), ALL_BINS])
def test_silence_and_full_scale_are_finite(settings):
    extract = FeatureExtractor(settings, STFT)
    silence = extract(Spectra(np.zeros((5, 4, 513), np.complex64), 0)).maps
    assert_allclose(silence[..., :4], FLOOR_DB, atol=1e-4)
    assert_array_equal(silence[..., 4:], 0.0)
    loud = extract(Spectra(np.full((5, 4, 513), 1e6 + 1e6j, np.complex64), 0)).maps
    tiny = extract(Spectra(np.full((5, 4, 513), 1e-30j, np.complex64), 0)).maps
    assert np.all(np.isfinite(loud)) and np.all(np.isfinite(tiny))


@pytest.mark.parametrize("settings", [FeatureSettings(), ALL_BINS, ETRI])
def test_maps_have_their_shape_and_spectra_are_not_changed(settings):
    bins = noisy_bins()
    before = bins.copy()
    make, names = FEATURES[settings.kind]
    compute = make(settings, STFT)
    for _ in range(4):
        maps = compute(bins)
        assert maps.shape == (5, settings.bands, len(names))
        assert maps.dtype == np.float32 and maps.flags.c_contiguous
    intensity(bins, power(bins))
    assert_array_equal(bins, before)


@pytest.mark.parametrize("settings", [FeatureSettings(), ALL_BINS])
def test_kinds_without_look_ahead_are_pure_functions(settings):
    extract = FeatureExtractor(settings, STFT)
    assert extract.look_ahead_labels == 0
    first = extract(Spectra(noisy_bins(), 0)).maps
    extract(Spectra(noisy_bins(seed=1), 5))
    assert_array_equal(extract(Spectra(noisy_bins(), 50)).maps, first)
    (pushed,) = extract.push(Spectra(noisy_bins(), 35))
    assert pushed.start == 35 and list(extract.finish()) == []
    assert_array_equal(pushed.maps, first)


def test_names_of_the_maps():
    w_y_z_x = ["w", "y", "z", "x"]
    intensities = ["intensity_y", "intensity_z", "intensity_x"]
    assert list(FEATURES["logmel_iv"][1]) == [f"logmel_{c}" for c in w_y_z_x] + intensities
    log_power_and_phase = [f"{kind}_{c}" for kind in ("logpower", "phase") for c in w_y_z_x]
    assert list(FEATURES["logpower_phase_iv"][1]) == log_power_and_phase + intensities
    assert " ".join(FEATURES["etri"][1]) == (
        "logmel_mean logmel_harmonic logmel_percussive logmel_w logmel_y logmel_z logmel_x "
        "active_y active_z active_x reactive_y reactive_z reactive_x"
    )


def test_normalisation_is_by_band_and_map():
    rng = np.random.default_rng(5)
    mean = rng.normal(size=(64, 7)).astype(np.float32)
    deviation = rng.uniform(0.5, 2.0, (64, 7)).astype(np.float32)
    spectra = Spectra(noisy_bins(), 35)
    kept = mean.copy(), deviation.copy()
    raw = FeatureExtractor(FeatureSettings(), STFT)(spectra)
    normalised = FeatureExtractor(FeatureSettings(), STFT, mean, deviation)(spectra)
    assert raw.start == normalised.start == 35
    assert_array_equal(raw.maps, logmel_iv(spectra.bins, FilterBank(mel_filters(24000, 1024, 64))))
    assert_allclose(normalised.maps, (raw.maps - mean) / deviation, rtol=1e-5, atol=1e-5)
    assert normalised.maps.dtype == np.float32
    assert_array_equal(mean, kept[0])
    assert_array_equal(deviation, kept[1])


def test_statistics_and_settings_that_do_not_fit():
    seven, ones = np.zeros((64, 7), np.float32), np.ones((64, 7), np.float32)
    with pytest.raises(ValueError, match=r"^got statistics of shape \(64, 6\) and \(64, 7\), wanted \(64, 7\)$"):
        FeatureExtractor(FeatureSettings(), STFT, seven[:, :6], ones)
    with pytest.raises(ValueError, match=r"and \(63, 7\), wanted \(64, 7\)$"):
        FeatureExtractor(FeatureSettings(), STFT, seven, ones[1:])
    with pytest.raises(ValueError, match=r"^got 64 bands for logpower_phase_iv, wanted all 513 bins$"):
        FeatureExtractor(FeatureSettings("logpower_phase_iv", 64), STFT)
    with pytest.raises(
        ValueError, match=r"^got feature kind 'mfcc', wanted one of logmel_iv, logpower_phase_iv, etri, two_step$"
    ):
        FeatureSettings("mfcc")
    for bands in (0, -1, 10**9):
        with pytest.raises(ValueError, match=rf"^got {bands} bands, wanted 1 to"):
            FeatureSettings(bands=bands)
    for labels in (0, 11):
        with pytest.raises(ValueError, match=rf"^got harmonic_labels {labels}, wanted 1 to 10$"):
            FeatureSettings("etri", harmonic_labels=labels)


@pytest.mark.parametrize("settings", [FeatureSettings(), ALL_BINS, ETRI])
def test_maps_are_not_overwritten_by_later_calls(settings):
    extract = FeatureExtractor(settings, STFT)
    kept = extract(Spectra(noisy_bins(), 0)).maps
    before = kept.copy()
    extract(Spectra(noisy_bins(seed=1), 5))
    assert_array_equal(kept, before)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.features import (
    FEATURES,
    FLOOR_DB,
    FeatureExtractor,
    FeatureSettings,
    FilterBank,
    hz_to_mel,
    intensity,
    logmel_iv,
    logpower_phase_iv,
    mel_filters,
    mel_to_hz,
    power,
)
from edge.geometry import foa_gains, unit_vector
from edge.stft import Stft, StftSettings
from edge.types import AudioBlock, Spectra

STFT = StftSettings()
ALL_BINS = FeatureSettings("logpower_phase_iv", STFT.bins)


def noisy_bins(frames=5, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(frames, 4, 513)) + 1j * rng.normal(size=(frames, 4, 513))).astype(np.complex64)


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
    """|W V| <= (|W|^2 + |V|^2 / 3) sqrt(3) / 2: also for bins that no sound field can give."""
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
    """10 times louder is 20 dB more and nothing else; a turn of all phases is that turn and nothing else."""
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


@pytest.mark.parametrize("kind", list(FEATURES))
def test_pure_functions_leave_their_inputs_alone(kind):
    bins, mel = noisy_bins(), FilterBank(mel_filters(24000, 1024, 64))
    before = bins.copy()
    maps, names = FEATURES[kind]
    assert maps(bins, mel).shape[-1] == len(names) and maps(bins, mel).flags.c_contiguous
    assert_array_equal(maps(bins, mel), maps(bins, mel))
    intensity(bins, power(bins))
    assert_array_equal(bins, before)


def test_the_names_of_the_maps():
    w_y_z_x = ["w", "y", "z", "x"]
    intensities = ["intensity_y", "intensity_z", "intensity_x"]
    assert list(FEATURES["logmel_iv"][1]) == [f"logmel_{c}" for c in w_y_z_x] + intensities
    log_power_and_phase = [f"{kind}_{c}" for kind in ("logpower", "phase") for c in w_y_z_x]
    assert list(FEATURES["logpower_phase_iv"][1]) == log_power_and_phase + intensities


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
    with pytest.raises(ValueError, match=r"^got feature kind 'mfcc', wanted one of logmel_iv, logpower_phase_iv$"):
        FeatureSettings("mfcc")
    for bands in (0, -1, 10**9):
        with pytest.raises(ValueError, match=rf"^got {bands} bands, wanted 1 to"):
            FeatureSettings(bands=bands)


@pytest.mark.parametrize("bands", [1, 16, 50, 64, 700])  # of 700 many are too narrow to hold any bin
def test_a_filter_bank_is_the_product_with_all_filters(bands):
    filters = mel_filters(24000, 1024, bands)
    maps = np.random.default_rng(2).normal(size=(5, 7, 513)).astype(np.float32)
    sums = FilterBank(filters)(maps)
    assert sums.dtype == np.float32 and sums.shape == (5, 7, bands)
    assert_allclose(sums, maps.astype(np.float64) @ filters, rtol=0, atol=1e-6)


def test_a_filter_bank_gives_zero_where_there_are_no_weights():
    assert_array_equal(FilterBank(np.zeros((513, 20), np.float32))(np.ones((5, 7, 513), np.float32)), 0.0)


@pytest.mark.parametrize("settings", [FeatureSettings(), ALL_BINS])
def test_maps_may_be_kept(settings):
    extract = FeatureExtractor(settings, STFT)
    kept = extract(Spectra(noisy_bins(), 0)).maps
    before = kept.copy()
    extract(Spectra(noisy_bins(seed=1), 5))
    assert_array_equal(kept, before)


def test_mel_filters_are_slaneys():
    """Triangles of unit area over Hz, each peak where its neighbours end, linear below 1 kHz."""
    mel = mel_filters(24000, 1024, 64)
    assert mel.shape == (513, 64) and mel.dtype == np.float32 and np.all(mel >= 0)
    fine = mel_filters(24000, 1 << 16, 64)
    assert_allclose(fine.sum(axis=0) * 24000 / (1 << 16), 1.0, rtol=1e-3)
    peaks_hz = fine.argmax(axis=0) * 24000 / (1 << 16)
    mels = np.linspace(0, hz_to_mel(12000), 66)
    assert_allclose(peaks_hz, mel_to_hz(mels)[1:-1], atol=0.5)
    assert_allclose(np.diff(peaks_hz[peaks_hz < 950]), mels[1] * 200 / 3, atol=0.5)


@given(st.floats(0.0, 96_000.0))
def test_the_mel_scale_there_and_back(hz):
    assert mel_to_hz(np.array(hz_to_mel(hz))) == pytest.approx(hz, rel=1e-9, abs=1e-9)
    assert hz_to_mel(hz + 1.0) > hz_to_mel(hz)

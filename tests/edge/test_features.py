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
    intensity,
    logmel,
    logmel_iv,
    logpower_phase_iv,
    mel_bank,
    power,
    reactive_intensity,
)
from edge.geometry import foa_gains, unit_vector
from edge.hpss import Separator
from edge.mel import FilterBank, mel_filters
from edge.stft import Stft, StftSettings
from edge.types import AudioBlock, Spectra

STFT = StftSettings()
ALL_BINS = FeatureSettings("logpower_phase_iv", STFT.bins)
ETRI = FeatureSettings("etri", 64)


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


@pytest.mark.parametrize("settings", [FeatureSettings(), ALL_BINS, ETRI])
def test_maps_have_their_shape_and_leave_the_spectra_alone(settings):
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


def test_the_names_of_the_maps():
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
def test_maps_may_be_kept(settings):
    extract = FeatureExtractor(settings, STFT)
    kept = extract(Spectra(noisy_bins(), 0)).maps
    before = kept.copy()
    extract(Spectra(noisy_bins(seed=1), 5))
    assert_array_equal(kept, before)


# Of ETRI

ETRI_STFTS = {64: STFT, 256: StftSettings(24000, 480, 240, 2048, 10)}


def groups_of(samples, stft=STFT):
    transform = Stft(stft, 4)
    return [*transform.push(AudioBlock(samples, 0)), *transform.finish()]


def etri_maps(samples, settings=ETRI, stft=STFT):
    """(frames, bands, 13) of samples (n, 4)."""
    extract = FeatureExtractor(settings, stft)
    features = [each for spectra in groups_of(samples, stft) for each in extract.push(spectra)] + [*extract.finish()]
    assert [each.start for each in features] == [n * stft.frames_per_label for n in range(len(features))]
    return np.concatenate([each.maps for each in features])


def sound(seconds=1.0, seed=0):
    """Noise that comes and goes, of other loudness in every channel."""
    random = np.random.default_rng(seed)
    count = round(24000 * seconds)
    return (random.normal(0, 0.1, (count, 4)) * np.repeat(random.random((count // 1200, 4)), 1200, 0)).astype(
        np.float32
    )


@pytest.mark.parametrize("bands", ETRI_STFTS)
@pytest.mark.parametrize("labels", [1, 2])
def test_etri_maps_of_a_stream_are_those_of_the_whole_clip(bands, labels):
    stft, settings = ETRI_STFTS[bands], FeatureSettings("etri", bands, harmonic_labels=labels)
    maps = etri_maps(sound(), settings, stft)
    assert maps.shape == (10 * stft.frames_per_label, bands, 13)
    mel = FilterBank(mel_filters(stft.sample_rate_hz, stft.nfft, bands))
    sums, levels, active = [], [], []
    for spectra in groups_of(sound(), stft):
        bin_power = power(spectra.bins)
        sums.append(mel(bin_power))
        baseline = logmel_iv(spectra.bins, mel)
        levels.append(baseline[..., :4])
        active.append(baseline[..., 4:])
    assert_allclose(maps[..., 3:7], np.concatenate(levels), rtol=0, atol=1e-4)
    assert_allclose(maps[..., 7:10], np.concatenate(active), rtol=0, atol=1e-6)
    assert_allclose(maps[..., 0], np.concatenate(levels).mean(axis=-1), rtol=0, atol=1e-4)
    reach = labels * stft.frames_per_label
    mean_power = np.concatenate(sums).mean(axis=1)
    parts = Separator(bands, reach)(np.pad(mean_power, ((reach, reach), (0, 0))))
    parts_db = 10 * np.log10(np.maximum(parts, 1e-10)).transpose(0, 2, 1)
    assert_allclose(maps[..., 1:3], parts_db, rtol=0, atol=1e-3)


def test_etri_maps_do_not_depend_on_the_blocks(cut, block_samples):
    samples = sound(0.7)[:-777]
    transform, extract = Stft(STFT, 4), FeatureExtractor(ETRI, STFT)
    groups = [each for block in cut(samples, block_samples) for each in transform.push(block)] + [*transform.finish()]
    maps = [each.maps for spectra in groups for each in extract.push(spectra)] + [f.maps for f in extract.finish()]
    assert_array_equal(np.concatenate(maps), etri_maps(samples))


@pytest.mark.parametrize("labels", [1, 3])
def test_etri_maps_come_as_late_as_is_said_and_no_later(labels):
    settings = FeatureSettings("etri", 64, harmonic_labels=labels)
    extract, called = FeatureExtractor(settings, STFT), FeatureExtractor(settings, STFT)
    assert extract.look_ahead_labels == labels
    groups = [Spectra(each.bins, each.start + 500) for each in groups_of(sound(0.5))]  # a stream may begin anywhere
    whole = etri_maps(sound(0.5), settings)
    silence = FeatureExtractor(settings, STFT)(Spectra(np.zeros((5, 4, 513), np.complex64), 0)).maps
    for n, spectra in enumerate(groups):
        pushed, late = list(extract.push(spectra)), called(spectra)
        first = 5 * (n - labels)
        assert late.start == 500 + first
        assert_array_equal(late.maps, silence if first < 0 else whole[first : first + 5])
        assert [each.start for each in pushed] == ([late.start] if n >= labels else [])
    rest = list(extract.finish())
    assert [each.start for each in rest] == [500 + 5 * n for n in range(5 - labels, 5)]
    assert_array_equal(np.concatenate([each.maps for each in rest]), whole[-5 * labels :])


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.2])
def test_streams_shorter_than_the_look_ahead_come_out_whole(seconds):
    settings = FeatureSettings("etri", 64, harmonic_labels=3)
    extract, samples = FeatureExtractor(settings, STFT), sound(0.5)
    for _ in range(2):
        groups = groups_of(samples[: round(24000 * seconds)])
        starts = [each.start for spectra in groups for each in extract.push(spectra)]
        starts += [each.start for each in extract.finish()]
        assert starts == [each.start for each in groups]


def test_reset_and_finish_make_an_extractor_new():
    fresh, extract = etri_maps(sound()), FeatureExtractor(ETRI, STFT)
    for _ in range(2):
        for spectra in groups_of(sound(0.3, seed=1)):
            list(extract.push(spectra))
        extract.reset()
        for start in (500, 100, 0):
            features = []
            for spectra in groups_of(sound()):
                features += extract.push(Spectra(spectra.bins, spectra.start + start))
            features += extract.finish()
            assert [each.start for each in features] == list(range(start, start + 50, 5))
            assert_array_equal(np.concatenate([each.maps for each in features]), fresh)


def test_etri_maps_are_normalised_by_band_and_map():
    random = np.random.default_rng(5)
    mean = random.normal(size=(64, 13)).astype(np.float32)
    deviation = random.uniform(0.5, 2.0, (64, 13)).astype(np.float32)
    extract = FeatureExtractor(ETRI, STFT, mean, deviation)
    maps = [each.maps for spectra in groups_of(sound()) for each in extract.push(spectra)]
    maps += [each.maps for each in extract.finish()]
    assert_allclose(np.concatenate(maps), (etri_maps(sound()) - mean) / deviation, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bands", ETRI_STFTS)
@pytest.mark.parametrize("direction", [(30, -20), (90, 0), (-135, 60), (0, 90)])
def test_a_plane_wave_is_all_active_and_from_its_source(bands, direction):
    noise = np.random.default_rng(1).normal(0, 0.1, (12000, 1)).astype(np.float32)
    wave = noise * foa_gains(unit_vector(*direction)).astype(np.float32)
    maps = etri_maps(wave, FeatureSettings("etri", bands), ETRI_STFTS[bands])
    y, z, x = maps[..., 7:10].sum(axis=(0, 1))
    assert_allclose(np.array([x, y, z]) / np.linalg.norm([x, y, z]), unit_vector(*direction), atol=1e-3)
    assert np.abs(maps[..., 10:]).max() < 1e-5 * np.abs(maps[..., 7:10]).max()


@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(0, np.pi), st.integers(0, 99))
def test_a_standing_wave_is_all_reactive_along_its_axis(azimuth, elevation, phase, seed):
    """The same tone from opposite directions, `phase` apart: W is 2 cos(phase / 2), V is 2i sin(phase / 2)."""
    axis, opposite = foa_gains(unit_vector(azimuth, elevation)), foa_gains(-unit_vector(azimuth, elevation))
    bins = noisy_bins(seed=seed)[:, :1] * (axis * np.exp(0.5j * phase) + opposite * np.exp(-0.5j * phase))[:, None]
    bins = bins.astype(np.complex64)
    loud = power(bins).sum(axis=1) > 1e-2
    x, y, z = unit_vector(azimuth, elevation)
    cos, sin = np.cos(phase / 2), np.sin(phase / 2)
    wanted = np.tile(np.array([y, z, x]) * cos * sin / (cos**2 + sin**2 / 3), (loud.sum(), 1))
    assert_allclose(reactive_intensity(bins, power(bins)).transpose(0, 2, 1)[loud], wanted, atol=1e-3)
    assert_allclose(intensity(bins, power(bins)).transpose(0, 2, 1)[loud], 0.0, atol=1e-3)


def test_reactive_intensity_of_known_bins():
    bins = np.zeros((1, 4, 2), np.complex64)
    bins[0, :, 1] = [1.0j, 2.0, 1.0j, -1.0 + 1.0j]
    energy = 1 + (4 + 1 + 2) / 3
    wanted = np.array([-2.0, 0.0, 1.0]) / energy  # Im(conj(W) Y), Z, X
    assert_allclose(reactive_intensity(bins, power(bins))[0].T, [[0.0] * 3, wanted], atol=1e-6)


@pytest.mark.parametrize("bands", ETRI_STFTS)
def test_a_tone_ends_in_harmonic_and_a_click_in_percussive(bands):
    stft = ETRI_STFTS[bands]
    click_at = 12000
    samples = np.sin(2 * np.pi * 440 / 24000 * np.arange(24000))[:, None].repeat(4, axis=1).astype(np.float32)
    samples += np.random.default_rng(0).normal(0, 1e-4, samples.shape).astype(np.float32)
    samples[click_at] += 10.0
    maps = etri_maps(samples, FeatureSettings("etri", bands), stft)
    frames, click = np.arange(len(maps)) * stft.hop_samples, click_at // stft.hop_samples
    tone = maps[click // 2, :, 0].argmax()
    steady = (np.abs(frames - click_at) > 1000) & (frames > 2400) & (frames < 21600)
    assert np.all(np.abs(maps[steady, tone, 1] - maps[steady, tone, 0]) < 0.5)
    assert np.all(maps[steady, tone, 1] - maps[steady, tone, 2] > 30.0)
    elsewhere = np.abs(np.arange(bands) - tone) > bands // 4
    assert np.all(np.abs(maps[click, elsewhere, 2] - maps[click, elsewhere, 0]) < 0.5)
    assert np.all(maps[click, elsewhere, 2] - maps[click, elsewhere, 1] > 30.0)


@pytest.mark.parametrize("bins", [0.0, 1e6 + 1e6j, 1e-30j])
def test_silence_and_extreme_spectra_give_finite_etri_maps(bins):
    extract = FeatureExtractor(ETRI, STFT)
    with np.errstate(all="raise", under="ignore"):
        for n in range(3):
            maps = extract(Spectra(np.full((5, 4, 513), bins, np.complex64), 5 * n)).maps
            assert np.all(np.isfinite(maps))
    if bins == 0.0:
        assert_allclose(maps[..., :7], FLOOR_DB, atol=1e-4)
        assert_array_equal(maps[..., 7:], 0.0)


# Of two-step

TWO_STEP = FeatureSettings("two_step", 64)


def eight_channels(seconds=0.7, seed=0):
    return np.concatenate([sound(seconds, seed), sound(seconds, seed + 1)], axis=1)


def two_step_maps(groups):
    extract = FeatureExtractor(TWO_STEP, STFT)
    assert extract.look_ahead_labels == 0
    return np.concatenate([each.maps for spectra in groups for each in extract.push(spectra)])


def decibel64(power, bands):
    """(..., bins) -> (..., bands), in float64."""
    return 10 * np.log10(np.maximum(power @ mel_filters(24000, 1024, bands).astype(np.float64), 1e-10))


def test_two_step_maps_are_those_of_the_baseline_and_of_the_first_microphone():
    groups = [*Stft(STFT, 8).push(AudioBlock(eight_channels(), 0))]
    maps = two_step_maps(groups)
    assert maps.shape == (35, 64, 9) and maps.dtype == np.float32 and maps.flags.c_contiguous
    bank = FilterBank(mel_filters(24000, 1024, 64))
    assert_array_equal(maps[..., :7], np.concatenate([logmel_iv(each.bins[:, :4].copy(), bank) for each in groups]))
    bins = np.concatenate([each.bins for each in groups]).astype(np.complex128)
    microphone = decibel64(np.abs(bins[:, 4]) ** 2, 128)
    for band in range(64):
        for each in range(2):
            assert_allclose(maps[:, band, 7 + each], microphone[:, 2 * band + each], rtol=0, atol=1e-3)
    assert_allclose(maps[..., :4], decibel64(np.abs(bins[:, :4]) ** 2, 64).transpose(0, 2, 1), rtol=0, atol=1e-3)


def test_the_names_of_the_maps_of_two_step():
    names = FEATURES["two_step"][1]
    assert list(names) == [*FEATURES["logmel_iv"][1], "logmel_even", "logmel_odd"]


def test_two_step_maps_do_not_depend_on_the_blocks(cut, block_samples):
    samples = eight_channels()[:-777]
    whole, transform = Stft(STFT, 8), Stft(STFT, 8)
    groups = [each for block in cut(samples, block_samples) for each in transform.push(block)] + [*transform.finish()]
    wanted = two_step_maps([*whole.push(AudioBlock(samples, 0)), *whole.finish()])
    assert_array_equal(two_step_maps(groups), wanted)


def test_two_step_maps_are_pure_normalised_and_finite():
    rng = np.random.default_rng(5)
    mean, deviation = rng.normal(size=(64, 9)).astype(np.float32), rng.uniform(0.5, 2.0, (64, 9)).astype(np.float32)
    bins = np.concatenate([noisy_bins(), noisy_bins(seed=1)], axis=1)
    kept, extract = bins.copy(), FeatureExtractor(TWO_STEP, STFT)
    raw = extract(Spectra(bins, 35))
    normalised = FeatureExtractor(TWO_STEP, STFT, mean, deviation)(Spectra(bins, 35))
    assert raw.start == normalised.start == 35
    assert_allclose(normalised.maps, (raw.maps - mean) / deviation, rtol=1e-5, atol=1e-4)
    for extreme in (0.0, 1e6 + 1e6j, 1e-30j):
        with np.errstate(all="raise", under="ignore"):
            maps = extract(Spectra(np.full((5, 8, 513), extreme, np.complex64), 0)).maps
        assert np.all(np.isfinite(maps))
    assert_array_equal(extract(Spectra(bins, 0)).maps, raw.maps)
    assert_array_equal(bins, kept)


@pytest.mark.parametrize("beams", [0, 1, 3, 6])
def test_log_mel_of_any_number_of_beams(beams):
    rng = np.random.default_rng(beams)
    bins = (rng.normal(size=(5, beams, 513)) + 1j * rng.normal(size=(5, beams, 513))).astype(np.complex64)
    kept, maps = bins.copy(), logmel(bins, mel_bank(TWO_STEP, STFT))
    assert maps.shape == (5, 64, beams) and maps.dtype == np.float32 and maps.flags.c_contiguous
    wanted = decibel64(np.abs(bins.astype(np.complex128)) ** 2, 64).transpose(0, 2, 1)
    assert_allclose(maps, wanted, rtol=0, atol=1e-4)
    assert_array_equal(bins, kept)
    assert_allclose(logmel(0 * bins, mel_bank(TWO_STEP, STFT)), np.full(maps.shape, FLOOR_DB), atol=1e-4)

"""Features of ETRI."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.frontend.hpss import Separator
from edge.frontend.maps import FeatureExtractor, FeatureSettings, logmel_iv
from edge.frontend.mel import FilterBank, mel_filters
from edge.frontend.quantities import FLOOR_DB, intensity, power, reactive_intensity
from edge.frontend.stft import Stft, StftSettings
from edge.geometry import foa_gains, unit_vector
from edge.types import Spectra
from tests.edge.feature_inputs import ETRI, STFT, groups_of, noisy_bins, sound

ETRI_STFTS = {64: STFT, 256: StftSettings(24000, 480, 240, 2048, 10)}


def etri_maps(samples, settings=ETRI, stft=STFT):
    """Maps (frames, bands, 13) of samples (n, 4)."""
    extract = FeatureExtractor(settings, stft)
    features = [each for spectra in groups_of(samples, stft) for each in extract.push(spectra)] + [*extract.finish()]
    assert [each.start for each in features] == [n * stft.frames_per_label for n in range(len(features))]
    return np.concatenate([each.maps for each in features])


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


def test_parts_of_all_bins_are_the_mel_power_of_librosas_parts_of_the_whole_clip():
    stft = ETRI_STFTS[256]
    usual, settings = (FeatureSettings("etri", 256, 2, hpss) for hpss in ("mel", "bins"))
    maps = etri_maps(sound(), settings, stft)
    assert_array_equal(maps[..., [0, *range(3, 13)]], etri_maps(sound(), usual, stft)[..., [0, *range(3, 13)]])
    bin_power = np.concatenate([power(spectra.bins) for spectra in groups_of(sound(), stft)]).mean(axis=1)
    parts = Separator(stft.bins, 15, 15, of_magnitudes=True)(np.pad(bin_power, ((15, 15), (0, 0))))
    mel = FilterBank(mel_filters(stft.sample_rate_hz, stft.nfft, 256))
    parts_db = 10 * np.log10(np.maximum(mel(parts), 1e-10)).transpose(0, 2, 1)
    assert_allclose(maps[..., 1:3], parts_db, rtol=0, atol=1e-3)


def test_a_look_ahead_shorter_than_the_median_is_refused():
    with pytest.raises(ValueError, match=r"^got harmonic_labels 1 of 10 frames, wanted at least 15 frames for hpss"):
        FeatureExtractor(FeatureSettings("etri", 256, 1, "bins"), ETRI_STFTS[256])
    with pytest.raises(ValueError, match=r"^got hpss 'median', wanted mel or bins$"):
        FeatureSettings("etri", hpss="median")


def test_etri_maps_do_not_depend_on_the_blocks(cut, block_samples):
    samples = sound(0.7)[:-777]
    transform, extract = Stft(STFT, 4), FeatureExtractor(ETRI, STFT)
    groups = [each for block in cut(samples, block_samples) for each in transform.push(block)] + [*transform.finish()]
    maps = [each.maps for spectra in groups for each in extract.push(spectra)] + [f.maps for f in extract.finish()]
    assert_array_equal(np.concatenate(maps), etri_maps(samples))


@pytest.mark.parametrize("labels", [1, 3])
def test_etri_maps_are_late_by_their_look_ahead(labels):
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
def test_streams_shorter_than_the_look_ahead_are_complete(seconds):
    settings = FeatureSettings("etri", 64, harmonic_labels=3)
    extract, samples = FeatureExtractor(settings, STFT), sound(0.5)
    for _ in range(2):
        groups = groups_of(samples[: round(24000 * seconds)])
        starts = [each.start for spectra in groups for each in extract.push(spectra)]
        starts += [each.start for each in extract.finish()]
        assert starts == [each.start for each in groups]


def test_reset_and_finish_equal_a_new_extractor():
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
def test_intensity_of_a_plane_wave_is_active_and_from_its_source(bands, direction):
    noise = np.random.default_rng(1).normal(0, 0.1, (12000, 1)).astype(np.float32)
    wave = noise * foa_gains(unit_vector(*direction)).astype(np.float32)
    maps = etri_maps(wave, FeatureSettings("etri", bands), ETRI_STFTS[bands])
    y, z, x = maps[..., 7:10].sum(axis=(0, 1))
    assert_allclose(np.array([x, y, z]) / np.linalg.norm([x, y, z]), unit_vector(*direction), atol=1e-3)
    assert np.abs(maps[..., 10:]).max() < 1e-5 * np.abs(maps[..., 7:10]).max()


@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(0, np.pi), st.integers(0, 99))
def test_intensity_of_a_standing_wave_is_reactive_along_its_axis(azimuth, elevation, phase, seed):
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
def test_tone_is_in_the_harmonic_map_and_click_in_the_percussive(bands):
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

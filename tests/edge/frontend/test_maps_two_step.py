"""Features of two-step, and of its beams."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from edge.frontend.maps import FEATURES, FeatureExtractor, FeatureSettings, logmel, logmel_iv, mel_bank
from edge.frontend.mel import FilterBank, mel_filters
from edge.frontend.quantities import FLOOR_DB
from edge.frontend.stft import Stft
from edge.types import AudioBlock, Spectra
from tests.edge.feature_inputs import STFT, noisy_bins, sound

TWO_STEP = FeatureSettings("two_step", 64)


def eight_channels(seconds=0.7, seed=0):
    return np.concatenate([sound(seconds, seed), sound(seconds, seed + 1)], axis=1)


def two_step_maps(groups):
    extract = FeatureExtractor(TWO_STEP, STFT)
    assert extract.look_ahead_labels == 0
    return np.concatenate([each.maps for spectra in groups for each in extract.push(spectra)])


def decibel64(power, bands):
    """Log-mel in float64: (..., bins) -> (..., bands)."""
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


def test_names_of_the_maps_of_two_step():
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

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import median_filter

from edge.frontend.hpss import Separator, sliding_median
from edge.frontend.quantities import POWER_FLOOR

BANDS, REACH = 64, 5


def spectrogram(frames=40, bands=BANDS, seed=0):
    """Power over many orders of magnitude."""
    random = np.random.default_rng(seed)
    return np.exp(random.normal(-4.0, 4.0, (frames, bands))).astype(np.float32)


def in_silence(power, reach=REACH):
    return np.pad(power, ((reach, reach), (0, 0)))


@given(st.integers(1, 18), st.integers(1, 12), st.integers(1, 4), st.integers(0, 99), st.booleans())
def test_sliding_median_is_the_median(reach, count, columns, seed, many_alike):
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count + 2 * reach, columns)).astype(np.float32)
    if many_alike:
        rows = np.round(rows)
    kept = rows.copy()
    got = sliding_median(rows, reach)
    assert_array_equal(got, [np.median(rows[n : n + 2 * reach + 1], axis=0) for n in range(count)])
    assert got.dtype == np.float32
    assert_array_equal(rows, kept)


@pytest.mark.parametrize(("bands", "reach_frames", "wide"), [(256, 10, 33), (64, 5, 9), (8, 1, 3), (1, 2, 3)])
def test_parts_are_those_of_the_definition(bands, reach_frames, wide):
    """Medians by scipy, silence before and after, mirrored bands; masks of power 2 in double precision."""
    power = spectrogram(50, bands)
    got = Separator(bands, reach_frames)(in_silence(power, reach_frames))
    over_time = median_filter(power, (2 * reach_frames + 1, 1), mode="constant").astype(np.float64) + POWER_FLOOR
    over_bands = median_filter(power, (1, wide), mode="reflect").astype(np.float64) + POWER_FLOOR
    share = over_time**2 / (over_time**2 + over_bands**2)
    assert got.shape == (50, 2, bands) and got.dtype == np.float32
    assert_allclose(got[:, 0], share * power, rtol=1e-5)
    assert_allclose(got[:, 1], (1.0 - share) * power, rtol=1e-5, atol=1e-12)


def test_parts_of_magnitudes_are_those_of_librosa():
    """`librosa.decompose.hpss(S)`: medians of |S| over 31 frames and 31 bins, masks H^2 / (H^2 + P^2), applied to S."""
    power = spectrogram(70, 100)
    got = Separator(100, 15, 15, of_magnitudes=True)(in_silence(power, 15))
    magnitude = np.sqrt(power.astype(np.float64))
    harmonic = median_filter(magnitude, (31, 1), mode="constant") ** 2 + POWER_FLOOR
    percussive = median_filter(magnitude, (1, 31), mode="reflect") ** 2 + POWER_FLOOR
    share = harmonic / (harmonic + percussive)
    assert_allclose(got[:, 0], (share * magnitude) ** 2, rtol=1e-5, atol=1e-12)
    assert_allclose(got[:, 1], ((1.0 - share) * magnitude) ** 2, rtol=1e-5, atol=1e-12)
    assert np.all(got.sum(axis=1) <= power * (1 + 1e-6)) and got.sum() < power.sum()  # magnitudes add up, not powers


@given(st.integers(0, 99))
def test_parts_add_up_to_the_power(seed):
    power = spectrogram(seed=seed)
    assert_allclose(Separator(BANDS, REACH)(in_silence(power)).sum(axis=1), power, rtol=1e-6)


@pytest.mark.parametrize("frames", [1, 3, 5, 40])
def test_parts_do_not_depend_on_how_many_frames_are_separated_at_once(frames):
    power, separate = in_silence(spectrogram()), Separator(BANDS, REACH)
    pieces = [separate(power[at : at + frames + 2 * REACH]) for at in range(0, 40 - frames + 1, frames)]
    assert_array_equal(np.concatenate(pieces), separate(power)[: len(pieces) * frames])


def test_tone_is_harmonic_and_a_click_percussive_also_where_they_cross():
    tone, click = 20, 17  # band and frame
    power = np.full((40, BANDS), 1e-6, np.float32)
    power[:, tone] = power[click] = 1.0
    harmonic, percussive = Separator(BANDS, REACH)(in_silence(power)).transpose(1, 0, 2)
    during = np.r_[REACH:click, click + 1 : 40 - REACH]
    assert np.all(harmonic[during, tone] > 0.999) and np.all(percussive[during, tone] < 1e-6)
    beside = np.delete(np.arange(BANDS), tone)
    assert np.all(percussive[click, beside] > 0.999) and np.all(harmonic[click, beside] < 1e-6)
    assert_allclose([harmonic[click, tone], percussive[click, tone]], 0.5)


@pytest.mark.parametrize("frames", range(1, 2 * REACH + 2))
def test_sounds_longer_than_half_the_width_are_harmonic(frames):
    power = np.zeros((40, BANDS), np.float32)
    power[15 : 15 + frames, 20] = 1.0
    parts = Separator(BANDS, REACH)(in_silence(power))[15 + frames // 2, :, 20]
    assert_allclose(parts, [1.0, 0.0] if frames > REACH else [0.5, 0.5], atol=1e-6)  # halved: a click has more bands


@pytest.mark.parametrize("level", [0.0, 1e-38, 1e-20, 1e20, 3e37])
def test_extreme_powers_give_finite_parts(level):
    power = spectrogram()
    power[:20] = level
    power[:, :20] = level
    with np.errstate(all="raise", under="ignore"):
        got = Separator(BANDS, REACH)(in_silence(power))
    assert np.all(np.isfinite(got)) and np.all(got >= 0.0)
    assert_allclose(got.sum(axis=1), power, rtol=1e-5)


def test_silence_has_no_parts():
    assert_array_equal(Separator(BANDS, REACH)(np.zeros((15, BANDS), np.float32)), 0.0)


def test_frame_of_nan_has_no_effect_after_the_median_has_passed_it():
    power, separate = in_silence(spectrogram()), Separator(BANDS, REACH)
    wanted = separate(power)
    power[20] = np.nan
    got = separate(power)
    reached = np.abs(np.arange(40) - (20 - REACH)) <= REACH
    assert np.all(np.isnan(got[reached]))
    assert_array_equal(got[~reached], wanted[~reached])

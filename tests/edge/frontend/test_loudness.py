"""Tones through the transform of the device, against the A curve of IEC 61672-1."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from edge.frontend.loudness import Loudness, a_weighting_db, level_db
from edge.frontend.stft import Stft, StftSettings
from edge.types import AudioBlock

# IEC 61672-1, table 3: nominal frequency, A-weighting. The exact frequencies are 1000 * 10 ** (n / 10).
TABLE = {
    10: -70.4, 12.5: -63.4, 16: -56.7, 20: -50.5, 25: -44.7, 31.5: -39.4, 40: -34.6, 50: -30.2, 63: -26.2, 80: -22.5,
    100: -19.1, 125: -16.1, 160: -13.4, 200: -10.9, 250: -8.6, 315: -6.6, 400: -4.8, 500: -3.2, 630: -1.9, 800: -0.8,
    1000: 0.0, 1250: 0.6, 1600: 1.0, 2000: 1.2, 2500: 1.3, 3150: 1.2, 4000: 1.0, 5000: 0.5, 6300: -0.1, 8000: -1.1,
    10000: -2.5, 12500: -4.3, 16000: -6.6, 20000: -9.3,
}  # fmt: skip
# Edition of 2002, table 2, without its allowance for uncertainty: smaller than the limits of class 1.
CLASS_1_DB = {
    31.5: 2.0, 63: 1.5, 125: 1.5, 250: 1.4, 500: 1.4, 1000: 1.1, 2000: 1.6, 4000: 1.6, 8000: 2.1,
}  # fmt: skip
RATE_HZ = 24000


def exact(nominal_hz):
    return 1000.0 * 10.0 ** (round(10 * np.log10(nominal_hz / 1000.0)) / 10)


def heard(samples, settings=None, directions=False):
    settings = settings or StftSettings()
    measure = Loudness(settings, directions)
    groups = list(Stft(settings, samples.shape[1]).push(AudioBlock(samples.astype(np.float32), 0)))
    return [measure(group.bins) for group in groups[1:]]  # the first one begins in silence


def tone_db(hz, settings=None):
    rate_hz = (settings or StftSettings()).sample_rate_hz
    tone = np.sin(2 * np.pi * hz * np.arange(rate_hz) / rate_hz)
    return level_db(np.mean([each.power for each in heard(np.repeat(tone[:, None], 4, axis=1), settings)]))


def test_the_curve_is_that_of_the_standard():
    assert_allclose(a_weighting_db([exact(hz) for hz in TABLE]), list(TABLE.values()), atol=0.051)


@pytest.mark.parametrize("nominal_hz", [hz for hz in TABLE if 25 <= hz <= 10000])
def test_tones_get_what_the_table_says(nominal_hz):
    error_db = tone_db(exact(nominal_hz)) - TABLE[nominal_hz]
    assert abs(error_db) <= (0.15 if nominal_hz >= 100 else 1.05)
    if nominal_hz in CLASS_1_DB:
        assert abs(error_db) <= CLASS_1_DB[nominal_hz]


def test_another_transform():
    settings = StftSettings(16000, 640, 320, 640)
    assert_allclose([tone_db(hz, settings) for hz in (125.9, 1000.0)], [-16.1, 0.0], atol=0.2)


def test_white_noise_gets_the_power_of_the_curve():
    """Against the power spectrum of the noise as a whole."""
    noise = np.random.default_rng(0).normal(0, 0.1, (20 * RATE_HZ, 4))
    spectrum = np.abs(np.fft.rfft(noise[:, 0])[1:]) ** 2 / len(noise) ** 2 * 2.0
    frequencies = np.fft.rfftfreq(len(noise), 1 / RATE_HZ)[1:]
    wanted = level_db(2.0 * np.sum(spectrum * 10 ** (a_weighting_db(frequencies) / 10)))
    assert level_db(np.mean([each.power for each in heard(noise)])) == pytest.approx(wanted, abs=0.1)


def test_silence_and_full_scale():
    assert {each.power for each in heard(np.zeros((RATE_HZ, 4)))} == {0.0} and level_db(0.0) == pytest.approx(-100.0)
    assert tone_db(1000.0) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize(("azimuth_deg", "elevation_deg"), [(30, -20), (-120, 40), (180, 0)])
def test_a_plane_wave_has_its_direction_and_noise_has_none(plane_wave, azimuth_deg, elevation_deg):
    from edge.geometry import azimuth_elevation_deg

    rng = np.random.default_rng(1)
    for each in heard(plane_wave(rng.normal(0, 0.1, RATE_HZ), azimuth_deg, elevation_deg), directions=True):
        assert np.linalg.norm(each.vector) == pytest.approx(1.0, abs=1e-3)
        assert_allclose(azimuth_elevation_deg(each.vector), (azimuth_deg, elevation_deg), atol=0.1)
    for each in heard(rng.normal(0, 0.1, (RATE_HZ, 4)) * [1.0, *[3**-0.5] * 3], directions=True):
        assert np.linalg.norm(each.vector) < 0.2

import numpy as np
import pytest

from bench.peer_features import BANDS, HOP, PEER_FEATURES, SAMPLE_RATE_HZ, mel_gcc, salsa_lite, salsa_mel, stft

SAMPLES = 2 * SAMPLE_RATE_HZ
FRAMES = 1 + SAMPLES // HOP
INNER = slice(2, -2)  # frames that do not see the ends


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal(0.0, 0.1, SAMPLES).astype(np.float32)


def shifted(sound, samples):
    """A sound that comes so many samples later, whole or not, in a ring."""
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(len(sound)) * samples)
    return np.fft.irfft(np.fft.rfft(sound) * turns, len(sound)).astype(np.float32)


def array_of(sound, *delays):
    return np.stack([shifted(sound, delay) for delay in delays], axis=1)


@pytest.mark.parametrize(("name", "shape"), [("salsa_lite", (191, 7)), ("salsa_mel", (128, 7)), ("mel_gcc", (128, 10))])
def test_shapes_are_the_published_ones(noise, name, shape):
    maps = PEER_FEATURES[name](array_of(noise, 0, 1, 2, 3))
    assert maps.shape == (FRAMES, *shape) and maps.dtype == np.float32
    assert np.isfinite(maps).all()


def test_the_transform_is_centred_and_reflects_at_both_ends(noise):
    spectra = stft(noise)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    middle = 10 * HOP
    np.testing.assert_allclose(spectra[:, 10], np.fft.rfft(window * noise[middle - 256 : middle + 256]), atol=1e-4)
    start = np.concatenate([noise[256:0:-1], noise[:256]])
    np.testing.assert_allclose(spectra[:, 0], np.fft.rfft(window * start), atol=1e-4)
    silent_start = np.concatenate([np.zeros(256), noise[:256]])
    np.testing.assert_allclose(stft(noise, "constant")[:, 0], np.fft.rfft(window * silent_start), atol=1e-4)


def test_silence_is_at_the_floor():
    silence = np.zeros((SAMPLES, 4), np.float32)
    for features in (salsa_lite, salsa_mel, mel_gcc):
        np.testing.assert_allclose(features(silence)[..., :4], -100.0, rtol=1e-5)


def test_a_plane_wave_gives_salsa_lite_the_ways_between_the_capsules(noise):
    ways_m = np.array([0.0, 0.02, -0.03, 0.01])  # nearer to the source than the first
    maps = salsa_lite(array_of(noise, *(-ways_m * SAMPLE_RATE_HZ / 343.0)))
    found_m = np.median(maps[INNER, 5:80, 4:], axis=(0, 1))
    np.testing.assert_allclose(found_m, ways_m[1:], atol=2e-3)
    assert not maps[:, 85:, 4:].any()  # above 4 kHz


def test_the_level_of_a_tone():
    tone = np.cos(2 * np.pi * 3000.0 * np.arange(SAMPLES) / SAMPLE_RATE_HZ).astype(np.float32)
    levels = salsa_lite(np.stack([tone] * 4, axis=1))[INNER, :, :4]
    assert (levels.argmax(axis=1) == 3000 * 512 // SAMPLE_RATE_HZ - 1).all()  # the first bin is left out
    np.testing.assert_allclose(levels.max(axis=1), 20 * np.log10(512 / 4), atol=0.01)


@pytest.mark.parametrize("delay", [-20, 0, 7])
def test_a_delay_gives_gcc_its_peak_at_that_lag(noise, delay):
    maps = mel_gcc(array_of(noise, 0, delay, 0, 0))
    first_pair = maps[INNER, :, 4]
    assert (first_pair.argmax(axis=-1) == BANDS // 2 + delay).all()
    assert (maps[INNER, :, 5].argmax(axis=-1) == BANDS // 2).all()


def test_gcc_levels_span_80_db(noise):
    sound = noise * np.geomspace(1.0, 1e-6, SAMPLES).astype(np.float32)
    levels = mel_gcc(np.stack([sound] * 4, axis=1))[..., 0]
    assert np.ptp(levels) == pytest.approx(80.0, abs=1e-3)

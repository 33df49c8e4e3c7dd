import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from edge.audio.resample import Resampler

RATES = [(48000, 24000), (44100, 24000), (16000, 24000), (11025, 24000), (192000, 24000), (22254, 24000)]


def resample(x, rate_in, rate_out=24000, block=None):
    resampler = Resampler(rate_in, rate_out, x.shape[1])
    block = block or len(x)
    pieces = [resampler.push(x[i : i + block]) for i in range(0, len(x), block)]
    return np.concatenate([*pieces, resampler.finish()])


def noise(n, channels=4, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, channels)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("rate_in", [rate for rate, _ in RATES])
def test_identical_for_all_block_sizes(rate_in, channels):
    x = noise(9001, channels)
    whole = resample(x, rate_in)
    for block in (1, 7, 479, 480, 481, 4096):
        assert_array_equal(resample(x, rate_in, block=block), whole)


@pytest.mark.parametrize("rate_in, rate_out", RATES)
@pytest.mark.parametrize("n", [0, 1, 2, 479, 1000, 4801])
def test_length(rate_in, rate_out, n):
    y = resample(noise(n), rate_in, rate_out) if n else Resampler(rate_in, rate_out, 4).finish()
    assert y.shape == (-(-n * rate_out // rate_in), 4) and y.dtype == np.float32


@pytest.mark.parametrize("rate_in, rate_out", RATES)
def test_impulse_stays_where_it_is(rate_in, rate_out):
    for at_s in (0.0, 0.01, 0.05):
        x = np.zeros((rate_in // 10, 1), np.float32)
        at = round(at_s * rate_in)
        x[at] = 1
        y = resample(x, rate_in, rate_out)[:, 0]
        assert abs(np.argmax(y) - at * rate_out / rate_in) <= 0.5


@pytest.mark.parametrize("rate_in, rate_out", RATES)
def test_pass_band_is_flat_and_in_phase(rate_in, rate_out):
    """A tone comes out as the same tone sampled at the other rate."""
    nyquist_hz = min(rate_in, rate_out) / 2
    for tone_hz in np.linspace(0, 0.9, 7) * nyquist_hz:
        t_in, t_out = np.arange(rate_in // 5) / rate_in, np.arange(rate_out // 5) / rate_out
        y = resample(np.cos(2 * np.pi * tone_hz * t_in)[:, None].astype(np.float32), rate_in, rate_out)[: len(t_out), 0]
        middle = slice(len(t_out) // 4, -len(t_out) // 4)
        error = y[middle] - np.cos(2 * np.pi * tone_hz * t_out)[middle]
        assert np.abs(error).max() < 1e-3  # 0.009 dB


@pytest.mark.parametrize("rate_in", [48000, 44100, 192000])
def test_stop_band(rate_in):
    for tone_hz in np.linspace(12000, rate_in / 2 * 0.99, 9):
        t = np.arange(rate_in // 5) / rate_in
        y = resample(np.sin(2 * np.pi * tone_hz * t)[:, None].astype(np.float32), rate_in)[:, 0]
        middle = y[len(y) // 4 : -len(y) // 4]
        assert np.sqrt(2 * np.mean(middle**2)) < 10 ** (-70 / 20)


@pytest.mark.parametrize("rate_in", [16000, 11025])
def test_upsampling_leaves_no_images(rate_in):
    t = np.arange(rate_in // 2) / rate_in
    y = resample(np.sin(2 * np.pi * 0.4 * rate_in * t)[:, None].astype(np.float32), rate_in)[:, 0]
    middle = y[2000:10000] * np.blackman(8000)
    level = np.abs(np.fft.rfft(middle))
    image = level[np.fft.rfftfreq(8000, 1 / 24000) > rate_in / 2]
    assert image.max() / level.max() < 10 ** (-70 / 20)


def test_constant_stays_a_constant():
    y = resample(np.ones((20000, 2), np.float32), 44100)
    assert_allclose(y[500:-500], 1, atol=1e-6)


def test_reset_and_finish_begin_a_new_stream():
    x = noise(3000)
    resampler = Resampler(44100, 24000, 4)
    first = np.concatenate([resampler.push(x), resampler.finish()])
    second = np.concatenate([resampler.push(x), resampler.finish()])
    resampler.push(noise(999, seed=1))
    resampler.reset()
    third = np.concatenate([resampler.push(x), resampler.finish()])
    assert_array_equal(second, first)
    assert_array_equal(third, first)


def test_equal_rates_pass_through():
    x = noise(100)
    resampler = Resampler(24000, 24000, 4)
    assert resampler.push(x) is x
    assert resampler.finish().shape == (0, 4)


@pytest.mark.parametrize("rate_hz", [0, 3999, 192001])
def test_rates_out_of_range(rate_hz):
    with pytest.raises(ValueError, match=f"got a sample rate of {rate_hz} Hz"):
        Resampler(rate_hz, 24000, 4)

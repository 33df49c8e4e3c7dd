"""What a small loudspeaker and a codec do to a sound: its band, its dynamics, its level."""

import numpy as np
import pytest
from scipy.signal import sosfreqz

from convert.clips.library import active_hops
from convert.scenes.events import Sound, level_db
from convert.scenes.replay import biquad, compress, lossy_codec, replay, small_loudspeaker
from convert.scenes.settings import ReplaySettings

RATE_HZ = 24000
NOISE = np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)


def band_db(samples, low_hz, high_hz):
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    return 10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].mean())


@pytest.mark.parametrize(
    ("kind", "at_hz", "wanted_db"), [("lowpass", 100, 0), ("highpass", 10000, 0), ("peak", 1000, 6)]
)
def test_filters_have_the_gain_that_their_formula_says(kind, at_hz, wanted_db):
    quality = 2.0
    section = biquad(kind, 1000, quality, RATE_HZ, 6.0 if kind == "peak" else 0.0)
    gains = np.abs(sosfreqz(section[None], [at_hz, 1000], fs=RATE_HZ)[1])
    assert 20 * np.log10(gains[0]) == pytest.approx(wanted_db, abs=0.2)
    if kind != "peak":
        assert gains[1] == pytest.approx(quality)  # at the corner, Q


def test_a_small_loudspeaker_has_no_bass_and_little_treble():
    for seed in range(5):
        played = small_loudspeaker(NOISE, RATE_HZ, np.random.default_rng(seed))
        middle_db = band_db(played, 800, 3000)
        assert played.dtype == np.float32 and len(played) == len(NOISE)
        assert band_db(played, 20, 60) < middle_db - 10
        assert band_db(played, 11000, 12000) < middle_db - 3


def test_a_compressor_narrows_the_range_of_levels():
    loud_then_quiet = np.concatenate([NOISE, 0.1 * NOISE])
    pressed = compress(loud_then_quiet, RATE_HZ, below_peak_db=20, ratio=2)
    levels_db = [10 * np.log10(np.mean(part**2)) for part in (pressed[4800:19200], pressed[28800:43200])]
    assert levels_db[0] - levels_db[1] == pytest.approx(10, abs=0.5)  # 20 dB above the threshold at a ratio of 2
    assert np.all(np.abs(pressed) <= np.abs(loud_then_quiet) + 1e-6)


def test_a_codec_changes_a_sound_a_little_and_does_not_delay_it():
    for rate_hz in (16000, 24000):
        tone = np.sin(2 * np.pi * 500 * np.arange(rate_hz) / rate_hz).astype(np.float32)
        coded = lossy_codec(tone, rate_hz, np.random.default_rng(0))
        assert len(coded) == len(tone)
        rest = coded - tone
        assert 0 < np.mean(rest[2400:-2400] ** 2) < 0.02 * np.mean(tone**2)
    with pytest.raises(ValueError, match="got 22050 Hz for codec_share"):
        lossy_codec(NOISE, 22050, np.random.default_rng(0))


def test_a_replayed_sound_keeps_its_level_and_its_activity():
    active = active_hops(NOISE, RATE_HZ)
    sound = Sound(NOISE / np.float32(10 ** (level_db(NOISE, active, 240) / 20)), active, "a", "b")
    assert replay(sound, ReplaySettings(), RATE_HZ, np.random.default_rng(0)) is sound
    for settings in (ReplaySettings(loudspeaker_share=1.0), ReplaySettings(codec_share=1.0)):
        played = replay(sound, settings, RATE_HZ, np.random.default_rng(0))
        assert not np.array_equal(played.samples, sound.samples)
        assert level_db(played.samples, played.active, 240) == pytest.approx(0, abs=0.01)
        assert played.active is active and (played.group, played.source) == ("a", "b")

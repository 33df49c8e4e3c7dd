"""Sound files are read and cut, and the pitch of voices is found."""

import numpy as np
import pytest
import soundfile

from convert.clips.sources.audio import excerpts, read_mono, seconds_of, split_at_silence, voiced_pitches_hz
from tests.convert.clips.tiny_packages import sound


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_all_formats_come_out_mono_at_24_khz(tmp_path, form):
    path = tmp_path / "a.x"
    path.write_bytes(sound(rate_hz=44100, form=form))
    samples, rate_hz = read_mono(path)
    assert rate_hz == 24000 and samples.dtype == np.float32
    assert len(samples) / rate_hz == pytest.approx(seconds_of(path), abs=0.01) == pytest.approx(0.5, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples[4800:9600] * np.hanning(4800)))
    assert spectrum.argmax() * 5 == pytest.approx(440, abs=5)


def test_a_lower_rate_is_kept_and_a_part_is_that_part(tmp_path):
    path = tmp_path / "a.wav"
    ramp = np.linspace(0, 0.5, 8000)
    soundfile.write(path, np.stack([ramp, ramp], axis=1), 8000, subtype="FLOAT")
    samples, rate_hz = read_mono(path, 0.25, 0.5)
    assert rate_hz == 8000
    np.testing.assert_array_equal(samples, ramp[2000:4000].astype(np.float32))


def test_g722_is_decoded(tmp_path):
    g722 = pytest.importorskip("G722")
    tone = np.round(8000 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)).astype(np.int16)
    path = tmp_path / "a.g722"
    path.write_bytes(bytes(g722.G722(16000, 64000).encode(tone.tolist())))
    samples, rate_hz = read_mono(path)
    assert rate_hz == 16000 and seconds_of(path) == 1.0
    assert np.abs(np.fft.rfft(samples)).argmax() == 500
    assert np.max(np.abs(samples)) == pytest.approx(8000 / 32768, rel=0.1)


def test_a_part_of_a_long_gsm_file_is_read_though_gsm_has_no_seek(tmp_path):
    tone = np.sin(2 * np.pi * 400 * np.arange(16000) / 8000) * np.repeat([0.1, 0.5], 8000)
    soundfile.write(tmp_path / "a.gsm", tone, 8000, format="RAW", subtype="GSM610")
    whole, _ = read_mono(tmp_path / "a.gsm")
    part, _ = read_mono(tmp_path / "a.gsm", 1.25, 1.75)
    np.testing.assert_array_equal(part, whole[10000:14000])


def test_gsm_without_a_header_is_read(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 500 * np.arange(8000) / 8000)
    soundfile.write(tmp_path / "a.gsm", tone, 8000, format="RAW", subtype="GSM610")
    samples, rate_hz = read_mono(tmp_path / "a.gsm", 0.0, seconds_of(tmp_path / "a.gsm"))
    assert rate_hz == 8000 and len(samples) == 8000
    assert np.abs(np.fft.rfft(samples)).argmax() == 500


def test_what_is_no_sound_is_an_error_that_names_it(tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"a\.wav"):
        read_mono(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"a\.wav"):
        seconds_of(tmp_path / "a.wav")


def test_excerpts_are_spread_and_do_not_overlap():
    assert excerpts(7.0, 10.0, 3) == [(0.0, 7.0)]
    assert excerpts(25.0, 10.0, 3) == [(1.25, 11.25), (13.75, 23.75)]
    assert excerpts(90.0, 10.0, 3) == [(10.0, 20.0), (40.0, 50.0), (70.0, 80.0)]


def test_a_recording_is_cut_at_its_pauses():
    rate_hz = 8000
    samples = np.zeros(4 * rate_hz, np.float32)
    for start_s, stop_s in ((0.5, 1.0), (1.1, 1.4), (2.5, 2.52), (3.0, 3.8)):  # the third is a click
        samples[int(start_s * rate_hz) : int(stop_s * rate_hz)] = 0.5
    pieces = split_at_silence(samples, rate_hz, longest_s=0.6)
    np.testing.assert_allclose(pieces, [(0.5, 1.1), (3.0, 3.6)], atol=0.04)
    assert split_at_silence(np.zeros(100, np.float32), rate_hz, 1.0) == []


@pytest.mark.parametrize("pitch_hz", [90, 130, 210, 260])
@pytest.mark.parametrize("rate_hz", [8000, 24000])
def test_the_pitch_of_a_voice_is_found(pitch_hz, rate_hz):
    times_s = np.arange(rate_hz) / rate_hz
    voice = sum(np.sin(2 * np.pi * pitch_hz * k * times_s + k) / k for k in range(1, 12))
    noisy = voice + 0.1 * np.random.default_rng(0).standard_normal(rate_hz)
    assert np.median(voiced_pitches_hz(noisy, rate_hz)) == pytest.approx(pitch_hz, rel=0.03)


def test_noise_has_no_pitch():
    assert len(voiced_pitches_hz(np.random.default_rng(0).standard_normal(8000), 8000)) < 3
    assert len(voiced_pitches_hz(np.zeros(10, np.float32), 8000)) == 0

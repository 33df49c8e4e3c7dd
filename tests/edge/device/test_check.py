"""Faults made on purpose, in simulated sound of every shipped array: each is named; clean sound is left in peace."""

import functools
import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import wavfile
from scipy.signal import oaconvolve

from edge.arrays.acoustics import array_spectra, sphere_grid
from edge.arrays.profile import load_array, shipped_arrays
from edge.cli import main
from edge.device.check import Fault, check_array, record
from edge.geometry import foa_gains, unit_vector

RATE_HZ, SECONDS, TAPS = 16000, 3, 128
ARRAYS = list(shipped_arrays())
FOA = ["foa", "foa_fuma"]
CAPSULES = [name for name in ARRAYS if name not in FOA]
FLAT = ["respeaker_usb4", "seeed_4mic", "xvf3800"]
KINDS = ["speech", "moving", "diffuse"]
AHEAD = unit_vector(27, 0)
channel_of = st.integers(0, 3)
kind_of = st.sampled_from(KINDS)
a_few = settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def responses(profile, directions):
    """Impulse responses (n, 4, taps) of the used channels; FOA written down again."""
    if profile.mixing is not None:
        w, y, z, x = foa_gains(directions).T
        gains = {"foa": [w, y, z, x], "foa_fuma": [w * np.sqrt(0.5), x, y, z]}[profile.kind]
        return np.stack(gains, axis=1)[..., None] * (np.arange(TAPS) == TAPS // 2)
    hz = np.fft.rfftfreq(TAPS, 1 / RATE_HZ)
    spectra = array_spectra(profile.capsules, directions, hz) * np.exp(-1j * np.pi * hz * TAPS / RATE_HZ)
    return np.fft.irfft(spectra, TAPS, axis=2) * np.hanning(TAPS)


def speech_like(samples, rng):
    """Noise that falls by 6 dB per octave above 500 Hz, in syllables."""
    hz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    noise = np.fft.irfft(np.fft.rfft(rng.normal(size=samples)) * (hz > 120) / np.maximum(hz / 500, 1), samples)
    return noise * np.clip(np.sin(2 * np.pi * 3.3 * np.arange(samples) / RATE_HZ) + 0.4, 0, None)


@functools.cache
def heard(name, kind, seed=0, snr_db=20.0):
    """What an array delivers (n, channels): speech from one place or from four, or noise from everywhere; and hiss."""
    profile, rng, samples = load_array(name), np.random.default_rng(seed), RATE_HZ * SECONDS
    if kind == "diffuse":
        sound = sum(
            oaconvolve(rng.normal(size=(samples, 1)), response.T, axes=0)[:samples]
            for response in responses(profile, sphere_grid(60))
        )
    else:
        places = {"speech": 1, "moving": 5, "ahead": 1}[kind]
        directions = AHEAD[None] if kind == "ahead" else rng.normal(size=(places, 3))
        directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        part = np.arange(samples) * places // samples
        mono = speech_like(samples, rng)
        sound = sum(
            oaconvolve((mono * (part == n))[:, None], response.T, axes=0)[:samples]
            for n, response in enumerate(responses(profile, directions))
        )
    sound = 0.05 * (sound / np.std(sound) + rng.normal(size=sound.shape) * 10 ** (-snr_db / 20))
    delivered = rng.normal(0, 1e-3, (samples, profile.channels))
    delivered[:, list(profile.channel_map)] = sound
    return np.rint(delivered * 32768).clip(-32768, 32767).astype(np.float32) / 32768


def found(name, samples, direction=None):
    return check_array(samples.astype(np.float32), RATE_HZ, load_array(name), direction)


def spoilt(name, kind, index, how, seed=0):
    """The sound with one channel changed; also that channel as the device counts it."""
    samples = heard(name, kind, seed).copy()
    channel = load_array(name).channel_map[index]
    samples[:, channel] = how(samples[:, channel])
    return samples, channel


def says(findings, channels, fault, what=""):
    """Exactly one finding, of these channels."""
    assert [(finding.fault, finding.channels) for finding in findings] == [(fault, tuple(channels))], findings
    assert what in findings[0].what and findings[0].remedy
    assert "\n" not in str(findings[0])


@pytest.mark.parametrize("name", ARRAYS)
@a_few
@given(kind=kind_of, seed=st.integers(0, 3))
def test_nothing_is_said_of_clean_sound(name, kind, seed):
    assert found(name, heard(name, kind, seed)) == []


@pytest.mark.parametrize("name", ARRAYS)
@a_few
@given(index=channel_of, kind=kind_of, level_db=st.sampled_from([-np.inf, -100.0, -60.0]))
def test_dead_channels(name, index, kind, level_db):
    rng = np.random.default_rng(1)
    samples, channel = spoilt(name, kind, index, lambda x: rng.normal(0, 0.05 * 10 ** (level_db / 20), len(x)))
    says(found(name, samples), [channel], Fault.DEAD, "dead")


def test_a_device_that_is_silent_altogether():
    findings = found("em32_tetra", np.zeros((RATE_HZ * SECONDS, 4)))
    assert [(finding.fault, finding.channels, finding.what) for finding in findings] == [
        (Fault.DEAD, (channel,), "dead, digital silence") for channel in range(4)
    ]


@pytest.mark.parametrize("name", ARRAYS)
@a_few
@given(index=channel_of, kind=kind_of, ceiling=st.floats(0.05, 1.0))
def test_clipped_channels(name, index, kind, ceiling):
    """Where one in a hundred samples is cut: at full scale, or earlier by an amplifier before the converter."""

    def clip(wave):
        loud = wave * ceiling / np.quantile(np.abs(wave), 0.99)
        return np.clip(loud, -ceiling, ceiling)

    samples, channel = spoilt(name, kind, index, clip)
    assert any(finding.channels == (channel,) and finding.fault is Fault.CLIPPED for finding in found(name, samples))
    assert not any(finding.fault is Fault.CLIPPED for finding in found(name, samples) if finding.channels != (channel,))


def test_a_loud_tone_is_not_clipped():
    tone = np.round(0.9 * 32768 * np.sin(2 * np.pi * 100.0 * np.arange(48000) / RATE_HZ)) / 32768
    samples = np.stack([tone, 0.9 * tone, 0.5 * tone, 0.2 * tone], axis=1)
    assert not any(finding.fault is Fault.CLIPPED for finding in found("em32_tetra", samples))
    assert any(finding.fault is Fault.CLIPPED for finding in found("em32_tetra", np.clip(1.5 * samples, -1, 1)))


@pytest.mark.parametrize("name", ARRAYS)
@a_few
@given(index=channel_of, offset=st.floats(0.02, 0.5), sign=st.sampled_from([-1, 1]))
def test_offsets(name, index, offset, sign):
    samples, channel = spoilt(name, "diffuse", index, lambda wave: wave + sign * offset)
    says(found(name, samples), [channel], Fault.OFFSET, f"DC offset of {100 * sign * offset:.1f} %"[:14])


def test_channels_that_are_copies():
    samples = heard("seeed_4mic", "moving").copy()
    samples[:, 3] = samples[:, 1]
    says(found("seeed_4mic", samples), [1, 3], Fault.COPIED, "the same samples")


@pytest.mark.parametrize("name", CAPSULES)
@a_few
@given(index=channel_of, kind=kind_of, seed=st.integers(0, 1))
def test_inverted_capsules(name, index, kind, seed):
    samples, channel = spoilt(name, kind, index, np.negative, seed)
    says(found(name, samples), [channel], Fault.INVERTED, "inverted")


@pytest.mark.parametrize("name", CAPSULES)
@a_few
@given(
    index=channel_of,
    kind=st.sampled_from(["moving", "diffuse"]),
    off_db=st.floats(6, 12),
    sign=st.sampled_from([-1, 1]),
)
def test_uneven_capsules(name, index, kind, off_db, sign):
    samples, channel = spoilt(name, kind, index, lambda wave: wave * 10 ** (sign * off_db / 20))
    findings = found(name, 0.1 * samples)
    says(findings, [channel], Fault.UNEVEN, "too loud" if sign > 0 else "too quiet")
    assert abs(float(findings[0].what.split(" dB")[0]) - off_db) < (0.5 if name != "open_tetra" else 2.5)


@pytest.mark.parametrize("name", ["em32_tetra", "seeed_4mic"])
def test_the_remedy_for_uneven_capsules_is_one(name, tmp_path):
    samples, _ = spoilt(name, "moving", 2, lambda wave: wave * 0.6)
    setting = str(found(name, samples)[0]).split("write ")[1].split(" in the profile")[0]
    text = shipped_arrays()[name].read_text()
    lines = [line for line in text.splitlines() if not line.startswith("capsule_gain_db")]
    (tmp_path / "mine.toml").write_text("\n".join([*lines, setting]))
    assert check_array(samples, RATE_HZ, load_array(str(tmp_path / "mine.toml"))) == []


@pytest.mark.parametrize("name", CAPSULES)
@a_few
@given(index=channel_of, seed=st.integers(0, 1))
def test_channels_that_hear_something_else(name, index, seed):
    rng = np.random.default_rng(5)
    samples, channel = spoilt(name, "diffuse", index, lambda wave: rng.normal(0, np.std(wave), len(wave)), seed)
    says(found(name, samples), [channel], Fault.DEAF, "does not hear what the others hear")


@pytest.mark.parametrize("name", CAPSULES)
def test_capsules_that_hear_nothing_in_common(name):
    profile = load_array(name)
    samples = np.random.default_rng(0).normal(0, 0.01, (RATE_HZ * SECONDS, profile.channels))
    says(found(name, samples), profile.channel_map, Fault.UNRELATED, "no sound in common")


@pytest.mark.parametrize("name", FLAT)
@a_few
@given(index=channel_of, kind=st.sampled_from(["moving", "diffuse"]))
def test_swapped_neighbours_of_a_circle(name, index, kind):
    """The other pair of neighbours explains as much: the array is mirrored then."""
    used = list(load_array(name).channel_map)
    other = (index + 1) % 4
    samples = heard(name, kind).copy()
    samples[:, [used[index], used[other]]] = samples[:, [used[other], used[index]]]
    findings = found(name, samples)
    says(findings, used, Fault.SWAPPED)
    used[index], used[other] = used[other], used[index]
    assert f"channel_map = {used}" in findings[0].remedy and "--direction" in findings[0].remedy


@pytest.mark.parametrize("name", CAPSULES)
@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
def test_swapped_capsules_by_a_sound_from_a_known_direction(name, pair):
    """Told a few degrees beside where it is. Without being told, a tetrahedron fits as well in any order."""
    profile, told = load_array(name), unit_vector(24, -3)
    channels = [profile.channel_map[index] for index in pair]
    samples = heard(name, "ahead").copy()
    assert found(name, samples, told) == []
    samples[:, channels] = samples[:, channels[::-1]]
    says(found(name, samples, told), sorted(channels), Fault.SWAPPED)
    if name not in FLAT:
        assert not any(finding.fault is Fault.SWAPPED for finding in found(name, samples))


@pytest.mark.parametrize("name", FOA)
@a_few
@given(index=channel_of, off_db=st.floats(6, 12), seed=st.integers(0, 1))
def test_uneven_ambisonics(name, index, off_db, seed):
    samples, channel = spoilt(name, "moving", index, lambda wave: wave * 10 ** (off_db / 20), seed)
    says(found(name, 0.1 * samples), [channel], Fault.UNEVEN, "too loud")


@pytest.mark.parametrize("name", FOA)
@pytest.mark.parametrize("index", [1, 2, 3])
@pytest.mark.parametrize("kind", ["moving", "diffuse"])
def test_a_wrong_channel_in_the_place_of_w(name, index, kind):
    samples = heard(name, kind).copy()
    samples[:, [0, index]] = samples[:, [index, 0]]
    says(found(name, samples), [0, index], Fault.SWAPPED)


@pytest.mark.parametrize("order", [[0, 2, 1, 3], [0, 3, 2, 1], [0, 1, 3, 2]])
def test_swapped_ambisonics_by_a_sound_from_a_known_direction(order):
    direction, gains = AHEAD, foa_gains(AHEAD)
    rng = np.random.default_rng(0)
    clean = 0.05 * (speech_like(RATE_HZ * SECONDS, rng)[:, None] * gains + rng.normal(0, 0.02, (RATE_HZ * SECONDS, 4)))
    assert found("foa", clean, direction) == []
    findings = found("foa", clean[:, order], direction)
    assert [finding.fault for finding in findings] == [Fault.SWAPPED]
    (inverted,) = found("foa", clean * np.where(np.arange(4) == 1, -1, 1), direction)
    assert (inverted.fault, inverted.channels, inverted.what) == (Fault.INVERTED, (1,), "Y is inverted")
    (inverted,) = found("foa", clean * np.where(np.arange(4) == 0, -1, 1), direction)
    assert (inverted.fault, inverted.channels, inverted.what) == (Fault.INVERTED, (0,), "W is inverted")
    (turned,) = found("foa", clean, unit_vector(5, -25))
    assert turned.fault is Fault.TURNED and "degrees off the given direction" in turned.what


# The command


@pytest.fixture
def check(capsys):
    def run(*words):
        code = main(["check", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_file_that_is_fine_and_one_that_is_not(check, tmp_path):
    samples = heard("respeaker_usb4", "moving").copy()
    wavfile.write(tmp_path / "a.wav", RATE_HZ, samples)
    code, out, err = check("--array", "respeaker_usb4", "--source", tmp_path / "a.wav")
    assert (code, out, err) == (0, "respeaker_usb4: no faults found in 3.0 s at 16000 Hz\n", "")
    samples[:, 2] *= -1
    samples[:, 4] = 0
    wavfile.write(tmp_path / "b.wav", RATE_HZ, samples)
    code, out, err = check("--array", "respeaker_usb4", "--source", tmp_path / "b.wav", "--direction", "27,0")
    assert (code, err) == (1, "")
    assert [line.split(":")[0] for line in out.splitlines()] == ["channel 4", "channel 2"]


def test_raw_samples_as_the_array_delivers_them(check, monkeypatch):
    pcm = (heard("seeed_4mic", "moving").repeat(3, axis=0) * 2**31).astype("<i4").tobytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(pcm)))
    code, out, _ = check("--array", "seeed_4mic", "--source", "-", "--seconds", 2.5)
    assert (code, out) == (0, "seeed_4mic: no faults found in 2.5 s at 48000 Hz\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--array", "zylia"), "array 'zylia': got no such profile"),
        (("--source", "nowhere.wav"), "nowhere.wav: not readable"),
        (("--array", "respeaker_usb4"), "a.wav: got 4 channels, wanted 6"),
        (("--seconds", "1"), "got seconds 1, wanted 2 to 3600"),
        (("--seconds", "nan"), "got seconds nan, wanted 2 to 3600"),
        (("--direction", "left"), "got direction 'left', wanted AZIMUTH or AZIMUTH,ELEVATION in degrees"),
        (("--direction", "1,2,3"), "got direction '1,2,3'"),
        (("--direction", "0,91"), "got direction '0,91', wanted an azimuth"),
    ],
)
def test_what_cannot_be_checked(check, tmp_path, words, message):
    wavfile.write(tmp_path / "a.wav", RATE_HZ, heard("em32_tetra", "speech"))
    code, out, err = check("--array", "em32_tetra", "--source", tmp_path / "a.wav", *words)
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("seld-edge: ") and message in err


def test_no_more_is_listened_to_than_wanted(tmp_path):
    wavfile.write(tmp_path / "a.wav", RATE_HZ, heard("foa", "speech"))
    samples, rate_hz = record(str(tmp_path / "a.wav"), load_array("foa"), 2.25)
    assert samples.shape == (2.25 * RATE_HZ, 4) and rate_hz == RATE_HZ

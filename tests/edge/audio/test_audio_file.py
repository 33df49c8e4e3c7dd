"""FLAC and Ogg files beside wav files: the same samples, the same checks, messages of one line."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge.audio.audio_file import open_audio_file
from edge.audio.sources import open_source
from edge.audio.wav import read_wav, write_wav
from edge.cli import main
from tests.paths import DEMO

RATE_HZ = 24000


def noise(samples=24000, channels=4):
    """Of 16 bits, so that no encoder has to round."""
    return (np.random.default_rng(3).integers(-(2**14), 2**14, (samples, channels)) / 2**15).astype(np.float32)


def joined(path, block_frames=4800):
    return np.concatenate(list(open_audio_file(path).blocks(block_frames)))


@pytest.fixture(scope="module")
def soundfile():
    return pytest.importorskip("soundfile", reason="needs soundfile")


@pytest.fixture
def flac(soundfile, tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(), RATE_HZ)
    return path


@pytest.fixture
def ogg(soundfile, tmp_path):
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(), RATE_HZ)
    return path


def test_flac_of_the_demo_scene_gives_the_samples_of_its_wav(soundfile, tmp_path):
    samples, rate_hz = read_wav(DEMO / "scene.wav")
    soundfile.write(tmp_path / "scene.flac", samples, rate_hz, subtype="PCM_16")
    blocks = {}
    for path in (DEMO / "scene.wav", tmp_path / "scene.flac"):
        with open_source(str(path), 4, rate_hz) as source:
            assert source.name == str(path) and not source.live
            blocks[path.suffix] = list(source)
    for wav, flac in zip(blocks[".wav"], blocks[".flac"], strict=True):
        assert (flac.start, flac.lost, flac.samples.dtype) == (wav.start, wav.lost, np.float32)
        assert_array_equal(flac.samples, wav.samples)


@pytest.mark.parametrize("block_frames", [1, 479, 4800, 10**9])
def test_blocks_do_not_matter(soundfile, tmp_path, block_frames):
    soundfile.write(tmp_path / "a.flac", noise(3000), RATE_HZ, subtype="PCM_24")
    whole = soundfile.read(tmp_path / "a.flac", dtype="float32")[0]
    assert_array_equal(joined(tmp_path / "a.flac", block_frames), whole)
    lengths = [len(block) for block in open_audio_file(tmp_path / "a.flac").blocks(block_frames)]
    assert set(lengths[:-1]) <= {block_frames} and 0 < lengths[-1] <= block_frames


def test_ogg_is_read_as_libsndfile_decodes_it(soundfile, ogg):
    file = open_audio_file(ogg)
    assert (file.channels, file.sample_rate_hz) == (4, RATE_HZ)
    assert_array_equal(joined(ogg), soundfile.read(ogg, dtype="float32")[0])


def test_content_decides_before_the_extension(flac, tmp_path):
    flac.rename(tmp_path / "flac.wav")
    write_wav(tmp_path / "wav.flac", noise(), RATE_HZ)
    assert len(joined(tmp_path / "flac.wav")) == len(joined(tmp_path / "wav.flac")) == 24000


def test_another_rate_is_resampled(soundfile, tmp_path):
    soundfile.write(tmp_path / "a.flac", noise(), 48000)
    soundfile.write(tmp_path / "a.wav", noise(), 48000)
    heard = []
    for name in ("a.flac", "a.wav"):
        with open_source(str(tmp_path / name), 4, RATE_HZ) as source:
            heard.append(np.concatenate([block.samples for block in source]))
    assert_array_equal(*heard)
    assert len(heard[0]) == 12000


def test_command_writes_the_same_events_about_flac_and_wav(soundfile, sounds, tiny_bundle, tmp_path):
    write_wav(tmp_path / "as_wav.wav", sounds, RATE_HZ)
    soundfile.write(tmp_path / "as_flac.flac", read_wav(tmp_path / "as_wav.wav")[0], RATE_HZ)
    words = ["file", str(tmp_path / "as_wav.wav"), str(tmp_path / "as_flac.flac"), "--out", str(tmp_path)]
    assert main([*words, "--model", str(tiny_bundle)]) == 0
    assert (tmp_path / "as_flac.csv").read_text() == (tmp_path / "as_wav.csv").read_text() != ""
    assert (tmp_path / "as_flac.jsonl").read_text() == (tmp_path / "as_wav.jsonl").read_text() != ""


def test_another_number_of_channels_is_refused(soundfile, tmp_path):
    soundfile.write(tmp_path / "a.ogg", noise(channels=2), RATE_HZ)
    with pytest.raises(ValueError, match=r"a\.ogg: got 2 channels, wanted 4$"):
        open_source(str(tmp_path / "a.ogg"), 4, RATE_HZ)


def refused(path, message):
    with pytest.raises(ValueError, match=message) as caught:
        joined(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_truncated_files_are_refused(flac, ogg):
    for path in (flac, ogg):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(flac, r"a\.flac: (damaged after sample \d+|truncated)")
    refused(ogg, r"a\.ogg: truncated: no last page$")


@pytest.mark.parametrize(
    ("name", "content"), [("a.flac", b"fLaC" + bytes(99)), ("a.ogg", b""), ("a.flac", b"no sound"), ("b", b"OggS")]
)
def test_damaged_files_are_refused(soundfile, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, r"not a file of (FLAC|Ogg) that can be read: ")


def test_damaged_middle_is_refused(flac):
    content = bytearray(flac.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    flac.write_bytes(content)
    refused(flac, r"a\.flac: damaged after sample \d+: ")


def test_flac_without_a_length_is_refused(flac):
    """As an encoder writes it into a pipe: the number of samples in STREAMINFO is 0."""
    content = bytearray(flac.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    flac.write_bytes(content)
    refused(flac, "got a header without a length, wanted one")


def test_float_samples_that_are_not_finite_are_named(soundfile, tmp_path):
    samples = noise(100)
    samples[70, 2] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    refused(tmp_path / "a.wav", "sample 70 of channel 2 is nan$")


def test_missing_soundfile_is_named_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    refused(tmp_path / "a.flac", r"got a file of FLAC, wanted wav, or the package soundfile: pip install soundfile")
    write_wav(tmp_path / "a.wav", noise(), RATE_HZ)
    assert len(joined(tmp_path / "a.wav")) == 24000


def test_files_are_closed_when_left_early(flac):
    blocks = open_audio_file(flac).blocks(100)
    next(blocks)
    blocks.close()
    with open_source(str(flac), 4, RATE_HZ) as source:
        next(iter(source))

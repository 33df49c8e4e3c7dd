import struct
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.io import wavfile

from edge.audio.wav import read_wav, read_wav_blocks, read_wav_header, write_wav

PLAIN_TAIL = bytes.fromhex("000000001000800000aa00389b71")
AMB_TAIL = bytes.fromhex("00002107d3118644c8c1ca000000")  # B-format by Dobson: another channel order


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def fmt(tag: int, channels: int, bits: int, rate_hz: int = 24000) -> bytes:
    frame_bytes = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame_bytes, frame_bytes, bits)


def extensible(subtag: int, channels: int, bits: int, tail: bytes = PLAIN_TAIL) -> bytes:
    return fmt(0xFFFE, channels, bits) + struct.pack("<HHIH", 22, bits, 0, subtag) + tail


def riff(*chunks: bytes, form: bytes = b"RIFF") -> bytes:
    return form + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WAVE" + b"".join(chunks)


def saved(tmp_path, content: bytes):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("channels", [1, 4, 7])
@pytest.mark.parametrize("dtype, scale", [("int16", 2**15), ("int32", 2**31), ("float32", 1), ("float64", 1)])
def test_reads_what_scipy_writes(tmp_path, channels, dtype, scale):
    x = np.random.default_rng(0).uniform(-1, 1, (101, channels))
    x = (x * (scale - 1)).astype(dtype)
    wavfile.write(tmp_path / "a.wav", 44100, x)
    samples, rate_hz = read_wav(tmp_path / "a.wav")
    assert rate_hz == 44100 and samples.dtype == np.float32
    assert_array_equal(samples, x.astype(np.float32) / np.float32(scale))


def test_reads_24_bits(tmp_path):
    values = np.array([0, 1, -1, 2**23 - 1, -(2**23), 12345])
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(3)
        file.setframerate(16000)
        file.writeframes(b"".join(int(v).to_bytes(3, "little", signed=True) for v in values))
    samples, _ = read_wav(tmp_path / "a.wav")
    assert_array_equal(samples, (values / 2**23).astype(np.float32).reshape(-1, 2))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64"])
def test_reads_what_libsndfile_writes(tmp_path, form, subtype):
    soundfile = pytest.importorskip("soundfile")
    x = np.random.default_rng(1).uniform(-1, 1, (50, 4)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", x, 48000, subtype=subtype, format=form)
    samples, rate_hz = read_wav(tmp_path / "a.wav")
    assert rate_hz == 48000
    assert_array_equal(samples, soundfile.read(tmp_path / "a.wav", dtype="float32")[0])


def test_header_blocks_and_unknown_chunks(tmp_path):
    data = np.arange(10, dtype="<i2")
    odd = chunk(b"LIST", b"abc")
    content = riff(odd, chunk(b"fmt ", extensible(1, 2, 16)), odd, chunk(b"data", data.tobytes()), odd)
    path = saved(tmp_path, content)
    wav = read_wav_header(path)
    assert (wav.channels, wav.sample_rate_hz, wav.frames, wav.sample_type) == (2, 24000, 5, "pcm16")
    blocks = list(read_wav_blocks(path, 2))
    assert [len(b) for b in blocks] == [2, 2, 1]
    assert_array_equal(np.concatenate(blocks), data.reshape(-1, 2) / np.float32(2**15))


def test_rf64_takes_its_size_from_ds64(tmp_path):
    data = np.arange(8, dtype="<f4")
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, 32, 4, 0))
    body = b"data" + b"\xff" * 4 + data.tobytes() + chunk(b"LIST", b"more")
    path = saved(tmp_path, riff(ds64, chunk(b"fmt ", fmt(3, 2, 32)), body, form=b"RF64"))
    assert_array_equal(read_wav(path)[0], data.reshape(-1, 2))


def test_write_then_read(tmp_path):
    x = np.array([[0, 0.5, -1, 2], [-2, 1, 1e-9, -0.25]], np.float32)
    write_wav(tmp_path / "a.wav", x, 24000)
    samples, rate_hz = read_wav(tmp_path / "a.wav")
    top = np.float32(32767 / 32768)
    assert rate_hz == 24000
    assert_array_equal(samples, np.array([[0, 0.5, -1, top], [-1, top, 0, -0.25]], np.float32))
    assert wavfile.read(tmp_path / "a.wav")[1].shape == (2, 4)
    with pytest.raises(ValueError, match=r"sample 1 of channel 2 is nan"):
        write_wav(tmp_path / "a.wav", np.where(x == x[1, 2], np.nan, x).astype(np.float32), 24000)


PCM = chunk(b"fmt ", fmt(1, 4, 16))
BAD = {
    "empty file": b"",
    "not a wav file": b"ID3\x03 this is not sound at all",
    "no data chunk": riff(PCM),
    "no fmt chunk": riff(chunk(b"data", bytes(8))),
    "no samples": riff(PCM, chunk(b"data", b"")),
    "truncated: got 8 bytes of samples, wanted 16": riff(PCM, b"data" + struct.pack("<I", 16) + bytes(8)),
    "truncated: the last frame": riff(PCM, chunk(b"data", bytes(9))),
    "truncated: got 8 bytes of samples, wanted 4294967295": riff(PCM, b"data" + b"\xff" * 4 + bytes(8)),
    "fmt chunk: got 4": riff(chunk(b"fmt ", bytes(4)), chunk(b"data", bytes(8))),
    "ds64 chunk: got 2": riff(chunk(b"ds64", bytes(2)), PCM, chunk(b"data", bytes(8)), form=b"RF64"),
    "unsupported encoding: format 0x0001 of 8 bits": riff(chunk(b"fmt ", fmt(1, 4, 8)), chunk(b"data", bytes(8))),
    "unsupported encoding: format 0x0007": riff(chunk(b"fmt ", fmt(7, 4, 16)), chunk(b"data", bytes(8))),
    "unsupported encoding: format 0xfffe": riff(
        chunk(b"fmt ", extensible(1, 4, 16, tail=AMB_TAIL)),
        chunk(b"data", bytes(8)),
    ),
    "got 0 channels": riff(chunk(b"fmt ", fmt(1, 0, 16)), chunk(b"data", bytes(8))),
    "got 4 channels at 0 Hz": riff(chunk(b"fmt ", fmt(1, 4, 16, 0)), chunk(b"data", bytes(8))),
    "frames of 5 bytes": riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 4, 8000, 0, 5, 16)), chunk(b"data", bytes(8))),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_files_are_one_line(tmp_path, message):
    path = saved(tmp_path, BAD[message])
    with pytest.raises(ValueError, match=message) as caught:
        read_wav(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(ValueError, match=r"none\.wav: not readable: No such file"):
        read_wav_header(tmp_path / "none.wav")
    with pytest.raises(ValueError, match="not a regular file"):
        read_wav_header(tmp_path)


@pytest.mark.parametrize("dtype, value", [("float32", np.nan), ("float64", -np.inf), ("float64", 1e300)])
def test_samples_that_are_not_finite_are_named(tmp_path, dtype, value):
    x = np.zeros((1000, 3), dtype)
    x[700, 2] = value
    wavfile.write(tmp_path / "a.wav", 24000, x)
    with pytest.raises(ValueError, match=r"a\.wav: sample 700 of channel 2 is (nan|-?inf)"):
        list(read_wav_blocks(tmp_path / "a.wav", 256))


def test_file_cut_while_it_is_read(tmp_path):
    write_wav(tmp_path / "a.wav", np.zeros((30000, 1), np.float32), 24000)
    blocks = read_wav_blocks(tmp_path / "a.wav", 20000)
    next(blocks)
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(ValueError, match="truncated while"):
        list(blocks)


SEEDS = [
    riff(chunk(b"LIST", b"abc"), chunk(b"fmt ", body), chunk(b"data", bytes(range(48))))
    for body in (fmt(1, 2, 16), fmt(1, 2, 24), fmt(1, 1, 32), fmt(3, 2, 32), fmt(3, 1, 64), extensible(3, 2, 32))
] + [riff(chunk(b"ds64", struct.pack("<QQQI", 0, 8, 2, 0)), PCM, b"data" + b"\xff" * 4 + bytes(8), form=b"RF64")]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 255)), max_size=6),
    st.one_of(st.none(), st.integers(0, 99)),
)
def test_mutated_bytes_only_raise_value_error(tmp_path_factory, seed, edits, length):
    content = bytearray(seed)
    for position, value in edits:
        content[position % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "mutated.wav"
    path.write_bytes(content[:length])
    try:
        samples, _ = read_wav(path)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert samples.size and np.isfinite(samples).all()

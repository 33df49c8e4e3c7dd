import errno
import io
import logging
import os
import threading
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.io import wavfile

import edge.audio.sources
from edge.audio.capture_queue import CaptureQueue, SourceError
from edge.audio.pacing import paced
from edge.audio.resample import Resampler
from edge.audio.sources import RawFormat, open_source, resample_blocks
from edge.audio.wav import read_wav, write_wav
from edge.types import AudioBlock
from tests.edge.disk import open_files


def noise(n, channels=4):
    return np.random.default_rng(2).uniform(-1, 1, (n, channels)).astype(np.float32)


def joined(blocks):
    """Samples of all blocks; checks that `start` has no holes."""
    blocks = list(blocks)
    end = 0
    for block in blocks:
        assert block.start == end + block.lost and len(block.samples)
        end = block.start + len(block.samples)
    return np.concatenate([block.samples for block in blocks])


def test_wav_at_the_models_rate(tmp_path):
    x = noise(10000)
    path = tmp_path / "a.wav"
    wavfile.write(path, 24000, x)
    with open_source(str(path), 4, 24000) as source:
        assert not source.live and source.name == str(path)
        blocks = list(source)
    assert [len(b.samples) for b in blocks] == [2400, 2400, 2400, 2400, 400]
    assert_array_equal(joined(blocks), x)


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_wav_at_another_rate(tmp_path, rate_hz):
    x = noise(rate_hz // 2)
    wavfile.write(tmp_path / "a.wav", rate_hz, x)
    resampler = Resampler(rate_hz, 24000, 4)
    whole = np.concatenate([resampler.push(x), resampler.finish()])
    for block_samples in (1, 479, 2400, 100_000):
        with open_source(str(tmp_path / "a.wav"), 4, 24000, block_samples) as source:
            assert_array_equal(joined(source), whole)
    assert len(whole) == 12000


def test_wav_is_closed_when_left_early(tmp_path):
    write_wav(tmp_path / "a.wav", noise(10000), 24000)
    with open_source(str(tmp_path / "a.wav"), 4, 24000) as source:
        next(iter(source))
        assert open_files(tmp_path) == 1
    assert open_files(tmp_path) == 0


def test_wav_with_the_wrong_channels_or_rate(tmp_path):
    write_wav(tmp_path / "FILE.wav", noise(100, 2), 24000)
    with pytest.raises(ValueError, match=r"FILE\.wav: got 2 channels, wanted 4$"):
        open_source(str(tmp_path / "FILE.wav"), 4, 24000)
    write_wav(tmp_path / "slow.wav", noise(100), 100)
    with pytest.raises(ValueError, match=r"slow\.wav: got a sample rate of 100 Hz, wanted"):
        open_source(str(tmp_path / "slow.wav"), 4, 24000)
    with pytest.raises(ValueError, match=r"^none\.wav: not readable: No such file"):
        open_source("none.wav", 4, 24000)


@pytest.mark.parametrize("repeat", [False, True])
def test_a_file_may_have_the_channels_of_the_capsules_alone(tmp_path, caplog, repeat):
    """What programs save of a device whose other channels are processed audio and playback."""
    caplog.set_level(logging.INFO)
    x = noise(5000)
    write_wav(tmp_path / "a.wav", x, 24000)
    with open_source(str(tmp_path / "a.wav"), 6, 24000, used_channels=(4, 1, 2, 3), repeat=repeat) as source:
        samples = next(iter(source)).samples
    assert samples.shape == (2400, 6)
    assert_array_equal(samples[:, [4, 1, 2, 3]], read_wav(tmp_path / "a.wav")[0][:2400])
    assert not samples[:, [0, 5]].any()
    assert caplog.messages == [f"{tmp_path / 'a.wav'}: its 4 channels are taken as channels [4, 1, 2, 3] of 6"]
    with pytest.raises(ValueError, match=r"a\.wav: got 4 channels, wanted 6$"):
        open_source(str(tmp_path / "a.wav"), 6, 24000, used_channels=(1, 2, 3))


def test_demo_takes_another_scene(tmp_path):
    write_wav(tmp_path / "a.wav", noise(5000), 24000)
    with open_source("demo", 4, 24000, demo_wav=tmp_path / "a.wav") as source:
        assert joined(source).shape == (5000, 4)


@pytest.mark.parametrize(
    "sample_type, dtype, scale", [("s16le", "<i2", 2**15), ("s32le", "<i4", 2**31), ("f32le", "<f4", 1)]
)
def test_raw_samples_on_stdin(sample_type, dtype, scale):
    x = (noise(5000) * (scale - 1)).astype(dtype) if scale > 1 else noise(5000)
    raw = RawFormat(sample_type=sample_type)
    with open_source("-", 4, 24000, 479, raw=raw, stdin=io.BytesIO(x.tobytes())) as source:
        assert source.live
        assert_array_equal(joined(source), x.astype(np.float32) / np.float32(scale))


def test_stdin_through_a_slow_pipe_at_another_rate():
    data = (noise(8000, 6) * 32767).astype("<i2").tobytes()
    read_end, write_end = os.pipe()

    def write():
        with os.fdopen(write_end, "wb") as pipe:
            for i in range(0, len(data), 997):
                pipe.write(data[i : i + 997])
                pipe.flush()

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(read_end, "rb") as stdin:
        through_pipe = joined(open_source("-", 6, 24000, raw=RawFormat("s16le", 16000, 6), stdin=stdin))
    writer.join()
    in_memory = joined(open_source("-", 6, 24000, 333, raw=RawFormat("s16le", 16000, 6), stdin=io.BytesIO(data)))
    assert through_pipe.shape == (12000, 6)
    assert_array_equal(through_pipe, in_memory)


def test_pipes_are_real_time_and_files_are_not(tmp_path):
    write_wav(tmp_path / "a.wav", noise(100), 24000)
    with open_source(str(tmp_path / "a.wav"), 4, 24000) as source:
        assert not source.real_time and source.age_s is None
    (tmp_path / "a.raw").write_bytes(bytes(800))
    with (tmp_path / "a.raw").open("rb") as stdin:
        assert not open_source("-", 4, 24000, stdin=stdin).real_time
    assert not open_source("-", 4, 24000, stdin=io.BytesIO(bytes(800))).real_time
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stdin:
        source = open_source("-", 4, 24000, stdin=stdin)
        assert source.real_time and source.age_s is None
        with pytest.raises(ValueError, match=r"^stdin \(s16le\): got realtime, wanted it for a file only"):
            open_source("-", 4, 24000, stdin=stdin, realtime=True)
    os.close(write_end)


@pytest.mark.parametrize("rate_hz", [24000, 48000])
def test_file_in_real_time(tmp_path, monkeypatch, rate_hz):
    """The samples arrive at the pace of the recording; those that a microphone's queue cannot hold are missing."""

    def sleep(seconds):
        nonlocal now_s
        now_s += seconds

    now_s = 5.0
    monkeypatch.setattr(edge.audio.sources, "paced", partial(paced, clock=lambda: now_s, sleep=sleep))
    monkeypatch.setattr(edge.audio.sources, "CaptureQueue", partial(CaptureQueue, clock=lambda: now_s))
    write_wav(tmp_path / "a.wav", noise(5 * rate_hz), rate_hz)
    with open_source(str(tmp_path / "a.wav"), 4, 24000) as source:
        whole = joined(source)
    with open_source(str(tmp_path / "a.wav"), 4, 24000, realtime=True) as source:
        assert source.real_time and not source.live
        assert_array_equal(joined(source), whole)
    assert now_s == pytest.approx(5.0 + 5.0)
    with open_source(str(tmp_path / "a.wav"), 4, 24000, realtime=True) as source:
        blocks = [next(source.blocks)]
        assert source.age_s() == pytest.approx(0.0, abs=1e-9)
        now_s += 2.6  # the queue holds 2 s
        assert source.age_s() == pytest.approx(2.6)
        blocks += source
    lost = [block.lost for block in blocks if block.lost]
    assert len(lost) == 1 and 0.4 * 24000 < lost[0] < 0.8 * 24000
    for block in blocks:
        assert_array_equal(block.samples, whole[block.start : block.start + len(block.samples)])
    assert blocks[-1].start + len(blocks[-1].samples) == len(whole)


@pytest.mark.parametrize("frames", [2400, 2500])
def test_stdin_cut_inside_a_frame(caplog, frames):
    data = bytes(frames * 8 + 3)
    with caplog.at_level(logging.WARNING):
        samples = joined(open_source("-", 4, 24000, stdin=io.BytesIO(data)))
    assert samples.shape == (frames, 4)
    assert "dropped the last 3 bytes" in caplog.text


def test_bad_stdin(monkeypatch):
    with pytest.raises(ValueError, match="stdin: no samples"):
        list(open_source("-", 4, 24000, stdin=io.BytesIO()))
    with pytest.raises(ValueError, match="stdin: got 2 channels, wanted 4"):
        open_source("-", 4, 24000, raw=RawFormat(channels=2), stdin=io.BytesIO())
    with pytest.raises(ValueError, match="got type 's8', wanted one of s16le, s32le, f32le"):
        RawFormat("s8")
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ValueError, match="stdin: closed"):
        open_source("-", 4, 24000)


def test_stdin_that_cannot_be_read():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(SourceError, match="stdin: not readable: Input/output error"):
        list(open_source("-", 4, 24000, stdin=Broken()))


@pytest.mark.parametrize("rate_in", [24000, 48000, 44100, 16000])
def test_gaps_stay_at_their_absolute_place(rate_in):
    """Impulses are found at their times, however much was lost before them."""
    block, lost, start = rate_in // 10, [0, 0, 1000, 0, 7, 3 * rate_in + 1], 0
    blocks, at_s = [], []
    for missing in lost:
        start += missing
        samples = np.zeros((block, 1), np.float32)
        samples[block // 2] = 1
        at_s.append((start + block // 2) / rate_in)
        blocks.append(AudioBlock(samples, start, missing))
        start += block
    out = list(resample_blocks(blocks, Resampler(rate_in, 24000, 1)))
    joined(out)
    silence = np.zeros(out[-1].start + len(out[-1].samples))
    for b in out:
        silence[b.start : b.start + len(b.samples)] = b.samples[:, 0]
    for t in at_s:
        near = round(t * 24000) + np.arange(-50, 51)
        assert abs(near[np.argmax(silence[near])] - t * 24000) <= 1.5
    assert abs(len(silence) - start * 24000 / rate_in) <= 2


def test_two_gaps_with_little_between_them():
    blocks = [AudioBlock(np.zeros((n, 1), np.float32), at, lost) for n, at, lost in ((2, 98, 98), (5000, 300, 200))]
    tail, out = list(resample_blocks(blocks, Resampler(48000, 24000, 1)))[:2]
    assert (tail.start, tail.lost, len(tail.samples)) == (49, 49, 1)
    assert (out.start, out.lost) == (150, 100)


def test_loss_of_a_stopped_source_is_reported_at_once():
    blocks = [AudioBlock(np.zeros((n, 1), np.float32), at, lost) for n, at, lost in ((0, 100, 100), (5000, 300, 200))]
    stop, out = list(resample_blocks(blocks, Resampler(48000, 24000, 1)))[:2]
    assert (stop.start, stop.lost, len(stop.samples)) == (50, 50, 0)
    assert (out.start, out.lost) == (150, 100)


def test_gap_at_the_end_is_reported():
    blocks = [AudioBlock(np.ones((4800, 1), np.float32), 0), AudioBlock(np.zeros((0, 1), np.float32), 9600, 4800)]
    out = list(resample_blocks(blocks, Resampler(48000, 24000, 1)))
    assert (out[-1].start, out[-1].lost, len(out[-1].samples)) == (4800, 2400, 0)
    assert sum(block.lost for block in out) == 2400

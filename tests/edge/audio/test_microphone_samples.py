"""The microphone path against an ALSA device of our own: its samples, its losses, and the end of its recorder."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge.audio.microphone import Microphone
from tests.edge.audio.fake_device import COUNTED, LIMIT_S, NEAR_S, Device, children, until

RATES_HZ = (16000, 44100, 48000)


def test_devices_are_listed_without_messages_of_alsa(tmp_path, plugin, recordings):
    device = Device(tmp_path / "device", plugin, recordings / "counted.raw", 44100)
    command = [sys.executable, "-c", "import sys; from edge.cli import main; sys.exit(main())", "devices"]
    done = subprocess.run(command, env=os.environ | device.environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0: mic4, 4 channels, 44100 Hz\n", "")


@pytest.fixture
def counting(tmp_path, plugin, recordings, monkeypatch):
    """A function that opens a device which counts its frames, and gives the microphone."""
    monkeypatch.setattr("edge.audio.microphone.OPEN_S", LIMIT_S)
    with ExitStack() as stack:

        def opened(rate_hz):
            device = Device(tmp_path / "device", plugin, recordings / "counted.raw", rate_hz)
            for name, value in device.environment.items():
                monkeypatch.setenv(name, value)
            microphone = Microphone("mic4", 4, rate_hz)
            stack.callback(microphone.close)
            assert (microphone.name, microphone.sample_rate_hz) == ("mic4", rate_hz)
            return microphone, device

        yield opened


def frame_numbers(recordings, blocks):
    """Number of the first frame of each block. All samples are those of the device, to the bit."""
    heard = np.fromfile(recordings / "counted.raw", "<i2").reshape(-1, 4).astype(np.float32) / 2**15
    numbers = []
    for block in blocks:
        low, high = np.rint(block.samples[0, :2] * 2**15).astype(int)
        numbers.append(low + 1024 * high)
        assert_array_equal(block.samples, heard[(numbers[-1] + np.arange(len(block.samples))) % COUNTED])
    return np.array(numbers)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_samples_are_those_of_the_device(counting, recordings, rate_hz):
    """At its own rate, to the bit, without a gap for a second: a busy machine may need more than one try."""
    microphone, _ = counting(rate_hz)
    blocks = []
    for block in microphone.blocks(deadline_s=LIMIT_S):
        blocks = [*blocks, block] if not block.lost else [block]
        if len(blocks) == 10:
            break
        assert block.start < LIMIT_S * rate_hz
    numbers = frame_numbers(recordings, blocks)
    lengths = [len(block.samples) for block in blocks]
    assert_array_equal(np.diff(numbers) % COUNTED, lengths[:-1])
    assert_array_equal(np.diff([block.start for block in blocks]), lengths[:-1])
    assert sum(lengths) == rate_hz


def overflow(counting, recordings):
    """Stop the process that records, twice, for longer than the device can wait. Some samples are lost.

    Returns the samples that were really lost before each block but the first, and those that the block reports.
    """
    rate_hz = 48000
    before = set(children(os.getpid()))  # of other tests of this process
    microphone, _ = counting(rate_hz)
    (recorder,) = set(children(os.getpid())) - before
    blocks = []
    for block in microphone.blocks(deadline_s=LIMIT_S):
        blocks.append(block)
        if len(blocks) in (10, 25):
            os.kill(recorder, signal.SIGSTOP)
            time.sleep(1.2)
            os.kill(recorder, signal.SIGCONT)
        if len(blocks) == 40:
            break
    numbers = frame_numbers(recordings, blocks)
    starts, lost = np.array([(block.start, block.lost) for block in blocks]).T
    really = np.diff(numbers) % COUNTED - [len(block.samples) for block in blocks[:-1]]
    assert_array_equal(np.diff(starts), [len(b.samples) for b in blocks[:-1]] + lost[1:])
    assert lost.sum() > 1.2 * rate_hz
    return really, lost[1:]


def test_samples_lost_by_an_overflow_are_counted(counting, recordings):
    really, lost = overflow(counting, recordings)
    assert_array_equal(really > 0, lost > 0)


@pytest.mark.long  # losses are counted by the clock, so a callback that comes late makes one look longer
def test_losses_are_as_long_as_they_were(counting, recordings):
    really, lost = overflow(counting, recordings)
    assert_array_equal(really > 0, lost > 0)
    assert np.all(np.abs(np.cumsum(really) - np.cumsum(lost)) < NEAR_S * 48000)


@pytest.mark.long  # needs a machine that delivers every 0.5 s; on a made-up clock: see test_capture_queue.py
def test_sample_indices_stay_right_over_a_fault(counting, recordings):
    rate_hz = 16000
    microphone, device = counting(rate_hz)
    source, blocks = microphone.blocks(deadline_s=0.5), []
    for fault in ("vanish", None):
        blocks += [next(source) for _ in range(10)]
        if fault:
            device.fail(fault)
            while len(blocks[-1].samples):
                blocks.append(next(source))
            device.heal()
    assert 0.0 <= microphone.age_s() < 1.0
    stops = [n for n, block in enumerate(blocks) if not len(block.samples)]  # one each 0.5 s until it is back
    first, after = stops[0], stops[-1] + 1
    assert stops == list(range(first, after))
    assert blocks[first].lost >= 0.4 * rate_hz and blocks[after].lost > 0
    del blocks[first:after]
    kept = frame_numbers(recordings, blocks) - [block.start for block in blocks]
    assert np.all(np.abs((kept - kept[0] + COUNTED // 2) % COUNTED - COUNTED // 2) < NEAR_S * rate_hz)


def test_device_that_never_delivers_is_an_error(counting):
    microphone, device = counting(16000)
    microphone.close()
    before = set(children(os.getpid()))  # of other tests of this process
    device.fail("freeze")
    again = Microphone("mic4", 4, 16000)
    with pytest.raises(OSError, match=r"'mic4' stopped delivering: no samples for 0\.5 s"):
        next(again.blocks(deadline_s=0.5))
    again.close()
    assert set(children(os.getpid())) <= before
    device.fail("unplug")
    with pytest.raises(ValueError, match="microphone: no device 'mic4', there is: none"):
        Microphone("mic4", 4, 16000)
    assert set(children(os.getpid())) <= before


PARENT = """
import sys
from edge.audio.microphone import Microphone
microphone = Microphone("mic4", 4, 48000)
next(microphone.blocks())
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("fault", ["", "vanish"])
def test_recorder_ends_with_a_parent_that_is_killed(tmp_path, plugin, recordings, fault):
    device = Device(tmp_path / "device", plugin, recordings / "scene.raw", 48000)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", PARENT], env=os.environ | device.environment, **pipes) as parent:
        assert parent.stdout.readline() == b"open\n"
        (recorder,) = children(parent.pid)
        device.fail(fault)
        time.sleep(0.5)
        parent.kill()
    until(lambda: not Path(f"/proc/{recorder}").exists(), LIMIT_S, "the end of the recorder")

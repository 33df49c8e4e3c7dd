import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge import microphone
from edge.capture import open_source
from edge.microphone import CaptureQueue, Microphone, SourceError, list_devices


def samples(n, value=0.0, channels=2):
    return np.full((n, channels), value, np.float32)


def taken(capture, count):
    blocks = capture.blocks(deadline_s=0.05)
    return [next(blocks) for _ in range(count)]


def test_buffers_arrive_in_order():
    capture = CaptureQueue("mic", 2, 16000, max_buffers=4)
    for value in (1, 2, 3):
        capture.put(samples(10, value).tobytes())
    blocks = taken(capture, 3)
    assert [(b.start, b.lost) for b in blocks] == [(0, 0), (10, 0), (20, 0)]
    assert_array_equal(np.concatenate([b.samples for b in blocks])[:, 1], np.repeat([1, 2, 3], 10))


def test_what_a_full_queue_drops_is_told_with_the_next_block():
    capture = CaptureQueue("mic", 2, 16000, max_buffers=2)
    blocks = capture.blocks(deadline_s=0.05)
    for n in (10, 10, 11, 12):
        capture.put(samples(n).tobytes())
    assert [next(blocks).start, next(blocks).start] == [0, 10]
    capture.put(samples(10, 5).tobytes())
    capture.put(samples(10, 6).tobytes())
    after, then = next(blocks), next(blocks)
    assert (after.start, after.lost, after.samples[0, 0]) == (43, 23, 5)
    assert (then.start, then.lost) == (53, 0)


def test_what_the_device_lost_is_counted_by_the_clock():
    now_s = iter([0.0, 0.1, 0.75, 0.85, 0.86])
    capture = CaptureQueue("mic", 2, 1000, max_buffers=9, clock=lambda: next(now_s))
    for overflowed in (True, False, True, False, True):
        capture.put(samples(100).tobytes(), overflowed)
    blocks = taken(capture, 5)
    assert [b.lost for b in blocks] == [0, 0, 550, 0, 1]  # the stream cannot lose before it began; a loss is never 0
    assert [b.start for b in blocks] == [0, 100, 750, 850, 951]


def test_a_buffer_that_came_late_does_not_hide_the_loss():
    """A callback is held up for 0.9 s with a buffer in hand; the next one comes 0.1 s later and tells of the loss."""
    now_s = iter([0.1, 0.2, 1.2, 1.3, 1.4])
    capture = CaptureQueue("mic", 2, 1000, max_buffers=9, clock=lambda: next(now_s))
    for overflowed in (False, False, False, True, False):
        capture.put(samples(100).tobytes(), overflowed)
    assert [(b.start, b.lost) for b in taken(capture, 5)][2:] == [(200, 0), (1200, 900), (1300, 0)]


def test_both_losses_add_up():
    now_s = iter([0.0, 0.1, 0.4, 0.5])
    capture = CaptureQueue("mic", 2, 1000, max_buffers=1, clock=lambda: next(now_s))
    blocks = capture.blocks(deadline_s=0.05)
    capture.put(samples(100).tobytes())
    capture.put(samples(100).tobytes())
    capture.put(samples(100).tobytes(), overflowed=True)
    assert next(blocks).start == 0
    capture.put(samples(100).tobytes())
    block = next(blocks)
    assert (block.start, block.lost) == (500, 400)


def test_the_age_of_a_buffer_counts_from_when_it_was_recorded():
    now_s = iter([10.0, 10.2, 10.5, 10.7])
    capture = CaptureQueue("mic", 2, 1000, max_buffers=9, clock=lambda: next(now_s))
    capture.put(samples(100).tobytes())
    capture.put(samples(100).tobytes())
    capture.put(samples(100).tobytes(), at_s=9.0)
    assert capture.waiting == 3
    for age_s in (0.5, 0.5):  # at 10.5 and 10.7
        capture.take()
        assert capture.age_s() == pytest.approx(age_s)
    assert capture.waiting == 1


def test_the_rest_tells_what_was_lost_after_it():
    capture = CaptureQueue("mic", 2, 1000, max_buffers=2)
    for n in (10, 10, 11, 12):
        capture.put(samples(n).tobytes())
    assert [(b.start, b.lost, len(b.samples)) for b in capture.rest()] == [(0, 0, 10), (10, 0, 10), (43, 23, 0)]
    assert list(capture.rest()) == []


def test_no_progress_is_an_error_and_empty_buffers_are_no_progress():
    capture = CaptureQueue("mic4", 2, 16000, max_buffers=2)
    capture.put(b"")
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"^microphone 'mic4' stopped delivering: no samples for 0\.05 s$"):
        taken(capture, 1)
    assert 0.04 < time.monotonic() - began < 1


class FakeStream:
    def __init__(self, hang):
        self.closed, self.hang = False, hang

    def close(self):
        if self.hang:
            self.hang.wait(5)
        self.closed = True


class FakePyAudio:
    """Two inputs and one output; a stream calls back at once with `buffers`, each (raw, status)."""

    devices = (
        {"name": "HDMI", "maxInputChannels": 0, "defaultSampleRate": 48000.0, "rates": ()},
        {"name": "mic4 raw", "maxInputChannels": 6, "defaultSampleRate": 16000.0, "rates": (16000,)},
        {"name": "mic4", "maxInputChannels": 4, "defaultSampleRate": 44100.0, "rates": (44100, 48000)},
    )
    default: int | None = 2
    buffers: tuple[tuple[bytes, int], ...] = ()
    failure: Exception | None = None
    hang: threading.Event | None = None
    last: "FakePyAudio"

    def __init__(self):
        self.terminated, self.stream = False, None
        FakePyAudio.last = self

    def get_device_count(self):
        return len(self.devices)

    def get_device_info_by_index(self, index):
        return {"index": index, **self.devices[index]}

    def get_default_input_device_info(self):
        if self.default is None:
            raise OSError("No Default Input Device Available")
        return self.get_device_info_by_index(self.default)

    def is_format_supported(self, rate, input_device, input_channels, input_format):
        device = self.devices[input_device]
        if rate not in device["rates"] or input_channels > device["maxInputChannels"]:
            raise ValueError("Invalid sample rate", -9997)
        return True

    def open(self, **options):
        if self.failure:
            raise self.failure
        self.options, self.stream = options, FakeStream(self.hang)
        for raw, status in self.buffers:
            assert options["stream_callback"](raw, 0, {}, status) == (None, 0)
        return self.stream

    def terminate(self):
        self.terminated = True


@pytest.fixture
def fake(monkeypatch):
    class Fake(FakePyAudio):
        pass

    module = SimpleNamespace(PyAudio=Fake, paFloat32=1, paInputOverflow=2, paContinue=0)
    monkeypatch.setitem(sys.modules, "pyaudio", module)
    return Fake


def test_microphone_is_resampled_and_keeps_absolute_time(fake):
    tone = np.sin(np.arange(4800) * 0.01)[:, None].repeat(4, axis=1).astype(np.float32).tobytes()
    fake.buffers = ((tone, 0),) * 25  # the queue holds 20
    with open_source("mic", 4, 24000, device="mic4", deadline_s=0.05) as source:
        assert source.live and source.real_time and source.name == "mic4"
        began_s = time.monotonic()
        blocks = [next(source.blocks) for _ in range(3)]
        assert began_s - time.monotonic() + source.age_s() >= 0.0
        fake.last.options["stream_callback"](tone, 0, {}, 0)  # there is room again
        with pytest.raises(SourceError, match="stopped delivering"):
            blocks.extend(source)
    end = 0
    for block in blocks:
        assert block.start == end + block.lost
        end = block.start + len(block.samples)
    assert [(b.start, b.lost) for b in blocks if b.lost] == [(25 * 2400, 5 * 2400)]
    assert fake.last.stream.closed and fake.last.terminated
    assert fake.last.options["rate"] == 48000 and fake.last.options["frames_per_buffer"] == 4800


def test_the_rate_of_the_array_goes_before_that_of_the_model(fake):
    fake.devices = ({"name": "plug", "maxInputChannels": 4, "defaultSampleRate": 44100.0, "rates": (24000, 48000)},)
    with open_source("mic", 4, 24000, device="plug"):
        assert fake.last.options["rate"] == 24000
    with open_source("mic", 4, 24000, device="plug", native_rate_hz=48000):
        assert fake.last.options["rate"] == 48000


def test_overflow_flag_reaches_the_block(fake):
    raw = bytes(4410 * 4 * 4)
    fake.buffers = ((raw, 0), (raw, 2))
    fake.devices = ({"name": "a", "maxInputChannels": 4, "defaultSampleRate": 44100.0, "rates": (44100,)},)
    fake.default = 0
    microphone = Microphone(None, 4, 24000)
    blocks = microphone.blocks()
    assert [next(blocks).lost, next(blocks).lost] == [0, 1]
    microphone.close()


@pytest.mark.parametrize(
    "device, name, rate_hz",
    [
        (None, "mic4", 48000),
        ("mic4", "mic4", 48000),
        ("RAW", "mic4 raw", 16000),
        (1, "mic4 raw", 16000),
        ("2", "mic4", 48000),
    ],
)
def test_devices_are_found(fake, device, name, rate_hz):
    found = Microphone(device, 4, 24000)
    assert (found.name, found.sample_rate_hz) == (name, rate_hz)
    found.close()


@pytest.mark.parametrize("device", ["usb", 0, "7"])
def test_unknown_device_says_what_is_there(fake, device):
    wanted = rf"^microphone: no device '{device}', there is: 1 'mic4 raw' \(6 channels\), 2 'mic4' \(4 channels\)$"
    with pytest.raises(ValueError, match=wanted):
        Microphone(device, 4, 24000)
    assert fake.last.terminated


def test_devices_that_do_not_fit(fake):
    with pytest.raises(ValueError, match="microphone 'mic4': got 4 channels, wanted 6"):
        Microphone("mic4", 6, 24000)
    fake.default = None
    with pytest.raises(ValueError, match="microphone: no default device, there is: 1 'mic4 raw'"):
        Microphone(None, 4, 24000)
    fake.devices = ()
    with pytest.raises(ValueError, match="there is: none"):
        Microphone(None, 4, 24000)
    fake.devices = ({"name": "odd", "maxInputChannels": 4, "defaultSampleRate": 37000.0, "rates": ()},)
    with pytest.raises(ValueError, match=r"microphone 'odd': got none of the rates \(24000, .*37000\) Hz"):
        Microphone("odd", 4, 24000)


def test_device_that_cannot_be_opened(fake):
    fake.failure = OSError(-9985, "Device unavailable")
    with pytest.raises(SourceError, match=r"microphone 'mic4': cannot be opened: .*Device unavailable"):
        Microphone("mic4", 4, 24000)
    assert fake.last.terminated


def test_dead_device_does_not_hang_the_loop(fake, monkeypatch, caplog):
    monkeypatch.setattr(microphone, "_CLOSE_S", 0.05)
    fake.hang = threading.Event()
    dead = Microphone("mic4", 4, 24000)
    began = time.monotonic()
    dead.close()
    assert time.monotonic() - began < 1
    assert "'mic4' does not close" in caplog.text
    fake.hang.set()


def test_list_devices(fake):
    first, second = list_devices()
    assert (first.index, first.name, first.channels, first.default_rate_hz) == (1, "mic4 raw", 6, 16000)
    assert first.rates_hz == (16000,) and second.rates_hz == (44100, 48000)
    assert fake.last.terminated


def test_without_pyaudio(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    for call in (list_devices, lambda: open_source("mic", 4, 24000)):
        with pytest.raises(ValueError, match=r"^PyAudio is not installed: pip install 'seld-edge\[mic\]'$"):
            call()

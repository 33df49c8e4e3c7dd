"""What is asked of PyAudio, and what the process that records says; with real ALSA: see test_microphone_faults.py."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from edge.audio import recorder as recorder_module
from edge.audio.microphone import list_devices
from edge.audio.recorder import HEADER, SPINNING_S, Backlog, start_stream
from tests.paths import ROOT

LIMIT_S = 300.0  # for what certainly happens, however busy the machine is


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
    last: "FakePyAudio"

    def __init__(self):
        self.terminated = False
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
        self.options = options
        for raw, status in self.buffers:
            assert options["stream_callback"](raw, 0, {}, status) == (None, 0)
        return "stream"

    def terminate(self):
        self.terminated = True


@pytest.fixture
def fake(monkeypatch):
    class Fake(FakePyAudio):
        pass

    module = SimpleNamespace(PyAudio=Fake, paFloat32=1, paInputOverflow=2, paContinue=0)
    monkeypatch.setitem(sys.modules, "pyaudio", module)
    return Fake


def started(device, channels=4, rate_hz=24000):
    """Name and rate of what was opened, and what it gave."""
    given = []
    name, opened_hz, _ = start_stream(device, channels, rate_hz, lambda raw, lost, _at_s: given.append((raw, lost)))
    return name, opened_hz, given


@pytest.mark.parametrize(
    "device, name, rate_hz",
    [
        (None, "mic4", 48000),
        ("mic4", "mic4", 48000),
        ("RAW", "mic4 raw", 16000),
        ("1", "mic4 raw", 16000),
        ("2", "mic4", 48000),
    ],
)
def test_devices_are_found(fake, device, name, rate_hz):
    assert started(device) == (name, rate_hz, [])
    assert fake.last.options["rate"] == rate_hz and fake.last.options["frames_per_buffer"] == rate_hz / 10


def test_requested_rate_takes_precedence(fake):
    fake.devices = ({"name": "plug", "maxInputChannels": 4, "defaultSampleRate": 44100.0, "rates": (24000, 48000)},)
    assert started("plug", rate_hz=24000)[1] == 24000
    assert started("plug", rate_hz=16000)[1] == 48000


def test_overflows_are_reported_with_the_buffer(fake):
    fake.buffers = ((b"1234", 0), (b"5678", 2))
    assert started("mic4")[2] == [(b"1234", False), (b"5678", True)]


@pytest.mark.parametrize("device", ["usb", "0", "7"])
def test_message_about_an_unknown_device_lists_the_others(fake, device):
    wanted = rf"^microphone: no device '{device}', there is: 1 'mic4 raw' \(6 channels\), 2 'mic4' \(4 channels\)$"
    with pytest.raises(ValueError, match=wanted):
        started(device)


def test_devices_that_do_not_fit(fake):
    with pytest.raises(ValueError, match="microphone 'mic4': got 4 channels, wanted 6"):
        started("mic4", channels=6)
    fake.default = None
    with pytest.raises(ValueError, match="microphone: no default device, there is: 1 'mic4 raw'"):
        started(None)
    fake.devices = ()
    with pytest.raises(ValueError, match="there is: none"):
        started(None)
    fake.devices = ({"name": "odd", "maxInputChannels": 4, "defaultSampleRate": 37000.0, "rates": ()},)
    with pytest.raises(ValueError, match=r"microphone 'odd': got none of the rates \(24000, .*37000\) Hz"):
        started("odd")


def test_device_that_cannot_be_opened(fake):
    fake.failure = OSError(-9985, "Device unavailable")
    with pytest.raises(OSError, match=r"^microphone 'mic4': cannot be opened: .*Device unavailable"):
        started("mic4")


def test_list_devices(fake):
    first, second = list_devices()
    assert (first.index, first.name, first.channels, first.default_rate_hz) == (1, "mic4 raw", 6, 16000)
    assert first.rates_hz == (16000,) and second.rates_hz == (44100, 48000)
    assert fake.last.terminated


def test_without_pyaudio(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    for call in (list_devices, lambda: started(None)):
        with pytest.raises(
            ValueError, match=r"^PyAudio is not installed: apt install python3-pyaudio, or pip install PyAudio$"
        ):
            call()


def test_backlog_drops_buffers_when_full_and_buffers_with_a_hole():
    backlog = Backlog(2)
    for number, overflowed in ((1, False), (2, True), (3, False), (4, False)):
        backlog.put(bytes([number]) * 4, overflowed, float(number))
    got = [backlog.get(), backlog.get()]
    backlog.put(b"5555", False, 5.0)
    assert [HEADER.unpack(each[: HEADER.size]) for each in got] == [(4, False, 1.0), (4, True, 3.0)]
    assert [each[HEADER.size :] for each in got] == [b"\1" * 4, b"\3" * 4]
    assert HEADER.unpack(backlog.get()[: HEADER.size]) == (4, True, 5.0)


PYAUDIO = """
paFloat32, paInputOverflow, paContinue = 1, 2, 0

class PyAudio:
    def get_device_count(self):
        return 1

    def get_device_info_by_index(self, index):
        return {"index": 0, "name": "mic4", "maxInputChannels": 4, "defaultSampleRate": 48000.0}

    def is_format_supported(self, *args, **kwargs):
        return True

    def open(self, stream_callback, **options):
        for number in range(3):
            stream_callback(bytes([number]) * 16, 1, {}, 0)
"""


@pytest.fixture
def recorder(tmp_path):
    """A function that starts a process which records from a fake device."""
    (tmp_path / "pyaudio.py").write_text(PYAUDIO)
    processes = []

    def start(*options):
        command = [sys.executable, "-P", "-m", "edge.audio.recorder", "--channels=4", "--rate-hz=48000", *options]
        environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        with process:  # closes its pipes
            pass


def test_recorder_writes_what_it_opened_and_its_buffers_until_stdin_ends(recorder):
    process = recorder("--device=mic")
    assert json.loads(process.stdout.readline()) == {"name": "mic4", "sample_rate_hz": 48000}
    for number in range(3):
        size, lost, _ = HEADER.unpack(process.stdout.read(HEADER.size))
        assert (process.stdout.read(size), lost) == (bytes([number]) * 16, False)
    for ignored in (signal.SIGTERM, signal.SIGINT):
        process.send_signal(ignored)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    process.stdin.close()
    assert process.wait(LIMIT_S) == 0
    assert process.stdout.read() == b""


SPINNING = """
        import threading
        def spin():
            while True:
                pass
        threading.Thread(target=spin, daemon=True).start()
"""


@pytest.mark.parametrize(
    ("buffers_per_turn", "busy_share", "ends"), [(0, 0.6, True), (0, 0.4, False), (1, 0.6, False), (1, 0.4, False)]
)
def test_busy_processor_without_buffers_ends_the_process(monkeypatch, buffers_per_turn, busy_share, ends):
    """On a made-up clock: after the first turn if it ends, else it goes on."""
    backlog, slept_s = Backlog(100), []

    class Ended(BaseException):
        pass

    def sleep(seconds):
        slept_s.append(seconds)
        for _ in range(buffers_per_turn):
            backlog.put(b"1234", False, 0.0)
        if len(slept_s) == 20:
            raise Ended("the watch went on")

    def end(code):
        raise Ended(code)

    monkeypatch.setattr(recorder_module.os, "_exit", end)
    monkeypatch.setattr(
        recorder_module, "time", SimpleNamespace(sleep=sleep, process_time=lambda: busy_share * sum(slept_s))
    )
    with pytest.raises(Ended) as ended:
        recorder_module.end_when_spinning(backlog)
    assert (ended.value.args, len(slept_s)) == (((1,), 1) if ends else (("the watch went on",), 20))


@pytest.mark.long  # on a busy machine a device that spins may never get half of a processor
def test_recorder_ends_if_its_device_spins_and_only_then(recorder, tmp_path):
    """As PortAudio does when a device is unplugged. One from which nothing comes is left to the other end."""
    silent = recorder("--device=mic")
    assert json.loads(silent.stdout.readline())["name"] == "mic4"
    (tmp_path / "pyaudio.py").write_text(PYAUDIO + SPINNING)
    spinning = recorder("--device=mic")
    assert json.loads(spinning.stdout.readline())["name"] == "mic4"
    assert spinning.wait(20 * SPINNING_S) == 1
    with pytest.raises(subprocess.TimeoutExpired):
        silent.wait(3 * SPINNING_S)


def test_recorder_writes_why_nothing_was_opened(recorder):
    process = recorder("--device=usb")
    error = "microphone: no device 'usb', there is: 0 'mic4' (4 channels)"
    assert json.loads(process.stdout.readline()) == {"error": error, "refused": True}
    assert process.wait(LIMIT_S) == 2


def test_recorder_does_not_import_numpy():
    code = "import sys, edge.audio.recorder; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=LIMIT_S).returncode == 0

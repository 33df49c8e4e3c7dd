"""The microphone path against an ALSA device of our own that fails as real ones do: see tests/fakemic/fakemic.c."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge.audio.microphone import DEADLINE_S, RETRY_S, Microphone
from edge.audio.resample import Resampler
from tests.edge.command_line import without_introduction
from tests.paths import ROOT

RATES_HZ = (16000, 44100, 48000)
FAULTS = ("unplug", "vanish", "freeze")
COUNTED = 2**20  # frames of the file that counts them
SCENE_S = 5.0
SOUNDS = ((1.0, "low"), (3.0, "high"))  # of a second each: see `sounds`
NEAR_S = 0.3  # a label frame, a buffer, and what a machine with other work may be late
LIMIT_S = 300.0  # for what certainly happens, however busy the machine is
TICKS_HZ = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The device as a plug-in of alsa-lib's."""
    pytest.importorskip("pyaudio", reason="needs PyAudio")
    if not shutil.which("gcc") or not Path("/usr/include/alsa/pcm_external.h").exists():
        pytest.skip("needs gcc and libasound2-dev")
    built = tmp_path_factory.mktemp("fakemic") / "fakemic.so"
    source = ROOT / "tests" / "fakemic" / "fakemic.c"
    command = [
        "gcc",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O2",
        "-shared",
        "-fPIC",
        "-DPIC",
        "-o",
        built,
        source,
        "-lasound",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return built


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, sounds):
    """What devices hear: a count of frames, and the scene of the other tests at 48 kHz, both without end."""
    folder = tmp_path_factory.mktemp("heard")
    number = np.arange(COUNTED)
    noise = np.random.default_rng(0).integers(-(2**15), 2**15, (COUNTED, 2))
    counted = np.column_stack([number % 1024, number // 1024, noise]).astype("<i2")
    counted.tofile(folder / "counted.raw")
    resampler = Resampler(24000, 48000, 4)
    scene = np.concatenate([resampler.push(sounds), resampler.finish()])[: round(SCENE_S * 48000)]
    np.rint(scene * 32768).astype("<i2").tofile(folder / "scene.raw")
    return folder


class Device:
    """A device of four channels that can be told to fail; `environment` is that of a process which is to see it."""

    def __init__(self, folder, plugin, recording, rate_hz):
        folder.mkdir()
        self.control = folder / "fault"
        self.heal()
        settings = f'file "{recording}" control "{self.control}" channels 4 rate {rate_hz}'
        (folder / "asound.conf").write_text(
            "</usr/share/alsa/alsa.conf>\n"
            f'pcm_type.fakemic {{ lib "{plugin}" }}\n'
            f'pcm.mic4 {{ type fakemic {settings} hint {{ show on description "mic4" }} }}\n'
        )
        self.environment = {"ALSA_CONFIG_PATH": str(folder / "asound.conf"), "PYTHONPATH": str(ROOT)}

    def fail(self, fault):
        self.control.write_text(fault)

    def heal(self):
        self.control.write_text("")


def children(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_s(pid):
    """CPU time of a process, of its children, and of those that have ended."""
    total = 0
    for each in (pid, *children(pid)):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        except FileNotFoundError:  # it has just ended, and counts with its parent
            continue
        total += sum(map(int, fields[11:15] if each == pid else fields[11:13]))
    return total / TICKS_HZ


def until(condition, seconds, what):
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < seconds, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return time.monotonic() - began_s


def test_devices_are_listed_without_messages_of_alsa(tmp_path, plugin, recordings):
    device = Device(tmp_path / "device", plugin, recordings / "counted.raw", 44100)
    command = [sys.executable, "-c", "import sys; from edge.cli import main; sys.exit(main())", "devices"]
    done = subprocess.run(command, env=os.environ | device.environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0: mic4, 4 channels, 44100 Hz\n", "")


# Samples


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
    (stop,) = [n for n, block in enumerate(blocks) if not len(block.samples)]
    assert blocks[stop].lost >= 0.4 * rate_hz and blocks[stop + 1].lost > 0
    del blocks[stop]
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


# Events


@dataclass
class Listening:
    """A `seld-edge run` that listens to a device which plays the scene, and what is known of it."""

    device: Device
    folder: Path
    process: subprocess.Popen
    spans_s: list[list[float]] = field(default_factory=list)  # in which it heard, on the monotonic clock
    stderr_bytes: int = 0

    @property
    def stderr(self):
        return (self.folder / "stderr").read_text()

    def lines(self):
        """Events so far, with the monotonic time of their ends. Every line is whole."""
        text = (self.folder / "events.jsonl").read_text()
        assert text == "" or text.endswith("\n")
        events = [json.loads(line) for line in text.splitlines()]
        apart_s = time.time() - time.monotonic()
        for event in events:
            event["at_s"] = datetime.fromisoformat(event["time"]).timestamp() - apart_s
            event["end_s"] = event["at_s"] + event["offset_s"] - event["onset_s"]
        return events

    def gaps_s(self):
        """Begin and end of all that was lost, as it was told; a busy machine loses more than the faults take."""
        first = self.lines()[0]
        for lost, end in re.findall(r"(\d+) samples lost before sample (\d+)", self.stderr):
            end_s = first["at_s"] - first["onset_s"] + int(end) / 24000
            yield end_s - int(lost) / 24000, end_s

    def expected(self):
        """Sounds that were heard from beginning to end: when, on the monotonic clock, and which."""
        gaps_s = list(self.gaps_s())
        for begin_s, end_s in self.spans_s:
            for turn in range(int(begin_s // SCENE_S), int(end_s // SCENE_S) + 1):
                for at_s, name in SOUNDS:
                    onset_s = turn * SCENE_S + at_s
                    broken = any(a_s - NEAR_S < onset_s + 1.0 and onset_s < b_s + NEAR_S for a_s, b_s in gaps_s)
                    if begin_s + NEAR_S < onset_s and onset_s + 1.0 < end_s - NEAR_S and not broken:
                        yield onset_s, name

    def check_events(self):
        """All that was heard is written, once, and nothing else, when it sounded."""
        events = self.lines()
        for onset_s, name in self.expected():
            found = [e for e in events if e["class"] == name and abs(e["at_s"] - onset_s) < NEAR_S]
            near = [(e["class"], round(e["at_s"] - onset_s, 2), round(e["end_s"] - onset_s, 2)) for e in events[-6:]]
            assert len(found) == 1, (onset_s, name, near, self.spans_s[-2:], self.stderr[-600:])
            assert abs(found[0]["end_s"] - found[0]["at_s"] - 1.0) < 0.15
        for event in events:
            within_s = [event["at_s"] % SCENE_S - onset_s for onset_s, name in SOUNDS if name == event["class"]]
            assert within_s[0] > -NEAR_S and event["end_s"] - event["at_s"] + within_s[0] < 1.0 + NEAR_S, event

    def check_messages(self):
        """A fault, what it lost and its end are reported, and nothing else."""
        lines = [re.sub(r"[\d.]+", "#", line) for line in without_introduction(self.stderr).splitlines()]
        assert set(lines) == {
            "WARNING: microphone 'mic#' stopped delivering: no samples for # s: trying again until it is back",
            "WARNING: # samples lost before sample #",
            "WARNING: microphone 'mic#' is back after # s",
        }

    @property
    def away(self):
        """Whether the microphone was last reported to have stopped."""
        return self.stderr.count("stopped delivering") > self.stderr.count("is back after")


@contextmanager
def listening(folder, device, tiny_bundle, deadline_s, settings=""):
    (folder / "a.toml").write_text(
        f'source = "mic"\nmodel = "{tiny_bundle}"\nsinks = ["jsonl:{folder}/events.jsonl"]\n'
        f'[microphone]\ndevice = "mic4"\ndeadline_s = {deadline_s}\n{settings}'
    )
    program = f"""
import sys
from edge.audio import microphone
from edge.cli import main
microphone.OPEN_S = {LIMIT_S}  # on a busy machine the process that records may start slowly
sys.exit(main())
"""
    with (folder / "stderr").open("w") as stderr:
        command = [sys.executable, "-c", program, "run", "--config", folder / "a.toml"]
        process = subprocess.Popen(command, env=os.environ | device.environment, stderr=stderr)
    try:
        yield Listening(device, folder, process)
    finally:
        process.kill()
        process.wait()


def endure(tmp_path, plugin, recordings, tiny_bundle, rounds, deadline_s):
    """Each fault, so many times, to three processes at a time. Returns what was measured, by fault."""
    measured = {fault: {"recovered_s": [], "cpu": [], "stderr_bytes": []} for fault in FAULTS}
    with ExitStack() as stack:
        runs = {}
        for fault in FAULTS:
            device = Device(tmp_path / fault, plugin, recordings / "scene.raw", 48000)
            runs[fault] = stack.enter_context(listening(tmp_path / fault, device, tiny_bundle, deadline_s))
        for run in runs.values():
            until(lambda run=run: (run.folder / "events.jsonl").is_file() and run.lines(), 60, "the first event")
            run.spans_s.append([run.lines()[-1]["at_s"] - NEAR_S, 0.0])  # it has listened since then at least
        for n in range(1, rounds + 1):
            time.sleep((0.4 + n * 0.618 % 1) * SCENE_S)  # to break in elsewhere each time, mostly after a whole sound
            for fault, run in runs.items():
                run.stderr_bytes = len(run.stderr)
                run.device.fail(fault)
                run.spans_s[-1][1] = time.monotonic()
            time.sleep(0.5)
            began_s, spent_s = time.monotonic(), {fault: cpu_s(run.process.pid) for fault, run in runs.items()}
            time.sleep(max(3.0, deadline_s + 1.5) + n * 0.382 % 1 * RETRY_S + (n == 10) * 20.0)
            for fault, run in runs.items():
                share = (cpu_s(run.process.pid) - spent_s[fault]) / (time.monotonic() - began_s)
                measured[fault]["cpu"].append(share)
                run.check_events()  # what was heard before is written by now
                run.device.heal()
            healed_s = time.monotonic()
            for fault, run in runs.items():
                until(lambda run=run, n=n: run.stderr.count("is back after") == n, 15, f"recovery from {fault} {n}")
                run.spans_s.append([time.monotonic(), 0.0])
                measured[fault]["recovered_s"].append(time.monotonic() - healed_s)
                measured[fault]["stderr_bytes"].append(len(run.stderr) - run.stderr_bytes)
        time.sleep(SCENE_S)
        for run in runs.values():
            run.spans_s[-1][1] = time.monotonic()
            until(lambda run=run: len(children(run.process.pid)) == 1, 20, "a recorder")  # it may be starting anew
            (recorder,) = children(run.process.pid)
            run.process.send_signal(signal.SIGTERM)
            assert run.process.wait(20) == 0
            run.check_events()
            assert sum(1 for _ in run.expected()) > rounds // 2
            assert not Path(f"/proc/{recorder}").exists()
            run.check_messages()
    for fault in FAULTS:
        assert max(measured[fault]["recovered_s"]) < 10.0, measured
        assert max(measured[fault]["cpu"]) < 0.5, measured
        assert max(measured[fault]["stderr_bytes"]) < 1000, measured
    return measured


def test_faults_are_recovered_from(tmp_path, plugin, recordings, tiny_bundle):
    """Nothing depends on when or how often: a busy machine may stop delivering more often than the device fails."""
    with ExitStack() as stack:
        runs = {}
        for fault in FAULTS:
            device = Device(tmp_path / fault, plugin, recordings / "scene.raw", 48000)
            settings = "[budget]\ngovernor = false\n"  # which would report that the machine is slow
            runs[fault] = stack.enter_context(listening(tmp_path / fault, device, tiny_bundle, 10.0, settings))
        for run in runs.values():
            until(lambda run=run: (run.folder / "events.jsonl").is_file() and run.lines(), LIMIT_S, "the first event")
        for fault, run in runs.items():
            run.device.fail(fault)
        for fault, run in runs.items():
            until(lambda run=run: run.away, LIMIT_S, f"a report of {fault}")
            run.device.heal()
        for fault, run in runs.items():
            until(lambda run=run: not run.away, LIMIT_S, f"recovery from {fault}")
            before = len(run.lines())
            until(lambda run=run, before=before: len(run.lines()) > before, LIMIT_S, f"an event after {fault}")
            recorders = children(run.process.pid)
            assert len(recorders) <= 1  # none where one is about to be started anew
            run.process.send_signal(signal.SIGTERM)
            assert run.process.wait(LIMIT_S) == 0
            assert not any(Path(f"/proc/{recorder}").exists() for recorder in recorders)
            run.check_messages()
            for event in run.lines():
                assert event["class"] in {name for _, name in SOUNDS} and event["offset_s"] - event["onset_s"] < 1.15


def test_a_microphone_that_comes_back_at_another_rate_is_heard(tmp_path, plugin, recordings, tiny_bundle):
    """It has 48 kHz, then only 16 kHz, then 24 kHz: events have the right classes and lengths each time."""
    device = Device(tmp_path / "device", plugin, recordings / "scene.raw", 48000)
    settings = "[budget]\ngovernor = false\n"
    with listening(tmp_path / "device", device, tiny_bundle, 10.0, settings) as run:
        until(lambda: (run.folder / "events.jsonl").is_file() and run.lines(), LIMIT_S, "the first event")
        for n, (before_hz, rate_hz) in enumerate([(48000, 16000), (16000, 24000)], start=1):
            device.fail(str(rate_hz))
            until(lambda n=n: run.stderr.count("is back after") >= n, LIMIT_S, f"recovery at {rate_hz} Hz")
            assert f"microphone 'mic4': got {rate_hz} Hz, after {before_hz} Hz before" in run.stderr
            before = len(run.lines())
            until(lambda before=before: len(run.lines()) > before + 2, LIMIT_S, f"events at {rate_hz} Hz")
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(LIMIT_S) == 0
        for event in run.lines():
            assert event["class"] in {name for _, name in SOUNDS} and event["offset_s"] - event["onset_s"] < 1.15
        onsets_s = [event["onset_s"] for event in run.lines()]
        assert onsets_s == sorted(onsets_s)


@pytest.mark.long
def test_faults_are_recovered_from_in_time(tmp_path, plugin, recordings, tiny_bundle):
    endure(tmp_path, plugin, recordings, tiny_bundle, rounds=1, deadline_s=0.7)


@pytest.mark.long
def test_faults_are_recovered_from_each_time(tmp_path, plugin, recordings, tiny_bundle):
    for fault, measured in endure(tmp_path, plugin, recordings, tiny_bundle, 20, DEADLINE_S).items():
        worst = {name: round(max(values), 2) for name, values in measured.items()}
        mean = {name: round(sum(values) / len(values), 2) for name, values in measured.items()}
        print(f"{fault}, {len(measured['cpu'])} times: worst {worst}, mean {mean}")


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

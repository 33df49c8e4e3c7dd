"""Events of a whole run whose microphone fails as real ones do: an ALSA device of our own, tests/fakemic/fakemic.c."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from edge.audio.microphone import DEADLINE_S, RETRY_S
from tests.edge.audio.fake_device import LIMIT_S, NEAR_S, SCENE_S, Device, children, until
from tests.edge.command_line import without_introduction

FAULTS = ("unplug", "vanish", "freeze")
SOUNDS = ((1.0, "low"), (3.0, "high"))  # of a second each: see `sounds`
TICKS_HZ = os.sysconf("SC_CLK_TCK")


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
from edge.runtime import log_limit
microphone.OPEN_S = {LIMIT_S}  # on a busy machine the process that records may start slowly
log_limit.BURST_LINES = 10**6  # what was lost is read from the log
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

"""What systemd is told, and what SIGHUP changes."""

import os
import signal
import socket
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edge.events.decoder import Decoder, DecodeSettings
from edge.run_settings import MicrophoneSettings, RunSettings, read_settings
from edge.runtime.governor import BudgetSettings, Governor
from edge.runtime.supervision import Reloader, changed_keys, notify, supervised
from edge.types import Event, TrackFrames


@pytest.fixture(params=["path", "abstract"])
def told(request, tmp_path, monkeypatch):
    """What systemd would have received so far."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@seld-edge-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name if name[0] == "/" else "\0" + name[1:])
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)

        def received():
            states = []
            while True:
                try:
                    states.append(systemd.recv(4096).decode())
                except BlockingIOError:
                    return states

        yield received


class Loop:
    """A pipeline whose steps and answers the test moves, and a clock that it turns."""

    def __init__(self):
        self.clock = SimpleNamespace(steps=0)
        self.answers = 0
        self.now_s = 100.0

    def run(self, doings, after=list):
        blocks = supervised(range(len(doings)), self, lambda: "3 events, 0 samples lost", lambda: self.now_s)
        for _, doing in zip(blocks, doings, strict=True):
            steps, answers, seconds = doing
            self.clock.steps += steps
            self.answers += answers
            self.now_s += seconds
            after()


def test_ready_comes_with_the_first_answer_and_life_with_steps(told):
    Loop().run([(0, 0, 1), (1, 0, 1), (1, 1, 1)])
    assert told() == [
        "WATCHDOG=1",
        "READY=1",
        "WATCHDOG=1",
        "STATUS=3 events, 0 samples lost",
        "STOPPING=1",
    ]


def test_time_alone_is_no_sign_of_life(told):
    """A frozen microphone gives empty blocks for an hour."""
    Loop().run([(1, 1, 1)] + [(0, 0, 60)] * 60)
    assert told().count("WATCHDOG=1") == 1


def test_systemd_is_not_told_more_than_it_needs(told):
    states = []
    Loop().run([(1, 1, 0.1)] * 250, lambda: states.extend(told()))  # 25 s; systemd reads as it goes
    assert 20 <= states.count("WATCHDOG=1") <= 26
    assert states.count("READY=1") == 1 and 2 <= sum(state.startswith("STATUS=") for state in states) <= 4


def test_stopping_is_told_when_the_loop_fails_too(told):
    blocks = supervised(iter([1, 2]), Loop(), str)
    next(blocks)
    with pytest.raises(RuntimeError):
        blocks.throw(RuntimeError)
    assert told() == ["STOPPING=1"]


def test_without_systemd_nothing_happens(monkeypatch, caplog):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    assert caplog.text == ""


def test_ready_is_told_again_until_it_was_told(told, monkeypatch):
    name = os.environ["NOTIFY_SOCKET"]
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    Loop().run([(1, 1, 1), (1, 1, 1)], lambda: monkeypatch.setenv("NOTIFY_SOCKET", name))
    assert "READY=1" in told()


def test_a_systemd_that_is_gone_does_not_stop_the_loop(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    notify("READY=1")
    assert "systemd cannot be told 'READY=1': No such file or directory" in caplog.text


# Settings


def reloaded(tmp_path, before, after, caplog):
    """What a reloader applied, and what it said, when the file changes from one text to another."""
    path, applied = tmp_path / "a.toml", []

    def apply(settings):
        DecodeSettings(**settings.decode)
        applied.append(settings)

    path.write_text(before)
    with Reloader(read_settings(path), lambda: read_settings(path), apply) as reloader:
        blocks = reloader.between(range(3))
        next(blocks)
        path.write_text(after)
        os.kill(os.getpid(), signal.SIGHUP)
        next(blocks)
        assert list(blocks) == [2]
    return reloader.settings, applied, caplog.text


def test_thresholds_budget_and_metrics_change_in_flight(tmp_path, caplog):
    after = "metrics_minutes = 1\n[decode]\non = 0.6\n[budget]\nstep_ms = 50\n"
    settings, applied, said = reloaded(tmp_path, "[decode]\non = 0.5\n", after, caplog)
    assert settings == applied[0] and settings.decode == {"on": 0.6} and settings.budget.step_ms == 50.0
    assert "settings read anew: changed metrics_minutes, budget.step_ms, decode.on" in said
    assert "a restart is needed" not in said


def test_what_needs_a_restart_is_named_and_stays(tmp_path, caplog):
    after = 'threads = 2\nsinks = ["null"]\n[microphone]\ndevice = "x"\n[budget]\ngovernor = true\n'
    settings, _, said = reloaded(tmp_path, "", after, caplog)
    assert "a restart is needed for sinks, threads, budget.governor, microphone.device" in said
    assert settings == RunSettings() and "nothing to change" in said


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("threads = = 2", "not valid TOML"),
        ("treads = 2", "got unknown key 'treads'"),
        ("[decode]\non = 0.1", "got on 0.1 and off 0.3"),
        ("[budget]\nstep_ms = 0", "got step_ms 0.0"),
    ],
)
def test_settings_that_make_no_sense_change_nothing(tmp_path, caplog, after, message):
    settings, applied, said = reloaded(tmp_path, "threads = 2", after, caplog)
    assert (settings.threads, settings.decode, applied) == (2, {}, [])
    assert "the settings stay as they were: " in said and message in said


def test_without_a_file_a_hangup_ends_the_program_as_ever():
    before = signal.getsignal(signal.SIGHUP)
    with Reloader(RunSettings(), None, print):
        assert signal.getsignal(signal.SIGHUP) is before


def test_a_reloader_leaves_the_signal_as_it_was():
    before = signal.getsignal(signal.SIGHUP)
    with Reloader(RunSettings(), RunSettings, print):
        assert signal.getsignal(signal.SIGHUP) is not before
    assert signal.getsignal(signal.SIGHUP) is before


def test_changed_keys_are_named_as_in_the_file():
    old = RunSettings(decode={"on": 0.5})
    new = replace(old, decode={"off": 0.2}, array="em32_tetra", microphone=MicrophoneSettings("x", 3.0))
    assert changed_keys(old, new) == ["array", "decode.off", "decode.on", "microphone.device"]
    assert changed_keys(old, old) == []


def test_a_decoder_goes_on_by_other_thresholds():
    """An event that is on stays on; one that would have begun does not."""
    decoder = Decoder(DecodeSettings(on=0.5, off=0.3, smoothing=0.0), ["a", "b"], 0.1)
    front = np.tile(np.array([1, 0, 0], np.float32), (8, 1, 1))

    def heard(activity, start):
        return TrackFrames(np.tile(np.array(activity, np.float32), (8, 1, 1)), front, start)

    items = [*decoder.push(heard([0.6, 0.0], 0))]
    decoder.change(DecodeSettings(on=0.9, off=0.3, smoothing=0.0))
    items += [*decoder.push(heard([0.6, 0.0], 8)), *decoder.push(heard([0.0, 0.6], 16)), *decoder.finish()]
    events = [item for item in items if isinstance(item, Event)]
    assert [(event.name, event.onset_s, event.offset_s) for event in events] == [("a", 0.0, pytest.approx(1.6))]


def test_a_governor_goes_on_by_another_budget():
    levels = []
    governor = Governor(BudgetSettings(step_ms=100.0), ["fine", "coarse"], levels.append)
    for _ in range(30):
        governor.step(60.0)
    assert levels == []
    governor.change(BudgetSettings(step_ms=50.0, window_steps=10, misses=3))
    for _ in range(3):
        governor.step(60.0)
    assert levels == [1]
    assert governor.stats().late_steps == 3

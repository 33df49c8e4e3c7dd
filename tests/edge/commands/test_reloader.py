"""What SIGHUP changes."""

import os
import signal
from dataclasses import replace

import pytest

from edge.commands.reloader import Reloader, changed_keys
from edge.events.decoder import DecodeSettings
from edge.run_settings import MicrophoneSettings, RunSettings, read_settings


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
    assert "settings read again: changed metrics_minutes, budget.step_ms, decode.on" in said
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

"""A process that is killed at random moments loses no event that was emitted."""

import subprocess
import sys

import pytest

from tests.paths import ROOT

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")


def events_taken(folder, kills):
    """The loop, in a process of its own, which has no threads when it forks."""
    words = [sys.executable, "-m", "tests.faults.kills", str(folder), str(kills)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_20_kills(tmp_path):
    assert events_taken(tmp_path, 20) >= 20


@pytest.mark.long
def test_500_kills(tmp_path, capsys):
    taken = events_taken(tmp_path, 500)
    with capsys.disabled():
        print(f"\n500 kills: {taken} events emitted, 0 lost, 0 out of order")

"""The power fails at random moments: nothing older than `sync_s` is lost, and no line is torn after the next start."""

import json
import os
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from edge.outputs.json_lines import JsonLinesSink
from edge.outputs.line_file import LineFileSettings
from edge.outputs.outbox import Outbox
from edge.types import Event
from tests.paths import ROOT

ALLOWED = sys.platform.startswith("linux") and os.geteuid() == 0 and shutil.which("mkfs.ext4") and shutil.which("mount")


def bell(number):
    return Event("bell", float(number), number + 0.5, 30.0, -20.0, 0.9)


def test_simulated_cuts(tmp_path, monkeypatch):
    """What was written after the last flush is cut at a random byte, or its blocks are lost and read as NUL."""
    flushed = {}
    monkeypatch.setattr(os, "fdatasync", lambda fd: flushed.__setitem__(os.readlink(f"/proc/self/fd/{fd}"), None))  # noqa: PTH115
    dice = random.Random()
    path, folder, kept = tmp_path / "events.jsonl", tmp_path / "outbox", 0
    for _ in range(40):
        sink = JsonLinesSink(str(path), lambda onset_s: datetime.now(UTC), LineFileSettings(sync_s=3600.0))
        outbox = Outbox(folder, 10**6)
        for number in range(kept, kept + 5):
            sink.emit(bell(number))
            outbox.append(str(number))
        sink._lines._sync_due_s = 0.0
        sink._lines._work()  # a flush, and what follows it is not on the disk
        outbox.sync()
        assert str(path) in flushed
        files = path, max(folder.glob("*.log"))
        on_disk = [each.stat().st_size for each in files]
        for number in range(kept + 5, kept + 10):
            sink.emit(bell(number))
            outbox.append(str(number))
        sink.close()
        outbox.close()
        for each, size in zip(files, on_disk, strict=True):
            content = each.read_bytes()
            cut = dice.randint(size, len(content))
            nuls = dice.choice([0, len(content) - cut, 4096])
            each.write_bytes(content[:cut] + b"\0" * nuls)
        JsonLinesSink(str(path), None).close()
        outbox = Outbox(folder, 10**6)
        found = [round(json.loads(line)["onset_s"]) for line in path.read_bytes().splitlines()]
        waiting = [int(entry.text) for entry in outbox.pending(0, 10**6)]
        outbox.close()
        for numbers in (found, waiting):
            assert numbers == list(range(len(numbers))) and len(numbers) >= kept + 5, numbers
        kept = max(len(found), len(waiting))
        for number in range(min(len(found), len(waiting)), kept):  # both begin the next round alike
            if len(found) < kept:
                with path.open("a") as file:
                    file.write(json.dumps({"onset_s": float(number)}) + "\n")
            else:
                outbox = Outbox(folder, 10**6)
                outbox.append(str(number))
                outbox.close()


@pytest.mark.long
@pytest.mark.skipif(not ALLOWED, reason="a loop mount needs Linux, root and mkfs.ext4")
def test_200_cuts_of_a_file_system(tmp_path, capsys):
    words = [sys.executable, "-m", "tests.faults.power_cuts", str(tmp_path), "200"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False)
    if "cannot mount an image" in done.stderr:
        pytest.skip("this machine allows no loop mount")
    assert done.returncode == 0, done.stderr
    with capsys.disabled():
        print(f"\n{done.stdout}", end="")

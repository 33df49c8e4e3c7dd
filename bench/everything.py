"""A run with everything on -> the memory of its processes.

The command runs the demo scene over and over in real time, with history, clips, unknown sounds, a sector, a rule and
open pages, which a process that does not count reads.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.steps import demo_sound
from edge.audio.wav import write_wav
from edge.nets.bundle import find_bundle, load_bundle

MOST_MB = 170.0
"""What all processes of such a run may take together."""

_COMMAND = "import sys; from edge.cli import main; sys.exit(main())"
_SERVER = b"edge.page.server"
_START_S = 60.0  # for the page to be there
_SETTINGS = """
source = {sound}
model = {model}
threads = {threads}
realtime = true
sinks = [{events}, "history:"]
[history]
database = {database}
[clips]
folder = {clips}
[page]
enabled = true
port = 0
max_pages = {pages}
[unknown]
enabled = true
[[sector]]
name = "front"
azimuth_deg = [-60.0, 60.0]
[[rule]]
name = "something in front"
sectors = ["front"]
command = ["true"]
"""


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """What one process takes."""

    name: str
    rss_mb: float  # resident memory; pages that it shares with others count in each of them
    pss_mb: float  # the same, but of pages that so many processes share, only that part


def everything_memory(model: str, threads: int, pages: int, seconds: float) -> tuple[ProcessMemory, ...]:
    """Start the command and look at its processes after some time.

    Args:
        model: name or folder of the bundle.
        threads: of the interpreter.
        pages: how many are open.
        seconds: of sound until then: the ring of the clips is full after half a minute.

    Raises:
        ValueError: the command ended, or its page did not come.
    """
    with tempfile.TemporaryDirectory(prefix="seld-edge-bench-") as name:
        bundle, folder = load_bundle(model), Path(name)
        rate_hz = bundle.manifest.stft.sample_rate_hz
        scene = demo_sound(bundle)
        turns = int(np.ceil((seconds + _START_S) * rate_hz / len(scene)))
        write_wav(folder / "sound.wav", np.tile(scene, (turns, 1)), rate_hz)
        named = {
            "sound": folder / "sound.wav",
            "events": f"jsonl:{folder / 'events.jsonl'}",
            "database": folder / "history.db",
            "clips": folder / "clips",
            "model": find_bundle(model).absolute(),
        }
        quoted = {key: json.dumps(str(value)) for key, value in named.items()}
        (folder / "settings.toml").write_text(
            _SETTINGS.format(**quoted, threads=threads, pages=pages), encoding="utf-8"
        )
        words = [sys.executable, "-c", _COMMAND, "run", "--config", str(folder / "settings.toml")]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as run:
            try:
                return _observed(run, pages, seconds)
            finally:
                run.terminate()


def _observed(run: subprocess.Popen[str], pages: int, seconds: float) -> tuple[ProcessMemory, ...]:
    """Open the pages of a run, wait, and measure."""
    assert run.stderr is not None
    said = ""
    for said in run.stderr:
        if "page: open " in said:
            break
    else:
        raise ValueError(f"got no page from a fresh process, wanted one: {said.strip()}")
    port = said.split("page: open ")[1].split()[0].rstrip("/").rpartition(":")[2]
    words = [sys.executable, "-m", "bench.page_reader", port, str(pages)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        try:
            reader.stdout.readline()
            time.sleep(seconds)
            servers = [pid for pid in _children(run.pid) if _SERVER in Path(f"/proc/{pid}/cmdline").read_bytes()]
            return (_memory("loop", run.pid), *(_memory("server of the page", pid) for pid in servers))
        finally:
            reader.kill()


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(each) for task in tasks for each in (task / "children").read_text(encoding="ascii").split()]


def _memory(name: str, pid: int) -> ProcessMemory:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    kilobytes = {words[0]: int(words[1]) for line in text.splitlines()[1:] if len(words := line.split()) == 3}
    return ProcessMemory(name, kilobytes["Rss:"] * 1.024e-3, kilobytes["Pss:"] * 1.024e-3)

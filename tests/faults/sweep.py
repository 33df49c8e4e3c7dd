"""Whole runs of `seld-edge run` with a fault at one call of the operating system, and what became of the events.

`LD_PRELOAD=faults.so FAULT_ROOT=FOLDER python -m tests.faults.sweep CASES RESULTS BUNDLE SCENE PORT` (files of JSON,
JSON lines, a bundle and raw samples) loads
everything once and forks for each case, so that a run takes a fraction of a second. PORT is that of a broker, or of
nobody.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

TIMEOUT_S = 120.0
NOBODY = "1"  # a port at which no broker listens
CONFIG = """
model = "{model}"
source = "-"
sinks = ["jsonl:{root}/events.jsonl", "mqtt:", "history:", "lines:unix:{root}/lines.sock"]
stats = "{root}/stats.json"
[stdin]
sample_rate_hz = 24000
[jsonl]
sync_s = 0.05
max_mb = 0.001
keep = 4
[mqtt]
host = "127.0.0.1"
port = {port}
prefix = "{prefix}"
outbox = "{root}/outbox"
outbox_mb = 0.01
sync_s = 0.05
[history]
database = "{root}/history.db"
sync_s = 0.05
[clips]
folder = "{root}/clips"
pre_s = 0.2
post_s = 0.2
keep = 3
reserve_mb = 0
[prometheus]
{textfile}
every_s = 1
"""


def run_case(case, root, model, pcm, port, shim):
    """Fork, run, and judge. Returns the case with what happened."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    outside = root.parent.parent
    config, errors = outside / "config.toml", outside / "stderr.txt"
    config.write_text(CONFIG.format(model=model, root=root, port=port, prefix=prefix_of(case), textfile=textfile(root)))
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = run_child(case, config, errors, pcm, shim, outside / "seen.json", 0.2 if port == NOBODY else 1.0)
        finally:
            os._exit(code)
    began_s = time.monotonic()
    code = wait_for(pid, root / "lines.sock")
    done = dict(case, code=code, wall_s=round(time.monotonic() - began_s, 2), stderr=errors.read_text())
    with contextlib.suppress(FileNotFoundError):
        done |= json.loads((outside / "seen.json").read_text())
        (outside / "seen.json").unlink()
    found = {
        "events": events_in(root),
        "waiting": outbox_of(root / "outbox"),
        "history": history_of(root / "history.db"),
    }
    return done | found | {"clips": clips_in(root / "clips")}


def prefix_of(case):
    """The first levels of the topics of a case, each of which has its own."""
    return "case/" + "/".join(str(case[name]) for name in ("first", "count", "errno"))


def textfile(root):
    try:
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError:
        return ""
    return f'textfile = "{root}/metrics.prom"'


def run_child(case, config, errors, pcm, shim, seen, close_s):
    import edge.outputs.mqtt
    import edge.outputs.mqtt_link
    from edge.cli import main

    edge.outputs.mqtt.CLOSE_S = close_s
    edge.outputs.mqtt_link.MIN_DELAY_S = 0.05
    for fd, path, flags in ((0, pcm, os.O_RDONLY), (2, errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
        os.dup2(os.open(path, flags, 0o600), fd)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    shim.fault_arm(case["first"], case["count"], case["errno"])
    code = main(["run", "--config", str(config)])
    shim.fault_disarm()
    count = shim.fault_seen()
    seen.write_text(json.dumps({"seen": count, "calls": [shim.fault_name(n).decode() for n in range(1, count + 1)]}))
    return code


def wait_for(pid, path):
    """Wait for a child, as a client of its line server. Returns its exit code; -9 if it had to be killed."""
    client, end_s = None, time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            if client:
                client.close()
            return os.waitstatus_to_exitcode(status)
        if client is None and path.exists():
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            with contextlib.suppress(OSError):
                client.connect(str(path))
        with contextlib.suppress(OSError):
            if client and client.recv(65536) == b"":
                client.setblocking(False)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -9


def events_in(root):
    """Onsets of the events in the file and its rotated ones, in order; None stands for a torn line.

    A line that could be neither completed nor removed, as the disk refused both, is cut off by the next start.
    """
    from edge.outputs.json_lines import JsonLinesSink

    path = root / "events.jsonl"
    if path.exists():
        JsonLinesSink(str(path), None).close()
    rotated = sorted(root.glob("events.jsonl.[0-9]*"), key=lambda each: -int(each.suffix[1:]))
    onsets = []
    for each in [*rotated, *([path] if path.exists() else [])]:
        for line in each.read_bytes().split(b"\n")[:-1]:
            try:
                onsets.append(json.loads(line)["onset_s"])
            except (ValueError, KeyError):
                onsets.append(None)
    return onsets


def outbox_of(folder):
    """Onsets of the events that wait in an outbox, after a restart."""
    from edge.outputs.outbox import Outbox

    if not folder.exists():
        return []
    outbox = Outbox(folder, 10**7)
    found = [json.loads(entry.text)["onset_s"] for entry in outbox.pending(0, 10**6)]
    outbox.close()
    return found


def history_of(path):
    """Onsets of the events in a history, after a restart."""
    from edge.outputs.history import HistorySink
    from edge.outputs.history_reader import open_history
    from edge.outputs.history_settings import HistorySettings

    HistorySink(HistorySettings(str(path)), None).close()
    with open_history(path) as history:
        return [event.onset_s for event in history.events()]


def clips_in(folder):
    """Names of the clips, and of all files that are none or damaged, with a question mark."""
    from edge.audio.audio_file import open_audio_file

    names = []
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        try:
            whole = sum(len(block) for block in open_audio_file(path).blocks(4096)) > 0
        except ValueError:
            whole = path.name.endswith(".part")  # which the next start removes
        names.append(path.name if whole else f"{path.name}?")
    return names


def lost_lines(stderr, name):
    """How many lines the log says that a sink lost."""
    return sum(
        int(count)
        for count in re.findall(rf"{name}\S*: (\d+) (?:lines|events) could not be written and are lost", stderr)
    )


def verdict(done, expected):
    """What is wrong with a case; empty if nothing is.

    Args:
        done: from `run_case`.
        expected: onsets of all events, of a run without faults.
    """
    wrong = []
    lines = [line for line in done["stderr"].splitlines() if line.startswith("seld-edge: ")]
    if done["code"] not in (0, 2) or "Traceback" in done["stderr"] or len(lines) != (done["code"] == 2):
        wrong.append(f"ended with {done['code']} and {len(lines)} lines about it")
    sent = [*dict.fromkeys([*done.get("received", []), *done["waiting"]])]  # an event may be sent twice
    wrong += [f"clips: {name}" for name in done["clips"] if name.endswith("?")]
    for name, found in (("sink jsonl:", done["events"]), ("outbox ", sent), ("sink history", done["history"])):
        if None in found or found != sorted(set(found)):
            wrong.append(f"{name}: torn, repeated or out of order: {found}")
        missing = [onset for onset in expected if onset not in found]
        lost = lost_lines(done["stderr"], name)
        if done["code"] == 2 and not re.search(r"seld-edge: stats: ", done["stderr"]):  # it ended early
            missing = [onset for onset in missing if found and onset < found[-1]]
            lost = max(lost, len(missing)) if "lost" in done["stderr"] else lost
        if len(missing) > lost:
            wrong.append(f"{name}: {len(missing)} events are missing, {lost} were counted")
    return wrong


def main():
    cases, out, model, pcm, port = sys.argv[1:6]
    from edge.cli import set_blas_threads

    set_blas_threads()
    from edge.nets.bundle import load_bundle

    for name in ("commands.live", "outputs.metrics_file", "outputs.metrics_collector", "outputs.metrics_server"):
        importlib.import_module(f"edge.{name}")  # what a run needs
    for name in ("outputs.history", "outputs.history_reader"):
        importlib.import_module(f"edge.{name}")
    for name in ("prometheus_client", "paho.mqtt.client", "soundfile"):
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    load_bundle(model).nets(1)
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    shim.fault_name.restype = ctypes.c_char_p
    shim.fault_seen.restype = ctypes.c_long
    shim.fault_arm.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_int]
    root = Path(os.environ["FAULT_ROOT"]) / "run"
    with Path(out).open("w") as results:
        for case in json.loads(Path(cases).read_text()):
            print(json.dumps(run_case(case, root, model, pcm, port, shim)), file=results, flush=True)


if __name__ == "__main__":
    main()

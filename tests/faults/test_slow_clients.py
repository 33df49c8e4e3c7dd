"""1,100 slow clients on each port: the run does not notice, and whoever was served before is served still."""

import contextlib
import json
import resource
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edge.audio.wav import write_wav
from tests.edge.command_line import SELD_EDGE

pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
mqtt_broker = pytest.importorskip("tests.edge.mqtt_broker", reason="paho-mqtt is not installed")

CLIENTS = 1100
DESCRIPTORS = 256  # that the attacked process may have
LATEST_S = 60.0
PAIRS = 5  # of runs with and without slow clients, at the same time: other programs disturb both alike
CONFIG = """
model = "{model}"
source = "{folder}/scene.wav"
realtime = true
sinks = ["jsonl:{folder}/events.jsonl", "lines:tcp:{lines}"]
stats = "{folder}/stats.json"
[prometheus]
port = {metrics}
"""


class SlowClients:
    """Connections to a port that send a byte now and then and never read. They end by themselves after LATEST_S."""

    def __init__(self, port, count):
        self._sockets = []
        for _ in range(count):
            client = socket.socket()
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                client.connect(("127.0.0.1", port))
            self._sockets.append(client)
        self._end_s = time.monotonic() + LATEST_S

    def drip(self):
        assert time.monotonic() < self._end_s
        for client in self._sockets:
            with contextlib.suppress(OSError):  # refused, or still connecting
                client.send(b"G")

    def close(self):
        for client in self._sockets:
            client.close()


def attacked_run(folder, model, clients):
    """Run in real time with slow clients on both ports. Returns statistics, log, events, and most descriptors."""
    lines, metrics = mqtt_broker.free_port(), mqtt_broker.free_port()
    config = folder / "config.toml"
    config.write_text(CONFIG.format(model=model, folder=folder, lines=lines, metrics=metrics))
    (folder / "events.jsonl").unlink(missing_ok=True)
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS})); "
    words = [SELD_EDGE[0], "-c", limit + SELD_EDGE[2], "run", "--config", str(config)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as child, contextlib.ExitStack() as stack:
        honest = None
        while honest is None:
            with contextlib.suppress(ConnectionRefusedError):
                honest = stack.enter_context(socket.create_connection(("127.0.0.1", lines), 30.0))
            time.sleep(0.05)
        slow = [SlowClients(port, clients) for port in (lines, metrics)]
        most = 0
        while child.poll() is None:
            for each in slow:
                each.drip()
            with contextlib.suppress(FileNotFoundError):
                most = max(most, len(list(Path(f"/proc/{child.pid}/fd").iterdir())))
            time.sleep(0.5)
        log = child.stderr.read()
        for each in slow:
            each.close()
        served = honest.makefile().read().splitlines()
    assert child.returncode == 0, log
    events = (folder / "events.jsonl").read_text().splitlines()
    assert served == events
    return json.loads((folder / "stats.json").read_text()), log, events, most


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are counted in /proc")
def test_slow_clients_are_not_noticed(tmp_path, sounds, tiny_bundle, capsys):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * CLIENTS:
        pytest.skip(f"this user may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (3 * CLIENTS, hard))
    p95_ms = []
    try:
        for number in range(PAIRS):
            runs = run_pair(tmp_path / str(number), np.tile(sounds, (2, 1)), tiny_bundle)
            for stats, log, events, most in runs:
                assert len(events) == 4 and stats["governor"]["late_steps"] == 0
                assert most < 128 and log.count("refused clients") <= 4, log
            p95_ms.append([stats["step"]["p95_ms"] for stats, *_ in runs])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    ratio = float(np.median([attacked_ms / quiet_ms for quiet_ms, attacked_ms in p95_ms]))
    with capsys.disabled():
        print(
            f"\n2 x {CLIENTS} slow clients: at most {most} descriptors, {log.count('refused clients')} log lines, "
            f"p95 of a step {ratio:.2f} times that of a run beside it without clients: median of {p95_ms} ms"
        )
    assert ratio < 1.2


def run_pair(folder, samples, model):
    """A run without slow clients and one with them, at the same time. Returns what `attacked_run` does for both."""
    folders = [folder / name for name in ("quiet", "attacked")]
    for each in folders:
        each.mkdir(parents=True)
        write_wav(each / "scene.wav", samples, 24000)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(attacked_run, folders, (model, model), (0, CLIENTS)))

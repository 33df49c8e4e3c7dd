import logging
import re
import socket
import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from edge.outputs.prometheus import CONTENT_TYPE, MetricsFile, MetricsServer, exposition
from edge.runtime.governor import GovernorStats
from edge.runtime.statistics import MachineStats, RunStats
from edge.stage_clock import Timing

STATS = RunStats(
    steps=1000,
    answers=500,
    missed_steps=3,
    lost_samples=2400,
    governor=GovernorStats(2, 150.0, 1, "1 track", {"2 tracks": 90.0, "1 track": 10.0}),
    step=Timing(1000, 1.5, 2.5, 3.5, 9.0),
    answer=Timing(500, 2.0, 3.0, 4.0, 9.0),
    stages={"stft": Timing(1000, 0.25, 0.5, 0.75, 1.0)},
    events={"bell": 4, 'a "b"\\\n': 1},
    dropped={"mqtt:": 7, "jsonl:-": 0},
    machine=MachineStats(51.5, 138.25),
)
SAMPLE = re.compile(r'(seld_edge_[a-z_]+)(\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z]+="[^"]*")*\})? (\S+)')


def samples(text):
    """Name and labels -> value, of a text whose every line is one of the format's."""
    found, declared = {}, {}
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            declared.setdefault(name, []).append((word, rest))
        else:
            match = SAMPLE.fullmatch(line)
            assert match and match[1] in declared, line
            found[match[1].removeprefix("seld_edge_") + (match[2] or "")] = float(match[3])
    for name, words in declared.items():
        assert [word for word, _ in words] == ["HELP", "TYPE"]
        assert words[1][1] == ("counter" if name.endswith("_total") else "gauge")
    return found


def test_every_metric():
    found = samples(exposition(STATS))
    assert found == {
        "steps_total": 1000,
        "steps_missed_total": 3,
        "answers_total": 500,
        "lost_samples_total": 2400,
        'events_total{class="bell"}': 4,
        'events_total{class="a \\"b\\"\\\\\\n"}': 1,
        'dropped_total{sink="mqtt:"}': 7,
        'dropped_total{sink="jsonl:-"}': 0,
        'step_seconds{quantile="0.5"}': 0.0015,
        'step_seconds{quantile="0.95"}': 0.0025,
        'step_seconds{quantile="0.99"}': 0.0035,
        'step_seconds{quantile="1"}': 0.009,
        'answer_seconds{quantile="0.5"}': 0.002,
        'answer_seconds{quantile="0.95"}': 0.003,
        'answer_seconds{quantile="0.99"}': 0.004,
        'answer_seconds{quantile="1"}': 0.009,
        'stage_seconds{stage="stft",quantile="0.5"}': 0.00025,
        'stage_seconds{stage="stft",quantile="0.95"}': 0.0005,
        'stage_seconds{stage="stft",quantile="0.99"}': 0.00075,
        'stage_seconds{stage="stft",quantile="1"}': 0.001,
        "temperature_celsius": 51.5,
        "resident_memory_bytes": 138250000,
        "steps_late_total": 2,
        "most_late_seconds": 0.15,
        "quality_changes_total": 1,
        'quality_level{level="2 tracks"}': 0,
        'quality_level{level="1 track"}': 1,
        'quality_seconds_total{level="2 tracks"}': 90,
        'quality_seconds_total{level="1 track"}': 10,
    }


def test_what_is_not_known_is_left_out():
    found = samples(exposition(replace(STATS, governor=None, machine=MachineStats(None, 1.0))))
    assert "temperature_celsius" not in found and not any("quality" in name or "late" in name for name in found)


def test_large_counts_are_exact():
    assert samples(exposition(replace(STATS, lost_samples=987_654_321_098)))["lost_samples_total"] == 987_654_321_098


def get(server, path="/metrics"):
    return urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=300.0)


def test_the_endpoint():
    stats = STATS
    with MetricsServer("127.0.0.1", 0, lambda: stats) as server:
        with get(server) as answer:
            assert answer.headers["Content-Type"] == CONTENT_TYPE
            assert answer.read().decode() == exposition(STATS)
        stats = replace(STATS, steps=1001)
        with get(server, "/metrics?x=1") as answer:
            assert samples(answer.read().decode())["steps_total"] == 1001
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(server, "/")
    with pytest.raises(urllib.error.URLError, match="refused"):
        get(server)


def test_clients_that_hang_or_go_disturb_nobody(capfd):
    with MetricsServer("127.0.0.1", 0, lambda: STATS) as server:
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address) as silent, socket.create_connection(address) as rude:
            rude.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            rude.close()
            silent.sendall(b"GET")
            for _ in range(3):
                with get(server) as answer:
                    assert answer.status == 200
    assert capfd.readouterr() == ("", "")


def test_a_port_in_use():
    with MetricsServer("127.0.0.1", 0, lambda: STATS) as server:
        message = rf"^prometheus: 127\.0\.0\.1:{server.port}: Address already in use$"
        with pytest.raises(OSError, match=message):
            MetricsServer("127.0.0.1", server.port, lambda: STATS)
    for host in ("no.such.host.invalid", "\ue000"):
        with pytest.raises(OSError, match=rf"^prometheus: {re.escape(host)}:0: .+$"):
            MetricsServer(host, 0, lambda: STATS)


def test_the_file_is_whole_at_any_time(tmp_path):
    steps = 0

    def stats():
        nonlocal steps
        steps += 1
        return replace(STATS, steps=steps)

    path = tmp_path / "seld.prom"
    seen = []
    with MetricsFile(str(path), 0.01, stats):
        end_s = time.monotonic() + 300.0
        while len(set(seen)) < 4 and time.monotonic() < end_s:
            seen.append(samples(path.read_text())["steps_total"])
    assert len(set(seen)) >= 4 and seen == sorted(seen)
    assert samples(path.read_text())["steps_total"] == steps  # the last one
    assert [path.name for path in tmp_path.iterdir()] == ["seld.prom"] and path.stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_written(tmp_path, caplog):
    """At first it is an error, later a line in the log, until it can be again."""
    folder = tmp_path / "there"
    with pytest.raises(OSError, match=rf"^prometheus: {folder}/a\.prom: No such file or directory$"):
        MetricsFile(str(folder / "a.prom"), 1.0, lambda: STATS)
    folder.mkdir()
    with caplog.at_level(logging.WARNING), MetricsFile(str(folder / "a.prom"), 0.01, lambda: STATS):
        folder.rename(tmp_path / "away")
        end_s = time.monotonic() + 300.0
        while not caplog.records and time.monotonic() < end_s:
            time.sleep(0.01)
        time.sleep(0.1)
        (tmp_path / "away").rename(folder)
    assert [record.getMessage() for record in caplog.records] == [
        f"prometheus: {folder}/a.prom: No such file or directory"
    ]
    assert samples((folder / "a.prom").read_text())

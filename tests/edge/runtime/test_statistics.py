import json
from types import SimpleNamespace

import pytest

from edge.runtime.budget import BudgetSettings
from edge.runtime.governor import Governor
from edge.runtime.statistics import RunMonitor, StatsFile
from edge.stage_clock import StageClock
from edge.types import Event
from tests.edge.disk import full_disk


def monitored(governed):
    """A run of two steps that took 10 and 200 ms; one event of two was dropped."""
    times = iter([0, 0, 10_000_000, 10_000_000, 210_000_000])
    clock = StageClock(100.0, now_ns=lambda: next(times))
    governor = Governor(BudgetSettings(), ["2 tracks"], lambda level: None) if governed else None
    for _ in range(2):
        clock.begin()
        clock.lap("stft")
        spent_ms = clock.end(answered=True)
        if governor:
            governor.step(spent_ms)
    monitor = RunMonitor(SimpleNamespace(clock=clock, governor=governor, answers=2, lost_samples=480, sound_level=None))
    monitor.sinks |= {
        "mqtt:": SimpleNamespace(dropped=1, alive=False),
        "jsonl:-": SimpleNamespace(dropped=0, alive=True),
    }
    monitor.reports["metrics page"] = SimpleNamespace(alive=True)
    for _ in range(2):
        monitor.counter.emit(Event("bell", 0.0, 1.0, 2.0, 3.0, 0.5))
    return monitor


def test_what_a_run_came_to():
    stats = monitored(True).stats()
    assert (stats.steps, stats.missed_steps, stats.answers, stats.lost_samples) == (2, 1, 2, 480)
    assert (stats.events, stats.dropped) == ({"bell": 2}, {"mqtt:": 1, "jsonl:-": 0})
    assert stats.workers == {"mqtt:": False, "jsonl:-": True, "metrics page": True}
    assert 10.0 < stats.machine.rss_mb < 10_000.0
    assert (
        "480 samples lost; 1 dropped by mqtt:; mqtt: does not work; step p50" in stats.line()
        and "jsonl" not in stats.line()
    )
    assert json.loads(stats.to_json())["stages"]["stft"]["max_ms"] == 200.0


def test_health():
    health = monitored(True).health()
    assert (health["steps"], health["lost_samples"], health["dropped"], health["level"]) == (2, 480, 1, "2 tracks")
    assert health["late_steps"] >= 1 and health["dead_workers"] == 1
    assert monitored(True).status() == "2 events, 480 samples lost, 2 tracks, mqtt: does not work"
    assert (monitored(False).health()["late_steps"], monitored(False).health()["level"]) == (0, None)


def test_a_statistics_file_on_a_disk_that_cannot_be_written(tmp_path, caplog):
    """That ends no run at its start; at its end it is an error. A path that cannot exist is one at the start."""
    path, stats = tmp_path / "a.json", monitored(False).stats
    with full_disk():
        file = StatsFile(str(path), stats)
    with file:
        assert not path.exists()
    assert json.loads(path.read_text())["steps"] == 2
    assert caplog.messages == [f"stats: {path}: File too large: it is tried again at the end"]
    with pytest.raises(OSError, match=rf"^stats: {path}: File too large$"), StatsFile(str(path), stats) as file:
        limit = full_disk()
        limit.__enter__()
    limit.__exit__(None, None, None)
    with pytest.raises(OSError, match=r"^stats: /nowhere/a: No such file or directory$"):
        StatsFile("/nowhere/a", stats)

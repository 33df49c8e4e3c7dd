import logging
import time
from dataclasses import replace

import pytest

from edge.outputs.metrics_collector import metrics_registry
from edge.outputs.metrics_file import MetricsFile
from tests.edge.disk import full_disk
from tests.edge.outputs.run_stats import DEVICE, STATS

pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")


def steps_in(path):
    text = path.read_text()
    assert text.endswith("\n") and "seld_edge_quality_seconds_total" in text  # whole, to the last metric
    return float(next(line for line in text.splitlines() if line.startswith("seld_edge_steps_total ")).split()[1])


def test_the_file_is_whole_at_any_time(tmp_path):
    steps = 0

    def stats():
        nonlocal steps
        steps += 1
        return replace(STATS, steps=steps)

    path = tmp_path / "seld.prom"
    seen = []
    with MetricsFile(str(path), 0.01, metrics_registry(stats, DEVICE)):
        end_s = time.monotonic() + 60.0
        while len(set(seen)) < 4 and time.monotonic() < end_s:
            seen.append(steps_in(path))
    assert len(set(seen)) >= 4 and seen == sorted(seen)
    assert steps_in(path) == steps  # the last one
    assert [path.name for path in tmp_path.iterdir()] == ["seld.prom"] and path.stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_written(tmp_path, caplog):
    """At first it is an error, later a line in the log, until it can be written again."""
    folder, registry = tmp_path / "there", metrics_registry(lambda: STATS, DEVICE)
    with pytest.raises(OSError, match=rf"^metrics: {folder}/a\.prom: No such file or directory$"):
        MetricsFile(str(folder / "a.prom"), 1.0, registry)
    folder.mkdir()
    with caplog.at_level(logging.WARNING), MetricsFile(str(folder / "a.prom"), 0.01, registry):
        folder.rename(tmp_path / "away")
        end_s = time.monotonic() + 60.0
        while not caplog.records and time.monotonic() < end_s:
            time.sleep(0.01)
        time.sleep(0.1)
        (tmp_path / "away").rename(folder)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f"metrics: {folder}/a.prom: No such file or directory"]
    assert steps_in(folder / "a.prom") == 1000


def test_a_start_on_a_disk_that_cannot_be_written(tmp_path, caplog):
    """The run starts all the same, and the file is there as soon as the disk can be written."""
    path, registry = tmp_path / "a.prom", metrics_registry(lambda: STATS, DEVICE)
    with full_disk():
        file = MetricsFile(str(path), 0.01, registry)
    with file:
        end_s = time.monotonic() + 60.0
        while not path.exists() and time.monotonic() < end_s:
            time.sleep(0.01)
        assert file.alive
    assert steps_in(path) == 1000
    assert caplog.messages == [f"metrics: {path}: File too large"]

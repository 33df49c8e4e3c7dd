"""The metrics, as the parsers of Prometheus' own client library and `promtool` read them."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from edge import __version__
from edge.outputs.metrics import PrometheusSettings, published_metrics
from edge.outputs.metrics_collector import metrics_registry
from edge.runtime.statistics import MachineStats
from tests.edge.outputs.run_stats import DEVICE, STATS

prometheus_client = pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
from prometheus_client.openmetrics import exposition as openmetrics_exposition  # noqa: E402
from prometheus_client.openmetrics import parser as openmetrics_parser  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")


def exposition(stats=STATS):
    return prometheus_client.generate_latest(metrics_registry(lambda: stats, DEVICE)).decode()


def samples(families):
    """Sample name and labels -> value."""
    return {
        (sample.name.removeprefix("seld_edge_"), *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def quantiles(name, *values, **labels):
    return {
        (name, *sorted({**labels, "quantile": quantile}.items())): value
        for quantile, value in zip(("0.5", "0.95", "0.99", "1.0"), values, strict=True)
    }


EVERYTHING = {
    ("info", ("array", "foa"), ("model", "coloc-edge"), ("version", __version__)): 1,
    ("steps_total",): 1000,
    ("steps_over_budget_total",): 3,
    ("answers_total",): 500,
    ("lost_samples_total",): 2400,
    ("repaired_samples_total",): 5,
    ("faulty_channel", ("channel", "2"), ("fault", "silent")): 1,
    ("events_total", ("class", "bell")): 4,
    ("events_total", ("class", 'a "b"\\\n')): 1,
    ("sector_events_total", ("sector", "door")): 2,
    ("event_updates_total", ("phase", "begin")): 4,
    ("event_updates_total", ("phase", "discarded")): 1,
    ("sink_dropped_items_total", ("sink", "mqtt:")): 7,
    ("sink_dropped_items_total", ("sink", "jsonl:-")): 0,
    ("worker_alive", ("worker", "mqtt:")): 0,
    ("worker_alive", ("worker", "jsonl:-")): 1,
    **quantiles("step_duration_seconds", 0.0015, 0.0025, 0.0035, 0.009),
    **quantiles("answer_step_duration_seconds", 0.002, 0.003, 0.004, 0.009),
    **quantiles("stage_duration_seconds", 0.00025, 0.0005, 0.00075, 0.001, stage="stft"),
    **quantiles("stage_duration_seconds", 0.00125, 0.0015, 0.00175, 0.002, stage="nets"),
    ("temperature_celsius",): 51.5,
    ("resident_memory_bytes",): 138250000,
    ("sound_level_db",): -31.5,
    ("late_steps_total",): 2,
    ("max_lateness_seconds",): 0.15,
    ("quality_changes_total",): 1,
    ("quality_level", ("level", "2 tracks")): 0,
    ("quality_level", ("level", "1 track")): 1,
    ("quality_seconds_total", ("level", "2 tracks")): 90,
    ("quality_seconds_total", ("level", "1 track")): 10,
}


def test_every_metric_in_the_text_format():
    families = list(text_string_to_metric_families(exposition()))
    assert samples(families) == EVERYTHING
    for family in families:
        kinds = {True: "counter", False: "gauge"}
        expected = "summary" if "duration" in family.name else kinds[family.samples[0].name.endswith("_total")]
        assert family.type == expected and family.documentation.endswith("."), family
        assert ":" not in family.name and family.name.startswith("seld_edge_")


def test_every_metric_in_openmetrics():
    text = openmetrics_exposition.generate_latest(metrics_registry(lambda: STATS, DEVICE)).decode()
    families = list(openmetrics_parser.text_string_to_metric_families(text))
    assert samples(families) == EVERYTHING
    assert families[0].type == "info"


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_has_no_complaints():
    def checked(text):
        done = subprocess.run(
            [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout, done.stderr

    assert checked(exposition()) == (0, "", "")
    code, _, complaints = checked(exposition().replace("step_duration_seconds summary", "step_duration_seconds gauge"))
    assert code != 0 and 'should not have "quantile" label' in complaints  # so it was when the quantiles were gauges


def test_unknown_values_are_left_out():
    text = exposition(replace(STATS, governor=None, machine=MachineStats(None, 1.0)))
    names = {name for name, *_ in samples(text_string_to_metric_families(text))}
    assert "temperature_celsius" not in names and not any("quality" in name or "late" in name for name in names)


def test_large_counts_are_exact():
    families = text_string_to_metric_families(exposition(replace(STATS, lost_samples=987_654_321_098)))
    assert samples(families)[("lost_samples_total",)] == 987_654_321_098


def test_statistics_are_read_when_metrics_are_collected_and_only_then():
    asked = []

    def stats():
        asked.append(1)
        return replace(STATS, steps=len(asked))

    registry = metrics_registry(stats, DEVICE)
    assert not asked
    for steps in (1, 2):
        text = prometheus_client.generate_latest(registry).decode()
        assert samples(text_string_to_metric_families(text))[("steps_total",)] == steps == len(asked)


def test_settings_decide_what_is_published(tmp_path, monkeypatch):
    path = tmp_path / "a.prom"
    with published_metrics(PrometheusSettings(textfile=str(path)), lambda: STATS, DEVICE):
        assert "seld_edge_steps_total 1000.0\n" in path.read_text()
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with published_metrics(PrometheusSettings(), lambda: STATS, DEVICE):
        pass  # which needs no library
    message = r"^prometheus_client is not installed: pip install prometheus_client$"
    with (
        pytest.raises(ValueError, match=message),
        published_metrics(PrometheusSettings(port=9), lambda: STATS, DEVICE),
    ):
        pass

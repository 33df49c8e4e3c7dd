"""Statistics of a run -> a registry of metrics in the types of Prometheus' client library.

Names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/). The statistics are read when the
metrics are collected; nothing is computed in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

from edge import __version__
from edge.outputs.device_info import DeviceInfo
from edge.runtime.statistics import RunStats
from edge.stage_clock import Timing

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

PREFIX = "seld_edge_"

Sample = tuple[str, Mapping[str, str], float]
"""Suffix of the name, labels, value."""


def metrics_registry(stats: Callable[[], RunStats], device: DeviceInfo) -> CollectorRegistry:
    """Return a registry whose metrics are read from the statistics each time that they are collected.

    Args:
        stats: gives the current statistics of a run.
        device: model and array of the run.

    Raises:
        ValueError: prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry
    except ModuleNotFoundError:
        raise ValueError("prometheus_client is not installed: pip install prometheus_client") from None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(cast("Collector", _RunCollector(stats, device)))  # only its `collect` is used
    return registry


class _RunCollector:
    """Gives a registry the metrics of a run."""

    def __init__(self, stats: Callable[[], RunStats], device: DeviceInfo) -> None:
        self._stats = stats
        self._device = device

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics. What is not known is left out."""
        from prometheus_client.core import InfoMetricFamily

        stats = self._stats()
        about = {"version": __version__, "model": self._device.model, "array": self._device.array}
        yield InfoMetricFamily("seld_edge", "Version of seld-edge, bundle and array profile.", value=about)
        yield _counter("steps", "Processed steps; a step is one label frame of 100 ms.", stats.steps)
        yield _counter("steps_over_budget", "Steps that took longer than their budget.", stats.missed_steps)
        yield _counter("answers", "Answers that the system gave.", stats.answers)
        yield _counter("lost_samples", "Samples per channel that were lost before processing.", stats.lost_samples)
        repaired = "Samples of a live source that were no numbers or far beyond full scale."
        yield _counter("repaired_samples", repaired, stats.repaired_samples)
        faults = [
            ("", {"channel": str(channel), "fault": fault}, 1.0) for channel, fault in stats.faulty_channels.items()
        ]
        yield _metric("faulty_channel", "gauge", "1 for a channel that is silent or clipped all the time.", faults)
        yield _counters("events", "Finished events by class.", "class", stats.events)
        yield _counters("sector_events", "Finished events by sector.", "sector", stats.sectors)
        yield _counters("event_updates", "What was told of unfinished events, by phase.", "phase", stats.updates)
        yield _counters("sink_dropped_items", "Events and rows that a sink could not deliver.", "sink", stats.dropped)
        workers = [("", {"worker": name}, float(alive)) for name, alive in stats.workers.items()]
        yield _metric("worker_alive", "gauge", "1 while a sink or another output works, 0 if it does not.", workers)
        window = "over the last 10,000 steps"
        yield _summary("step_duration_seconds", f"Computing time of a step, {window}.", [({}, stats.step)])
        answers = f"Computing time of a step with an answer, {window}."
        yield _summary("answer_step_duration_seconds", answers, [({}, stats.answer)])
        stages = (({"stage": name}, timing) for name, timing in stats.stages.items())
        yield _summary("stage_duration_seconds", f"Computing time of a stage in a step, {window}.", stages)
        if stats.machine.temperature_c is not None:
            yield _gauge("temperature_celsius", "Temperature of the processor.", stats.machine.temperature_c)
        if stats.machine.rss_mb is not None:
            yield _gauge("resident_memory_bytes", "Resident memory of the process.", stats.machine.rss_mb * 1e6)
        if stats.sound_level_db is not None:
            yield _gauge("sound_level_db", "A-weighted sound level in dB, plus level.offset_db.", stats.sound_level_db)
        if (governor := stats.governor) is not None:
            yield _counter("late_steps", "Steps that ended too long after their sound.", governor.late_steps)
            lateness = "Longest time from a sound to the end of its step."
            yield _gauge("max_lateness_seconds", lateness, governor.most_late_ms / 1e3)
            yield _counter("quality_changes", "Changes of the quality level.", governor.changes)
            levels = [("", {"level": level}, float(level == governor.level)) for level in governor.seconds_at]
            yield _metric("quality_level", "gauge", "1 for the current quality level, 0 for the others.", levels)
            yield _counters("quality_seconds", "Time at each quality level.", "level", governor.seconds_at)


def _metric(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Metric:
    """Make a metric. `_total` and the like are part of the samples, not of its name."""
    from prometheus_client.core import Metric

    metric = Metric(PREFIX + name, text, kind)
    for suffix, labels, value in samples:
        metric.add_sample(metric.name + suffix, dict(labels), value)
    return metric


def _counter(name: str, text: str, value: float) -> Metric:
    return _metric(name, "counter", text, [("_total", {}, value)])


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    return _metric(name, "counter", text, [("_total", {label: key}, value) for key, value in values.items()])


def _gauge(name: str, text: str, value: float) -> Metric:
    return _metric(name, "gauge", text, [("", {}, value)])


def _summary(name: str, text: str, timings: Iterable[tuple[Mapping[str, str], Timing]]) -> Metric:
    """Quantiles of times; the statistics keep no sums, so a summary has neither `_sum` nor `_count`."""
    samples: list[Sample] = []
    for labels, timing in timings:
        by_quantile = {"0.5": timing.p50_ms, "0.95": timing.p95_ms, "0.99": timing.p99_ms, "1.0": timing.max_ms}
        samples += [("", {**labels, "quantile": quantile}, ms / 1e3) for quantile, ms in by_quantile.items()]
    return _metric(name, "summary", text, samples)

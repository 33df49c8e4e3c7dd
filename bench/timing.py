"""Calls -> how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edge.stage_clock import Timing


def timing(times_s: Sequence[float]) -> Timing:
    """Percentiles of times in seconds. Raises ValueError if there are none."""
    if not len(times_s):
        raise ValueError("got no times, wanted at least one")
    p50, p95, p99, most = (float(ms) for ms in np.percentile(np.asarray(times_s) * 1e3, [50, 95, 99, 100]))
    return Timing(len(times_s), p50, p95, p99, most)


def measure(calls: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, list[float]]:
    """Times in seconds of each call. They run in turn, so that a disturbance meets all; the first round is left out."""
    times_s: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repetitions + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times_s[name].append(time.perf_counter() - began)
    return {name: times[1:] for name, times in times_s.items()}


def as_json(times: Timing) -> dict[str, float]:
    """In milliseconds, for a report."""
    return {name: round(getattr(times, f"{name}_ms"), 4) for name in ("p50", "p95", "p99", "max")}

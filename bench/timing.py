"""Calls -> the times that they take, and percentiles of times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edge.stage_clock import Timing


def timing(times_s: Sequence[float]) -> Timing:
    """Return percentiles of times in seconds.

    Raises:
        ValueError: there are no times.
    """
    if not len(times_s):
        raise ValueError("got no times, wanted at least one")
    p50, p95, p99, most = (float(ms) for ms in np.percentile(np.asarray(times_s) * 1e3, [50, 95, 99, 100]))
    return Timing(len(times_s), p50, p95, p99, most)


def measure(calls: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, list[float]]:
    """Measure calls in turn, so that a disturbance meets all of them; the first round is not timed.

    Args:
        calls: by name.
        repetitions: of each call.

    Returns:
        The times of each call in seconds, by name.
    """
    times_s: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repetitions + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times_s[name].append(time.perf_counter() - began)
    return {name: times[1:] for name, times in times_s.items()}


def as_json(times: Timing) -> dict[str, float]:
    """Return percentiles in milliseconds, for a report."""
    return {name: round(getattr(times, f"{name}_ms"), 4) for name in ("p50", "p95", "p99", "max")}

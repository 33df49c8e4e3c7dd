"""A run -> what the page says about its health: figures, the state of each output, and what is wrong in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge.runtime.statistics import RunMonitor

HOT_C = 80.0  # a Raspberry Pi slows down from 80 degrees on
FULL_SHARE = 0.8  # of the time budget


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Times of the last steps, and the time that one may take."""

    p50_ms: float
    p95_ms: float
    budget_ms: float


def step_times(spent_ms: Sequence[float], budget_ms: float) -> StepTimes | None:
    """Return the percentiles of times; None where there are none yet."""
    if not spent_ms:
        return None
    ordered = sorted(spent_ms)
    return StepTimes(ordered[len(ordered) // 2], ordered[int(0.95 * (len(ordered) - 1))], budget_ms)


def health_record(monitor: RunMonitor, steps: StepTimes | None, best_level: str | None) -> dict[str, Any]:
    """Make the record of the health of a run.

    Args:
        monitor: observes the run.
        steps: times of the last steps.
        best_level: name of full quality; None where nothing is governed.
    """
    counts = monitor.health()
    outputs = [
        {"name": name, "works": sink.alive, "dropped": sink.dropped} for name, sink in list(monitor.sinks.items())
    ]
    outputs += [{"name": name, "works": each.alive, "dropped": 0} for name, each in list(monitor.reports.items())]
    level = counts["level"] if counts["level"] is not None else best_level
    record = {
        "step_ms": None if steps is None else [round(steps.p50_ms, 2), round(steps.p95_ms, 2)],
        "budget_ms": None if steps is None else steps.budget_ms,
        "level": level,
        "best_level": best_level,
        **{
            name: counts[name]
            for name in (
                "paused",
                "late_steps",
                "lost_samples",
                "repaired_samples",
                "faulty_channels",
                "temperature_c",
                "rss_mb",
                "sound_level_db",
            )
        },
        "outputs": outputs,
    }
    return record | {"problems": problems(record)}


def problems(record: dict[str, Any]) -> list[str]:
    """Say in plain words what is wrong; nothing where all is well."""
    found = []
    if record["step_ms"] is not None:
        p95_ms, budget_ms = record["step_ms"][1], record["budget_ms"]
        if p95_ms > budget_ms:
            found.append(f"The machine is too slow: steps take up to {p95_ms:.0f} ms, and have {budget_ms:.0f} ms.")
        elif p95_ms > FULL_SHARE * budget_ms:
            found.append(f"The machine is nearly too slow: steps take up to {p95_ms:.0f} of {budget_ms:.0f} ms.")
    if record["best_level"] is not None and record["level"] != record["best_level"]:
        found.append(f"Quality is reduced to keep up with the sound: {record['level']}.")
    if record["lost_samples"]:
        found.append(f"{record['lost_samples']} samples were lost: sounds of that time were not heard.")
    if record["repaired_samples"]:
        found.append(f"{record['repaired_samples']} samples were no sound and were replaced: check the microphone.")
    if record["faulty_channels"] != "none":
        found.append(f"Microphone channel {record['faulty_channels']}: directions are wrong until it works.")
    for output in record["outputs"]:
        if not output["works"]:
            found.append(f"The output {output['name']} does not work: see the log.")
        elif output["dropped"]:
            found.append(f"The output {output['name']} lost {output['dropped']} messages.")
    if record["temperature_c"] is not None and record["temperature_c"] >= HOT_C:
        found.append(f"The processor has {record['temperature_c']:.0f} degrees and slows down: it needs cooling.")
    return found

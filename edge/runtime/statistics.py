"""A pipeline at work -> what it came to so far: counts and times, for the log and for a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

from edge.outputs.line_file import LineWriter
from edge.outputs.sinks import EventCounter, Outlet
from edge.runtime.governor import GovernorStats
from edge.runtime.machine import rss_mb, temperature_c
from edge.runtime.pipeline import Pipeline
from edge.stage_clock import Timing
from edge.types import AudioBlock

STEPS_PER_MINUTE = 600

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MachineStats:
    """Now."""

    temperature_c: float | None  # of the processor, where the machine says it
    rss_mb: float  # resident memory of this process


@dataclass(frozen=True, slots=True)
class RunStats:
    """Counts since the beginning, and times of the last 10,000 steps at most."""

    steps: int
    answers: int
    missed_steps: int  # that took longer than the budget
    lost_samples: int
    governor: GovernorStats | None  # of a source that is heard in real time
    step: Timing
    answer: Timing  # of the steps that gave an answer
    stages: Mapping[str, Timing]
    events: Mapping[str, int]  # finished, by class
    dropped: Mapping[str, int]  # what could not be delivered, by sink
    machine: MachineStats

    def to_json(self) -> str:
        """As one JSON object, of more than one line."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def line(self) -> str:
        """The whole in one line."""
        parts = [
            f"{self.steps} steps, {self.missed_steps} over the budget",
            f"{self.answers} answers",
            f"{self.lost_samples} samples lost",
            *(f"{count} dropped by {sink}" for sink, count in self.dropped.items() if count),
            f"step {_times(self.step)}",
        ]
        if governor := self.governor:
            parts.append(f"{governor.late_steps} steps late, at most {governor.most_late_ms:.0f} ms after the sound")
            parts.append(f"{governor.changes} changes of quality, now {governor.level!r}")
        return "; ".join(parts)

    def lines(self) -> list[str]:
        """The whole, then a line per stage."""
        return [self.line(), *(f"{name}: {_times(timing)}" for name, timing in self.stages.items())]


class RunMonitor:
    """Sees a run from outside: its pipeline, and its sinks by name. May be asked by any thread at any time."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.counter = EventCounter()  # to be one of the sinks
        self.sinks: dict[str, Outlet] = {}

    def stats(self) -> RunStats:
        """What the run came to so far."""
        clock, governor = self._pipeline.clock, self._pipeline.governor
        return RunStats(
            steps=clock.steps,
            answers=self._pipeline.answers,
            missed_steps=clock.missed,
            lost_samples=self._pipeline.lost_samples,
            governor=governor.stats() if governor else None,
            step=clock.step(),
            answer=clock.answer(),
            stages=clock.stages(),
            events=dict(self.counter.events),
            dropped={name: sink.dropped for name, sink in list(self.sinks.items())},
            machine=MachineStats(temperature_c(), rss_mb()),
        )

    def status(self) -> str:
        """The least that tells how it goes, in one line."""
        governor = self._pipeline.governor
        level = f", {governor.stats().level}" if governor else ""
        return f"{sum(self.counter.events.values())} events, {self._pipeline.lost_samples} samples lost{level}"

    def health(self) -> dict[str, float | str | None]:
        """The few numbers that tell whether all is well."""
        clock, governor = self._pipeline.clock, self._pipeline.governor
        seen = governor.stats() if governor else None
        return {
            "steps": clock.steps,
            "late_steps": seen.late_steps if seen else 0,
            "level": seen.level if seen else None,
            "lost_samples": self._pipeline.lost_samples,
            "dropped": sum(sink.dropped for sink in list(self.sinks.values())),
            "temperature_c": temperature_c(),
            "rss_mb": rss_mb(),
        }


class StatsFile(AbstractContextManager["StatsFile"]):
    """A JSON file of what a run came to, written when the `with` ends, however it ends.

    It is opened at once, so that a path that cannot be written is told of before the work. Raises SinkError.
    """

    def __init__(self, path: str, stats: Callable[[], RunStats]) -> None:
        self._lines = LineWriter(f"stats:{path}", path, append=False)
        self._stats = stats

    def __exit__(self, *error: object) -> None:
        try:
            self._lines.write(self._stats().to_json())
        finally:
            self._lines.close()


def reported(
    blocks: Iterable[AudioBlock], pipeline: Pipeline, minutes: Callable[[], float], stats: Callable[[], RunStats]
) -> Iterator[AudioBlock]:
    """The same blocks; each time the pipeline has heard `minutes` more, a line is logged. 0 minutes log nothing."""
    last = pipeline.clock.steps
    for block in blocks:
        yield block
        every = max(1, round(minutes() * STEPS_PER_MINUTE)) if minutes() else 0
        if every and pipeline.clock.steps >= last + every:
            last = pipeline.clock.steps
            log.info("metrics: %s", stats().line())


def _times(timing: Timing) -> str:
    return (
        f"p50 {timing.p50_ms:.2f}, p95 {timing.p95_ms:.2f}, p99 {timing.p99_ms:.2f}, max {timing.max_ms:.2f} ms "
        f"of {timing.steps}"
    )

"""A pipeline at work -> what it came to so far: counts and times, for the log and for a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

from edge.clock import Timing
from edge.governor import GovernorStats
from edge.runtime import Pipeline
from edge.sinks import LineWriter
from edge.types import AudioBlock

STEPS_PER_MINUTE = 600

log = logging.getLogger(__name__)


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

    def to_json(self) -> str:
        """As one JSON object, of more than one line."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def line(self) -> str:
        """The whole in one line."""
        parts = [
            f"{self.steps} steps, {self.missed_steps} over the budget",
            f"{self.answers} answers",
            f"{self.lost_samples} samples lost",
            f"step {_times(self.step)}",
        ]
        if governor := self.governor:
            parts.append(f"{governor.late_steps} steps late, at most {governor.most_late_ms:.0f} ms after the sound")
            parts.append(f"{governor.changes} changes of quality, now {governor.level!r}")
        return "; ".join(parts)

    def lines(self) -> list[str]:
        """The whole, then a line per stage."""
        return [self.line(), *(f"{name}: {_times(timing)}" for name, timing in self.stages.items())]


def run_stats(pipeline: Pipeline) -> RunStats:
    """Of a pipeline, so far."""
    clock, governor = pipeline.clock, pipeline.governor
    return RunStats(
        steps=clock.steps,
        answers=pipeline.answers,
        missed_steps=clock.missed,
        lost_samples=pipeline.lost_samples,
        governor=governor.stats() if governor else None,
        step=clock.step(),
        answer=clock.answer(),
        stages=clock.stages(),
    )


class StatsFile(AbstractContextManager["StatsFile"]):
    """A JSON file of what a pipeline came to, written when the `with` ends, however it ends.

    It is opened at once, so that a path that cannot be written is told of before the work. Raises SinkError.
    """

    def __init__(self, path: str, pipeline: Pipeline) -> None:
        self._lines = LineWriter(f"stats:{path}", path, append=False)
        self._pipeline = pipeline

    def __exit__(self, *error: object) -> None:
        try:
            self._lines.write(run_stats(self._pipeline).to_json())
        finally:
            self._lines.close()


def reported(blocks: Iterable[AudioBlock], pipeline: Pipeline, minutes: float) -> Iterator[AudioBlock]:
    """The same blocks; each time the pipeline has heard `minutes` more, a line is logged. 0 minutes log nothing."""
    every = max(1, round(minutes * STEPS_PER_MINUTE)) if minutes else 0
    due = pipeline.clock.steps + every
    for block in blocks:
        yield block
        if every and pipeline.clock.steps >= due:
            due = pipeline.clock.steps + every
            log.info("metrics: %s", run_stats(pipeline).line())


def _times(timing: Timing) -> str:
    return (
        f"p50 {timing.p50_ms:.2f}, p95 {timing.p95_ms:.2f}, p99 {timing.p99_ms:.2f}, max {timing.max_ms:.2f} ms "
        f"of {timing.steps}"
    )

"""A running pipeline -> its counts and times so far, for the log, a JSON file, and the outputs that report them."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from edge.audio.live_check import LiveCheck
from edge.events.sink import Outlet
from edge.files import is_temporary, write_atomically
from edge.runtime.governor import GovernorStats
from edge.runtime.machine import rss_mb, temperature_c
from edge.runtime.pause import Pause
from edge.runtime.pipeline import Pipeline
from edge.stage_clock import Timing
from edge.types import AudioBlock, Event, EventUpdate, Item

STEPS_PER_MINUTE = 600

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MachineStats:
    """The state of the machine at one moment."""

    temperature_c: float | None  # of the processor; None where the machine does not tell it
    rss_mb: float | None  # resident memory of this process; None where it cannot be read


@dataclass(frozen=True, slots=True)
class RunStats:
    """Counts since the start of a run, and times of its last steps (10,000 at most)."""

    steps: int
    answers: int
    missed_steps: int  # steps that took longer than the budget
    lost_samples: int
    governor: GovernorStats | None  # None where the source does not run in real time
    step: Timing
    answer: Timing  # of the steps that gave an answer
    stages: Mapping[str, Timing]
    events: Mapping[str, int]  # finished events by class
    dropped: Mapping[str, int]  # items that could not be delivered, by sink
    workers: Mapping[str, bool]  # whether each sink and each other output still works
    machine: MachineStats
    repaired_samples: int = 0  # samples of a live source that were no numbers or far beyond full scale
    faulty_channels: Mapping[int, str] = field(default_factory=dict)  # silent or clipped, by channel of a live source
    updates: Mapping[str, int] = field(default_factory=dict)  # what was told of unfinished events, by phase
    sectors: Mapping[str, int] = field(default_factory=dict)  # finished events by sector
    sound_level_db: float | None = None  # A-weighted, as `[level]` says; None where it is not known

    def to_json(self) -> str:
        """Return one JSON object, over several lines."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def line(self) -> str:
        """Return a summary in one line."""
        parts = [
            f"{self.steps} steps, {self.missed_steps} over the budget",
            f"{self.answers} answers",
            f"{self.lost_samples} samples lost",
            *([f"{self.repaired_samples} samples repaired"] if self.repaired_samples else []),
            *(f"channel {channel} {fault}" for channel, fault in self.faulty_channels.items()),
            *(f"{count} dropped by {sink}" for sink, count in self.dropped.items() if count),
            *(f"{name} does not work" for name, alive in self.workers.items() if not alive),
            f"step {_percentiles(self.step)}",
        ]
        if governor := self.governor:
            parts.append(f"{governor.late_steps} steps late, at most {governor.most_late_ms:.0f} ms after the sound")
            parts.append(f"{governor.changes} changes of quality, now {governor.level!r}")
        return "; ".join(parts)

    def lines(self) -> list[str]:
        """Return the summary and one line per stage."""
        return [self.line(), *(f"{name}: {_percentiles(timing)}" for name, timing in self.stages.items())]


class EventCounter:
    """A sink that counts events by class and by sector, and updates by phase."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.sectors: Counter[str] = Counter()
        self.updates: Counter[str] = Counter()

    def emit(self, item: Item) -> None:
        """Count an event or an update."""
        if isinstance(item, Event):
            self.events[item.name] += 1
            if item.sector is not None:
                self.sectors[item.sector] += 1
        elif isinstance(item, EventUpdate):
            self.updates[item.phase] += 1

    def close(self) -> None:
        """Nothing to release."""


class Report(Protocol):
    """An output beside the sinks that works in the background."""

    @property
    def alive(self) -> bool:
        """Whether it still works. Any thread may ask."""


class RunMonitor:
    """Observes a run from outside. Any thread may ask it at any time.

    Attributes:
        counter: counts the events; it has to be one of the sinks of the run.
        sinks: the sinks whose drops are counted, by name.
        reports: other outputs that work in the background, by name.
    """

    def __init__(self, pipeline: Pipeline, check: LiveCheck | None = None, pause: Pause | None = None) -> None:
        """Observe a run.

        Args:
            pipeline: what is run.
            check: that of a live source.
            pause: says whether the run is paused.
        """
        self._pipeline, self._check, self._pause = pipeline, check, pause
        self.counter = EventCounter()
        self.sinks: dict[str, Outlet] = {}
        self.reports: dict[str, Report] = {}

    def stats(self) -> RunStats:
        """Return all counts and times so far."""
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
            workers={name: worker.alive for name, worker in self._workers()},
            machine=MachineStats(temperature_c(), rss_mb()),
            repaired_samples=self._check.repaired_samples if self._check else 0,
            faulty_channels=self._faults(),
            updates=dict(self.counter.updates),
            sectors=dict(self.counter.sectors),
            sound_level_db=self.sound_level_db(),
        )

    def sound_level_db(self) -> float | None:
        """Return the A-weighted sound level, rounded to 0.1 dB; None where it is not known."""
        meter = self._pipeline.sound_level
        level = None if meter is None else meter.level_db
        return None if level is None else round(level, 1)

    def dead_workers(self) -> list[str]:
        """Return the names of the sinks and other outputs that have ended or fail all the time."""
        return [name for name, worker in self._workers() if not worker.alive]

    def status(self) -> str:
        """Return a short status line for systemd."""
        governor = self._pipeline.governor
        level = f", {governor.stats().level}" if governor else ""
        faults = "".join(f", channel {channel} {fault}" for channel, fault in self._faults().items())
        dead = "".join(f", {name} does not work" for name in self.dead_workers())
        counts = f"{sum(self.counter.events.values())} events, {self._pipeline.lost_samples} samples lost"
        return f"{'paused, ' if self._paused else ''}{counts}{level}{faults}{dead}"

    def health(self) -> dict[str, float | str | None]:
        """Return the few numbers that show whether the run is well, by name."""
        clock, governor = self._pipeline.clock, self._pipeline.governor
        seen = governor.stats() if governor else None
        return {
            "steps": clock.steps,
            "late_steps": seen.late_steps if seen else 0,
            "level": seen.level if seen else None,
            "lost_samples": self._pipeline.lost_samples,
            "repaired_samples": self._check.repaired_samples if self._check else 0,
            "faulty_channels": ", ".join(f"{channel} {fault}" for channel, fault in self._faults().items()) or "none",
            "dropped": sum(sink.dropped for sink in list(self.sinks.values())),
            "dead_workers": len(self.dead_workers()),
            "paused": self._paused,
            "temperature_c": temperature_c(),
            "rss_mb": rss_mb(),
            "sound_level_db": self.sound_level_db(),
        }

    @property
    def _paused(self) -> bool:
        return self._pause is not None and self._pause.paused

    def _faults(self) -> Mapping[int, str]:
        return self._check.watch.faults if self._check else {}

    def _workers(self) -> list[tuple[str, Outlet | Report]]:
        return [*self.sinks.items(), *self.reports.items()]


class StatsFile(AbstractContextManager["StatsFile"]):
    """A JSON file with the statistics of a run, written when the `with` ends, however it ends.

    It is also written at the start, so that a path that cannot be written is refused before the work.
    """

    def __init__(self, path: str, stats: Callable[[], RunStats]) -> None:
        """Write the file for the first time.

        Raises:
            OSError: the file cannot be written, and not because the disk is full or read-only; one line that names it.
        """
        self._path, self._stats = Path(path), stats
        try:
            self._write()
        except OSError as error:
            if not isinstance(error.__cause__, OSError) or not is_temporary(error.__cause__):
                raise
            log.warning("%s: it is tried again at the end", error)

    def __exit__(self, *error: object) -> None:
        self._write()

    def _write(self) -> None:
        try:
            write_atomically(self._path, self._stats().to_json())
        except OSError as error:
            raise OSError(f"stats: {self._path}: {error.strerror}") from error


def reported(
    blocks: Iterable[AudioBlock], pipeline: Pipeline, minutes: Callable[[], float], stats: Callable[[], RunStats]
) -> Iterator[AudioBlock]:
    """Yield the same blocks and log a line of statistics at regular intervals of audio.

    Args:
        blocks: on their way to the pipeline.
        pipeline: its steps are counted.
        minutes: gives the interval in minutes of audio; 0 logs nothing.
        stats: gives the statistics.
    """
    last = pipeline.clock.steps
    for block in blocks:
        yield block
        every = max(1, round(minutes() * STEPS_PER_MINUTE)) if minutes() else 0
        if every and pipeline.clock.steps >= last + every:
            last = pipeline.clock.steps
            log.info("metrics: %s", stats().line())


def _percentiles(timing: Timing) -> str:
    return (
        f"p50 {timing.p50_ms:.2f}, p95 {timing.p95_ms:.2f}, p99 {timing.p99_ms:.2f}, max {timing.max_ms:.2f} ms "
        f"of {timing.steps}"
    )

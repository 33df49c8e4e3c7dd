"""Time of every stage in every step -> percentiles.

A step is one label frame on its way from the array to the sinks. Whoever works on it takes a lap when a stage is done:
the time since the lap before goes to that stage. Rings of one size hold the steps: nothing grows while the loop runs.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

KEPT_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Timing:
    """How long something took, in the steps in which it took any time."""

    steps: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class StageClock:
    """Measures one step after the other, by stages. Percentiles are those of the last `kept_steps` steps."""

    def __init__(
        self,
        budget_ms: float = 100.0,
        kept_steps: int = KEPT_STEPS,
        now_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.steps = 0  # that ended
        self.missed = 0  # of those, the ones that took longer than the budget
        self._budget_ns = round(budget_ms * 1e6)
        self._now_ns = now_ns
        self._slots = kept_steps + 1  # one is of the step under way
        self._slot = 0
        self._whole, self._answering = self._ring(), self._ring()
        self._stages: dict[str, array[int]] = {}
        self._since_ns = now_ns()

    def change(self, budget_ms: float) -> None:
        """Go on with another budget."""
        self._budget_ns = round(budget_ms * 1e6)

    def begin(self) -> None:
        """Work on the step under way begins, or goes on after a wait: the time since the last lap is nobody's."""
        self._since_ns = self._now_ns()

    def lap(self, stage: str) -> None:
        """Add the time since the last lap, or since `begin`, to a stage of the step under way."""
        now_ns = self._now_ns()
        spent_ns, self._since_ns = now_ns - self._since_ns, now_ns
        if stage not in self._stages:
            self._stages[stage] = self._ring()
        self._stages[stage][self._slot] += spent_ns
        self._whole[self._slot] += spent_ns

    def end(self, answered: bool = False) -> float:
        """The step is complete. answered: the system gave an answer in it. Returns the step's time in ms."""
        spent_ns = self._whole[self._slot]
        self._answering[self._slot] = spent_ns if answered else 0
        self.steps += 1
        self.missed += spent_ns > self._budget_ns
        self._slot = self.steps % self._slots
        self.drop()
        return spent_ns / 1e6

    def drop(self) -> None:
        """Forget the step under way: it will not be completed."""
        self._whole[self._slot] = 0
        for ring in self._stages.values():
            ring[self._slot] = 0

    def forget(self) -> None:
        """Begin anew, as if no step had been."""
        self.steps = self.missed = self._slot = 0
        self._whole, self._answering, self._stages = self._ring(), self._ring(), {}

    def step(self) -> Timing:
        """Of whole steps."""
        return self._timing(self._whole)

    def answer(self) -> Timing:
        """Of the steps that gave an answer."""
        return self._timing(self._answering)

    def stages(self) -> dict[str, Timing]:
        """Of each stage, in the order in which they first took a lap."""
        stages = list(self._stages.items())  # the loop may go on meanwhile
        return {name: self._timing(ring) for name, ring in stages}

    def _ring(self) -> array[int]:
        return array("q", bytes(8 * self._slots))

    def _timing(self, ring: array[int]) -> Timing:
        kept = np.delete(np.array(ring), self._slot)
        kept_ms = kept[kept > 0] / 1e6
        if not len(kept_ms):
            return Timing(0, 0.0, 0.0, 0.0, 0.0)
        return Timing(len(kept_ms), *(float(ms) for ms in np.percentile(kept_ms, [50, 95, 99, 100])))

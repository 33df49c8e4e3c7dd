"""The time of every stage in every step -> percentiles.

A step is the work on one label frame, from the array to the sinks. The code that does the work takes a lap at the end
of each stage: the time since the previous lap is charged to that stage. Rings of a fixed size hold the steps, so that
nothing grows while the loop runs.
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
    """How long something took, over the steps in which it took any time."""

    steps: int  # how many these were
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class StageClock:
    """Measures one step after the other, by stages.

    Attributes:
        steps: number of steps that ended.
        missed: number of those that took longer than the budget.
    """

    def __init__(
        self,
        budget_ms: float = 100.0,
        kept_steps: int = KEPT_STEPS,
        now_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """Prepare the rings.

        Args:
            budget_ms: time that a step may take.
            kept_steps: number of last steps that the percentiles are taken over.
            now_ns: gives the time.
        """
        self.steps = self.missed = 0
        self._budget_ns = round(budget_ms * 1e6)
        self._now_ns = now_ns
        self._slots = kept_steps + 1  # one of them holds the present step
        self._slot = 0
        self._whole, self._answering = self._ring(), self._ring()
        self._stages: dict[str, array[int]] = {}
        self._since_ns = now_ns()

    def change(self, budget_ms: float) -> None:
        """Continue with another budget."""
        self._budget_ns = round(budget_ms * 1e6)

    def begin(self) -> None:
        """Start or continue the present step after a wait: the time since the last lap is charged to no stage."""
        self._since_ns = self._now_ns()

    def lap(self, stage: str) -> None:
        """Charge the time since the last lap, or since `begin`, to a stage of the present step."""
        now_ns = self._now_ns()
        spent_ns, self._since_ns = now_ns - self._since_ns, now_ns
        if stage not in self._stages:
            self._stages[stage] = self._ring()
        self._stages[stage][self._slot] += spent_ns
        self._whole[self._slot] += spent_ns

    def end(self, answered: bool = False) -> float:
        """Complete the present step.

        Args:
            answered: whether the system gave an answer in it.

        Returns:
            The time of the step in ms.
        """
        spent_ns = self._whole[self._slot]
        self._answering[self._slot] = spent_ns if answered else 0
        self.steps += 1
        self.missed += spent_ns > self._budget_ns
        self._slot = self.steps % self._slots
        self.drop()
        return spent_ns / 1e6

    def drop(self) -> None:
        """Forget the present step, which will not be completed."""
        self._whole[self._slot] = 0
        for ring in self._stages.values():
            ring[self._slot] = 0

    def forget(self) -> None:
        """Forget all steps."""
        self.steps = self.missed = self._slot = 0
        self._whole, self._answering, self._stages = self._ring(), self._ring(), {}

    def step(self) -> Timing:
        """Return the times of whole steps."""
        return self._timing(self._whole)

    def answer(self) -> Timing:
        """Return the times of the steps that gave an answer."""
        return self._timing(self._answering)

    def stages(self) -> dict[str, Timing]:
        """Return the times of each stage, in the order of their first laps. Any thread may ask."""
        stages = list(self._stages.items())  # the loop may add one meanwhile
        return {name: self._timing(ring) for name, ring in stages}

    def _ring(self) -> array[int]:
        """Return a slot of 0 ns for each step."""
        return array("q", bytes(8 * self._slots))

    def _timing(self, ring: array[int]) -> Timing:
        kept = np.delete(np.array(ring), self._slot)
        kept_ms = kept[kept > 0] / 1e6
        if not len(kept_ms):
            return Timing(0, 0.0, 0.0, 0.0, 0.0)
        return Timing(len(kept_ms), *(float(ms) for ms in np.percentile(kept_ms, [50, 95, 99, 100])))

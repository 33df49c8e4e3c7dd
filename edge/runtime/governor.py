"""Times of steps -> the quality level of a system, and counts of late steps.

A step is late if it was not done within the budget after its audio was there. `edge/runtime/quality.py` decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edge.runtime.budget import BudgetSettings
from edge.runtime.quality import QualityState, StepTime, decided, first_state, observed, without_failures

MOST_BEHIND_MS = 2000.0  # longest backlog where the age of samples is not known: older samples were lost elsewhere

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GovernorStats:
    """Counts since the start."""

    late_steps: int
    most_late_ms: float  # longest time from the audio being there to the end of its step
    changes: int  # of the level
    level: str
    seconds_at: dict[str, float]  # time spent at each level, in seconds of audio


class Governor:
    """Watches one step after the other and sets the level of a system."""

    def __init__(
        self,
        settings: BudgetSettings,
        levels: Sequence[str],
        set_level: Callable[[int], None],
        age_s: Callable[[], float] | None = None,
        label_s: float = 0.1,
    ) -> None:
        """Start at level 0.

        Args:
            settings: the budget and the rules.
            levels: names of the levels, the best one first. A single level is watched only.
            set_level: takes an index of `levels`.
            age_s: gives the time since the samples of the present step were recorded. Where it cannot be known, a step
                is taken to begin when the one before is done, and not before its audio has come.
            label_s: length of the audio of a step.
        """
        self._settings = settings
        self._levels = levels
        self._set_level = set_level
        self._age_s = age_s
        self._label_s = label_s
        self._state = first_state(len(levels), settings)
        self._late_ms = self._most_late_ms = 0.0  # of the last step, and the longest
        self._late_steps = self._changes = 0
        self._steps_at = [0] * len(levels)

    def change(self, settings: BudgetSettings) -> None:
        """Continue with other settings at the same level; failures are forgotten."""
        self._settings = settings
        stay = self._state.stay
        kept = replace(self._state, stay=replace(stay, pressing=stay.pressing[-settings.window_steps :]))
        self._state = without_failures(kept, settings)

    def step(self, spent_ms: float) -> None:
        """Take the time of a step that has just ended, and set another level if that is called for."""
        step = self._judged(spent_ms)
        self._late_steps += step.late
        self._most_late_ms = max(self._most_late_ms, self._late_ms)
        self._steps_at[self._state.level] += 1
        before = observed(self._state, step, self._settings)
        self._state = decided(before, step.late, self._settings)
        if self._state.level != before.level:
            self._changes += 1
            self._log_change(before)
            self._set_level(self._state.level)

    def stats(self) -> GovernorStats:
        """Return the counts since the start. Any thread may ask."""
        return GovernorStats(
            late_steps=self._late_steps,
            most_late_ms=self._most_late_ms,
            changes=self._changes,
            level=self._levels[self._state.level],
            seconds_at={name: steps * self._label_s for name, steps in zip(self._levels, self._steps_at, strict=True)},
        )

    def _judged(self, spent_ms: float) -> StepTime:
        """Judge a step by the budget."""
        settings = self._settings
        if self._age_s is None:
            behind_ms = self._late_ms - 1e3 * self._label_s
            self._late_ms = min(max(0.0, behind_ms), MOST_BEHIND_MS) + spent_ms
        else:
            self._late_ms = 1e3 * self._age_s()
        late = self._late_ms > settings.step_ms
        room = spent_ms <= settings.room * settings.step_ms
        return StepTime(
            spent_ms, late, room, pressing=late and (not room or self._late_ms - spent_ms > settings.backlog_ms)
        )

    def _log_change(self, before: QualityState) -> None:
        old, new = self._levels[before.level], self._levels[self._state.level]
        stay = before.stay
        if self._state.level > before.level:
            log.warning(
                "quality goes down from %r to %r: %d of the last %d steps were late, the last one by %.0f ms",
                old,
                new,
                sum(stay.pressing),
                len(stay.pressing),
                self._late_ms - self._settings.step_ms,
            )
        else:
            log.warning(
                "quality goes up from %r to %r: steps took %.0f ms and had room %d times",
                old,
                new,
                stay.pace_ms,
                stay.calm_steps,
            )

"""Times of steps -> a quality level that the machine can hold in real time.

A step is late if it was not done within the budget after its audio was there. Where steps are late again and again, the
governor goes down by one level; where there is room for a while, it goes up by one. Only the better level shows what it
costs, so going up may fail: the next try from there then waits twice as long, unless steps show that what disturbed is
over, being clearly shorter than around the failure. Full quality is to be back within five seconds then.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

AT_ONCE_STEPS = 20  # to go up and come down again within so many was a failure
FORGET_STEPS = 300  # of full quality after which no failure counts
BACK_STEPS = 27  # that all ways up together wait at most, once what disturbed is over
SHORTER = 0.9  # share of its former time that makes a step shorter
MOST_BEHIND_MS = 2000.0  # where the age of samples cannot be known: those that waited longer were lost elsewhere

_PACE_STEPS = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """What a step of one label frame (100 ms) may take, and when quality is given up for time."""

    step_ms: float = 100.0  # within which a step is to be done once its audio is there
    governor: bool | None = None  # None: where the source is heard in real time
    window_steps: int = 20  # of so many steps
    misses: int = 5  # so many must be late before the level goes down
    backlog_ms: float = 1000.0  # so far behind, a step that makes up for lost time still counts as late
    room: float = 0.8  # share of the budget within which a step has room
    recover_steps: int = 10  # that have room before the level goes up
    most_recover_steps: int = 600  # after failures

    def __post_init__(self) -> None:
        if not 0.0 < self.step_ms <= 10_000.0:
            raise ValueError(f"got step_ms {self.step_ms}, wanted more than 0 and at most 10000")
        if not 1 <= self.misses <= self.window_steps <= 10_000:
            raise ValueError(
                f"got misses {self.misses} and window_steps {self.window_steps}, "
                "wanted 1 <= misses <= window_steps <= 10000"
            )
        if self.backlog_ms < 0.0:
            raise ValueError(f"got backlog_ms {self.backlog_ms}, wanted 0 or more")
        if not 0.0 < self.room <= 1.0:
            raise ValueError(f"got room {self.room}, wanted more than 0 and at most 1")
        if not 1 <= self.recover_steps <= self.most_recover_steps:
            raise ValueError(
                f"got recover_steps {self.recover_steps} and most_recover_steps {self.most_recover_steps}, "
                "wanted 1 <= recover_steps <= most_recover_steps"
            )


@dataclass(frozen=True, slots=True)
class GovernorStats:
    """What a governor saw and did."""

    late_steps: int
    most_late_ms: float  # from the audio being there to the end of its step
    changes: int  # of the level
    level: str
    seconds_at: dict[str, float]  # by level


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
        """Begin at level 0, the best of `levels`; one level alone is watched only.

        set_level: takes an index of `levels`. age_s: time since the samples of the step were recorded; where it cannot
        be known, a step is taken to begin when the one before is done, and not before its audio has come.
        """
        self._settings = settings
        self._levels = levels
        self._set_level = set_level
        self._age_s = age_s
        self._label_s = label_s
        self._level = 0
        self._late_ms = 0.0  # of the last step
        self._most_late_ms = 0.0
        self._late_steps = self._changes = 0
        self._steps_at = [0] * len(levels)
        self._rising = False  # the last change was one for the better
        self._since = 0  # steps since the last change
        self._pressing: deque[bool] = deque(maxlen=settings.window_steps)  # since then, as the next two
        self._spent_ms: deque[float] = deque(maxlen=_PACE_STEPS)
        self._calm = 0  # steps with room, about
        self._over = False  # what disturbed
        self._tried_ms = 0.0  # pace before the last change for the better
        self._wait = [settings.recover_steps] * len(levels)  # to go up from each level
        self._fallen_ms = [0.0] * len(levels)  # pace at each level when the better one was given up
        self._held_ms = [0.0] * len(levels)  # pace at each level before the better one was taken, and held

    def change(self, settings: BudgetSettings) -> None:
        """Go on by other settings, at the same level; failures are forgotten."""
        self._settings = settings
        self._pressing = deque(self._pressing, maxlen=settings.window_steps)
        self._wait = [settings.recover_steps] * len(self._levels)

    def step(self, spent_ms: float) -> None:
        """Take the time of a step, when it is done."""
        settings = self._settings
        if self._age_s is None:
            behind_ms = self._late_ms - 1e3 * self._label_s
            self._late_ms = min(max(0.0, behind_ms), MOST_BEHIND_MS) + spent_ms
        else:
            self._late_ms = 1e3 * self._age_s()
        late = self._late_ms > settings.step_ms
        room = spent_ms <= settings.room * settings.step_ms
        pressing = late and (not room or self._late_ms - spent_ms > settings.backlog_ms)
        self._late_steps += late
        self._most_late_ms = max(self._most_late_ms, self._late_ms)
        self._steps_at[self._level] += 1
        self._since += 1
        self._pressing.append(pressing)
        self._spent_ms.append(spent_ms)
        self._calm = self._calm + 1 if room and not pressing else self._calm // 2
        self._compare()
        if self._level + 1 < len(self._levels) and sum(self._pressing) >= settings.misses:
            self._go_down()
        elif self._level > 0 and not late and self._calm >= self._patience():
            self._go_up()

    def stats(self) -> GovernorStats:
        """All since the beginning."""
        return GovernorStats(
            late_steps=self._late_steps,
            most_late_ms=self._most_late_ms,
            changes=self._changes,
            level=self._levels[self._level],
            seconds_at={name: steps * self._label_s for name, steps in zip(self._levels, self._steps_at, strict=True)},
        )

    def _compare(self) -> None:
        """See whether what disturbed is over: steps are shorter than when the better level was given up, or as short as
        when it was held last. When that changes, steps with room are counted anew.
        """
        pace_ms = self._pace_ms()
        if self._since == _PACE_STEPS and not self._rising:
            self._judge(pace_ms)
        if self._rising and self._since == AT_ONCE_STEPS:
            self._held_ms[self._level + 1] = self._tried_ms
        short_ms = max(SHORTER * self._fallen_ms[self._level], self._held_ms[self._level] / SHORTER)
        over = 2 * self._since >= _PACE_STEPS and pace_ms < short_ms
        if over != self._over:
            self._over, self._calm = over, 0
        if self._level == 0 and self._since == FORGET_STEPS:
            self._wait = [self._settings.recover_steps] * len(self._levels)

    def _judge(self, pace_ms: float) -> None:
        """After a fall: if steps take no longer than before the try to go up, the try was hopeless, not disturbed."""
        tried_ms = self._fallen_ms[self._level]
        if tried_ms > 0.0 and SHORTER * pace_ms <= tried_ms:
            self._wait[self._level] = min(2 * self._wait[self._level], self._settings.most_recover_steps)
        self._fallen_ms[self._level] = max(tried_ms, pace_ms)

    def _pace_ms(self) -> float:
        return sorted(self._spent_ms)[len(self._spent_ms) // 2]

    def _patience(self) -> int:
        """Steps with room that are wanted before the level goes up."""
        wait = self._wait[self._level]
        share = BACK_STEPS // (len(self._levels) - 1)
        return min(wait, max(self._settings.recover_steps, share)) if self._over else wait

    def _go_down(self) -> None:
        log.warning(
            "quality goes down from %r to %r: %d of the last %d steps were late, the last one by %.0f ms",
            self._levels[self._level],
            self._levels[self._level + 1],
            sum(self._pressing),
            len(self._pressing),
            self._late_ms - self._settings.step_ms,
        )
        if not self._rising and self._since < _PACE_STEPS:
            self._judge(self._pace_ms())
        level = self._level + 1
        self._fallen_ms[level] = self._tried_ms if self._rising and self._since <= AT_ONCE_STEPS else 0.0
        self._change(level)

    def _go_up(self) -> None:
        self._tried_ms = self._pace_ms()
        log.warning(
            "quality goes up from %r to %r: steps took %.0f ms and had room %d times",
            self._levels[self._level],
            self._levels[self._level - 1],
            self._tried_ms,
            self._calm,
        )
        self._change(self._level - 1)

    def _change(self, level: int) -> None:
        self._rising = level < self._level
        self._level = level
        self._changes += 1
        self._pressing.clear()
        self._spent_ms.clear()
        self._since = self._calm = 0
        self._over = False
        self._set_level(level)

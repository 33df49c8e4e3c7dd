"""The state of a governor and the time of a step -> its next state: which level of quality the machine can hold.

Where steps are late again and again, the level is lowered by one (`Lowered`). Where steps have room for a while, it is
raised by one and so tried (`Trial`), because only the better level shows what it costs. A trial that is undone within
`TRIAL_STEPS` has failed: the next one from there waits twice as long, unless the steps show that the disturbance is
over, because they are clearly shorter than around the failure. Otherwise the better level is held (`Holding`). Full
quality is back within five seconds after a disturbance.

Level 0 is the best one; "lower" means lower quality, and a higher index. The pace is the median time of the last steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edge.runtime.budget import BudgetSettings

TRIAL_STEPS = 20  # a trial that is undone within this many steps has failed
FORGET_STEPS = 300  # after this many steps of full quality, failed trials are forgotten
BACK_STEPS = 27  # longest wait of all raises together, once the disturbance is over
SHORTER = 0.9  # a pace below this share of another one is clearly shorter

_PACE_STEPS = 8  # over which the pace is taken


@dataclass(frozen=True, slots=True)
class StepTime:
    """The time of one step, judged by the budget."""

    spent_ms: float
    late: bool  # it was not done within the budget
    room: bool  # it took so little of the budget that there is room for more work
    pressing: bool  # it is late, and speaks for a lower level


@dataclass(frozen=True, slots=True)
class Holding:
    """The level is held: since the start, or since its trial ended well."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The level was raised a moment ago and may prove too slow."""

    before_ms: float  # pace at the lower level, just before


@dataclass(frozen=True, slots=True)
class Lowered:
    """The better level was too slow and was given up."""


Phase = Holding | Trial | Lowered


@dataclass(frozen=True, slots=True)
class LevelMemory:
    """What earlier changes have shown about a level."""

    wait_steps: int  # steps with room that are wanted before the level is raised from here
    failed_ms: float = 0.0  # pace here around the last failure of the better level; 0 where there was none
    held_ms: float = 0.0  # pace here before the better level was last raised to and then held; 0 if it never was


@dataclass(frozen=True, slots=True)
class Stay:
    """The steps since the level last changed."""

    steps: int = 0
    pressing: tuple[bool, ...] = ()  # of the last `window_steps` steps
    spent_ms: tuple[float, ...] = ()  # of the last `_PACE_STEPS` steps
    calm_steps: int = 0  # steps with room; a step without room halves it
    over: bool = False  # the disturbance that lowered the level is over

    @property
    def pace_ms(self) -> float:
        """Median time of the last steps; the upper one of two."""
        return sorted(self.spent_ms)[len(self.spent_ms) // 2]


@dataclass(frozen=True, slots=True)
class QualityState:
    """All that decides about the level."""

    level: int
    phase: Phase
    memories: tuple[LevelMemory, ...]  # by level
    stay: Stay = field(default_factory=Stay)

    @property
    def memory(self) -> LevelMemory:
        """The memory of the present level."""
        return self.memories[self.level]


def first_state(levels: int, settings: BudgetSettings) -> QualityState:
    """Return the state at the start: full quality, and no experience with any of the levels."""
    return QualityState(0, Holding(), (LevelMemory(settings.recover_steps),) * levels)


def without_failures(state: QualityState, settings: BudgetSettings) -> QualityState:
    """Return the state with the usual wait before each raise."""
    return replace(
        state, memories=tuple(replace(memory, wait_steps=settings.recover_steps) for memory in state.memories)
    )


def observed(state: QualityState, step: StepTime, settings: BudgetSettings) -> QualityState:
    """Take one step into account, and what it shows about the last change, at the same level.

    Args:
        state: before the step.
        step: its time.
        settings: the rules.
    """
    stay = state.stay
    stay = Stay(
        steps=stay.steps + 1,
        pressing=(*stay.pressing, step.pressing)[-settings.window_steps :],
        spent_ms=(*stay.spent_ms, step.spent_ms)[-_PACE_STEPS:],
        calm_steps=stay.calm_steps + 1 if step.room and not step.pressing else stay.calm_steps // 2,
        over=stay.over,
    )
    return _with_lessons(replace(state, stay=stay), settings)


def decided(state: QualityState, late: bool, settings: BudgetSettings) -> QualityState:
    """Decide about the level after a step.

    Args:
        state: from `observed`.
        late: whether the step was late.
        settings: the rules.

    Returns:
        The state for the next step. Its level is the same or the next one; where it is another, `stay` is a new one.
    """
    stay = state.stay
    if state.level + 1 < len(state.memories) and sum(stay.pressing) >= settings.misses:
        return _lowered(state, settings)
    if state.level > 0 and not late and stay.calm_steps >= _patience(state, settings):
        return replace(state, level=state.level - 1, phase=Trial(stay.pace_ms), stay=Stay())
    if isinstance(state.phase, Trial) and stay.steps == TRIAL_STEPS:
        return replace(state, phase=Holding())
    return state


def _with_lessons(state: QualityState, settings: BudgetSettings) -> QualityState:
    """Remember what the steps since the last change show about it."""
    if isinstance(state.phase, Lowered) and state.stay.steps == _PACE_STEPS:
        state = _judged(state, settings)
    if isinstance(state.phase, Trial) and state.stay.steps == TRIAL_STEPS:
        below = state.level + 1
        state = _remembered(state, below, replace(state.memories[below], held_ms=state.phase.before_ms))
    if state.level == 0 and state.stay.steps == FORGET_STEPS:
        state = without_failures(state, settings)
    over = _disturbance_is_over(state)
    if over == state.stay.over:
        return state
    return replace(state, stay=replace(state.stay, over=over, calm_steps=0))


def _disturbance_is_over(state: QualityState) -> bool:
    """Whether steps are shorter than at the last failure, or as short as when the better level was last held."""
    memory, stay = state.memory, state.stay
    short_ms = max(SHORTER * memory.failed_ms, memory.held_ms / SHORTER)
    return 2 * stay.steps >= _PACE_STEPS and stay.pace_ms < short_ms


def _judged(state: QualityState, settings: BudgetSettings) -> QualityState:
    """After a failed trial, double the wait if steps take no longer than before it: then no disturbance was the cause.

    `failed_ms` is the pace before the trial until then, 0 without a failed trial, and the longer of both paces after.
    """
    memory, pace_ms = state.memory, state.stay.pace_ms
    wait_steps = memory.wait_steps
    if memory.failed_ms > 0.0 and SHORTER * pace_ms <= memory.failed_ms:
        wait_steps = min(2 * wait_steps, settings.most_recover_steps)
    failed_ms = max(memory.failed_ms, pace_ms)
    return _remembered(state, state.level, replace(memory, wait_steps=wait_steps, failed_ms=failed_ms))


def _lowered(state: QualityState, settings: BudgetSettings) -> QualityState:
    """Give up the level."""
    if isinstance(state.phase, Lowered) and state.stay.steps < _PACE_STEPS:
        state = _judged(state, settings)
    failed_ms = state.phase.before_ms if isinstance(state.phase, Trial) else 0.0
    below = state.level + 1
    state = _remembered(state, below, replace(state.memories[below], failed_ms=failed_ms))
    return replace(state, level=below, phase=Lowered(), stay=Stay())


def _patience(state: QualityState, settings: BudgetSettings) -> int:
    """Steps with room that are wanted before the level is raised."""
    wait_steps = state.memory.wait_steps
    share = BACK_STEPS // (len(state.memories) - 1)
    return min(wait_steps, max(settings.recover_steps, share)) if state.stay.over else wait_steps


def _remembered(state: QualityState, level: int, memory: LevelMemory) -> QualityState:
    """The state with the memory of a level replaced."""
    return replace(state, memories=(*state.memories[:level], memory, *state.memories[level + 1 :]))

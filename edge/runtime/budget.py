"""How long a step may take, and when quality is given up for time: the table `[budget]` of the settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """Time budget of a step, which works on one label frame of 100 ms, and the rules by which quality changes."""

    step_ms: float = 100.0  # time within which a step has to be done once its audio is there
    # whether the level of quality may change; without it, it may where the source runs in real time
    governor: bool | None = None
    window_steps: int = 20  # number of last steps in which late ones are counted
    misses: int = 5  # number of late steps within the window that lowers the level
    # backlog in ms from which on every late step counts, even one that is fast enough to make up for lost time
    backlog_ms: float = 1000.0
    room: float = 0.8  # share of the budget, 0 to 1; a step within it has room for more work
    recover_steps: int = 10  # number of steps with room before the level is raised
    most_recover_steps: int = 600  # upper limit of that number, which doubles after each failed raise

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

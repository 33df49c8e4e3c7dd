"""The board that this runs on, or a named one -> its profile: what the software and the system are to do there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.profiles import load_profile, shipped_profiles
from edge.runtime.budget import BudgetSettings
from edge.runtime.machine import ROOT, board_model

CPU_GOVERNORS = ("performance", "ondemand", "schedutil", "conservative", "powersave")
_CORES = 64


@dataclass(frozen=True, slots=True)
class BoardProfile:
    """How a board is used: `threads` and `step_ms` by the loop, `cpu_governor` and `cores` by the system around it."""

    name: str
    models: tuple[str, ...]  # its record in the device tree begins with one of them
    threads: int  # of the TFLite interpreter
    cpu_governor: str  # of all cores, as the kernel calls it
    cores: tuple[int, ...]  # that the service may run on
    step_ms: float  # budget of a step: see edge/runtime/governor.py

    def __post_init__(self) -> None:
        if not self.models or not all(self.models):
            raise ValueError(f"got models {list(self.models)}, wanted at least one, as the device tree says it")
        if self.cpu_governor not in CPU_GOVERNORS:
            raise ValueError(f"got cpu_governor {self.cpu_governor!r}, wanted one of {', '.join(CPU_GOVERNORS)}")
        if not self.cores or len(set(self.cores)) != len(self.cores) or not all(0 <= n < _CORES for n in self.cores):
            raise ValueError(f"got cores {list(self.cores)}, wanted different ones of 0 to {_CORES - 1}")
        if not 1 <= self.threads <= len(self.cores):
            raise ValueError(f"got threads {self.threads}, wanted 1 to {len(self.cores)}: there are so many cores")
        BudgetSettings(self.step_ms)


def shipped_boards() -> dict[str, Path]:
    """Board profiles that come with the package, by name."""
    return shipped_profiles("board")


def load_board(name: str) -> BoardProfile:
    """A profile by the name of a shipped one or by the path of a TOML file."""
    return load_profile(BoardProfile, "board", name)


def recognised_board(root: Path = ROOT) -> BoardProfile:
    """The profile of the machine whose files are below `root`. Raises ValueError if it says no known model."""
    model = board_model(root)
    for board in map(load_board, shipped_boards()):
        if model is not None and model.startswith(board.models):
            return board
    said = "no model of a board" if model is None else f"model {model!r}"
    raise ValueError(f"got {said} in {root / 'proc/device-tree/model'}, wanted --board {', '.join(shipped_boards())}")

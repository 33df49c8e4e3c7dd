"""The board that this machine is, or a named one -> its profile: the settings of software and system that suit it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge.profiles import load_profile, shipped_profiles
from edge.runtime.budget import BudgetSettings
from edge.runtime.machine import ROOT, board_model

CPU_GOVERNORS = ("performance", "ondemand", "schedutil", "conservative", "powersave")
_CORES = 64
_NAME = re.compile(r"[A-Za-z0-9_.+-][A-Za-z0-9 _.+-]{0,63}")  # it gets into a unit of systemd


@dataclass(frozen=True, slots=True)
class BoardProfile:
    """How a board is used: `threads` and `step_ms` by the loop, `cpu_governor` and `cores` by the system around it."""

    name: str  # name of the board
    models: tuple[str, ...]  # the model in the device tree begins with one of these
    threads: int  # threads of the TFLite interpreter
    cpu_governor: str  # clock governor of all cores, as the kernel calls it
    cores: tuple[int, ...]  # cores that the service may run on
    step_ms: float  # time budget of a step: see edge/runtime/budget.py

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"got name {self.name!r}, wanted 1 to 64 letters, digits, spaces, _, ., + or -")
        if not self.models or not all(self.models):
            raise ValueError(f"got models {list(self.models)}, wanted at least one, as the device tree has it")
        if self.cpu_governor not in CPU_GOVERNORS:
            raise ValueError(f"got cpu_governor {self.cpu_governor!r}, wanted one of {', '.join(CPU_GOVERNORS)}")
        if not self.cores or len(set(self.cores)) != len(self.cores) or not all(0 <= n < _CORES for n in self.cores):
            raise ValueError(f"got cores {list(self.cores)}, wanted different ones of 0 to {_CORES - 1}")
        if not 1 <= self.threads <= len(self.cores):
            raise ValueError(f"got threads {self.threads}, wanted 1 to {len(self.cores)}: there are so many cores")
        BudgetSettings(self.step_ms)


def shipped_boards() -> dict[str, Path]:
    """Return the paths of the board profiles that come with the package, by name."""
    return shipped_profiles("board")


def load_board(name: str) -> BoardProfile:
    """Load a profile.

    Args:
        name: of a shipped profile, or the path of a TOML file.

    Raises:
        ValueError: there is no such profile, or it is not valid.
    """
    return load_profile(BoardProfile, "board", name)


def recognised_board(root: Path = ROOT) -> BoardProfile:
    """Find the profile of a machine by the model in its device tree.

    Args:
        root: folder that holds the files of the machine.

    Raises:
        ValueError: the device tree has no model, or an unknown one.
    """
    model = board_model(root)
    for board in map(load_board, shipped_boards()):
        if model is not None and model.startswith(board.models):
            return board
    said = "no model of a board" if model is None else f"model {model!r}"
    raise ValueError(f"got {said} in {root / 'proc/device-tree/model'}, wanted --board {', '.join(shipped_boards())}")

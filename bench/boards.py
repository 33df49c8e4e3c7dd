"""Times measured here -> times on boards that are not at hand; these are predictions, and always called so.

MobileNetV2-224 int8 is the yardstick: its time on boards is published, and its time here is measured in the same run.
The ratio between the times of model and yardstick is taken to be the same on the board. The output of
`seld-edge bench --json` on a board, put into `bench/reference`, replaces the prediction of its model, and the published
time of the yardstick for the other models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.device.board import load_board

REFERENCE = Path(__file__).parent / "reference"
STEP_BUDGET_MS = 100.0

_YARDSTICK_MS = 3.15  # with one thread of the machine that the factors below relate to
_ONE_THREAD = "one thread to four from ncnn's and TFLite's benchmarks"


@dataclass(frozen=True, slots=True)
class Board:
    """A board, and by which factor one thread of it is slower at int8 convolutions."""

    profile: str  # name of its profile: see edge/device/board.py
    factor: tuple[float, float]  # the least and the most
    source: str  # of the factor

    @property
    def name(self) -> str:
        """The beginning of its model in the device tree."""
        return load_board(self.profile).models[0]


BOARDS = (
    Board("zero2w", (40.0, 51.0), "ncnn's and TFLite's benchmarks, one thread"),
    Board("3b", (26.0, 32.0), f"XNNPACK's README, V1 46 and V2 30 ms in 4 threads; {_ONE_THREAD}"),
    Board("4", (13.0, 18.0), f"XNNPACK's README, V1 24 and V2 17 ms in 4 threads; {_ONE_THREAD}"),
    Board("5", (3.0, 4.0), "Arm's ExecuTorch course, V2 4.0 ms, threads not stated"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """The results of a bench on some machine that predictions need."""

    board: str
    model: str
    threads: int
    mobilenet_v2_ms: float
    step_p50_ms: float
    step_p99_ms: float
    real_time_factor: float


@dataclass(frozen=True, slots=True)
class BoardTimes:
    """The times of a model on a board, the least and the most."""

    board: str
    kind: str  # "prediction" or "measured"
    step_p50_ms: tuple[float, float]
    step_p99_ms: tuple[float, float]
    real_time_factor: tuple[float, float]
    source: str


def read_result(path: Path) -> Result:
    """Read the output of `seld-edge bench --json`.

    Raises:
        ValueError: the file cannot be read or holds something else; one line with its path.
    """
    try:
        return result_of(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(f"{path}: got something else, wanted what `seld-edge bench --json` prints") from None


def result_of(report: dict[str, Any]) -> Result:
    """Extract from a report what predictions need.

    Raises:
        KeyError: the report lacks an entry.
        TypeError: an entry is of another kind.
        ValueError: an entry is not a number.
    """
    return Result(
        str(report["machine"]["board"]),
        str(report["model"]),
        int(report["threads"]),
        float(report["mobilenet_v2_ms"]),
        float(report["step_ms"]["p50"]),
        float(report["step_ms"]["p99"]),
        float(report["real_time_factor"]),
    )


def read_references(folder: Path = REFERENCE) -> list[Result]:
    """Read all results of real boards in a folder."""
    return [read_result(path) for path in sorted(folder.glob("*.json"))]


def board_times(here: Result, references: Sequence[Result]) -> list[BoardTimes]:
    """Return the times of a model on each board.

    The whole step is scaled like its nets; on a Pi 4, the part of numpy is probably slower by a factor of 10 only.

    Args:
        here: the result of this machine.
        references: results of real boards.

    Returns:
        One item for each board. Predictions hold for one thread; with more threads, only measured boards are listed.
    """
    return [times for board in BOARDS if (times := _on_board(board, here, references)) is not None]


def _on_board(board: Board, here: Result, references: Sequence[Result]) -> BoardTimes | None:
    there = [run for run in references if run.board.startswith(board.name) and run.threads == here.threads]
    for run in there:
        if run.model == here.model:
            return _scaled(board, "measured", run, (1.0, 1.0), "seld-edge bench on the board")
    if there:
        factor = there[0].mobilenet_v2_ms / here.mobilenet_v2_ms
        return _scaled(board, "prediction", here, (factor, factor), "its MobileNetV2 as measured on the board")
    if here.threads != 1:
        return None
    least, most = (factor * _YARDSTICK_MS / here.mobilenet_v2_ms for factor in board.factor)
    return _scaled(board, "prediction", here, (least, most), board.source)


def _scaled(board: Board, kind: str, run: Result, factors: tuple[float, float], source: str) -> BoardTimes:
    step_p50_ms, step_p99_ms, real_time_factor = (
        (value * factors[0], value * factors[1]) for value in (run.step_p50_ms, run.step_p99_ms, run.real_time_factor)
    )
    return BoardTimes(board.name, kind, step_p50_ms, step_p99_ms, real_time_factor, source)

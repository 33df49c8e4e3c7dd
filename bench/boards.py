"""Times measured here -> times on boards that are not at hand: predictions, and always called so.

MobileNetV2-224 int8 is the yardstick: its time on boards is published, its time here is measured in the same run, and
the model is taken to need as many times as long as it there as here. What `seld-edge bench --json` prints on a board,
put into `bench/reference`, replaces the prediction of its model, and the published time of the yardstick for others.
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

_YARDSTICK_MS = 3.15  # one thread of the machine that the factors below are to
_ONE_THREAD = "one thread to four from ncnn's and TFLite's benchmarks"


@dataclass(frozen=True, slots=True)
class Board:
    """A board and how much longer one thread of it takes for int8 convolutions, at least and at most."""

    profile: str  # see edge/device/board.py
    factor: tuple[float, float]
    source: str

    @property
    def name(self) -> str:
        """Its record in the device tree begins so."""
        return load_board(self.profile).models[0]


BOARDS = (
    Board("zero2w", (40.0, 51.0), "ncnn's and TFLite's benchmarks, one thread"),
    Board("3b", (26.0, 32.0), f"XNNPACK's README, V1 46 and V2 30 ms in 4 threads; {_ONE_THREAD}"),
    Board("4", (13.0, 18.0), f"XNNPACK's README, V1 24 and V2 17 ms in 4 threads; {_ONE_THREAD}"),
    Board("5", (3.0, 4.0), "Arm's ExecuTorch course, V2 4.0 ms, threads not stated"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run on some machine came to, as far as boards are concerned."""

    board: str
    model: str
    threads: int
    mobilenet_v2_ms: float
    step_p50_ms: float
    step_p99_ms: float
    real_time_factor: float


@dataclass(frozen=True, slots=True)
class BoardTimes:
    """What a model takes on a board, at least and at most."""

    board: str
    kind: str  # "prediction" or "measured"
    step_p50_ms: tuple[float, float]
    step_p99_ms: tuple[float, float]
    real_time_factor: tuple[float, float]
    source: str


def read_result(path: Path) -> Result:
    """A run as `seld-edge bench --json` wrote it. Raises ValueError, one line with the path, if it is none."""
    try:
        return result_of(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(f"{path}: got something else, wanted what `seld-edge bench --json` prints") from None


def result_of(report: dict[str, Any]) -> Result:
    """The part of a report that predictions need. Raises KeyError, TypeError or ValueError if it is no report."""
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
    """All runs on real boards that are there."""
    return [read_result(path) for path in sorted(folder.glob("*.json"))]


def board_times(here: Result, references: Sequence[Result]) -> list[BoardTimes]:
    """What the model takes on each board. Predictions are of one thread: with more, there are measurements only.

    The whole step is scaled like its nets. On a Pi 4, numpy's part is thought to be slower by about 10 only.
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

"""A report of the bench -> one PNG: steps and stages, boards, and a soak if there was one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.boards import STEP_BUDGET_MS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_SHOWN_MS = 1e-3


def check_matplotlib() -> None:
    """Refuse to start the work if its results could not be drawn.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError("--plot: got no matplotlib, wanted it: pip install matplotlib") from None


def write_plot(path: Path, report: dict[str, Any]) -> None:
    """Draw a report.

    Args:
        path: PNG file to write.
        report: from `bench.report.bench`.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    soak = report.get("soak")
    figure = Figure(figsize=(15 if soak else 11, 6), layout="constrained")
    axes = figure.subplots(1, 3 if soak else 2)
    _plot_times(axes[0], report)
    _plot_boards(axes[1], report)
    if soak:
        _plot_soak(axes[2], soak)
    figure.suptitle(f"{report['model']}, {report['threads']} threads, {report['machine']['board']}")
    figure.savefig(path, dpi=100, format="png")


def _plot_times(axes: Axes, report: dict[str, Any]) -> None:
    """Draw p50 as bars and p99 as marks."""
    rows = {"step, all live": report["step_ms"], "step, silence": report["silence_step_ms"]}
    if report["naive_window"] is not None:
        rows["window for every answer"] = report["naive_window"]["step_ms"]
    rows["MobileNetV2-224 int8"] = {"p50": report["mobilenet_v2_ms"], "p99": report["mobilenet_v2_ms"]}
    rows |= {f"stage {name}": times for name, times in report["stages_ms"].items()}
    rows |= {f"net {name}": times for name, times in report["nets_ms"].items()}
    names = list(rows)[::-1]
    axes.barh(names, [max(rows[name]["p50"], LEAST_SHOWN_MS) for name in names], color="0.7", label="p50")
    axes.plot([max(rows[name]["p99"], LEAST_SHOWN_MS) for name in names], names, "k|", label="p99")
    axes.axvline(STEP_BUDGET_MS, color="C3", linestyle=":", label="100 ms")
    axes.set(xscale="log", xlabel="ms", title="measured here")
    axes.legend(frameon=False)


def _plot_boards(axes: Axes, report: dict[str, Any]) -> None:
    """Draw the step on each board, from the least to the most: p50, and p99 with open marks."""
    boards = report["boards"][::-1]
    for row, board in enumerate(boards):
        colour = "C0" if board["kind"] == "prediction" else "C2"
        axes.plot(board["step_p50_ms"], [row, row], "o-", color=colour)
        axes.plot(board["step_p99_ms"], [row, row], "o--", color=colour, markerfacecolor="none")
    axes.set_yticks(range(len(boards)), [f"{board['board']}\n({board['kind']})" for board in boards])
    axes.axvline(STEP_BUDGET_MS, color="C3", linestyle=":")
    axes.set(
        xscale="log",
        xlabel="step in ms, all tracks live: p50, and open p99",
        title="boards",
        ylim=(-0.5, max(len(boards), 1) - 0.5),
    )


def _plot_soak(axes: Axes, soak: dict[str, Any]) -> None:
    """Draw step times and memory over the hours."""
    hours = [sample["hours"] for sample in soak["samples"]]
    for name in ("p50_ms", "p99_ms"):
        axes.plot(hours, [sample[name] for sample in soak["samples"]], label=name.replace("_", " in "))
    axes.set(xlabel="hours of sound", ylabel="step in ms", title="soak", ylim=(0.0, None))
    axes.legend(loc="upper left", frameon=False)
    memory = axes.twinx()
    memory.plot(hours, [sample["rss_mb"] for sample in soak["samples"]], "k--")
    memory.set(ylabel="memory in MB (dashed)", ylim=(0.0, None))

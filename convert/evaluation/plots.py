"""The results of an evaluation or the logs of a training -> PNG figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from convert.training.csv_log import read_log
from edge.scoring.annotations import LABEL_FRAME_S, Label

if TYPE_CHECKING:
    from convert.evaluation.paper_tables import PaperTables
    from convert.evaluation.predictions import Prediction

mpl.use("agg")

CURVES = "curves.png"  # file name inside the folder of a training run
PLOTTED_SCENES = 4  # scenes whose directions are plotted


def write_plots(
    folder: Path,
    rung: str,
    truth: Mapping[str, Sequence[Label]],
    predictions: Mapping[str, Prediction],
    tables: PaperTables,
    class_names: Sequence[str],
) -> None:
    """Write all figures of one rung.

    Args:
        folder: where to write `RUNG-*.png`; it is created.
        rung: name of the nets that were evaluated: "keras", "float32" or "int8".
        truth: the labels of each scene, by name; the first `PLOTTED_SCENES` of them are plotted over time.
        predictions: the prediction for each scene, by name.
        tables: the tables of the CoLoC paper.
        class_names: the class names of the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in list(truth)[:PLOTTED_SCENES]:
        plot_scene(folder / f"{rung}-{name}.png", truth[name], predictions[name].rows, class_names)
    plot_confusion(folder / f"{rung}-confusion.png", tables, class_names)
    plot_localizer_table(folder / f"{rung}-localizer.png", tables)


def plot_scene(path: Path, truth: Sequence[Label], found: Sequence[Label], class_names: Sequence[str]) -> None:
    """Plot azimuth and elevation over time of one scene: labels as bars, decoded frames as dots, coloured by class.

    Args:
        path: the PNG file to write; its name is the title.
        truth: the labels of the scene.
        found: the frames that were decoded.
        class_names: the class names of the model.
    """
    figure = Figure(figsize=(12, 7), layout="constrained")
    figure.suptitle(f"{path.stem}: directions over time")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    colours = mpl.colormaps["tab20"]
    heard = sorted({label.class_index for label in (*truth, *found)})
    for axes, angle, limit_deg, step_deg in ((upper, "azimuth", 180, 60), (lower, "elevation", 90, 30)):
        for labels, marker, colour, size in ((truth, "s", "0.85", 60), (truth, "|", None, 60), (found, "o", None, 9)):
            axes.scatter(
                [label.frame * LABEL_FRAME_S for label in labels],
                [getattr(label, f"{angle}_deg") for label in labels],
                s=size,
                c=[colour or colours(label.class_index % 20) for label in labels],
                marker=marker,
            )
        axes.set(ylabel=f"{angle} in degrees", ylim=(-limit_deg, limit_deg))
        axes.set_yticks(range(-limit_deg, limit_deg + 1, step_deg))
        axes.grid(alpha=0.3)
    lower.set_xlabel("time in s")
    handles = [
        Line2D([], [], color="0.4", marker="|", markersize=9, linestyle="", label="truth (bar on grey)"),
        Line2D([], [], color="0.4", marker="o", markersize=4, linestyle="", label="found (dot)"),
        *(
            Line2D([], [], color=colours(index % 20), marker="s", linestyle="", label=class_names[index])
            for index in heard
        ),
    ]
    figure.legend(handles=handles, loc="outside right center", frameon=False)
    figure.savefig(path, dpi=100)


def plot_confusion(path: Path, tables: PaperTables, class_names: Sequence[str]) -> None:
    """Plot the confusion matrix of the classifier when it is given the true direction, in % of each true class.

    Classes that no scene has cannot be confused: their rows are hatched.
    """
    frames = tables.confusion.sum(axis=1)
    shares = tables.confusion / np.maximum(frames[:, None], 1)
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.01:
            colour = "white" if share > 0.5 else "black"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=colour)
    absent = np.flatnonzero(frames == 0)
    for row in absent:
        axes.axhspan(row - 0.5, row + 0.5, facecolor="none", edgecolor="0.75", hatch="///", linewidth=0.0)
    names = [name if frames[row] else f"{name} (absent)" for row, name in enumerate(class_names)]
    axes.set_xticks(range(shares.shape[1]), [*class_names, "none"], rotation=90)
    axes.set_yticks(range(shares.shape[0]), names)
    note = "\nhatched: no label frame of this class in the scenes" if len(absent) else ""
    axes.set(
        xlabel="answer",
        ylabel="truth",
        title=f"Answers of the classifier, told the true direction, in % of frames{note}",
    )
    figure.savefig(path, dpi=100)


def plot_localizer_table(path: Path, tables: PaperTables) -> None:
    """Plot the localizer's mean DOA error by active sources and known directions (Table 1 of the CoLoC paper)."""
    slots = len(tables.error_deg)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for active in range(slots):
        known = np.arange(active + 1)
        error_deg = tables.error_deg[active, : active + 1]
        absent = "" if np.isfinite(error_deg).any() else " (none in the scenes)"
        axes.plot(known, error_deg, "o-", label=f"{active + 1} active{absent}")
    axes.set(xlabel="known directions", ylabel="mean DOA error in degrees", xticks=range(slots), ylim=(0, None))
    axes.set_title("Localizer: error of the next direction")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=100)


def plot_curves(path: Path, logs: Mapping[str, Path]) -> None:
    """Plot the loss of every stage over its steps, and the scores on development data on a second axis.

    Args:
        path: the PNG file to write.
        logs: the csv log of each stage; stages whose log does not exist are left out.
    """
    stages = {stage: rows for stage, log in logs.items() if (rows := read_log(log))}
    figure = Figure(figsize=(6 * max(len(stages), 1), 4), layout="constrained")
    for axes, (stage, rows) in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages.items(), strict=True):
        scores = [name for name in rows[-1] if name.startswith("dev_") and name != "dev_loss"]
        right = axes.twinx() if scores else axes
        for index, name in enumerate(["loss", "dev_loss", *scores]):
            points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
            if points:
                side, marker = (right, ".--") if name in scores else (axes, ".-")
                side.plot(*zip(*points, strict=True), marker, color=f"C{index}", label=name)
        axes.set(title=stage, xlabel="step", ylabel="loss")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        for side in dict.fromkeys((axes, right)):
            top = side.dataLim.ymax  # of all curves: a limit that is set before them would cut them off
            side.set_ylim(0.0, 1.05 * top if np.isfinite(top) and top > 0.0 else 1.0)
        if scores:
            right.set_ylabel("degrees or %")
        handles = [handle for side in dict.fromkeys((axes, right)) for handle in side.get_legend_handles_labels()[0]]
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False)
    figure.savefig(path, dpi=100)


def curves_have_scores(logs: Iterable[Path]) -> bool:
    """Whether a log has a column that `plot_curves` shows beside the loss of the training."""
    return any(name.startswith("dev_") and row[name] for log in logs for row in read_log(log) for name in row)

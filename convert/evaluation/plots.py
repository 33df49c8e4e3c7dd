"""The results of an evaluation or the logs of a training -> PNG figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from convert.training.csv_log import read_log
from edge.scoring.annotations import LABEL_FRAME_S, Label

if TYPE_CHECKING:
    from convert.evaluation.paper_tables import PaperTables
    from convert.evaluation.predictions import Prediction

mpl.use("agg")

CURVES = "curves.png"  # file name inside the folder of a training run
PLOTTED_SCENES = 4  # scenes whose azimuth is plotted


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
        plot_azimuth(folder / f"{rung}-{name}.png", truth[name], predictions[name].rows, class_names)
    plot_confusion(folder / f"{rung}-confusion.png", tables, class_names)
    plot_localizer_table(folder / f"{rung}-localizer.png", tables)


def plot_azimuth(path: Path, truth: Sequence[Label], found: Sequence[Label], class_names: Sequence[str]) -> None:
    """Plot the azimuth of labels (grey) and decoded frames (coloured by class) of one scene over time."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(
        [label.frame * LABEL_FRAME_S for label in truth],
        [label.azimuth_deg for label in truth],
        s=40,
        color="0.8",
        label="truth",
    )
    colours = mpl.colormaps["tab20"]
    for index in sorted({label.class_index for label in (*truth, *found)}):
        rows = [label for label in found if label.class_index == index]
        true_rows = [label for label in truth if label.class_index == index]
        for labels, marker in ((true_rows, "|"), (rows, "o")):
            axes.scatter(
                [label.frame * LABEL_FRAME_S for label in labels],
                [label.azimuth_deg for label in labels],
                s=10,
                color=colours(index % 20),
                marker=marker,
                label=class_names[index] if marker == "o" else None,
            )
    axes.set(xlabel="time in s", ylabel="azimuth in degrees", ylim=(-180, 180), yticks=range(-180, 181, 60))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path, dpi=100)


def plot_confusion(path: Path, tables: PaperTables, class_names: Sequence[str]) -> None:
    """Plot the confusion matrix of the classifier when it is given the true direction, in % of each true class."""
    shares = tables.confusion / np.maximum(tables.confusion.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.01:
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7)
    axes.set_xticks(range(shares.shape[1]), [*class_names, "none"], rotation=90)
    axes.set_yticks(range(shares.shape[0]), class_names)
    axes.set(xlabel="answer", ylabel="truth", title="% of frames, direction known")
    figure.savefig(path, dpi=100)


def plot_localizer_table(path: Path, tables: PaperTables) -> None:
    """Plot the localizer's mean DOA error by active sources and known directions (Table 1 of the CoLoC paper)."""
    slots = len(tables.error_deg)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for active in range(slots):
        known = np.arange(active + 1)
        axes.plot(known, tables.error_deg[active, : active + 1], "o-", label=f"{active + 1} active")
    axes.set(xlabel="known directions", ylabel="mean DOA error in degrees", xticks=range(slots), ylim=(0, None))
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
                side, marker = (right, ".--") if name in scores else (axes, "-" if name == "loss" else ".-")
                side.plot(*zip(*points, strict=True), marker, color=f"C{index}", label=name)
        axes.set(title=stage, xlabel="step", ylabel="loss", ylim=(0, None))
        if scores:
            right.set(ylabel="degrees or %", ylim=(0, 100))
        handles = [handle for side in dict.fromkeys((axes, right)) for handle in side.get_legend_handles_labels()[0]]
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False)
    figure.savefig(path, dpi=100)

"""The csv logs of a training run -> one figure with the curves of every stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from convert.training.trainer import read_log

mpl.use("agg")

CURVES = "curves.png"  # file name inside the folder of a run


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

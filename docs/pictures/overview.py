"""The data path and the demo scene as the shipped model hears it -> `docs/pictures/overview.png`.

`python -m docs.pictures.overview` runs `seld-edge file` on the demo scene and draws its csv beside the labels.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from edge.cli import main as seld_edge
from edge.nets.bundle import find_bundle, read_manifest
from edge.run_settings import DEFAULT_MODEL

PICTURE = Path(__file__).with_suffix(".png")
DEMO = Path(__file__).parents[2] / "edge" / "demo"
LABEL_S = 0.1

STAGES = (
    ("array", "4 microphones"),
    ("audio", "blocks,\nabsolute time"),
    ("arrays", "capsules\n→ ambisonics"),
    ("frontend", "spectra\n→ maps"),
    ("systems", "int8 nets\n→ tracks"),
    ("events", "class, time,\ndirection"),
    ("outputs", "JSON, MQTT,\nmetrics"),
)

Rows = dict[tuple[int, int], list[tuple[float, float]]]  # class and track -> seconds and degrees of each label frame


def read_rows(path: Path) -> Rows:
    """The label frames of a DCASE csv by class and track."""
    found: Rows = defaultdict(list)
    with path.open(newline="") as file:
        for frame, class_index, track, azimuth, _ in csv.reader(file):
            found[int(class_index), int(track)].append((int(frame) * LABEL_S, float(azimuth)))
    return found


def draw_path(axes: Axes) -> None:
    """Boxes of the stages from left to right."""
    axes.set(xlim=(0, len(STAGES)), ylim=(0, 1))
    axes.axis("off")
    for index, (name, what) in enumerate(STAGES):
        outside = index == 0
        axes.add_patch(
            FancyBboxPatch(
                (index + 0.04, 0.08),
                0.82,
                0.84,
                boxstyle="round,pad=0,rounding_size=0.06",
                facecolor="#f2f2f2" if outside else "#dbe9f6",
                edgecolor="#8c8c8c" if outside else "#2b6ca3",
            )
        )
        axes.text(index + 0.45, 0.7, name, ha="center", va="center", fontsize=10.5, fontweight="bold")
        axes.text(index + 0.45, 0.34, what, ha="center", va="center", fontsize=9)
        if index:
            axes.annotate(
                "", (index + 0.04, 0.5), (index - 0.14, 0.5), arrowprops={"arrowstyle": "-|>", "color": "#404040"}
            )


def draw_scene(axes: Axes, truth: Rows, heard: Rows, class_names: tuple[str, ...]) -> None:
    """Azimuth over time: labels as broad grey lines, what was heard in the colour of its class."""
    for labelled in truth.values():
        axes.plot(*zip(*labelled, strict=True), "s", color="0.82", markersize=9, zorder=1)
    colours = mpl.colormaps["tab20"]
    named: set[int] = set()
    for (class_index, _), rows in sorted(heard.items()):
        label = None if class_index in named else class_names[class_index].replace("_", " ")
        named.add(class_index)
        axes.plot(*zip(*rows, strict=True), "o", color=colours(class_index), markersize=4, label=label, zorder=2)
    axes.plot([], [], "s", color="0.82", markersize=9, label="labels")
    axes.set(xlim=(0, 30), ylim=(-185, 185), yticks=range(-180, 181, 90), xlabel="time / s", ylabel="azimuth / degrees")
    axes.grid(color="0.93")
    axes.set_axisbelow(True)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)


def main() -> int:
    """Draw the picture."""
    mpl.use("agg")
    with TemporaryDirectory() as folder:
        if code := seld_edge(["file", str(DEMO / "scene.wav"), "--out", folder]):
            return code
        heard = read_rows(Path(folder) / "scene.csv")
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(1, 3.4))
    draw_path(top)
    names = read_manifest(find_bundle(DEFAULT_MODEL)).class_names
    draw_scene(bottom, read_rows(DEMO / "scene.csv"), heard, names)
    figure.savefig(PICTURE, dpi=100)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Labels and predictions -> scores by reverberation, noise, distance, elevation, number of sources, and motion.

There are two kinds of rows. Quantities of a whole scene (reverberation, noise) are scored by the official metric of
2022 over the scenes of each bin, with a micro average, because a class that is rare in a bin would distort a macro
average. Quantities of a single label (distance, elevation, simultaneous sources, motion) cannot be scored like that,
because the official metric counts tracks over whole segments. Each label is judged alone instead: it counts as found if
the prediction of its class that it is paired with is within `FOUND_DEG`. This recall ignores false alarms and is not
the official F or LR.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from convert.data.scene_folders import read_scenes_json
from convert.evaluation.scores import table
from edge.geometry import angle_between_deg, unit_vector
from edge.scoring.annotations import Label
from edge.scoring.metrics import SeldScores, score

FOUND_DEG = 20.0
MOVED_DEG = 5.0  # a source counts as moving if it gets farther than this from its first direction

Floats = NDArray[np.float64]
Bins = tuple[tuple[float, ...], tuple[str, ...]]  # the lower edges of all bins but the first, and the names of all

SCENE_BINS: Mapping[str, Bins] = {
    "rt60_s": ((0.4, 0.6), ("< 0.4", "0.4 - 0.6", ">= 0.6")),
    "snr_db": ((15, 25), ("< 15", "15 - 25", ">= 25")),
}
LABEL_BINS: Mapping[str, Bins] = {
    "distance_m": ((1.5, 3.0), ("< 1.5", "1.5 - 3", ">= 3")),
    "elevation_deg": ((-20, 20), ("< -20", "-20 - 20", ">= 20")),
    "sources": ((2, 3), ("1", "2", ">= 3")),
    "classes": ((2, 3), ("1", "2", ">= 3")),
    "motion": ((1,), ("static", "moving")),
}


@dataclass(frozen=True, slots=True)
class SceneRow:
    """The official scores over the scenes of one bin."""

    quantity: str
    bin: str
    scenes: int
    scores: SeldScores  # 2022, micro


@dataclass(frozen=True, slots=True)
class LabelRow:
    """The recall and error over the reference labels of one bin, each judged alone."""

    quantity: str
    bin: str
    labels: int
    recall: float  # share of labels with a prediction of the same class within FOUND_DEG
    error_deg: float | None  # mean angle to the paired prediction, at any distance; None if no label has one


@dataclass(frozen=True, slots=True)
class Breakdown:
    """All rows; empty bins have none. As text, it is a table."""

    scene_rows: list[SceneRow]
    label_rows: list[LabelRow]

    def __str__(self) -> str:
        by_scene = {f"{row.quantity} {row.bin} ({row.scenes} scenes)": row.scores for row in self.scene_rows}
        lines = ["official metric over scenes (2022, micro)", table(by_scene)] if by_scene else []
        lines += [
            f"label by label, not the official F: found within {FOUND_DEG:.0f} degrees, error where the class is right",
            f"{'':<28}{'labels':>8}{'recall':>8}{'error':>8}",
        ]
        for row in self.label_rows:
            error = "-" if row.error_deg is None else f"{row.error_deg:.1f}"
            lines.append(f"{row.quantity:<16}{row.bin:<12}{row.labels:8d}{row.recall:8.3f}{error:>8}")
        return "\n".join(lines)


def break_down(
    truth: Mapping[str, Sequence[Label]],
    found: Mapping[str, Sequence[Label]],
    classes: int,
    of_scene: Mapping[str, Mapping[str, float]],
) -> Breakdown:
    """Score the predictions separately for each bin of each quantity.

    Args:
        truth: the labels of each scene, by name.
        found: the decoded rows of each scene, by name.
        classes: number of classes.
        of_scene: for each scene, by name, those quantities of `SCENE_BINS` that are known.
    """
    scene_rows = []
    for quantity, bins in SCENE_BINS.items():
        known = [name for name in truth if quantity in of_scene.get(name, {})]
        values = np.array([of_scene[name][quantity] for name in known])
        for bin_name, inside in _binned(values, bins):
            names = [known[index] for index in np.flatnonzero(inside)]
            wanted, got = ({name: labels[name] for name in names} for labels in (truth, found))
            scene_rows.append(SceneRow(quantity, bin_name, len(names), score(wanted, got, classes, "2022", "micro")))
    angles = np.concatenate([np.zeros(0), *(matched_deg(truth[name], found[name]) for name in truth)])
    properties = [label_properties(labels) for labels in truth.values()]
    label_rows = []
    for quantity, bins in LABEL_BINS.items():
        values = np.concatenate([np.zeros(0), *(each[quantity] for each in properties)])
        for bin_name, inside in _binned(values, bins):
            here = angles[inside]
            paired = here[~np.isnan(here)]
            recall = float(np.mean(here <= FOUND_DEG))
            error_deg = float(paired.mean()) if paired.size else None
            label_rows.append(LabelRow(quantity, bin_name, len(here), recall, error_deg))
    return Breakdown(scene_rows, label_rows)


def scene_values(folder: Path) -> dict[str, dict[str, float]]:
    """Read the quantities of `SCENE_BINS` from the `scenes.json` of a folder.

    Returns:
        The known quantities of each scene, by name.

    Raises:
        ValueError: the entries of the scenes have no name, or a quantity is not a number.
    """
    scenes = read_scenes_json(folder).get("scenes", [])
    try:
        return {str(scene["name"]): {key: float(scene[key]) for key in SCENE_BINS if key in scene} for scene in scenes}
    except (TypeError, KeyError, ValueError):
        wanted = f"scenes with a name each, and numbers for {', '.join(SCENE_BINS)}"
        raise ValueError(f"{folder / 'scenes.json'}: got something else, wanted {wanted}") from None


def matched_deg(truth: Sequence[Label], found: Sequence[Label]) -> Floats:
    """Pair the labels of each frame and class with predictions so that the sum of angles is least.

    The official metric pairs in the same way; every prediction is used at most once.

    Returns:
        The angle in degrees from each label to its prediction (labels,); NaN without one.
    """
    angles = np.full(len(truth), np.nan)
    true_rows, found_rows = _rows(truth), _rows(found)
    true_vectors, found_vectors = _vectors(truth), _vectors(found)
    for key in true_rows.keys() & found_rows.keys():
        here = np.array(true_rows[key])
        each = angle_between_deg(true_vectors[here][:, None], found_vectors[found_rows[key]])
        rows, columns = linear_sum_assignment(each)
        angles[here[rows]] = each[rows, columns]
    return angles


def label_properties(labels: Sequence[Label]) -> dict[str, Floats]:
    """Compute the quantities of `LABEL_BINS` for each label of one recording.

    Returns:
        Values (labels,) of each quantity, by name; NaN for an unknown distance.
    """
    sources = Counter(label.frame for label in labels)
    classes = Counter(frame for frame, _ in {(label.frame, label.class_index) for label in labels})
    columns = {
        "distance_m": [np.nan if label.distance_cm is None else label.distance_cm / 100 for label in labels],
        "elevation_deg": [label.elevation_deg for label in labels],
        "sources": [sources[label.frame] for label in labels],
        "classes": [classes[label.frame] for label in labels],
        "motion": _moving(labels),
    }
    return {name: np.array(column, dtype=np.float64) for name, column in columns.items()}


def _moving(labels: Sequence[Label]) -> NDArray[np.bool_]:
    """Mark the labels of moving sources: runs of frames of one class and track that exceed `MOVED_DEG`."""
    moving = np.zeros(len(labels), bool)
    vectors = _vectors(labels)
    order = sorted(range(len(labels)), key=lambda row: (labels[row].class_index, labels[row].track, labels[row].frame))

    def run_key(item: tuple[int, int]) -> tuple[int, int, int]:
        position, label = item[0], labels[item[1]]
        return label.class_index, label.track, label.frame - position  # the difference is constant in a run

    for _, items in groupby(enumerate(order), run_key):
        rows = [row for _, row in items]
        moving[rows] = angle_between_deg(vectors[rows[0]], vectors[rows]).max() > MOVED_DEG
    return moving


def _rows(labels: Sequence[Label]) -> dict[tuple[int, int], list[int]]:
    """Group the indices of labels by frame and class."""
    rows = defaultdict(list)
    for row, label in enumerate(labels):
        rows[label.frame, label.class_index].append(row)
    return rows


def _vectors(labels: Sequence[Label]) -> Floats:
    """Unit vectors (labels, 3)."""
    return unit_vector([label.azimuth_deg for label in labels], [label.elevation_deg for label in labels])


def _binned(values: Floats, bins: Bins) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield the name of each bin that is not empty and a mask (n,) of its values; NaN is in no bin."""
    edges, names = bins
    place = np.where(np.isnan(values), -1, np.digitize(values, edges))
    for index, name in enumerate(names):
        if np.any(place == index):
            yield name, place == index

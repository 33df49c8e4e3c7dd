"""Labels of recordings -> what the rules of DCASE 2024 count: sources found and missed, angles, errors of distance.

Everything is counted frame by frame and not by segments of a second. A detection is right if its class is, and if both
its angle and its relative distance error are within their thresholds; the relative distance error is the difference of
the distances over the true one. Angles and distance errors are summed over all detections of the right class.

Source: the baseline of DCASE 2024 task 3 (github.com/partha2409/DCASE2024_seld_baseline): README.md says what is
measured, `SELDMetrics` of SELD_evaluation_metrics.py how. Where the README leaves a choice, it is that of the code:
detections are matched by angle alone, a recording ends before its last reference label, and vectors are divided by a
length that is a little too large, so that an angle of exactly the threshold is too large.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from edge.scoring.annotations import Label

Floats = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
"""Guards divisions as the official code does, so that 0 / 0 is 0."""

RELATIVE_THRESHOLD = 1.0
"""The largest relative distance error at which a detection is right."""

_LENGTH_EPS = 1e-10  # added to the squared length of a unit vector


def count_frames(
    recordings: Iterable[tuple[Sequence[Label], Sequence[Label]]], classes: int, threshold_deg: float
) -> tuple[Floats, int]:
    """Count over all frames of all recordings.

    Args:
        recordings: reference and prediction of each; all labels have distances.
        classes: number of classes.
        threshold_deg: the angle beyond which a detection is wrong.

    Returns:
        Sums (6, classes): matched detections that are near enough and those that are not, detections too many (false
        alarms), sources too many (misses), angles in degrees and relative distance errors of all matched ones; and the
        errors: substitutions, deletions and insertions.
    """
    tally = np.zeros((6, classes))
    errors = 0
    for reference, prediction in recordings:
        end = max((label.frame for label in reference or prediction), default=0)
        true_rows, found_rows = rows_by_frame(reference, end), rows_by_frame(prediction, end)
        extra: dict[int, int] = defaultdict(int)  # by frame
        missed: dict[int, int] = defaultdict(int)
        for frame, class_index in sorted(true_rows.keys() | found_rows.keys()):
            true = [reference[row] for row in true_rows.get((frame, class_index), ())]
            found = [prediction[row] for row in found_rows.get((frame, class_index), ())]
            angles, relative = _matched(true, found)
            far = int(np.sum((angles > threshold_deg) | (relative > RELATIVE_THRESHOLD)))
            false_alarms, misses = max(0, len(found) - len(true)), max(0, len(true) - len(found))
            tally[:, class_index] += len(angles) - far, far, false_alarms, misses, angles.sum(), relative.sum()
            extra[frame] += far + false_alarms
            missed[frame] += misses
        errors += sum(max(extra[frame], missed[frame]) for frame in extra)
    return tally, errors


def rows_by_frame(labels: Sequence[Label], end: float) -> dict[tuple[int, int], list[int]]:
    """The rows of the labels before frame `end`, by (frame, class)."""
    rows = defaultdict(list)
    for row, label in enumerate(labels):
        if label.frame < end:
            rows[label.frame, label.class_index].append(row)
    return rows


def _matched(true: Sequence[Label], found: Sequence[Label]) -> tuple[Floats, Floats]:
    """Angles in degrees and relative distance errors of the pairs of one class in one frame, least in sum of angles."""
    if not true or not found:
        return np.zeros(0), np.zeros(0)
    cosine = np.clip(_directions(true) @ _directions(found).T, -1, 1)
    angles = np.arccos(cosine) * 180 / np.pi
    rows, columns = linear_sum_assignment(angles)
    true_m, found_m = _distances_m(true)[rows], _distances_m(found)[columns]
    return angles[rows, columns], np.abs(true_m - found_m) / (true_m + EPS)


def _directions(labels: Sequence[Label]) -> Floats:
    """Vectors (labels, 3), all but of unit length."""
    azimuth = np.array([label.azimuth_deg for label in labels], np.float64) * np.pi / 180
    elevation = np.array([label.elevation_deg for label in labels], np.float64) * np.pi / 180
    level = np.cos(elevation)
    vectors = np.stack([np.cos(azimuth) * level, np.sin(azimuth) * level, np.sin(elevation)], axis=-1)
    return vectors / np.sqrt(np.sum(vectors**2, axis=-1, keepdims=True) + _LENGTH_EPS)


def _distances_m(labels: Sequence[Label]) -> Floats:
    return np.array([math.nan if label.distance_cm is None else label.distance_cm / 100 for label in labels])

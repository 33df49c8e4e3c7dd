"""Labels and predictions -> localization scored without classes, and detection without directions.

So the two-step paper scores the nets of its first step, "using the same metrics as IPDnet" (Table 1) and by the macro F
of segments of 100 ms (Table 2). Here the rows of the whole system are scored, after its decoder.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from edge.geometry import angle_between_deg, unit_vector
from edge.scoring.annotations import Label

TOLERANCE_DEG = 20.0  # "we set the threshold to 20 degrees" (section 3.2.1)
_NEVER = 1e4  # the cost of a pair beyond the tolerance, as in the code of IPDnet


@dataclass(frozen=True, slots=True)
class SeparateScores:
    """Scores over all label frames of all recordings. As text, they are a line."""

    acc: float  # share of the sources that are found
    mdr: float  # share of the sources that are missed: 1 - acc
    far: float  # false alarms in frames with a source, per source
    mae_deg: float | None  # mean angle of the sources that are found; None where none is
    segment_f: float  # mean over classes of the F of their label frames

    def __str__(self) -> str:
        mae = "-" if self.mae_deg is None else f"{self.mae_deg:.1f} deg"
        return (
            f"without classes, within {TOLERANCE_DEG:.0f} deg: ACC {self.acc:.3f}  MDR {self.mdr:.3f}  "
            f"FAR {self.far:.3f}  MAE {mae}; without directions: macro F of 100 ms {self.segment_f:.3f}"
        )


def score_separately(truth: Mapping[str, Sequence[Label]], found: Mapping[str, Sequence[Label]]) -> SeparateScores:
    """Score where sources are apart from what they are.

    In each label frame, sources are paired with predictions so that as many as possible are within `TOLERANCE_DEG` and
    the sum of their angles is least. With K sources, E predictions in frames with a source and C pairs within the
    tolerance, ACC = C / K, MDR = (K - C) / K, FAR = (E - C) / K, and MAE is the mean angle of the C pairs. These are
    the definitions in the code of IPDnet (`getMetric`, several sources, IPDnet/Module.py of
    github.com/Audio-WestlakeU/FN-SSL), but for two things: the angle is that on the sphere, not of the azimuth, and
    counts are summed over recordings, not averaged. ACC and MDR of Table 1 sum to 97 to 98 %, by these definitions
    they sum to 1: how the paper counts the rest is not said.

    F of a class is 2 TP / (2 TP + FP + FN) over label frames, in which it is active or not (segment-based F, Mesaros et
    al. 2016); a class that is neither true nor predicted anywhere has no part in the mean.

    Args:
        truth: the labels of each recording, by name.
        found: the predicted labels of each, by name.

    Raises:
        ValueError: there are no labels at all.
    """
    sources = sum(map(len, truth.values()))
    if not sources:
        raise ValueError("got scenes without a label, wanted some to score")
    angles: list[float] = []
    predictions = 0
    hits: Counter[int] = Counter()
    either: Counter[int] = Counter()  # 2 TP + FP + FN
    for name, labels in truth.items():
        true_rows, found_rows = _by_frame(labels), _by_frame(found[name])
        for frame, row in true_rows.items():
            predictions += len(found_rows.get(frame, ()))
            angles += _paired_deg(row, found_rows.get(frame, []))
        true_cells, found_cells = ({(each.frame, each.class_index) for each in rows} for rows in (labels, found[name]))
        hits.update(class_index for _, class_index in true_cells & found_cells)
        for cells in (true_cells, found_cells):
            either.update(class_index for _, class_index in cells)
    return SeparateScores(
        acc=len(angles) / sources,
        mdr=1.0 - len(angles) / sources,
        far=(predictions - len(angles)) / sources,
        mae_deg=float(np.mean(angles)) if angles else None,
        segment_f=float(np.mean([2 * hits[class_index] / count for class_index, count in either.items()])),
    )


def _by_frame(labels: Sequence[Label]) -> dict[int, list[Label]]:
    rows = defaultdict(list)
    for label in labels:
        rows[label.frame].append(label)
    return rows


def _paired_deg(true: Sequence[Label], found: Sequence[Label]) -> list[float]:
    """The angles of the pairs within the tolerance."""
    if not found:
        return []
    one, other = (
        unit_vector([each.azimuth_deg for each in rows], [each.elevation_deg for each in rows])
        for rows in (true, found)
    )
    angles = angle_between_deg(one[:, None], other)
    near = angles <= TOLERANCE_DEG
    rows, columns = linear_sum_assignment(np.where(near, angles, _NEVER))
    return [float(angle) for angle in angles[rows, columns][near[rows, columns]]]

"""Reference labels and predicted labels -> the DCASE scores of sound event localization and detection (SELD).

Five numbers: the error rate ER and the F-score F count a detection only if it lies within a threshold (20 degrees) of
the truth; the localization error LE (degrees) and recall LR judge directions among detections of the right class; the
SELD score is the mean of ER, 1 - F, LE / 180 and 1 - LR. All are counted over segments of ten label frames, a second.
The rules of 2024 count frame by frame and add the relative distance error RDE: see `edge.scoring.frame_counts`.

Sources: Mesaros et al., "Joint Measurement of Localization and Detection of Sound Events" (WASPAA 2019); Politis et
al., "Overview and Evaluation of Sound Event Localization and Detection in DCASE 2019" (TASLP 2020); and, where the
papers leave a choice, what the official code of DCASE 2020 and of DCASE 2022 and 2023 does. Such choices are named.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from edge.scoring.annotations import Label, read_annotations
from edge.scoring.frame_counts import EPS, Floats, count_frames, rows_by_frame

Rules = Literal["2022", "2020", "2024"]
Average = Literal["macro", "micro"]

SEGMENT_FRAMES = 10
WORST_ANGLE_DEG = 180.0  # the LE of a class, or of everything, in which no direction could be compared


@dataclass(frozen=True, slots=True)
class ClassScores:
    """The scores of one class. Substitutions mix classes, so there is no ER per class: `er` is the overall one."""

    er: float
    f: float
    le: float  # degrees
    lr: float
    seld: float
    rde: float | None = None  # relative distance error, by the rules of 2024 only


@dataclass(frozen=True, slots=True)
class SeldScores:
    """Scores over all recordings: ER from 0 up, F and LR as fractions, LE in degrees, SELD from 0 (perfect) up.

    By the rules of 2024, LE and RDE are NaN where nothing of the right class was found, of one class or of all.
    """

    er: float
    f: float
    le: float  # degrees
    lr: float
    seld: float
    per_class: tuple[ClassScores, ...] = ()  # one for each class by the rules of 2022 and 2024, none by those of 2020
    rde: float | None = None  # relative distance error, by the rules of 2024 only


def score(
    reference: Mapping[str, Sequence[Label]],
    prediction: Mapping[str, Sequence[Label]],
    classes: int,
    rules: Rules = "2022",
    average: Average = "macro",
    threshold_deg: float = 20.0,
) -> SeldScores:
    """Score the predictions of some recordings against their references.

    As in the official code, a recording without a prediction is left out of the scores; one in which nothing was
    detected has an empty prediction, and counts. By the rules of 2022 a recording ends before its last reference label,
    rounded up to a whole segment, and what is predicted later is not counted (so a last label that opens a segment is
    not either); where the reference is empty, the prediction sets the end. By the rules of 2024 it ends at its last
    reference label, which is not counted. By the rules of 2020 everything counts.

    Args:
        reference: the true labels of each recording by name. The order within a frame matters to the 2022 rules: the
            n-th label of a class is taken for its n-th track, whatever its `track` says.
        prediction: the predicted labels of each recording by name.
        classes: number of classes.
        rules: "2022" (those of 2023 too: each source of a class counts), "2020" (a class counts once a segment) or
            "2024" (frame by frame, with distances; its SELD score is the mean of 1 - F, LE / 180 and RDE).
        average: of F, LE and LR over classes ("macro") or over all events ("micro"); ER is the same in both. In the
            macro average a class that never occurs counts with F 0, LE 180 and LR 0, as in the official code; by the
            rules of 2024 it counts with F 0 and LR 0, and has no part in LE and RDE. The rules of 2020 know only
            "micro" and are not affected.
        threshold_deg: the largest angle at which a detection is right.

    Raises:
        ValueError: a prediction has no reference, there is no prediction at all, a class index is out of range, an
            option is unknown, or a distance is missing that the rules of 2024 need.
    """
    _check(reference, prediction, classes, rules, average)
    _check_classes(reference, classes)
    _check_classes(prediction, classes)
    names = [name for name in reference if name in prediction]
    if rules == "2024":
        pairs = {name: (reference[name], prediction[name]) for name in names}
        _check_distances(pairs)
        return _score_2024(*count_frames(pairs.values(), classes, threshold_deg), average)
    end = _end_2022 if rules == "2022" else _end_2020
    recordings = [
        _segment_classes(reference[name], prediction[name], end(reference[name], prediction[name])) for name in names
    ]
    if rules == "2022":
        return _score_2022(recordings, classes, average, threshold_deg)
    return _score_2020(recordings, threshold_deg)


def score_folders(
    reference_dir: str | Path,
    prediction_dir: str | Path,
    classes: int,
    rules: Rules = "2022",
    average: Average = "macro",
    threshold_deg: float = 20.0,
) -> SeldScores:
    """Score a folder of predicted DCASE csv files against a folder of reference files, paired by file name.

    Sub-folders (the splits of a dataset) are searched too. As in the official code, a reference file without a
    prediction file is left out of the scores. The other arguments are those of `score`.

    Raises:
        ValueError: as for `score` and `read_annotations`, or a file name occurs twice in one folder.
        OSError: a folder or file cannot be read.
    """
    references, predictions = _csv_files(Path(reference_dir)), _csv_files(Path(prediction_dir))
    _check(references, predictions, classes, rules, average)
    return score(
        {name: read_annotations(references[name], classes) for name in predictions},
        {name: read_annotations(path, classes) for name, path in predictions.items()},
        classes,
        rules,
        average,
        threshold_deg,
    )


# --- one recording: which tracks of a class in a segment were found, and how far off ---------------------------------


@dataclass(slots=True)
class _SegmentClass:
    """One class in one segment."""

    reference_tracks: int = 0  # the most labels of the class in any one frame
    predicted_tracks: int = 0
    frames: list[dict[int, float]] = field(default_factory=list)  # each shared frame: reference track -> angle (deg)

    def track_angles_deg(self) -> list[float]:
        """The angle of each reference track that was matched in some frame, averaged over these frames."""
        tracks = defaultdict(list)
        for frame in self.frames:
            for track, angle in frame.items():
                tracks[track].append(angle)
        return [sum(angles) / len(angles) for angles in tracks.values()]

    def frame_angle_deg(self) -> float:
        """The sum of the matched angles of a frame, averaged over the shared frames.

        The rules of 2020 foresee one source of a class at a time; with more, this sum is what the stored results hold.
        """
        return sum(sum(frame.values()) for frame in self.frames) / len(self.frames)


_SegmentClasses = dict[tuple[int, int], _SegmentClass]  # by (segment, class)


def _segment_classes(reference: Sequence[Label], prediction: Sequence[Label], end: float) -> _SegmentClasses:
    """Sort the labels before frame `end` by segment and class, and match predicted to true directions in each frame."""
    true_rows, predicted_rows = rows_by_frame(reference, end), rows_by_frame(prediction, end)
    cells: _SegmentClasses = defaultdict(_SegmentClass)
    for (frame, class_index), rows in true_rows.items():
        cell = cells[frame // SEGMENT_FRAMES, class_index]
        cell.reference_tracks = max(cell.reference_tracks, len(rows))
    for (frame, class_index), rows in predicted_rows.items():
        cell = cells[frame // SEGMENT_FRAMES, class_index]
        cell.predicted_tracks = max(cell.predicted_tracks, len(rows))

    shared = sorted(true_rows.keys() & predicted_rows.keys())
    pairs = [(row, column) for key in shared for row in true_rows[key] for column in predicted_rows[key]]
    angles = _angles_deg(reference, prediction, np.array(pairs, dtype=np.intp).reshape(-1, 2))
    begin = 0
    for frame, class_index in shared:
        shape = len(true_rows[frame, class_index]), len(predicted_rows[frame, class_index])
        matched = _assign(angles[begin : begin + math.prod(shape)].reshape(shape))
        cells[frame // SEGMENT_FRAMES, class_index].frames.append(matched)
        begin += math.prod(shape)
    return cells


def _end_2022(reference: Sequence[Label], prediction: Sequence[Label]) -> float:
    """The official code takes the index of the last frame for the number of frames."""
    last = max((label.frame for label in reference or prediction), default=0)
    return math.ceil(last / SEGMENT_FRAMES) * SEGMENT_FRAMES


def _end_2020(reference: Sequence[Label], prediction: Sequence[Label]) -> float:
    """All recordings of 2020 last one minute, and the official code goes through all of it."""
    return math.inf


def _angles_deg(reference: Sequence[Label], prediction: Sequence[Label], pairs: NDArray[np.intp]) -> Floats:
    """Great-circle angle in degrees of each pair (pairs, 2) of a reference and a prediction row -> (pairs,).

    The spherical law of cosines, written as the official code writes it: another form differs in the last bits, and so
    on the other side of the threshold where directions in whole degrees lie exactly on it.
    """
    azimuth, elevation = _radians(reference)[:, pairs[:, 0]]
    azimuth_2, elevation_2 = _radians(prediction)[:, pairs[:, 1]]
    cosine = np.sin(elevation) * np.sin(elevation_2)
    cosine += np.cos(elevation) * np.cos(elevation_2) * np.cos(np.abs(azimuth - azimuth_2))
    return np.arccos(np.clip(cosine, -1, 1)) * 180 / np.pi


def _radians(labels: Sequence[Label]) -> Floats:
    degrees = [[label.azimuth_deg for label in labels], [label.elevation_deg for label in labels]]
    return np.array(degrees, dtype=np.float64) * np.pi / 180  # (2, labels)


def _assign(angles_deg: Floats) -> dict[int, float]:
    """Hungarian matching of (reference tracks, predicted tracks): reference track -> its angle, least in sum."""
    if angles_deg.size == 1:
        return {0: float(angles_deg[0, 0])}
    rows, columns = linear_sum_assignment(angles_deg)
    return dict(zip(rows.tolist(), angles_deg[rows, columns].tolist(), strict=True))


# --- all recordings: counts, then formulas ---------------------------------------------------------------------------


def _score_2022(
    recordings: Iterable[_SegmentClasses], classes: int, average: Average, threshold_deg: float
) -> SeldScores:
    """Tracks are counted: those matched are near or far, those too many are false alarms, those too few are misses."""
    tally = np.zeros((5, classes))  # near, far, false alarms, misses; summed angle in degrees of near and far
    errors = tracks = 0
    for recording in recordings:
        inserted: dict[int, int] = defaultdict(int)  # by segment
        deleted: dict[int, int] = defaultdict(int)
        for (segment, class_index), cell in recording.items():
            angles = cell.track_angles_deg()
            near = sum(angle <= threshold_deg for angle in angles)
            far = len(angles) - near
            false_alarms = max(0, cell.predicted_tracks - cell.reference_tracks)
            misses = max(0, cell.reference_tracks - cell.predicted_tracks)
            if not angles and cell.reference_tracks and cell.predicted_tracks:
                false_alarms, misses = 0, cell.predicted_tracks  # never in the same frame: the official code's choice
            tally[:, class_index] += near, far, false_alarms, misses, sum(angles)
            tracks += cell.reference_tracks
            inserted[segment] += far + false_alarms
            deleted[segment] += misses
        errors += _errors(inserted, deleted)

    er = errors / (tracks + EPS)
    f, le, lr = _f_le_lr(tally)
    table = zip(f.tolist(), le.tolist(), lr.tolist(), strict=True)
    per_class = tuple(ClassScores(er, *values, seld=_seld(er, *values)) for values in table)
    if average == "micro":
        f, le, lr = _f_le_lr(tally.sum(axis=1, keepdims=True))
    means = float(f.mean()), float(le.mean()), float(lr.mean())
    return SeldScores(er, *means, seld=_seld(er, *means), per_class=per_class)


def _f_le_lr(tally: Floats) -> tuple[Floats, Floats, Floats]:
    """Tally (5, classes) of `_score_2022` -> F, LE in degrees and LR, each (classes,).

    F = near / (near + far + (false alarms + misses) / 2): a far detection counts once, not as false alarm and miss.
    LE = summed angle / (near + far).
    LR = (near + far) / (near + far + misses).
    """
    near, far, false_alarms, misses, angle_deg = tally
    located = near + far
    f = near / (located + (false_alarms + misses) / 2 + EPS)
    le = np.where(located > 0, angle_deg / (located + EPS), WORST_ANGLE_DEG)
    return f, le, located / (located + misses + EPS)


def _score_2020(recordings: Iterable[_SegmentClasses], threshold_deg: float) -> SeldScores:
    """A class counts once a segment; one found too far off is a miss and no false alarm.

    F = 2 near / (reference + predicted); LE = summed angle / located; LR, in the official code an F-score too,
    = 2 located / (reference + predicted).
    """
    near = located = references = predictions = errors = 0
    angle_deg = 0.0
    for recording in recordings:
        inserted: dict[int, int] = defaultdict(int)  # by segment
        deleted: dict[int, int] = defaultdict(int)
        for (segment, _), cell in recording.items():
            in_reference, in_prediction = cell.reference_tracks > 0, cell.predicted_tracks > 0
            right = False
            if cell.frames:
                angle = cell.frame_angle_deg()
                right = angle <= threshold_deg
                angle_deg += angle
                located += 1
            near += right
            references += in_reference
            predictions += in_prediction
            inserted[segment] += not in_reference
            deleted[segment] += in_reference and not right
        errors += _errors(inserted, deleted)

    er = errors / (references + EPS)
    f = 2 * near / (references + predictions + EPS)
    le = angle_deg / located if located else WORST_ANGLE_DEG
    lr = 2 * located / (references + predictions + EPS)
    return SeldScores(er, f, le, lr, seld=_seld(er, f, le, lr))


def _score_2024(tally: Floats, errors: int, average: Average) -> SeldScores:
    """Score what `count_frames` counted: F and LR by the formulas of 2022; LE and RDE = their sum / located.

    SELD is the mean of 1 - F, LE / 180 and RDE, as far as there is one, of a class, and then over the classes.
    """
    er = errors / (tally[[0, 1, 3]].sum() + EPS)  # near, far and missed ones are all sources
    per_class = tuple(_class_scores_2024(er, column) for column in tally.T)
    if average == "micro":
        means = astuple(_class_scores_2024(er, tally.sum(axis=1)))
    else:
        means = tuple(map(_known_mean, zip(*map(astuple, per_class), strict=True)))
    _, f, le, lr, seld, rde = means
    return SeldScores(er, f, le, lr, seld, per_class, rde)


def _class_scores_2024(er: float, column: Floats) -> ClassScores:
    near, far, false_alarms, misses, angle_deg, relative_error = column.tolist()
    located = near + far
    f = near / (located + (false_alarms + misses) / 2 + EPS)
    le, rde = (total / located if located else math.nan for total in (angle_deg, relative_error))
    seld = _known_mean((1 - f, le / 180, rde))
    return ClassScores(er, f, le, located / (located + misses + EPS), seld, rde)


def _known_mean(values: Iterable[float]) -> float:
    """The mean of the values that are numbers; NaN if none is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _errors(inserted: Mapping[int, int], deleted: Mapping[int, int]) -> int:
    """Substitutions + deletions + insertions, in each segment over all classes, so that a pair of both counts once.

    S = min(FN, FP), D = max(0, FN - FP), I = max(0, FP - FN): their sum is max(FN, FP). Both have the same segments.
    """
    return sum(max(inserted[segment], deleted[segment]) for segment in inserted)


def _seld(er: float, f: float, le: float, lr: float) -> float:
    return (er + (1 - f) + le / 180 + (1 - lr)) / 4


# --- doors -----------------------------------------------------------------------------------------------------------


def _check(reference: Iterable[str], prediction: Iterable[str], classes: int, rules: str, average: str) -> None:
    if classes < 1:
        raise ValueError(f"got {classes} classes, wanted at least 1")
    for got, wanted in ((rules, get_args(Rules)), (average, get_args(Average))):
        if got not in wanted:
            raise ValueError(f"got {got!r}, wanted {' or '.join(map(repr, wanted))}")
    unknown = sorted(set(prediction) - set(reference))
    if unknown:
        raise ValueError(f"got predictions without a reference: {_some(unknown)}, wanted a reference for each")
    if not list(prediction):
        raise ValueError("got no predictions, wanted at least one with the name of a reference")


def _check_classes(labels: Mapping[str, Sequence[Label]], classes: int) -> None:
    for name, sequence in labels.items():
        for label in sequence:
            if not 0 <= label.class_index < classes:
                place = f"{name}, frame {label.frame}"
                raise ValueError(f"{place}: got class {label.class_index}, wanted 0 to {classes - 1}")


def _check_distances(pairs: Mapping[str, tuple[Sequence[Label], Sequence[Label]]]) -> None:
    for name, sequences in pairs.items():
        for kind, sequence in zip(("reference", "prediction"), sequences, strict=True):
            for label in sequence:
                if label.distance_cm is None:
                    place = f"{name}, {kind}, frame {label.frame}"
                    raise ValueError(f"{place}: got no distance, wanted one in every label for the rules of 2024")


def _csv_files(folder: Path) -> dict[str, Path]:
    """The csv files in a folder and its sub-folders, by file name."""
    if not folder.is_dir():
        raise NotADirectoryError(f"got {folder}, wanted a folder of csv files")
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.csv")):
        if path.name in files:
            raise ValueError(f"got {files[path.name]} and {path}, wanted each file name once")
        files[path.name] = path
    return files


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

"""Labels and predictions -> SELD scores by the DCASE rules, and tables of them as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from convert.evaluation.predictions import Prediction
from edge.scoring.annotations import Label
from edge.scoring.metrics import ClassScores, SeldScores, score


def score_predictions(
    reference: Mapping[str, Sequence[Label]], predictions: Mapping[str, Prediction], classes: int
) -> dict[str, SeldScores]:
    """Score all scenes by the rules of 2022, averaged over classes (macro) and events (micro), and by those of 2020.

    Where all labels and predictions have distances, they are also scored by the rules of 2024, averaged over classes.

    Args:
        reference: the labels of each scene, by name.
        predictions: the prediction for each scene, by name.
        classes: number of classes.

    Returns:
        Scores under the names `2022_macro`, `2022_micro` and `2020`, and `2024_macro` where there are distances.
    """
    rows = {name: prediction.rows for name, prediction in predictions.items()}
    scores = {
        "2022_macro": score(reference, rows, classes, "2022", "macro"),
        "2022_micro": score(reference, rows, classes, "2022", "micro"),
        "2020": score(reference, rows, classes, "2020"),
    }
    if _have_distances(rows) and _have_distances(reference):
        scores["2024_macro"] = score(reference, rows, classes, "2024", "macro")
    return scores


def _have_distances(labels: Mapping[str, Sequence[Label]]) -> bool:
    """Whether there are labels, and all of them have distances."""
    found = [label.distance_cm is not None for each in labels.values() for label in each]
    return bool(found) and all(found)


def report(scores: Mapping[str, SeldScores], class_names: Sequence[str]) -> str:
    """Format the scores of `score_predictions` as a table, with one more line for each class."""
    return table({**scores, **dict(zip(class_names, scores["2022_macro"].per_class, strict=True))})


def table(scores: Mapping[str, SeldScores | ClassScores]) -> str:
    """Format scores as a table with one line for each name."""
    width = max(14, *(len(name) + 1 for name in scores))
    head = f"{'':<{width}}{'ER20':>7}{'F20':>7}{'LE':>7}{'LR':>7}{'SELD':>7}"
    lines = [head if all(each.rde is None for each in scores.values()) else f"{head}{'RDE':>7}"]
    for name, each in scores.items():
        line = f"{name:<{width}}{each.er:7.3f}{each.f:7.3f}{each.le:7.1f}{each.lr:7.3f}{each.seld:7.3f}"
        lines.append(line if each.rde is None else f"{line}{each.rde:7.3f}")
    return "\n".join(lines)

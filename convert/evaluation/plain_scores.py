"""Scores -> what JSON can say of them: only what the rules know, and null where there is no number."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from edge.scoring.metrics import ClassScores, SeldScores


def plain_scores(scores: SeldScores) -> dict[str, Any]:
    """Return scores by name; None stands for NaN, and `rde` is left out where the rules have none."""
    plain = _plain(scores)
    return plain | {"per_class": [_plain(each) for each in scores.per_class]}


def _plain(scores: SeldScores | ClassScores) -> dict[str, Any]:
    values = {name: value for name, value in asdict(scores).items() if name != "rde" or value is not None}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}

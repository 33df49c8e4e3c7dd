"""Labels, predictions and the sources of the clips -> how well the classes of each source are found.

Each label is judged alone, as in `convert.evaluation.breakdown`: these recalls ignore false alarms and are not the
official scores. A source is what the column `source` of `clips.csv` names: a corpus, a package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convert.data.scene_folders import read_scenes_json
from convert.evaluation.breakdown import FOUND_DEG, matched_deg
from edge.scoring.annotations import Label

ALL = "all"


class Span(NamedTuple):
    """The label frames, first to last, of one event on its track, and the source of its clips."""

    track: int
    first: int
    last: int
    source: str


@dataclass(frozen=True, slots=True)
class SourceRow:
    """The recall over the labels of one class whose clips come from one source; `ALL` stands for all of either."""

    source: str
    class_name: str
    labels: int
    class_recall: float  # share of labels with a prediction of their class in the same frame, wherever it points
    recall: float  # the same within FOUND_DEG


def read_event_sources(folder: Path) -> dict[str, list[Span]]:
    """Read which source each event of a scene comes from.

    Returns:
        The events of each scene, by name.

    Raises:
        ValueError: `scenes.json` does not say it, because the scenes were made by an older version or elsewhere.
    """
    try:
        return {
            str(scene["name"]): [
                Span(int(span["track"]), int(span["frames"][0]), int(span["frames"][1]), str(span["source"]))
                for span in scene["event_sources"]
            ]
            for scene in read_scenes_json(folder)["scenes"]
        }
    except (KeyError, IndexError, TypeError, ValueError):
        raise ValueError(
            f"{folder / 'scenes.json'}: got no event_sources, wanted track, frames and source of each event, as "
            "seld-convert scenes writes them"
        ) from None


def score_sources(
    truth: Mapping[str, Sequence[Label]],
    found: Mapping[str, Sequence[Label]],
    sources: Mapping[str, Sequence[Span]],
    class_names: Sequence[str],
) -> list[SourceRow]:
    """Count the labels of each source, and of each class of a source, that were found.

    Args:
        truth: the labels of each scene, by name.
        found: the decoded rows of each scene, by name.
        sources: what `read_event_sources` returned.
        class_names: the classes.

    Returns:
        One row for each source over all classes, with the largest source first, followed by its rows by class; at the
        end the rows of all sources. The recall over all classes is the mean over them (macro).

    Raises:
        ValueError: a label is in no event.
    """
    angles: dict[tuple[str, str], list[float]] = {}
    for name, labels in truth.items():
        at = {
            (span.track, frame): span.source
            for span in sources.get(name, ())
            for frame in range(span.first, span.last + 1)
        }
        for label, angle in zip(labels, matched_deg(labels, found[name]), strict=True):
            if (label.track, label.frame) not in at:
                raise ValueError(f"{name}: got a label in frame {label.frame} without a source, wanted event_sources")
            for source in (at[label.track, label.frame], ALL):
                angles.setdefault((source, class_names[label.class_index]), []).append(float(angle))
    sizes: dict[str, int] = {}
    for (source, _), each in angles.items():
        sizes[source] = sizes.get(source, 0) + len(each)
    rows = []
    for source in sorted(sizes, key=lambda source: (source == ALL, -sizes[source], source)):
        by_class = [_row(source, name, angles[source, name]) for name in class_names if (source, name) in angles]
        recalls = np.mean([(row.class_recall, row.recall) for row in by_class], axis=0)
        rows += [SourceRow(source, ALL, sizes[source], *map(float, recalls)), *by_class]
    return rows


def source_table(rows: Sequence[SourceRow]) -> str:
    """Format the rows of `score_sources` as a table."""
    width = max([14, *(len(row.source) + 1 for row in rows)])
    lines = [
        f"label by label, not the official scores: recall of the class, and within {FOUND_DEG:.0f} degrees",
        f"{'source':<{width}}{'class':<16}{'labels':>8}{'class':>8}{'recall':>8}",
    ]
    for row in rows:
        lines.append(
            f"{row.source:<{width}}{row.class_name:<16}{row.labels:8d}{row.class_recall:8.3f}{row.recall:8.3f}"
        )
    return "\n".join(lines)


def _row(source: str, name: str, angles_deg: Sequence[float]) -> SourceRow:
    angles = np.array(angles_deg)
    return SourceRow(source, name, len(angles), float(np.mean(~np.isnan(angles))), float(np.mean(angles <= FOUND_DEG)))

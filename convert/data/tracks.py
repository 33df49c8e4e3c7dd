"""Labels -> stacked-tracks, the target that CoLoC trains on (CoLoC paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.geometry import unit_vector
from edge.scoring.annotations import Label

SLOTS = 3  # N, the largest number of simultaneous events (section 3.4)


def label_tracks(
    labels: Sequence[Label], frames: int, empty_class: int, slots: int = SLOTS, distances: bool = False
) -> NDArray[np.float32]:
    """Turn labels into stacked-tracks; each pair of class and track number becomes one track before stacking.

    Args:
        labels: the labels of one recording, in any order. Labels at or after `frames` are ignored.
        frames: number of label frames.
        empty_class: the class that marks an empty cell, usually the number of classes.
        slots: the largest number of simultaneous events; further ones are left out.
        distances: whether the tracks are to have the distances.

    Returns:
        Stacked-tracks (slots, frames, 4) of x, y, z, class; with distances (slots, frames, 5), the last one in metres
        and 0 where it is not known.
    """
    columns = track_columns(distances)
    rows: dict[tuple[int, int], NDArray[np.float32]] = {}
    for label in sorted(labels, key=lambda item: (item.frame, item.class_index, item.track)):
        if label.frame < frames:
            row = rows.setdefault((label.class_index, label.track), np.zeros((frames, columns), np.float32))
            row[label.frame, :3] = unit_vector(label.azimuth_deg, label.elevation_deg)
            row[label.frame, 3] = label.class_index
            if distances:
                row[label.frame, 4] = (label.distance_cm or 0.0) / 100.0
    tracks = np.stack(list(rows.values())) if rows else np.zeros((0, frames, columns), np.float32)
    return stack_tracks(tracks, slots, empty_class)


def track_columns(distances: bool) -> int:
    """Return how many values a cell of stacked-tracks has."""
    return 5 if distances else 4


def stack_tracks(tracks: NDArray[np.float32], slots: int, empty_class: int) -> NDArray[np.float32]:
    """Stack tracks: in every label frame, occupied cells move to the lowest slots (CoLoC, section 2.2, figure 1).

    The order of the occupied cells is kept. Events beyond `slots` in a frame are dropped (section 3.4).

    Args:
        tracks: tracks (tracks, labels, 4) of x, y, z, class, or more behind. An origin in x, y, z marks an empty cell.
        slots: number of slots.
        empty_class: the class of empty cells.

    Returns:
        Stacked-tracks (slots, labels, 4), or with more behind; empty cells are (0, 0, 0, empty_class), and 0 behind.
    """
    count, labels, columns = tracks.shape
    empty = np.zeros(columns, np.float32)
    empty[3] = empty_class
    occupied = np.any(tracks[..., :3] != 0, axis=-1)
    order = np.argsort(~occupied, axis=0, kind="stable")  # occupied cells first, otherwise as they were
    stacked = np.take_along_axis(tracks, order[..., None], axis=0)
    stacked[~np.take_along_axis(occupied, order, axis=0)] = empty
    result = np.tile(empty, (slots, labels, 1))
    result[: min(slots, count)] = stacked[:slots]
    return result

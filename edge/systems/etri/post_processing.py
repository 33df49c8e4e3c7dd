"""Answers of the nets of ETRI -> active classes and their directions (section 5), a fixed number of label frames later.

Median filters drop activity that is too short for its class and bridge pauses that are too short. A source stands still
or moves at one of a few speeds: where the directions of a class keep to such a path, the path replaces them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge.geometry import azimuth_elevation_deg, unit_vector
from edge.systems.etri.settings import EtriSettings
from edge.types import FloatArray

_LEAST_COSINE = 0.2  # of the elevation: near the zenith the rate of azimuth has no bound

Floats = NDArray[np.float64]


class _Windows:
    """Rows in -> for each row, the `length` rows that end with it: those around the row `reach` before it.

    Rows before the stream are zero.
    """

    def __init__(self, length: int, row_shape: tuple[int, ...]) -> None:
        self.reach = length // 2
        self._length = length
        self._before = np.zeros((length, *row_shape), np.float32)
        self._past = self._before

    def push(self, rows: FloatArray) -> FloatArray:
        """Take rows (n, ...); return their windows (n, ..., length)."""
        rows = np.concatenate([self._past, rows])
        self._past = rows[-self._length :]
        return sliding_window_view(rows, self._length, axis=0)[1:]  # type: ignore[return-value]

    def reset(self) -> None:
        """Forget all rows."""
        self._past = self._before


class PostProcessing:
    """Median filters of SAD and SED, then steady paths, for a stream of label frames.

    Both are reconstructed: the paper says only that there are such filters. SAD is filtered first. The probabilities of
    SED count where SAD then finds something; elsewhere they are zero for the filters of the classes, and a filter adds
    no activity there. The median replaces the probability: it is above a threshold where most probabilities are.

    A direction is compared with paths of the given speeds through the label frames around it, `path_labels` at most, in
    which the class sounds without a pause. It is corrected to the nearest path, if that is near enough.

    Attributes:
        delay_labels: How many label frames later the answer about a label frame comes.
    """

    def __init__(self, settings: EtriSettings, class_names: Sequence[str], label_s: float) -> None:
        """Begin a stream.

        Args:
            settings: Of the system.
            class_names: Of the classes, in the order of SED.
            label_s: Duration of a label frame.

        Raises:
            ValueError: The settings state a filter of a class that is not among the classes.
        """
        unknown = sorted(set(settings.sed_median_labels) - set(class_names))
        if unknown:
            raise ValueError(f"got sed_median_labels of {unknown[0]!r}, wanted only {', '.join(class_names)}")
        self._settings = settings
        self._lengths = [settings.sed_median_labels.get(name, 1) if settings.post_sed else 1 for name in class_names]
        self._rates_deg = np.array(steady_rates(settings.speeds_deg_s)) * label_s  # per label frame
        self._around_sad = _Windows(settings.sad_median_labels if settings.post_sed else 1, (len(class_names), 5))
        self._around_sed = _Windows(max(self._lengths), (len(class_names), 5))
        self._around_path = _Windows(settings.path_labels if settings.post_doa else 1, (len(class_names), 4))
        self._classes = len(class_names)
        self.delay_labels = sum(each.reach for each in (self._around_sad, self._around_sed, self._around_path))
        self._early = self.delay_labels  # how many of the next rows are about label frames before the stream

    def push(self, sad: FloatArray, sed: FloatArray, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Take the answers of the nets about the next label frames.

        Args:
            sad: Probabilities (labels,) that anything sounds.
            sed: Probabilities (labels, classes) that a class sounds.
            direction: Unit vectors (labels, classes, 3), zero where none is known: nothing is active there.

        Returns:
            Activity (n, classes), the probability of an active class and zero for the others, and direction
            (n, classes, 3), about the label frames `delay_labels` earlier. n is `labels`, or less at the beginning of a
            stream.
        """
        gate = np.broadcast_to(sad[:, None, None], (*sed.shape, 1))
        rows = np.concatenate([gate, sed[..., None], direction], axis=-1)  # (labels, classes, 5)
        rows = self._gated(self._around_sad.push(rows))
        rows = self._active(self._around_sed.push(rows))
        rows = self._steady(self._around_path.push(rows))
        rows, self._early = rows[self._early :], max(0, self._early - len(rows))
        return rows[..., 0], rows[..., 1:]

    def finish(self) -> tuple[FloatArray, FloatArray]:
        """End the stream: return the answers that are left (see `push`), as if silence followed."""
        silence = np.zeros((self.delay_labels, self._classes, 4), np.float32)
        answers = self.push(silence[:, 0, 0], silence[..., 0], silence[..., 1:])
        self.reset()
        return answers

    def reset(self) -> None:
        """Forget the past."""
        self._early = self.delay_labels
        for windows in (self._around_sad, self._around_sed, self._around_path):
            windows.reset()

    def _gated(self, windows: FloatArray) -> FloatArray:
        """Windows (n, classes, 5, length) -> rows (n, classes, 5): SAD active or not, SED where it is, direction."""
        middle = self._around_sad.reach
        rows = windows[..., middle].copy()
        heard = np.sort(windows[:, :, 0], axis=-1)[..., middle] > self._settings.sad_threshold
        rows[..., 0] = heard
        rows[..., 1] *= heard
        return rows

    def _active(self, windows: FloatArray) -> FloatArray:
        """Windows (n, classes, 5, length) -> rows (n, classes, 4): activity, direction."""
        middle = self._around_sed.reach
        rows = windows[..., 1:, middle].copy()
        for index, length in enumerate(self._lengths):
            near = windows[:, index, 1, middle - length // 2 : middle + length // 2 + 1]
            rows[:, index, 0] = np.sort(near, axis=-1)[..., length // 2]
        known = np.any(rows[..., 1:] != 0, axis=-1) & (windows[..., 0, middle] > 0)
        rows[..., 0] *= known & (rows[..., 0] > self._settings.sed_threshold)
        return rows

    def _steady(self, windows: FloatArray) -> FloatArray:
        """Windows (n, classes, 4, length) -> rows (n, classes, 4): activity, corrected direction."""
        middle = self._around_path.reach
        rows = windows[..., middle].copy()
        labels, classes = np.nonzero(rows[..., 0])
        if self._settings.post_doa and len(labels):
            around = windows[labels, classes]  # (active ones, 4, labels)
            heard = uninterrupted(around[:, 0] > 0)
            directions = around[:, 1:].transpose(0, 2, 1)
            rows[labels, classes, 1:] = steady_path(directions, heard, self._rates_deg, self._settings.path_deg)
        return rows


def steady_rates(speeds: Sequence[float]) -> list[float]:
    """Rates of speeds in both directions, the slow ones first: (0, 10) -> [0, 10, -10]."""
    return [rate for speed in sorted(set(speeds)) for rate in ((speed, -speed) if speed else (0.0,))]


def uninterrupted(active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the label frames that are connected to the middle one by activity.

    Args:
        active: Whether a class is active (rows, labels); it is in the middle.

    Returns:
        True (rows, labels) for the middle and for active label frames with no pause between them and the middle.
    """
    middle = active.shape[1] // 2
    after = np.logical_and.accumulate(active[:, middle:], axis=1)
    before = np.logical_and.accumulate(active[:, middle::-1], axis=1)[:, ::-1]
    return np.concatenate([before[:, :-1], after], axis=1)


def steady_path(direction: FloatArray, heard: NDArray[np.bool_], rates_deg: Floats, most_deg: float) -> FloatArray:
    """Fit a steady path to directions and return where it is in the middle.

    On a path, azimuth and elevation each change at one of the rates. The rate of azimuth grows as the circle of
    constant elevation shrinks, so that the speed is the same.

    Args:
        direction: Unit vectors (rows, labels, 3).
        heard: Which label frames count (rows, labels).
        rates_deg: Degrees per label frame.
        most_deg: Where half of the directions are further from the path than this, the middle stays as it is.

    Returns:
        Directions in the middle (rows, 3), unit vectors.
    """
    azimuth_deg, elevation_deg = azimuth_elevation_deg(direction)
    rates = np.broadcast_to(rates_deg, (len(direction), len(rates_deg)))
    elevation, above = _steady_angle(elevation_deg, heard, rates, most_deg)
    elevation = np.clip(elevation, -90.0, 90.0)
    cosine = np.maximum(np.cos(np.deg2rad(elevation)), _LEAST_COSINE)[:, None]
    azimuth, beside = _steady_angle(azimuth_deg, heard, rates / cosine, most_deg / cosine)
    kept = _median(np.hypot(above, beside * cosine), heard) <= most_deg
    middle = direction[:, direction.shape[1] // 2]
    return np.where(kept[:, None], unit_vector(azimuth, elevation), middle).astype(np.float32)


def _steady_angle(
    angle_deg: Floats, heard: NDArray[np.bool_], rates_deg: Floats, most_deg: Floats | float
) -> tuple[Floats, Floats]:
    """Fit a line of one of the given slopes to angles.

    The line of a rate passes through the median of the angles less their slope. The nearest line has the least sum of
    absolute errors, each limited to `most_deg`, so that outliers do not decide.

    Args:
        angle_deg: Angles (rows, labels).
        heard: Which label frames count (rows, labels).
        rates_deg: Slopes (rows, n), degrees per label frame.
        most_deg: Limit of an error, for all or for each of the rows.

    Returns:
        Angle of the nearest line in the middle (rows,) and the errors against it (rows, labels).
    """
    angle = np.deg2rad(angle_deg)
    about = np.rad2deg(np.arctan2((np.sin(angle) * heard).sum(axis=1), (np.cos(angle) * heard).sum(axis=1)))
    around = (angle_deg - about[:, None] + 180.0) % 360.0 - 180.0
    steps = np.arange(angle_deg.shape[1]) - angle_deg.shape[1] // 2
    level = around[:, None] - rates_deg[..., None] * steps  # (rows, n, labels)
    height = _median(level, heard[:, None])
    error = np.abs(level - height[..., None])
    cost = np.minimum(error, np.reshape(most_deg, (-1, 1, 1))) * heard[:, None]
    best = np.argmin(cost.sum(axis=-1), axis=1)
    rows = np.arange(len(best))
    return about + height[rows, best], error[rows, best]


def _median(values: Floats, heard: NDArray[np.bool_]) -> Floats:
    """Median over the last axis of the values that are heard; at least one must be."""
    ordered = np.sort(np.where(heard, values, np.inf), axis=-1)
    count = np.broadcast_to(heard, values.shape).sum(axis=-1, keepdims=True)
    low, high = (np.take_along_axis(ordered, place, axis=-1)[..., 0] for place in ((count - 1) // 2, count // 2))
    return 0.5 * (low + high)

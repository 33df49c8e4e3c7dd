"""What the nets of ETRI say -> what is active, and where from (section 5), each a fixed number of label frames later.

Median filters drop what is too short for its class and bridge what is too short a pause. A source stands still, or
moves at one of a few speeds: where the directions of a class keep to such a path, its path takes their place.
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
    """Rows in -> for each of them the window of `length` rows that ends with it, around the row `reach` before it.

    Before the stream, rows are zero.
    """

    def __init__(self, length: int, row_shape: tuple[int, ...]) -> None:
        self.reach = length // 2
        self._length = length
        self._before = np.zeros((length, *row_shape), np.float32)
        self._past = self._before

    def push(self, rows: FloatArray) -> FloatArray:
        """(n, ...) -> (n, ..., length)."""
        rows = np.concatenate([self._past, rows])
        self._past = rows[-self._length :]
        return sliding_window_view(rows, self._length, axis=0)[1:]  # type: ignore[return-value]

    def reset(self) -> None:
        """Forget all rows."""
        self._past = self._before


class PostProcessing:
    """Median filters of SAD and SED, then steady paths, behind `push`, `finish` and `reset`.

    Reconstructed, as the paper says no more than that there are such filters: SAD is filtered first, and SED is heard
    where SAD then finds something; the filters of the classes see nothing elsewhere, and may add nothing there. The
    median of the probabilities takes their place: it is above a threshold where most of them are.

    Paths, too: around each label frame `path_labels` of the stretch in which the class sounds without a pause are
    compared with paths of the given speeds. Its direction is corrected to the nearest, if that is near enough.
    """

    def __init__(self, settings: EtriSettings, class_names: Sequence[str], label_s: float) -> None:
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
        self._early = self.delay_labels  # rows that are about label frames before the stream

    def push(self, sad: FloatArray, sed: FloatArray, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Take what the nets say about the next label frames; give what is true of those `delay_labels` before them.

        sad: probabilities (labels,). sed: (labels, classes). direction: unit vectors (labels, classes, 3), zero where
        nothing is known: there nothing is active. Returns activity (n, classes), the probability of an active class and
        zero for the others, and direction (n, classes, 3). n is less than `labels` only at the beginning.
        """
        gate = np.broadcast_to(sad[:, None, None], (*sed.shape, 1))
        rows = np.concatenate([gate, sed[..., None], direction], axis=-1)  # (labels, classes, 5)
        rows = self._gated(self._around_sad.push(rows))
        rows = self._active(self._around_sed.push(rows))
        rows = self._steady(self._around_path.push(rows))
        rows, self._early = rows[self._early :], max(0, self._early - len(rows))
        return rows[..., 0], rows[..., 1:]

    def finish(self) -> tuple[FloatArray, FloatArray]:
        """End of stream: the answers that are left, as if silence followed."""
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
        """Rows of whether SAD finds anything, SED there, direction."""
        middle = self._around_sad.reach
        rows = windows[..., middle].copy()
        heard = np.sort(windows[:, :, 0], axis=-1)[..., middle] > self._settings.sad_threshold
        rows[..., 0] = heard
        rows[..., 1] *= heard
        return rows

    def _active(self, windows: FloatArray) -> FloatArray:
        """Rows of activity, direction."""
        middle = self._around_sed.reach
        rows = windows[..., 1:, middle].copy()
        for index, length in enumerate(self._lengths):
            near = windows[:, index, 1, middle - length // 2 : middle + length // 2 + 1]
            rows[:, index, 0] = np.sort(near, axis=-1)[..., length // 2]
        known = np.any(rows[..., 1:] != 0, axis=-1) & (windows[..., 0, middle] > 0)
        rows[..., 0] *= known & (rows[..., 0] > self._settings.sed_threshold)
        return rows

    def _steady(self, windows: FloatArray) -> FloatArray:
        """The same rows, directions corrected."""
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
    """Speeds either way, the slow ones first."""
    return [rate for speed in sorted(set(speeds)) for rate in ((speed, -speed) if speed else (0.0,))]


def uninterrupted(active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(rows, labels), the one in the middle active -> the stretch of active labels that it is in."""
    middle = active.shape[1] // 2
    after = np.logical_and.accumulate(active[:, middle:], axis=1)
    before = np.logical_and.accumulate(active[:, middle::-1], axis=1)[:, ::-1]
    return np.concatenate([before[:, :-1], after], axis=1)


def steady_path(direction: FloatArray, heard: NDArray[np.bool_], rates_deg: Floats, most_deg: float) -> FloatArray:
    """Direction in the middle (rows, 3) of the steady path that is nearest to directions (rows, labels, 3).

    Azimuth and elevation change at one of `rates_deg` (degrees per label frame) each, azimuth by as much more as the
    circle of its elevation is smaller. Only label frames that are `heard` (rows, labels) count. Where half of these are
    more than `most_deg` off the path, the direction in the middle stays as it is.
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
    """Angles (rows, labels), rates (rows, n) -> angle in the middle (rows,) of the nearest line, errors (rows, labels).

    At each rate, the line is level to the median of what is left without it; the nearest of them has the least sum of
    absolute errors, each at most `most_deg`: how far away something else is does not matter.
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
    """Over the last axis, of what is heard."""
    ordered = np.sort(np.where(heard, values, np.inf), axis=-1)
    count = np.broadcast_to(heard, values.shape).sum(axis=-1, keepdims=True)
    low, high = (np.take_along_axis(ordered, place, axis=-1)[..., 0] for place in ((count - 1) // 2, count // 2))
    return 0.5 * (low + high)

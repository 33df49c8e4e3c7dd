"""Training data -> lengths of ETRI's median filters, "based on the average duration per class" (section 5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.data.cache import FeatureCache
from convert.systems.etri.batches import stage_target
from edge.systems.etri.settings import LONGEST_FILTER_LABELS

# Shares of the mean duration, chosen on development scenes; a median filter keeps events longer than half its length.
SAD_SHARE, SED_SHARE = 0.1, 0.25


def median_lengths(
    cache: FeatureCache, sad_share: float = SAD_SHARE, sed_share: float = SED_SHARE
) -> tuple[int, dict[str, int]]:
    """Lengths of the median filters: odd shares of the mean durations of events.

    Args:
        cache: Training data.
        sad_share: Length of the filter of SAD as a share of the mean duration of activity of any class.
        sed_share: Length of the filter of each class of SED as a share of its mean duration.

    Returns:
        Length for SAD, and for SED by class name, in label frames.
    """
    activity = class_activity(cache)
    lengths = {
        name: _odd(sed_share * mean_duration(active, cache.first_labels))
        for name, active in zip(cache.class_names, activity.T, strict=True)
    }
    anything = np.max(activity, axis=1)
    return _odd(sad_share * mean_duration(anything, cache.first_labels)), lengths


def class_activity(cache: FeatureCache) -> NDArray[np.bool_]:
    """(labels, classes): which classes are active in any slot."""
    return stage_target("sed", cache.tracks, len(cache.class_names)) > 0


def mean_duration(active: NDArray[np.bool_], first_labels: tuple[int, ...]) -> float:
    """The mean length of runs of activity.

    Args:
        active: Activity (labels,) of all recordings, one after the other.
        first_labels: Where each recording begins, and the end; a run ends with its recording.

    Returns:
        The mean length in label frames, 0 without any activity.
    """
    begins = active & ~np.concatenate([[False], active[:-1]])
    inside = [first for first in first_labels[:-1] if active[first]]
    begins[inside] = True
    return float(active.sum() / begins.sum()) if begins.any() else 0.0


def _odd(labels: float) -> int:
    return int(min(2 * (max(labels, 1.0) // 2) + 1, LONGEST_FILTER_LABELS))

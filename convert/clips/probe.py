"""Clip libraries -> how well a linear classifier tells their classes apart, and which clips may be mislabelled.

Each clip is described by statistics of its log-mel spectrogram. A linear discriminant analysis learns the classes from
some sources or recordings and judges the others; what it finds hard is either hard, rare, or mislabelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from convert.clips.library import INTERFERER, Clip, ClipLibrary
from edge.frontend.mel import mel_filters
from edge.types import FloatArray

BANDS, NFFT, HOP = 40, 1024, 480  # at 24 kHz: windows of 43 ms every 20 ms
LONGEST_S = 10.0  # of a clip, only the first seconds are looked at
FLOOR_DB = 60.0  # levels further below the loudest band than this are raised to it
PERCENTILES = (10, 50, 90)
FOLDS = 10


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a classifier that has not heard a clip's source or group says about it; one row a clip."""

    class_names: tuple[str, ...]
    labels: NDArray[np.int64]  # (clips,) index of the class that the library states
    log_posterior: NDArray[np.float64]  # (clips, classes); -inf: not learnt; NaN: the clip's own class was not

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Mask (clips,) of the clips whose class occurred in what was learnt."""
        return ~np.isnan(self.log_posterior[:, 0])

    def confusion(self) -> NDArray[np.int64]:
        """Count the clips by stated class (row) and judged class (column): (classes, classes)."""
        table = np.zeros((len(self.class_names), len(self.class_names)), np.int64)
        np.add.at(table, (self.labels[self.judged], self.log_posterior[self.judged].argmax(axis=1)), 1)
        return table

    def recall(self) -> NDArray[np.float64]:
        """Compute the share of each class that is recognised: (classes,); NaN where no clip was judged."""
        table = self.confusion()
        counts = table.sum(axis=1)
        return np.where(counts > 0, np.diag(table) / np.maximum(counts, 1), np.nan)

    def suspicion(self) -> NDArray[np.float64]:
        """Compute how much likelier the best other class is than the stated one: (clips,), natural logarithm."""
        rows = np.arange(len(self.labels))
        others = self.log_posterior.copy()
        others[rows, self.labels] = -np.inf
        return others.max(axis=1) - self.log_posterior[rows, self.labels]


def labelled_clips(library: ClipLibrary) -> list[Clip]:
    """List the clips that have a class of their own, and whose class has at least two clips."""
    counts: dict[str, int] = {}
    for clip in library.clips:
        counts[clip.class_name] = counts.get(clip.class_name, 0) + 1
    return [clip for clip in library.clips if clip.class_name != INTERFERER and counts[clip.class_name] > 1]


def log_mel_statistics(samples: FloatArray, sample_rate_hz: int) -> NDArray[np.float64]:
    """Describe a clip by statistics over time of each mel band; the gain of the clip does not matter.

    Args:
        samples: samples (n,).
        sample_rate_hz: their rate.

    Returns:
        Mean, deviation, percentiles, and mean magnitude of the difference between frames: (6 * BANDS,), in dB.
    """
    clip = np.asarray(samples[: round(LONGEST_S * sample_rate_hz)], dtype=np.float64)
    clip = np.pad(clip, (0, max(0, 2 * NFFT - len(clip))))
    _, _, bins = signal.stft(clip, nperseg=NFFT, noverlap=NFFT - HOP, boundary=None, padded=False)
    levels_db = 10.0 * np.log10(np.abs(bins.T) ** 2 @ mel_filters(sample_rate_hz, NFFT, BANDS) + 1e-20)
    levels_db = np.maximum(levels_db - levels_db.max(), -FLOOR_DB)  # (frames, bands)
    steps = np.abs(np.diff(levels_db, axis=0)).mean(axis=0)
    return np.concatenate(
        [levels_db.mean(axis=0), levels_db.std(axis=0), *np.percentile(levels_db, PERCENTILES, axis=0), steps]
    )


def describe(library: ClipLibrary, clips: Sequence[Clip]) -> NDArray[np.float64]:
    """Compute `log_mel_statistics` of clips: (clips, 6 * BANDS)."""
    return np.stack([log_mel_statistics(library.samples(clip), library.sample_rate_hz) for clip in clips])


def judge_folds(features: NDArray[np.float64], clips: Sequence[Clip], by: Literal["source", "group"]) -> Judgement:
    """Judge each clip by a classifier that learns from the clips of other sources or groups.

    Args:
        features: statistics of the clips (clips, features).
        clips: the clips.
        by: "source" to leave out one source at a time, "group" to leave out a tenth of the groups at a time.

    Raises:
        ValueError: there is only one source or group.
    """
    class_names = sorted({clip.class_name for clip in clips})
    names, parts = np.unique([getattr(clip, by) for clip in clips], return_inverse=True)
    if by == "group":
        parts = parts % FOLDS
    if len(names) < 2:
        raise ValueError(f"got clips of the one {by} {''.join(names)!r}, wanted at least two")
    labels = np.array([class_names.index(clip.class_name) for clip in clips])
    posterior = np.full((len(clips), len(class_names)), np.nan)
    for part in range(parts.max() + 1):
        left_out = parts == part
        posterior[left_out] = _judge(features[~left_out], labels[~left_out], features[left_out], len(class_names))
    posterior[~np.isfinite(posterior[np.arange(len(clips)), labels])] = np.nan
    return Judgement(tuple(class_names), labels, posterior)


def judge_other(
    learnt: NDArray[np.float64],
    learnt_clips: Sequence[Clip],
    judged: NDArray[np.float64],
    judged_clips: Sequence[Clip],
) -> Judgement:
    """Learn from one library and judge another: how well does the first stand for the second?

    Args:
        learnt: statistics of the clips to learn from (clips, features).
        learnt_clips: these clips.
        judged: statistics of the clips to judge (others, features).
        judged_clips: these clips; those of classes that cannot be learnt get a row of NaN.
    """
    names = tuple(sorted({clip.class_name for clip in (*learnt_clips, *judged_clips)}))
    labels = np.array([names.index(clip.class_name) for clip in judged_clips])
    known = np.array([names.index(clip.class_name) for clip in learnt_clips])
    posterior = _judge(learnt, known, judged, len(names))
    posterior[~np.isfinite(posterior[np.arange(len(labels)), labels])] = np.nan
    return Judgement(names, labels, posterior)


def mislabelled(by_group: Judgement, by_source: Judgement, least: float) -> NDArray[np.int64]:
    """Find clips that sound like another class, the most suspicious first.

    A clip is suspected if both cross-validations take it for the same other class, so that neither a rare recording
    situation nor a class of few sources is enough, and if the suspicion by group is at least `least`.

    Returns:
        Indices of clips.
    """
    suspicion = by_group.suspicion()
    agree = by_group.judged & by_source.judged
    agree[agree] = by_group.log_posterior[agree].argmax(axis=1) == by_source.log_posterior[agree].argmax(axis=1)
    found = np.flatnonzero(agree & (np.nan_to_num(suspicion, nan=-1.0) >= max(least, 1e-9)))
    return found[np.argsort(-suspicion[found], kind="stable")]


def _judge(
    learnt: NDArray[np.float64], labels: NDArray[np.int64], judged: NDArray[np.float64], classes: int
) -> NDArray[np.float64]:
    """Learn from features and labels, and return log posteriors (judged, classes); -inf for a class not learnt."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    counts = np.bincount(labels, minlength=classes)
    enough = counts[labels] > 1  # the spread of a class cannot be estimated from one clip
    present = np.flatnonzero(counts > 1)
    posterior = np.full((len(judged), classes), -np.inf)
    equal = np.full(len(present), 1.0 / len(present))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=equal)
    model.fit(learnt[enough], labels[enough])
    posterior[:, present] = model.predict_log_proba(judged)
    return posterior

"""Chunks -> training batches of CoLoC: augmentation, condition and target (section 3).

A batch is a pure function of the sampled chunks and the random generator, so that a resumed training sees the same
batches as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from convert.data.augment import DEVICE_AUGMENTATION, Augmentation, augmented, check_sampling, sample
from convert.data.cache import FeatureCache
from edge.geometry import perturb_angles

FloatArray = NDArray[np.float32]
Batch = tuple[dict[str, FloatArray], FloatArray]


EDGE_AUGMENTATION = replace(DEVICE_AUGMENTATION, decoy_share=0.3)


def localizer_example(
    tracks: FloatArray, perturbation_deg: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Stacked-tracks (slots, labels, 4) -> directions (labels, slots, 3), weights (labels, slots), target: section 3.1.

    r known events, drawn up to the most that the chunk can ask for; the target is that of
    `losses.set_localizer_loss`: (labels, slots + 1, 4).
    """
    slots, labels = tracks.shape[:2]
    occupied = np.any(tracks[..., :3] != 0, axis=-1)  # (slots, labels)
    active = occupied.sum(axis=0)
    known = int(rng.integers(0, min(int(active.max()), slots - 1) + 1))
    directions = perturb_angles(tracks[..., :3], perturbation_deg, rng).transpose(1, 0, 2)
    complete = active >= known  # frames in which all of the condition is there; elsewhere the origin is encoded
    directions[:, known:] = 0.0
    directions[~complete] = 0.0
    weights = np.zeros((labels, slots), np.float32)
    weights[:, : max(known, 1)] = 1.0 / max(known, 1)
    target = np.zeros((labels, slots + 1, 4), np.float32)
    target[:, :slots, :3] = tracks[..., :3].transpose(1, 0, 2)
    target[:, :slots, 3] = occupied.T & (np.arange(slots) >= known)
    target[:, slots, 0] = active
    target[:, slots, 1] = known
    return directions, weights, target


def classifier_example(
    tracks: FloatArray, settings: Augmentation, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Stacked-tracks -> directions (labels, 1, 3), weights (labels, 1), class of each frame (labels,) (section 3.2).

    With decoys, frames in which the row is empty ask about a random direction away from all events instead of the
    origin, and want "none of the classes": the answer to a false alarm of the localizer.
    """
    labels = tracks.shape[1]
    most_active = int(np.any(tracks[..., :3] != 0, axis=-1).sum(axis=0).max())
    row = tracks[int(rng.integers(max(most_active, 1)))]
    directions = perturb_angles(row[:, :3], settings.perturbation_deg, rng)
    if rng.random() < settings.decoy_share:
        decoy = rng.normal(size=3)
        decoy /= np.linalg.norm(decoy)
        far = np.all(tracks[..., :3] @ decoy < np.cos(np.deg2rad(40.0)), axis=0)
        directions[far & ~np.any(row[:, :3] != 0, axis=-1)] = decoy
    return directions[:, None], np.ones((labels, 1), np.float32), row[:, 3]


def batch_maker(
    stage: str, cache: FeatureCache, settings: Augmentation, labels: int, batch_size: int, seed: int
) -> Callable[[int], Batch]:
    """A function from the step number to the batch of that step, for stage `localizer` or `classifier`."""
    check_sampling(cache, labels, settings)
    return partial(_batch, stage, cache, settings, labels, batch_size, seed)


def _batch(
    stage: str, cache: FeatureCache, settings: Augmentation, labels: int, batch_size: int, seed: int, step: int
) -> Batch:
    rng = np.random.default_rng([seed, step])
    columns: list[FloatArray] = []
    for index in range(batch_size):
        chunk = augmented(sample(cache, labels, settings, rng), cache, settings, rng)
        if stage == "localizer":
            values = chunk.maps, *localizer_example(chunk.tracks, settings.perturbation_deg, rng)
        else:
            values = chunk.maps, *classifier_example(chunk.tracks, settings, rng)
        columns = columns or [np.empty((batch_size, *value.shape), np.float32) for value in values]
        for column, value in zip(columns, values, strict=True):
            column[index] = value
    maps, directions, weights, targets = columns
    return {"features": maps, "directions": directions, "weights": weights}, targets

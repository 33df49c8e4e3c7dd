"""Chunks -> training batches of CoLoC: the condition and the target of its localizer and its classifier (section 3)."""

from __future__ import annotations

from functools import partial

import numpy as np

from convert.data.augment import Augmentation
from convert.data.cache import Chunk, FeatureCache
from convert.systems.batches import BatchFunction, Example, Sampling, batches_of
from edge.geometry import perturb_angles
from edge.types import FloatArray

DECOY_DISTANCE_DEG = 40.0  # least angle between a decoy and any event


def batch_maker(stage: str, cache: FeatureCache, sampling: Sampling, most_known: int = 0) -> BatchFunction:
    """A function from the step number to the batch of that step.

    Inputs of a batch are those of `nets.build_trainable`: `features`, `directions` and `weights`.

    Args:
        stage: `localizer` or `classifier`.
        cache: Where the chunks come from.
        sampling: How they are drawn and augmented.
        most_known: Of the localizer, see `localizer_example`.

    Raises:
        ValueError: A recording of the cache is shorter than a chunk.
    """
    settings = sampling.augmentation
    example: Example = partial(_classifier_inputs, settings)
    if stage == "localizer":
        example = partial(_localizer_inputs, settings.perturbation_deg, most_known)
    return batches_of(example, cache, sampling)


def localizer_example(
    tracks: FloatArray, perturbation_deg: float, rng: np.random.Generator, most_known: int = 0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The condition and the target of the localizer (section 3.1).

    The number r of known events is drawn, up to the most that the chunk can ask for, or up to `most_known`.

    Args:
        tracks: Stacked-tracks (slots, labels, 4): x, y, z, class.
        perturbation_deg: How far the known directions are off (section 3.3).
        rng: What r and the perturbation are drawn from.
        most_known: Greatest r, whatever the chunk has (the paper prints N - 2). 0: as many as the most events that it
            has at one time, N - 1 at most.

    Returns:
        Directions of the condition (labels, slots, 3), their weights (labels, slots), and the target of
        `losses.set_localizer_loss` (labels, slots + 1, 4).
    """
    slots, labels = tracks.shape[:2]
    occupied = np.any(tracks[..., :3] != 0, axis=-1)  # (slots, labels)
    active = occupied.sum(axis=0)
    known = int(rng.integers(0, (most_known or min(int(active.max()), slots - 1)) + 1))
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
    """The condition and the target of the classifier (section 3.2).

    With decoys, frames in which the row is empty get a random direction away from all events in the place of the
    origin, and their target is "none of the classes": so the net learns to answer a false alarm of the localizer.

    Args:
        tracks: Stacked-tracks (slots, labels, 4): x, y, z, class; or (slots, labels, 5) with the distance.
        settings: `perturbation_deg` and `decoy_share` are used.
        rng: What the row, the perturbation and the decoy are drawn from.

    Returns:
        Directions (labels, 1, 3), weights (labels, 1), class of each label frame (labels,); where the tracks have
        distances, class and distance (labels, 2).
    """
    labels = tracks.shape[1]
    most_active = int(np.any(tracks[..., :3] != 0, axis=-1).sum(axis=0).max())
    row = tracks[int(rng.integers(max(most_active, 1)))]
    directions = perturb_angles(row[:, :3], settings.perturbation_deg, rng)
    if rng.random() < settings.decoy_share:
        decoy = rng.normal(size=3)
        decoy /= np.linalg.norm(decoy)
        far = np.all(tracks[..., :3] @ decoy < np.cos(np.deg2rad(DECOY_DISTANCE_DEG)), axis=0)
        directions[far & ~np.any(row[:, :3] != 0, axis=-1)] = decoy
    target = row[:, 3:] if row.shape[1] > 4 else row[:, 3]
    return directions[:, None], np.ones((labels, 1), np.float32), target


def _localizer_inputs(
    perturbation_deg: float, most_known: int, chunk: Chunk, rng: np.random.Generator
) -> tuple[dict[str, FloatArray], FloatArray]:
    directions, weights, target = localizer_example(chunk.tracks, perturbation_deg, rng, most_known)
    return {"features": chunk.maps, "directions": directions, "weights": weights}, target


def _classifier_inputs(
    settings: Augmentation, chunk: Chunk, rng: np.random.Generator
) -> tuple[dict[str, FloatArray], FloatArray]:
    directions, weights, target = classifier_example(chunk.tracks, settings, rng)
    return {"features": chunk.maps, "directions": directions, "weights": weights}, target

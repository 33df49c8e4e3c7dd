"""Chunks -> training batches of ETRI: the targets of SAD, SED and DOAE."""

from __future__ import annotations

from functools import partial

import numpy as np

from convert.data.cache import Chunk, FeatureCache
from convert.systems.batches import BatchFunction, Sampling, batches_of
from edge.geometry import azimuth_elevation_deg
from edge.systems.etri.window import NETS
from edge.types import FloatArray


def batch_maker(stage: str, cache: FeatureCache, sampling: Sampling) -> BatchFunction:
    """A function from the step number to the batch of that step.

    Args:
        stage: `sad`, `sed` or `doae`.
        cache: Where the chunks come from.
        sampling: How they are drawn and augmented.

    Raises:
        ValueError: A recording of the cache is shorter than a chunk.
    """
    return batches_of(partial(_example, stage, len(cache.class_names)), cache, sampling, NETS[stage])


def stage_target(stage: str, tracks: FloatArray, classes: int) -> FloatArray:
    """The target of a stage.

    Directions are those of each label frame, so the target follows a source that moves. Of two events of one class at a
    time DOAE can name one: it is the one in the first slot.

    Args:
        stage: `sad`, `sed` or `doae`.
        tracks: Stacked-tracks (slots, labels, 4): x, y, z, class.
        classes: Number of classes K.

    Returns:
        For `sad` (labels, 1), 1 where anything is active, otherwise 0. For `sed` (labels, K), 1 where the class is
        active. For `doae`, as `losses.direction_loss` takes it, (labels, 3 K): K azimuths and K elevations in degrees
        divided by 180, 0 where the class is not active, and K activities.
    """
    target = np.zeros((tracks.shape[1], 3, classes), np.float32)
    for slot in tracks[::-1]:
        labels = np.flatnonzero(np.any(slot[:, :3] != 0, axis=-1))
        azimuth_deg, elevation_deg = azimuth_elevation_deg(slot[labels, :3])
        places = np.stack([azimuth_deg / 180.0, elevation_deg / 180.0, np.ones(len(labels))], axis=-1)
        target[labels, :, slot[labels, 3].astype(int)] = places
    if stage == "doae":
        return target.reshape(len(target), -1)
    active = target[:, 2]
    return active if stage == "sed" else active.max(axis=-1, keepdims=True)


def _example(
    stage: str, classes: int, chunk: Chunk, rng: np.random.Generator
) -> tuple[dict[str, FloatArray], FloatArray]:
    return {"features": chunk.maps}, stage_target(stage, chunk.tracks, classes)

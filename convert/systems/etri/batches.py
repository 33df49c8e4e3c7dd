"""Chunks -> training batches of ETRI: augmentation and the targets of SAD, SED and DOAE.

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
from edge.geometry import azimuth_elevation_deg
from edge.systems.etri.window import NETS

FloatArray = NDArray[np.float32]
Batch = tuple[dict[str, FloatArray], FloatArray]
SPEED = (0.8, 1.25)  # of time stretch; the paper does not tell

AS_RECORDED = Augmentation(level_db=(0.0, 0.0), rotated_share=0.0)
PAPER_AUGMENTATION = Augmentation(level_db=(0.0, 0.0), rotated_share=0.0, speed=SPEED)  # ETRL4, section 7
EDGE_AUGMENTATION = replace(DEVICE_AUGMENTATION, speed=SPEED)


def stage_target(stage: str, tracks: FloatArray, classes: int) -> FloatArray:
    """Stacked-tracks (slots, labels, 4) -> what stage `sad`, `sed` or `doae` is to answer.

    `sad`: (labels, 1), 1 where anything is active, otherwise 0. `sed`: (labels, K), 1 where the class is active.
    `doae`, for `losses.direction_loss`: (labels, 3 K), K azimuths and K elevations in degrees / 180, 0 where the class
    is not active, and K activities. Directions are those of each label frame: a source that moves takes its target
    along. Of two events of one class at a time DOAE can name one: it is the one in the first slot.
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


def batch_maker(
    stage: str, cache: FeatureCache, settings: Augmentation, labels: int, batch_size: int, seed: int
) -> Callable[[int], Batch]:
    """A function from the step number to the batch of that step, for stage `sad`, `sed` or `doae`."""
    check_sampling(cache, labels, settings)
    return partial(_batch, stage, cache, settings, labels, batch_size, seed)


def _batch(
    stage: str, cache: FeatureCache, settings: Augmentation, labels: int, batch_size: int, seed: int, step: int
) -> Batch:
    rng, maps = np.random.default_rng([seed, step]), NETS[stage]
    chunks = [
        augmented(sample(cache, labels, settings, rng, maps), cache, settings, rng, maps) for _ in range(batch_size)
    ]
    targets = [stage_target(stage, chunk.tracks, len(cache.class_names)) for chunk in chunks]
    return {"features": np.stack([chunk.maps for chunk in chunks])}, np.stack(targets)

"""Chunks -> training batches of step 1 of two-step: augmentation and the targets of DoA and SED (section 3.1).

A batch is a pure function of the sampled chunks and the random generator, so that a resumed training sees the same
batches as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convert.augment import DEVICE_AUGMENTATION, Augmentation, augmented, check_sampling, sample
from convert.datasets import FeatureCache
from convert.reorder import reorder
from convert.systems.two_step_sizes import DOA_MAPS, SED_MAPS
from edge.types import FloatArray

Batch = tuple[dict[str, FloatArray], FloatArray]
STAGE_MAPS = {"doa": DOA_MAPS, "sed": SED_MAPS}

AS_RECORDED = Augmentation(level_db=(0.0, 0.0), rotated_share=0.0)
PAPER_AUGMENTATION = AS_RECORDED  # the paper names none
EDGE_AUGMENTATION = DEVICE_AUGMENTATION


def stage_target(stage: str, tracks: FloatArray, classes: int, count: int) -> FloatArray:
    """Stacked-tracks (slots, labels, 4) -> what stage `doa` or `sed` is to answer in `count` tracks, K.

    `doa`: (labels, 3 K), x, y, z of one track after the other, zeros where nothing is. `sed`: (labels, K C), 1 where
    the class sounds in the track. Both have their events in the same tracks (section 2.1.3).
    """
    ordered, _ = reorder(tracks, count, classes)
    ordered = ordered.transpose(1, 0, 2)  # (labels, K, 4)
    if stage == "doa":
        return np.ascontiguousarray(ordered[..., :3]).reshape(len(ordered), -1)
    active = ordered[..., 3:] == np.arange(classes, dtype=np.float32)
    return active.astype(np.float32).reshape(len(ordered), -1)


def batch_maker(
    stage: str, cache: FeatureCache, settings: Augmentation, labels: int, tracks: int, batch_size: int, seed: int
) -> Callable[[int], Batch]:
    """A function from the step number to the batch of that step, for stage `doa` or `sed`, in `tracks` tracks."""
    check_sampling(cache, labels, settings)
    maps = STAGE_MAPS[stage]

    def example(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        chunk = augmented(sample(cache, labels, settings, rng, maps), cache, settings, rng, maps)
        return chunk.maps, stage_target(stage, chunk.tracks, len(cache.class_names), tracks)

    def batch(step: int) -> Batch:
        rng = np.random.default_rng([seed, step])
        features, targets = zip(*(example(rng) for _ in range(batch_size)), strict=True)
        return {"features": np.stack(features)}, np.stack(targets)

    return batch

"""Chunks -> training batches of two-step: augmentation and the targets of DoA, SED and fusion (section 3.1).

A batch is a pure function of the sampled chunks and the random generator, so that a resumed training sees the same
batches as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from convert.data.augment import DEVICE_AUGMENTATION, Augmentation, augmented, check_sampling, mask_stripes, sample
from convert.data.cache import FeatureCache
from convert.systems.two_step.permutation import adpit_target
from convert.systems.two_step.reorder import reorder
from edge.systems.two_step.window import DOA_MAPS, SED_MAPS
from edge.types import FloatArray

Batch = tuple[dict[str, FloatArray], FloatArray]
STAGE_MAPS = {"doa": DOA_MAPS, "sed": SED_MAPS}

AS_RECORDED = Augmentation(level_db=(0.0, 0.0), rotated_share=0.0)
PAPER_AUGMENTATION = AS_RECORDED  # the paper names none
EDGE_AUGMENTATION = replace(DEVICE_AUGMENTATION, hearings=2)


def stage_target(stage: str, tracks: FloatArray, classes: int, count: int) -> FloatArray:
    """Stacked-tracks (slots, labels, 4) -> what stage `doa` or `sed` is to answer in `count` tracks, K.

    `doa`: (labels, 3 K), x, y, z of one track after the other, zeros where nothing is. `sed`: (labels, K C), 1 where
    the class sounds in the track. Both have their events in the same tracks (section 2.1.3). The only track of a SED
    that is not track-wise has all events.
    """
    if stage == "sed" and count == 1:
        return np.max(tracks[..., 3:] == np.arange(classes), axis=0).astype(np.float32)
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
    return partial(_batch, stage, cache, settings, labels, tracks, batch_size, seed)


def _batch(
    stage: str,
    cache: FeatureCache,
    settings: Augmentation,
    labels: int,
    tracks: int,
    batch_size: int,
    seed: int,
    step: int,
) -> Batch:
    rng, maps = np.random.default_rng([seed, step]), STAGE_MAPS[stage]
    chunks = [
        augmented(sample(cache, labels, settings, rng, maps), cache, settings, rng, maps) for _ in range(batch_size)
    ]
    targets = [stage_target(stage, chunk.tracks, len(cache.class_names), tracks) for chunk in chunks]
    return {"features": np.stack([chunk.maps for chunk in chunks])}, np.stack(targets)


def fusion_batch_maker(
    windows: np.memmap, cache: FeatureCache, settings: Augmentation, batch_size: int, inputs: Sequence[str], seed: int
) -> Callable[[int], Batch]:
    """A function from the step number to the batch of that step, for stage `fusion`: those of the windows' `inputs`.

    A recording is as likely as in the other stages. Features and beams are masked alike.
    """
    recordings, counts = np.unique(windows["recording"], return_counts=True)
    chances = np.ones(len(recordings)) if cache.chances is None else cache.chances[recordings]
    chance = (chances / counts)[np.searchsorted(recordings, windows["recording"])]
    file = Path(str(windows.filename)), windows.dtype  # pickled, a memory map is all that is in it
    classes = len(cache.class_names)
    return partial(_fusion_batch, *file, chance / chance.sum(), settings, batch_size, tuple(inputs), classes, seed)


def _fusion_batch(
    file: Path,
    dtype: np.dtype[Any],
    chance: np.ndarray,
    settings: Augmentation,
    batch_size: int,
    inputs: Sequence[str],
    classes: int,
    seed: int,
    step: int,
) -> Batch:
    rng, windows = np.random.default_rng([seed, step]), np.memmap(file, dtype, "r")
    chosen = windows[np.sort(rng.choice(len(windows), batch_size, p=chance))]
    given = {name: chosen[name].astype(np.float32) for name in inputs}
    if settings.masked_frames or settings.masked_bands:
        spectrograms = [name for name in ("features", "beams") if name in inputs]
        features = given["features"].shape[-1]
        for number in range(batch_size):
            maps = np.concatenate([given[name][number] for name in spectrograms], axis=-1)
            nothing = np.zeros(maps.shape[1:], np.float32)
            masked = mask_stripes(maps, rng, settings.masked_frames, settings.masked_bands, nothing)
            for name, part in zip(spectrograms, np.split(masked, [features], axis=-1), strict=False):
                given[name][number] = part
    return given, np.stack([adpit_target(tracks, classes) for tracks in chosen["tracks"]])

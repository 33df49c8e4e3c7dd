"""Chunks or windows -> training batches of two-step: the targets of DOA, SED and fusion (section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from convert.data.augment import mask_stripes
from convert.data.cache import Chunk, FeatureCache
from convert.systems.batches import Batch, BatchFunction, Sampling, batches_of
from convert.systems.two_step.reorder import reorder
from edge.systems.two_step.window import DOA_MAPS, SED_MAPS
from edge.types import FloatArray

STAGE_MAPS = {"doa": DOA_MAPS, "sed": SED_MAPS}
ACCDOA_TRACKS = 3  # N of multi-ACCDOA


def batch_maker(stage: str, cache: FeatureCache, sampling: Sampling, tracks: int) -> BatchFunction:
    """A function from the step number to the batch of that step, for a stage of step 1.

    Args:
        stage: `doa` or `sed`.
        cache: Where the chunks come from.
        sampling: How they are drawn and augmented.
        tracks: Number of tracks K of the target.

    Raises:
        ValueError: A recording of the cache is shorter than a chunk.
    """
    example = partial(_example, stage, len(cache.class_names), tracks)
    return batches_of(example, cache, sampling, STAGE_MAPS[stage])


def stage_target(stage: str, tracks: FloatArray, classes: int, count: int) -> FloatArray:
    """The target of a stage of step 1. Both stages have their events in the same tracks (section 2.1.3).

    Args:
        stage: `doa` or `sed`.
        tracks: Stacked-tracks (slots, labels, 4): x, y, z, class.
        classes: Number of classes C.
        count: Number of tracks K. The only track of an SED that is not track-wise has all events.

    Returns:
        For `doa` (labels, 3 K): x, y, z of one track after the other, zeros in empty tracks. For `sed` (labels, K C):
        1 where the class is active in the track.
    """
    if stage == "sed" and count == 1:
        return np.max(tracks[..., 3:] == np.arange(classes), axis=0).astype(np.float32)
    ordered, _ = reorder(tracks, count, classes)
    ordered = ordered.transpose(1, 0, 2)  # (labels, K, 4)
    if stage == "doa":
        return np.ascontiguousarray(ordered[..., :3]).reshape(len(ordered), -1)
    active = ordered[..., 3:] == np.arange(classes, dtype=np.float32)
    return active.astype(np.float32).reshape(len(ordered), -1)


def fusion_batch_maker(
    windows: np.memmap, cache: FeatureCache, sampling: Sampling, inputs: Sequence[str]
) -> BatchFunction:
    """A function from the step number to the batch of that step, for stage `fusion`.

    A recording is as likely as in the other stages. Features and beams are masked alike.

    Args:
        windows: As `windows.load_windows` opens them.
        cache: The cache of the recordings that the windows were made from.
        sampling: Batch size, seed and the masking are used.
        inputs: Names of the inputs of the fusion net.
    """
    recordings, counts = np.unique(windows["recording"], return_counts=True)
    chances = np.ones(len(recordings)) if cache.chances is None else cache.chances[recordings]
    chance = (chances / counts)[np.searchsorted(recordings, windows["recording"])]
    file = _WindowFile(Path(str(windows.filename)), windows.dtype)
    return partial(_fusion_batch, file, chance / chance.sum(), sampling, tuple(inputs), len(cache.class_names))


@dataclass(frozen=True, slots=True)
class _WindowFile:
    """Windows on disk: pickled, a memory map would be all that is in it."""

    path: Path
    dtype: np.dtype[Any]

    def open(self) -> np.memmap:
        return np.memmap(self.path, self.dtype, "r")


def _example(
    stage: str, classes: int, tracks: int, chunk: Chunk, rng: np.random.Generator
) -> tuple[dict[str, FloatArray], FloatArray]:
    return {"features": chunk.maps}, stage_target(stage, chunk.tracks, classes, tracks)


def _fusion_batch(
    file: _WindowFile, chance: np.ndarray, sampling: Sampling, inputs: Sequence[str], classes: int, step: int
) -> Batch:
    rng, windows = np.random.default_rng([sampling.seed, step]), file.open()
    chosen = windows[np.sort(rng.choice(len(windows), sampling.batch_size, p=chance))]
    values = {name: chosen[name].astype(np.float32) for name in inputs}
    masking = sampling.augmentation
    if masking.masked_frames or masking.masked_bands:
        spectrograms = [name for name in ("features", "beams") if name in inputs]
        features = values["features"].shape[-1]
        for number in range(sampling.batch_size):
            maps = np.concatenate([values[name][number] for name in spectrograms], axis=-1)
            fill = np.zeros(maps.shape[1:], np.float32)
            masked = mask_stripes(maps, rng, masking.masked_frames, masking.masked_bands, fill)
            for name, part in zip(spectrograms, np.split(masked, [features], axis=-1), strict=False):
                values[name][number] = part
    return values, np.stack([adpit_target(tracks, classes) for tracks in chosen["tracks"]])


def adpit_target(tracks: FloatArray, classes: int) -> FloatArray:
    """The target of ADPIT, as in the DCASE 2022 baseline.

    A class with one event in a label frame has it in A0, one with two in B0 and B1, one with three in C0, C1 and C2.
    Further events of one class at a time, those in the highest slots, are left out.

    Args:
        tracks: Stacked-tracks (slots, labels, 4): x, y, z, class.
        classes: Number of classes C.

    Returns:
        Activity, x, y, z of 6 dummy tracks (labels, 6, 4, C).
    """
    labels = tracks.shape[1]
    found = np.zeros((labels, ACCDOA_TRACKS, 4, classes), np.float32)
    count = np.zeros((labels, classes), int)
    for slot in tracks:
        occupied = np.flatnonzero(np.any(slot[:, :3] != 0, axis=-1))
        kind = slot[occupied, 3].astype(int)
        room = count[occupied, kind] < ACCDOA_TRACKS
        occupied, kind = occupied[room], kind[room]
        found[occupied, count[occupied, kind], 0, kind] = 1.0
        found[occupied, count[occupied, kind], 1:, kind] = slot[occupied, :3]
        count[occupied, kind] += 1
    alike = (count[:, None, None] == number for number in range(1, ACCDOA_TRACKS + 1))
    return np.concatenate([found[:, :number] * same for number, same in enumerate(alike, 1)], axis=1)

"""Chunks -> training batches of CoLoC: augmentation, condition and target (section 3).

A batch is a pure function of the sampled chunks and the random generator, so that a resumed training sees the same
batches as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert import augment
from convert.datasets import Chunk, FeatureCache
from convert.tracks import stack_tracks
from edge.features import FEATURES, FLOOR_DB
from edge.geometry import perturb_angles

FloatArray = NDArray[np.float32]
Batch = tuple[dict[str, FloatArray], FloatArray]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How much to vary the training data. The defaults are the paper's; `EDGE_AUGMENTATION` adds what devices meet."""

    level_db: tuple[float, float] = (-6.0, 3.5)  # volume factor 0.5..1.5, section 3.6
    rotated_share: float = 0.25  # "every fourth audio-meta pair", section 3.6
    perturbation_deg: float = 5.0  # section 3.3
    equalizer_db: float = 0.0  # deviation of a smooth random gain curve, the same for all channels
    masked_frames: int = 0  # widest stripe of SpecAugment in time
    masked_bands: int = 0  # and in frequency
    silence_share: float = 0.0  # chunks that begin or end in digital silence, as a stream does
    decoy_share: float = 0.0  # chunks in which the classifier is also asked about directions where nothing is


EDGE_AUGMENTATION = Augmentation(
    level_db=(-15.0, 10.0),
    rotated_share=1.0,
    equalizer_db=2.0,
    masked_frames=20,
    masked_bands=6,
    silence_share=0.1,
    decoy_share=0.3,
)


def augmented(chunk: Chunk, cache: FeatureCache, settings: Augmentation, rng: np.random.Generator) -> Chunk:
    """Level, rotation, equalizer, masking, a new order of tracks (sections 3.4 and 3.6); maps come out normalised."""
    names = FEATURES[cache.features.kind][1]
    maps, tracks = chunk.maps, chunk.tracks.copy()
    if rng.random() < settings.rotated_share:
        maps, tracks[..., :3] = augment.rotate_foa(maps, tracks[..., :3], names, int(rng.integers(16)))
    gain_db = np.full(cache.features.bands, rng.uniform(*settings.level_db), np.float32)
    if settings.equalizer_db:
        gain_db += augment.random_equalizer_db(cache.features.bands, settings.equalizer_db, rng)
    maps = augment.change_level(maps, names, gain_db)
    if settings.masked_frames or settings.masked_bands:
        maps = augment.mask_stripes(maps, rng, settings.masked_frames, settings.masked_bands, cache.mean)
    if rng.random() < settings.silence_share:
        quiet_labels = int(rng.integers(1, tracks.shape[1]))
        at_end = bool(rng.integers(2))
        per_label = cache.stft.frames_per_label
        labels, frames = (slice(-n, None) if at_end else slice(n) for n in (quiet_labels, quiet_labels * per_label))
        maps[frames] = [FLOOR_DB if name.startswith("log") else 0.0 for name in names]
        tracks[:, labels] = 0.0
    slots = len(tracks)
    tracks = stack_tracks(tracks[rng.permutation(slots)], slots, len(cache.class_names))
    maps -= cache.mean  # they are a copy by now
    maps /= cache.deviation
    return Chunk(maps, tracks)


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
    shortest = int(np.diff(cache.first_labels).min())
    if shortest < labels:
        raise ValueError(f"got a scene of {shortest} label frames, wanted at least {labels} in each")

    def example(rng: np.random.Generator) -> Sequence[FloatArray]:
        chunk = augmented(cache.sample(labels, rng), cache, settings, rng)
        if stage == "localizer":
            return chunk.maps, *localizer_example(chunk.tracks, settings.perturbation_deg, rng)
        return chunk.maps, *classifier_example(chunk.tracks, settings, rng)

    def batch(step: int) -> Batch:
        rng = np.random.default_rng([seed, step])
        columns: list[FloatArray] = []
        for index in range(batch_size):
            values = example(rng)
            columns = columns or [np.empty((batch_size, *value.shape), np.float32) for value in values]
            for column, value in zip(columns, values, strict=True):
                column[index] = value
        maps, directions, weights, targets = columns
        return {"features": maps, "directions": directions, "weights": weights}, targets

    return batch

"""Chunks of a cache -> varied, normalised chunks: augmentations on feature maps and DOA labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.data.cache import Chunk, FeatureCache
from convert.data.tracks import stack_tracks
from edge.frontend.maps import FEATURES
from edge.frontend.quantities import FLOOR_DB

FloatArray = NDArray[np.float32]
ALL_MAPS = slice(None)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How much to vary the training data. The defaults are those of CoLoC's paper."""

    level_db: tuple[float, float] = (-6.0, 3.5)  # volume factor 0.5..1.5, section 3.6
    rotated_share: float = 0.25  # "every fourth audio-meta pair", section 3.6
    perturbation_deg: float = 5.0  # of CoLoC's conditions, section 3.3
    equalizer_db: float = 0.0  # deviation of a smooth random gain curve, the same for all channels
    masked_frames: int = 0  # widest stripe of SpecAugment in time
    masked_bands: int = 0  # and in frequency
    silence_share: float = 0.0  # chunks that begin or end in digital silence, as a stream does
    decoy_share: float = 0.0  # chunks in which CoLoC's classifier is also asked about directions where nothing is
    speed: tuple[float, float] = (1.0, 1.0)  # of time stretch: ETRI, section 7
    hearings: int = 1  # of each recording, for the fusion net of two-step: see `two_step_windows`

    def __post_init__(self) -> None:
        if not 0.0 < self.speed[0] <= self.speed[1]:
            raise ValueError(f"got speed {self.speed}, wanted two, above 0 and in order")


DEVICE_AUGMENTATION = Augmentation(
    level_db=(-15.0, 10.0),
    rotated_share=1.0,
    equalizer_db=2.0,
    masked_frames=20,
    masked_bands=6,
    silence_share=0.1,
)  # what devices meet, besides what a paper varies


def sampled_labels(labels: int, settings: Augmentation) -> int:
    """Most label frames that `sample` takes for `labels` of them."""
    return math.ceil(labels * settings.speed[1])


def check_sampling(cache: FeatureCache, labels: int, settings: Augmentation) -> None:
    """Raise ValueError if the recordings in a cache are too short for `sample`, or its maps no good for stretching."""
    shortest, wanted = int(np.diff(cache.first_labels).min()), sampled_labels(labels, settings)
    if shortest < wanted:
        raise ValueError(f"got a scene of {shortest} label frames, wanted at least {wanted} in each")
    if settings.speed != (1.0, 1.0) and any(name.startswith("phase") for name in FEATURES[cache.features.kind][1]):
        raise ValueError(
            f"got speed {settings.speed} for {cache.features.kind}, wanted (1.0, 1.0): phases have no mean"
        )


def sample(
    cache: FeatureCache, labels: int, settings: Augmentation, rng: np.random.Generator, wanted: slice = ALL_MAPS
) -> Chunk:
    """A random run of `labels` label frames with the `wanted` ones of the maps, faster or slower than it was."""
    if settings.speed == (1.0, 1.0):
        chunk = cache.sample(labels, rng)
        return Chunk(chunk.maps[..., wanted], chunk.tracks)
    speed = float(np.exp(rng.uniform(*np.log(settings.speed))))
    chunk = cache.sample(math.ceil(labels * speed), rng)
    return Chunk(*stretch_time(chunk.maps[..., wanted], chunk.tracks, speed, labels))


def augmented(
    chunk: Chunk,
    cache: FeatureCache,
    settings: Augmentation,
    rng: np.random.Generator,
    wanted: slice = ALL_MAPS,
) -> Chunk:
    """Level, rotation, equalizer, masking, silence, a new order of tracks (CoLoC, sections 3.4 and 3.6).

    The chunk holds the `wanted` ones of the cache's maps; they come out normalised.
    """
    names, mean = FEATURES[cache.features.kind][1][wanted], cache.mean[:, wanted]
    maps, tracks = chunk.maps, chunk.tracks.copy()
    if rng.random() < settings.rotated_share:
        maps, tracks[..., :3] = rotate_foa(maps, tracks[..., :3], names, int(rng.integers(16)))
    gain_db = np.full(cache.features.bands, rng.uniform(*settings.level_db), np.float32)
    if settings.equalizer_db:
        gain_db += random_equalizer_db(cache.features.bands, settings.equalizer_db, rng)
    maps = change_level(maps, names, gain_db)
    if settings.masked_frames or settings.masked_bands:
        maps = mask_stripes(maps, rng, settings.masked_frames, settings.masked_bands, mean)
    if rng.random() < settings.silence_share:
        quiet_labels = int(rng.integers(1, tracks.shape[1]))
        at_end = bool(rng.integers(2))
        per_label = cache.stft.frames_per_label
        labels, frames = (slice(-n, None) if at_end else slice(n) for n in (quiet_labels, quiet_labels * per_label))
        maps[frames] = [FLOOR_DB if name.startswith("log") else 0.0 for name in names]
        tracks[:, labels] = 0.0
    slots = len(tracks)
    tracks = stack_tracks(tracks[rng.permutation(slots)], slots, len(cache.class_names))
    maps -= mean  # they are a copy by now
    maps /= cache.deviation[:, wanted]
    return Chunk(maps, tracks)


def rotate_foa(
    maps: FloatArray, directions: FloatArray, map_names: Sequence[str], pattern: int
) -> tuple[FloatArray, FloatArray]:
    """FOA domain spatial augmentation (Mazzon et al. 2019; CoLoC, section 3.6), in the feature domain.

    `pattern` 0..15 picks one of 16 rotations and reflections: x and y exchanged or not, x, y, z each mirrored or not.
    Maps (..., maps) are exchanged and negated accordingly, `directions` (..., 3) of x, y, z with them. Exact: the
    mirrored channel has the same power, the opposite intensity, active and reactive, and a phase moved by pi. Maps of
    no channel, as the mean over all of them, stay as they are; so do those of a microphone, as if it had not turned
    with the sources: the array is held in another way.
    """
    source, mirrored = _turn(pattern)
    order = [_index(map_names, name, source) for name in map_names]
    rotated = maps[..., order]
    for index, name in enumerate(map_names):
        kind, axis = name.rsplit("_", 1)
        if axis in mirrored and kind in _INTENSITIES:
            rotated[..., index] *= np.float32(-1.0)
        elif axis in mirrored and kind == "phase":
            turned = rotated[..., index] + np.float32(np.pi)
            rotated[..., index] = np.where(turned > np.pi, turned - np.float32(2.0 * np.pi), turned)
    return rotated, _turned(directions, "xyz", source, mirrored)


def rotate_samples(samples: FloatArray, directions: FloatArray, pattern: int) -> tuple[FloatArray, FloatArray]:
    """The same of FOA samples (n, 4), W, Y, Z, X, and directions (..., 3)."""
    source, mirrored = _turn(pattern)
    return _turned(samples, "wyzx", source, mirrored), _turned(directions, "xyz", source, mirrored)


def _turn(pattern: int) -> tuple[dict[str, str], set[str]]:
    """Which channel each one is taken from, and which are mirrored then."""
    if not 0 <= pattern < 16:
        raise ValueError(f"got rotation pattern {pattern}, wanted 0..15")
    source = {"w": "w", "y": "y", "z": "z", "x": "x"}
    if pattern & 1:
        source["x"], source["y"] = "y", "x"
    return source, {axis for bit, axis in ((2, "x"), (4, "y"), (8, "z")) if pattern & bit}


def _turned(values: FloatArray, axes: str, source: dict[str, str], mirrored: set[str]) -> FloatArray:
    """Values (..., axes), which turn as vectors do."""
    order = [axes.index(source[axis]) for axis in axes]
    signs = np.array([-1.0 if axis in mirrored else 1.0 for axis in axes], dtype=np.float32)
    return values[..., order] * signs


_INTENSITIES = ("intensity", "active", "reactive")


def _index(map_names: Sequence[str], name: str, source: dict[str, str]) -> int:
    kind, axis = name.rsplit("_", 1)
    return map_names.index(f"{kind}_{source.get(axis, axis)}")


def stretch_time(maps: FloatArray, tracks: FloatArray, speed: float, labels: int) -> tuple[FloatArray, FloatArray]:
    """Time stretch (ETRI, section 7) in the feature domain: what was at t seconds is at t / `speed`, of the same pitch.

    Maps (frames, bands, maps) are interpolated linearly between frames. Tracks (slots, >= labels * speed, 4) give each
    of the `labels` label frames what is true in its middle: onsets, ends and movements follow. Reconstructed: the paper
    names neither method nor range.
    """
    last = len(maps) - 1
    place = np.minimum(speed * np.arange(labels * (len(maps) // tracks.shape[1])), last)
    before = place.astype(int)
    share = (place - before).astype(np.float32)[:, None, None]
    stretched = maps[before]
    stretched += share * (maps[np.minimum(before + 1, last)] - stretched)
    return stretched, tracks[:, (speed * (np.arange(labels) + 0.5)).astype(int)]


def change_level(maps: FloatArray, map_names: Sequence[str], gain_db: FloatArray) -> FloatArray:
    """Volume perturbation (section 3.6): add `gain_db`, scalar or per band, to the log maps (..., bands, maps).

    To those of harmonic and percussive parts too: medians over time, and nearly those over a few bands, scale alike.
    """
    logarithmic = np.array([name.startswith("log") for name in map_names])
    gain = np.multiply.outer(np.asarray(gain_db, np.float32), logarithmic.astype(np.float32))
    floor = np.where(logarithmic, FLOOR_DB, np.float32(-np.inf)) * np.ones_like(gain)  # as large: long rows are faster
    shifted = maps + gain
    return np.maximum(shifted, floor, out=shifted)


def random_equalizer_db(bands: int, strength_db: float, rng: np.random.Generator) -> FloatArray:
    """A smooth random gain curve (bands,): what another microphone or another wall does to all channels alike."""
    knots = rng.normal(0.0, strength_db, 5)
    return np.interp(np.linspace(0, 4, bands), np.arange(5), knots).astype(np.float32)


def mask_stripes(
    maps: FloatArray, rng: np.random.Generator, most_frames: int, most_bands: int, fill: FloatArray
) -> FloatArray:
    """SpecAugment: one stripe in time and one in frequency of random width becomes `fill` (bands, maps)."""
    frames, bands = maps.shape[:2]
    width, height = int(rng.integers(0, most_frames + 1)), int(rng.integers(0, most_bands + 1))
    first, lowest = int(rng.integers(0, frames - width + 1)), int(rng.integers(0, bands - height + 1))
    masked = maps.copy()
    masked[first : first + width] = fill
    masked[:, lowest : lowest + height] = fill[lowest : lowest + height]
    return masked

"""Chunks of a feature cache -> augmented, normalised chunks: maps and labels are varied together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convert.data.cache import Chunk, FeatureCache
from convert.data.spectral import Variant, crop_bands, mix_chains, shift_bands
from convert.data.symmetry import PATTERNS
from convert.data.tracks import stack_tracks
from edge.frontend.maps import FEATURES
from edge.frontend.quantities import FLOOR_DB

FloatArray = NDArray[np.float32]
ALL_MAPS = slice(None)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How much the training data are varied. The defaults are near those of the CoLoC paper."""

    level_db: tuple[float, float] = (-6.0, 3.5)  # range of a gain that is drawn uniformly in dB
    volume: tuple[float, float] = (1.0, 1.0)  # range of a factor that is drawn uniformly, beside the gain (section 3.6)
    rotated_share: float = 0.25  # share of chunks: "every fourth audio-meta pair", section 3.6
    perturbation_deg: float = 5.0  # of the directions in CoLoC's conditions, section 3.3
    equalizer_db: float = 0.0  # standard deviation of a smooth random gain curve, the same for all channels
    masked_frames: int = 0  # greatest width of SpecAugment's stripe in time
    masked_bands: int = 0  # greatest width of SpecAugment's stripe in frequency
    silence_share: float = 0.0  # share of chunks that begin or end in digital silence, as a stream does
    decoy_share: float = 0.0  # share of chunks in which CoLoC's classifier gets directions without a source too
    speed: tuple[float, float] = (1.0, 1.0)  # range of the time stretch (ETRI paper, section 7)
    hearings: int = 1  # variants of each recording for the fusion net: see `convert.systems.two_step.windows`
    symmetric_only: bool = False  # rotate only by what maps the array of the recording onto itself
    shifted_bands: int = 0  # most bands by which the frequency is shifted, up or down
    cropped_bands: int = 0  # most bands that are cut off at the top, and a quarter as many at the bottom
    chains: int = 0  # chains of AugMix over level, equalizer, shift, crop and stripes, as far as these are set

    def __post_init__(self) -> None:
        if not 0.0 < self.speed[0] <= self.speed[1]:
            raise ValueError(f"got speed {self.speed}, wanted two numbers above 0, the lower one first")
        if not 0.0 < self.volume[0] <= self.volume[1]:
            raise ValueError(f"got volume {self.volume}, wanted two numbers above 0, the lower one first")
        if min(self.shifted_bands, self.cropped_bands, self.chains) < 0:
            raise ValueError(
                f"got shifted_bands {self.shifted_bands}, cropped_bands {self.cropped_bands} and chains {self.chains}, "
                "wanted 0 or more"
            )


def sampled_labels(labels: int, settings: Augmentation) -> int:
    """Return the largest number of label frames that `sample` reads for a chunk of `labels` label frames."""
    return math.ceil(labels * settings.speed[1])


def check_sampling(cache: FeatureCache, labels: int, settings: Augmentation) -> None:
    """Check that `sample` can draw chunks of `labels` label frames from every recording of a cache.

    Raises:
        ValueError: a recording is too short, or phase maps are to be time-stretched.
    """
    shortest, wanted = int(np.diff(cache.first_labels).min()), sampled_labels(labels, settings)
    if shortest < wanted:
        raise ValueError(f"got a scene of {shortest} label frames, wanted at least {wanted} in each")
    if settings.speed != (1.0, 1.0) and any(name.startswith("phase") for name in FEATURES[cache.features.kind][1]):
        raise ValueError(
            f"got speed {settings.speed} for {cache.features.kind}, wanted (1.0, 1.0): phases cannot be interpolated"
        )


def sample(
    cache: FeatureCache,
    labels: int,
    settings: Augmentation,
    rng: np.random.Generator,
    wanted: slice = ALL_MAPS,
    hop_labels: int = 0,
    place: float | None = None,
) -> Chunk:
    """Draw a random run of label frames, time-stretched by a random speed from `settings.speed`.

    Args:
        cache: the features and labels.
        labels: number of label frames of the chunk.
        settings: only `speed` is used here.
        rng: the source of randomness.
        wanted: which maps to take.
        hop_labels: see `FeatureCache.sample`.
        place: see `FeatureCache.sample`.
    """
    if settings.speed == (1.0, 1.0):
        chunk = cache.sample(labels, rng, hop_labels, place)
        return replace(chunk, maps=chunk.maps[..., wanted])
    speed = float(np.exp(rng.uniform(*np.log(settings.speed))))
    chunk = cache.sample(math.ceil(labels * speed), rng, hop_labels, place)
    return Chunk(*stretch_time(chunk.maps[..., wanted], chunk.tracks, speed, labels), chunk.patterns)


def augmented(
    chunk: Chunk,
    cache: FeatureCache,
    settings: Augmentation,
    rng: np.random.Generator,
    wanted: slice = ALL_MAPS,
) -> Chunk:
    """Vary rotation, level, equalizer, frequency, masking, silence and the order of tracks (CoLoC, 3.4 and 3.6).

    Args:
        chunk: a chunk with the `wanted` maps of the cache.
        cache: where the chunk is from; its statistics normalise the maps.
        settings: how much to vary.
        rng: the source of randomness.
        wanted: which maps of the cache the chunk holds.

    Returns:
        A new chunk; its maps are normalised.
    """
    names, mean = FEATURES[cache.features.kind][1][wanted], cache.mean[:, wanted]
    maps, tracks = chunk.maps, chunk.tracks.copy()
    if rng.random() < settings.rotated_share:
        patterns = chunk.patterns if settings.symmetric_only else PATTERNS
        maps, tracks[..., :3] = rotate_foa(maps, tracks[..., :3], names, patterns[int(rng.integers(len(patterns)))])
    variants = _variants(names, mean, settings, rng)
    if settings.chains:
        maps = mix_chains(maps, names, variants, settings.chains, rng)
    else:
        for variant in variants:
            maps = variant(maps)
    if rng.random() < settings.silence_share:
        quiet_labels = int(rng.integers(1, tracks.shape[1]))
        at_end = bool(rng.integers(2))
        per_label = cache.stft.frames_per_label
        labels, frames = (slice(-n, None) if at_end else slice(n) for n in (quiet_labels, quiet_labels * per_label))
        maps[frames] = [FLOOR_DB if name.startswith("log") else 0.0 for name in names]
        tracks[:, labels] = 0.0
    slots = len(tracks)
    tracks = stack_tracks(tracks[rng.permutation(slots)], slots, len(cache.class_names))
    maps -= mean  # in place: `maps` is a copy at this point
    maps /= cache.deviation[:, wanted]
    return Chunk(maps, tracks)


def _variants(
    names: Sequence[str], mean: FloatArray, settings: Augmentation, rng: np.random.Generator
) -> list[Variant]:
    """List the changes of level and spectrum that the settings ask for; each is drawn when it is called."""
    bands = len(mean)

    def level(maps: FloatArray) -> FloatArray:
        gain_db = np.full(bands, draw_level_db(settings, rng), np.float32)
        if settings.equalizer_db:
            gain_db += random_equalizer_db(bands, settings.equalizer_db, rng)
        return change_level(maps, names, gain_db)

    def shift(maps: FloatArray) -> FloatArray:
        return shift_bands(maps, names, int(rng.integers(-settings.shifted_bands, settings.shifted_bands + 1)))

    def crop(maps: FloatArray) -> FloatArray:
        lowest = int(rng.integers(settings.cropped_bands // 4 + 1))
        return crop_bands(maps, mean, lowest, bands - int(rng.integers(settings.cropped_bands + 1)))

    def mask(maps: FloatArray) -> FloatArray:
        return mask_stripes(maps, rng, settings.masked_frames, settings.masked_bands, mean)

    optional = (
        (shift, settings.shifted_bands),
        (crop, settings.cropped_bands),
        (mask, settings.masked_frames or settings.masked_bands),
    )
    return [level, *(variant for variant, wanted in optional if wanted)]


def draw_level_db(settings: Augmentation, rng: np.random.Generator) -> float:
    """Draw a gain in dB: that of `level_db` and, where there is one, the factor of `volume`."""
    level_db = float(rng.uniform(*settings.level_db))
    if settings.volume != (1.0, 1.0):
        level_db += float(20.0 * np.log10(rng.uniform(*settings.volume)))
    return level_db


def rotate_foa(
    maps: FloatArray, directions: FloatArray, map_names: Sequence[str], pattern: int
) -> tuple[FloatArray, FloatArray]:
    """Rotate or mirror the sound field (Mazzon et al. 2019; CoLoC, section 3.6) in the feature domain.

    The result is exact: a mirrored channel has the same power, the opposite active and reactive intensity, and a phase
    shifted by pi. Maps that belong to no FOA axis, such as a mean over channels or those of a microphone, are left
    unchanged; for a microphone this stands for an array that is mounted differently.

    Args:
        maps: maps (..., maps).
        directions: x, y, z (..., 3).
        map_names: the names of the maps, such as `logmel_x` or `intensity_x`.
        pattern: 0 to 15: one of 16 rotations and reflections. Bit 0 exchanges x and y; bits 1, 2 and 3 mirror x, y, z.

    Returns:
        Maps and directions of the rotated sound field.

    Raises:
        ValueError: `pattern` is out of range.
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
    """Rotate or mirror FOA samples (n, 4) in the order W, Y, Z, X, and directions (..., 3), as `rotate_foa` does."""
    source, mirrored = _turn(pattern)
    return _turned(samples, "wyzx", source, mirrored), _turned(directions, "xyz", source, mirrored)


def _turn(pattern: int) -> tuple[dict[str, str], set[str]]:
    """Return the channel that each channel is taken from, and the axes that are mirrored after that."""
    if not 0 <= pattern < 16:
        raise ValueError(f"got rotation pattern {pattern}, wanted 0 to 15")
    source = {"w": "w", "y": "y", "z": "z", "x": "x"}
    if pattern & 1:
        source["x"], source["y"] = "y", "x"
    return source, {axis for bit, axis in ((2, "x"), (4, "y"), (8, "z")) if pattern & bit}


def _turned(values: FloatArray, axes: str, source: dict[str, str], mirrored: set[str]) -> FloatArray:
    """Rotate values (..., axes) that transform like vectors."""
    order = [axes.index(source[axis]) for axis in axes]
    signs = np.array([-1.0 if axis in mirrored else 1.0 for axis in axes], dtype=np.float32)
    return values[..., order] * signs


_INTENSITIES = ("intensity", "active", "reactive")


def _index(map_names: Sequence[str], name: str, source: dict[str, str]) -> int:
    kind, axis = name.rsplit("_", 1)
    return map_names.index(f"{kind}_{source.get(axis, axis)}")


def stretch_time(maps: FloatArray, tracks: FloatArray, speed: float, labels: int) -> tuple[FloatArray, FloatArray]:
    """Stretch time at constant pitch in the feature domain: a frame at t seconds moves to t / `speed`.

    Source: ETRI paper, section 7, which names neither method nor range; both are reconstructed here.

    Args:
        maps: maps (frames, bands, maps), interpolated linearly between frames.
        tracks: stacked-tracks (slots, at least labels * speed, 4); each new label frame takes the label at its middle.
        speed: above 1 is faster.
        labels: label frames of the result.

    Returns:
        Maps (labels * frames per label, bands, maps) and tracks (slots, labels, 4).
    """
    last = len(maps) - 1
    place = np.minimum(speed * np.arange(labels * (len(maps) // tracks.shape[1])), last)
    before = place.astype(int)
    share = (place - before).astype(np.float32)[:, None, None]
    stretched = maps[before]
    stretched += share * (maps[np.minimum(before + 1, last)] - stretched)
    return stretched, tracks[:, (speed * (np.arange(labels) + 0.5)).astype(int)]


def change_level(maps: FloatArray, map_names: Sequence[str], gain_db: FloatArray) -> FloatArray:
    """Change the volume (CoLoC, section 3.6): add a gain to the logarithmic maps.

    This holds for maps of harmonic and percussive parts too: medians over time scale with the signal, and so do, very
    nearly, medians over a few bands.

    Args:
        maps: maps (..., bands, maps).
        map_names: the names of the maps; names that begin with `log` are logarithmic.
        gain_db: one gain, or one for each band (bands,).

    Returns:
        New maps, not below `FLOOR_DB` where they are logarithmic.
    """
    logarithmic = np.array([name.startswith("log") for name in map_names])
    gain = np.multiply.outer(np.asarray(gain_db, np.float32), logarithmic.astype(np.float32))
    floor = np.where(logarithmic, FLOOR_DB, np.float32(-np.inf)) * np.ones_like(gain)  # full size: long rows are faster
    shifted = maps + gain
    return np.maximum(shifted, floor, out=shifted)


def random_equalizer_db(bands: int, strength_db: float, rng: np.random.Generator) -> FloatArray:
    """Draw a smooth gain curve (bands,), such as another microphone or wall applies to all channels alike.

    Args:
        bands: number of bands.
        strength_db: standard deviation of the five knots that the curve connects.
        rng: the source of randomness.
    """
    knots = rng.normal(0.0, strength_db, 5)
    return np.interp(np.linspace(0, 4, bands), np.arange(5), knots).astype(np.float32)


def mask_stripes(
    maps: FloatArray, rng: np.random.Generator, most_frames: int, most_bands: int, fill: FloatArray
) -> FloatArray:
    """Mask one stripe in time and one in frequency (SpecAugment, Park et al. 2019).

    Args:
        maps: maps (frames, bands, maps); they are not changed.
        rng: the source of randomness.
        most_frames: greatest width of the stripe in time.
        most_bands: greatest width of the stripe in frequency.
        fill: values (bands, maps) that replace masked ones.
    """
    frames, bands = maps.shape[:2]
    width, height = int(rng.integers(0, most_frames + 1)), int(rng.integers(0, most_bands + 1))
    first, lowest = int(rng.integers(0, frames - width + 1)), int(rng.integers(0, bands - height + 1))
    masked = maps.copy()
    masked[first : first + width] = fill
    masked[:, lowest : lowest + height] = fill[lowest : lowest + height]
    return masked

"""A feature cache on disk -> random chunks to train on.

The cache holds device features in float16, not normalised and memory-mapped, and stacked-tracks, of all recordings one
after the other. Its statistics are the mean and deviation over all frames. `convert.data.build_cache` writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.data.recordings import LabelledRecording
from convert.data.symmetry import PATTERNS
from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import StftSettings

INDEX = "cache.json"
STATISTICS = "statistics.npz"
MAPS = "maps.f16"
TRACKS = "tracks.npy"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A training example before augmentation."""

    maps: NDArray[np.float32]  # (frames, bands, maps), not normalised
    tracks: NDArray[np.float32]  # (slots, labels, 4): stacked-tracks x, y, z, class; distance, if learnt
    patterns: tuple[int, ...] = PATTERNS  # rotations that map the array onto itself, see `convert.data.symmetry`


@dataclass(frozen=True, slots=True)
class FeatureCache:
    """The features and labels of all recordings of one or several folders."""

    maps: NDArray[np.float16]  # (frames, bands, maps), memory-mapped
    tracks: NDArray[np.float32]  # (slots, labels, 4), or 5 with distances
    first_labels: tuple[int, ...]  # the first label frame of each recording, and the end of the last one
    class_names: tuple[str, ...]
    stft: StftSettings
    features: FeatureSettings
    mean: NDArray[np.float32]  # (bands, maps)
    deviation: NDArray[np.float32]  # (bands, maps)
    chances: NDArray[np.float64] | None = None  # the probability of each recording; None: all are equally likely
    folder: Path | None = None  # where the cache is, if it is on disk
    recordings: tuple[LabelledRecording, ...] = ()  # what the cache was made of, where that is known
    patterns: tuple[tuple[int, ...], ...] = ()  # `Chunk.patterns` of each recording; empty: all patterns for each

    def sample(self, labels: int, rng: np.random.Generator, hop_labels: int = 0, place: float | None = None) -> Chunk:
        """Draw a random run of `labels` label frames from a random recording; every recording must be that long.

        Args:
            labels: its length.
            rng: the source of randomness.
            hop_labels: it begins at a multiple of this in the recording; 0: anywhere.
            place: where the recording lies when all of them lie side by side between 0 and 1, each as wide as it is
                probable. None: it is drawn.
        """
        count = len(self.first_labels) - 1
        if place is not None:
            ends = np.arange(1, count) / count if self.chances is None else np.cumsum(self.chances)[:-1]
            scene = int(np.searchsorted(ends, place, side="right"))
        else:
            scene = int(rng.integers(count) if self.chances is None else rng.choice(count, p=self.chances))
        begin, end = self.first_labels[scene : scene + 2]
        if hop_labels:
            start = begin + hop_labels * int(rng.integers((end - begin - labels) // hop_labels + 1))
        else:
            start = int(rng.integers(begin, end - labels + 1))
        per_label = self.stft.frames_per_label
        maps = self.maps[start * per_label : (start + labels) * per_label].astype(np.float32)
        patterns = self.patterns[scene] if self.patterns else PATTERNS
        return Chunk(maps, self.tracks[:, start : start + labels].copy(), patterns)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a cache on disk as its folder, so that another process opens the files again."""
        if self.folder is None:
            return FeatureCache, tuple(getattr(self, field.name) for field in fields(self))
        return _reopened, (self.folder, self.mean, self.deviation)


def load_cache(cache: Path) -> FeatureCache:
    """Open a cache that `build_cache` wrote.

    Raises:
        OSError: a file of the cache is missing.
    """
    index = json.loads((cache / INDEX).read_text())
    described, chances = index["described"], index.get("chances")
    stft, features = StftSettings(**described["stft"]), FeatureSettings(**described["features"])
    with np.load(cache / STATISTICS) as statistics:
        mean, deviation = statistics["mean"], statistics["deviation"]
    return FeatureCache(
        maps=np.memmap(cache / MAPS, np.float16, "r").reshape(-1, *mean.shape),
        tracks=np.load(cache / TRACKS),
        first_labels=tuple(index["first_labels"]),
        class_names=tuple(described["class_names"]),
        stft=stft,
        features=features,
        mean=mean,
        deviation=deviation,
        chances=None if chances is None else np.array(chances),
        folder=cache,
        patterns=tuple(tuple(each) for each in index.get("patterns", ())),
    )


def _reopened(folder: Path, mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> FeatureCache:
    return replace(load_cache(folder), mean=mean, deviation=deviation)

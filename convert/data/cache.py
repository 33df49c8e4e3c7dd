"""Recordings with labels -> a feature cache on disk -> random chunks for training.

A folder of own scenes holds NAME.wav, NAME.csv (DCASE labels) and `scenes.json` with the class names and the array;
`corpora.py` knows the folders of published data sets. The cache holds un-normalised device features in float16,
memory-mapped, and stacked-tracks; statistics are taken over all of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from convert.data.tracks import label_tracks
from convert.processes import process_pool
from convert.scenes.capsules import encode
from edge.arrays.profile import ArrayProfile, load_array
from edge.audio.resample import Resampler
from edge.audio.wav import read_wav, read_wav_header
from edge.frontend.maps import FEATURES, FeatureExtractor, FeatureSettings
from edge.frontend.stft import Stft, StftSettings
from edge.scoring.annotations import Label, read_annotations
from edge.settings import build
from edge.types import AudioBlock

log = logging.getLogger(__name__)
STATISTICS = "statistics.npz"
INDEX = "cache.json"
_MAPS = "maps.f16"


@dataclass(frozen=True, slots=True)
class Recording:
    """One wav with its labels."""

    wav: Path
    csv: Path
    split: str | None  # "train", "val", "test", or None where the data set has none
    class_names: tuple[str, ...]  # what the numbers in the csv mean
    array: ArrayProfile  # what the channels of the wav are

    def labels(self, class_names: Sequence[str]) -> list[Label]:
        """Its labels in the numbering of `class_names`; classes not among them are left out."""
        index = {name: number for number, name in enumerate(class_names)}
        found = read_annotations(self.csv, len(self.class_names))
        known = [(label, index.get(self.class_names[label.class_index])) for label in found]
        return [replace(label, class_index=number) for label, number in known if number is not None]


@dataclass(frozen=True, slots=True)
class DataFolder:
    """What is trained on in one folder."""

    path: Path
    corpus: str | None  # a name of `corpora.CORPORA`, or None for own scenes
    recordings: tuple[Recording, ...]
    weight: float | None = None  # its share of the chunks, against that of other folders; None in all folders or none

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of its labels."""
        return self.recordings[0].class_names

    def digest(self) -> str:
        """A hash that changes with the labels, or the way that own scenes were made."""
        if self.corpus is None:
            return hashlib.sha256((self.path / "scenes.json").read_bytes()).hexdigest()
        digest = hashlib.sha256()
        for item in self.recordings:
            digest.update(repr((item.wav.stat().st_size, item.class_names, item.array)).encode())
            digest.update(item.csv.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A training example before augmentation."""

    maps: NDArray[np.float32]  # (frames, bands, maps), not normalised
    tracks: NDArray[np.float32]  # (slots, labels, 4): stacked-tracks x, y, z, class


@dataclass(frozen=True, slots=True)
class FeatureCache:
    """All recordings of one or several folders, ready to sample from."""

    maps: NDArray[np.float16]  # (frames, bands, maps), memory-mapped
    tracks: NDArray[np.float32]  # (slots, labels, 4)
    first_labels: tuple[int, ...]  # where each recording begins, and the end
    class_names: tuple[str, ...]
    stft: StftSettings
    features: FeatureSettings
    mean: NDArray[np.float32]  # (bands, maps)
    deviation: NDArray[np.float32]
    chances: NDArray[np.float64] | None = None  # of each recording; None: all alike
    folder: Path | None = None  # where it is
    recordings: tuple[Recording, ...] = ()  # what it was made of, where that is at hand

    def sample(self, labels: int, rng: np.random.Generator) -> Chunk:
        """A random run of `labels` label frames from a random recording."""
        count = len(self.first_labels) - 1
        scene = int(rng.integers(count) if self.chances is None else rng.choice(count, p=self.chances))
        begin, end = self.first_labels[scene : scene + 2]
        start = int(rng.integers(begin, end - labels + 1))
        per_label = self.stft.frames_per_label
        maps = self.maps[start * per_label : (start + labels) * per_label].astype(np.float32)
        return Chunk(maps, self.tracks[:, start : start + labels].copy())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, a cache that has a folder is that folder: another process opens its files again."""
        if self.folder is None:
            return FeatureCache, tuple(getattr(self, field.name) for field in fields(self))
        return _reopened, (self.folder, self.mean, self.deviation)


def scene_names(folder: Path) -> list[str]:
    """Names of the scenes in a folder, sorted. Raises ValueError if a wav has no csv or there are none."""
    names = sorted(path.stem for path in folder.glob("*.wav"))
    if not names:
        raise ValueError(f"{folder}: got no .wav file, wanted a folder of scenes")
    for name in names:
        if not (folder / f"{name}.csv").is_file():
            raise ValueError(f"{folder / name}.wav: got no labels, wanted {name}.csv beside it")
    return names


def read_scenes_json(folder: Path) -> dict[str, Any]:
    """What `convert.scenes.render` says of the scenes in a folder. Raises ValueError without such a JSON object."""
    path = folder / "scenes.json"
    if not path.is_file():
        raise ValueError(f"{folder}: got no scenes.json, wanted one with the class names")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise ValueError(f"{path}: got no JSON object, wanted one with class_names")
    return table


def read_class_names(folder: Path) -> tuple[str, ...]:
    """Class names of a scene folder, from its scenes.json."""
    names = read_scenes_json(folder).get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{folder / 'scenes.json'}: got no list of class names, wanted JSON with class_names")
    return tuple(names)


def read_array(folder: Path) -> ArrayProfile:
    """The array that a scene folder was made for, from its scenes.json: a name, or all of the profile."""
    path, value = folder / "scenes.json", read_scenes_json(folder).get("array", "foa")
    if isinstance(value, dict):
        return build(ArrayProfile, value, f"{path}: array")
    try:
        return load_array(str(value))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def device_features(
    samples: NDArray[np.float32], stft: StftSettings, extractor: FeatureExtractor
) -> NDArray[np.float32]:
    """Encoded samples (n, 4 or 8) at the model's rate -> maps (frames, bands, maps), by the device's own code."""
    transform = Stft(stft, samples.shape[1])

    def groups() -> Iterator[NDArray[np.float32]]:
        for spectra in chain(transform.push(AudioBlock(samples, 0)), transform.finish()):
            for features in extractor.push(spectra):
                yield features.maps
        for features in extractor.finish():
            yield features.maps

    return np.concatenate(list(groups()))


def read_samples(recording: Recording, sample_rate_hz: int) -> NDArray[np.float32]:
    """The channels of a recording at another rate (n, channels)."""
    samples, rate_hz = read_wav(recording.wav)
    resampler = Resampler(rate_hz, sample_rate_hz, samples.shape[1])
    return np.concatenate([resampler.push(samples), resampler.finish()])


def build_cache(
    folders: Sequence[DataFolder],
    class_names: Sequence[str],
    cache: Path,
    stft: StftSettings,
    features: FeatureSettings,
    jobs: int = 1,
    least_labels: int = 1,
) -> FeatureCache:
    """Compute the features of all recordings into `cache`, or take them from there if it was built from the same.

    Other weights alone compute nothing anew. Raises ValueError, before the long part, for what is wrong with wavs,
    labels and lengths (under `least_labels` label frames), and if the disk has not enough room.
    """
    if jobs < 1:
        raise ValueError(f"got {jobs} jobs, wanted at least 1")
    recordings = [recording for folder in folders for recording in folder.recordings]
    described: dict[str, object] = {
        "scenes": [str(recording.wav.with_suffix("")) for recording in recordings],
        "digests": [folder.digest() for folder in folders],
        "class_names": list(class_names),
        "stft": asdict(stft),
        "features": asdict(features),
    }
    path = cache / INDEX
    index = json.loads(path.read_text()) if path.is_file() else {}
    known = index.get("described", {})
    known["features"] = asdict(FeatureSettings()) | known.get("features", {})  # older ones name not all
    if known != described:
        lengths = [_labels_of(recording, class_names, stft) for recording in recordings]
        for recording, labels in zip(recordings, lengths, strict=True):
            if labels < least_labels:
                raise ValueError(f"{recording.wav}: got {labels} label frames, wanted at least {least_labels}")
        frame_size = features.bands * len(FEATURES[features.kind][1]) * np.dtype(np.float16).itemsize
        size = sum(lengths) * stft.frames_per_label * frame_size
        check_room(cache / _MAPS, size, f"the features of {sum(lengths) * stft.label_s / 3600:.2f} hours")
        path.unlink(missing_ok=True)  # of a cache before this one: what is half filled has no index
        first_labels = _fill_cache(recordings, class_names, cache, stft, features, jobs)
        index = {"described": described, "first_labels": first_labels}
    chances = _chances(folders, index["first_labels"])
    if not path.is_file() or index.get("chances") != chances:
        path.write_text(json.dumps(index | {"chances": chances}))
    return replace(load_cache(cache), recordings=tuple(recordings))


def load_cache(cache: Path) -> FeatureCache:
    """Open a cache that `build_cache` wrote."""
    index = json.loads((cache / INDEX).read_text())
    described, chances = index["described"], index.get("chances")
    stft, features = StftSettings(**described["stft"]), FeatureSettings(**described["features"])
    with np.load(cache / STATISTICS) as statistics:
        mean, deviation = statistics["mean"], statistics["deviation"]
    return FeatureCache(
        maps=np.memmap(cache / _MAPS, np.float16, "r").reshape(-1, *mean.shape),
        tracks=np.load(cache / "tracks.npy"),
        first_labels=tuple(index["first_labels"]),
        class_names=tuple(described["class_names"]),
        stft=stft,
        features=features,
        mean=mean,
        deviation=deviation,
        chances=None if chances is None else np.array(chances),
        folder=cache,
    )


def _reopened(folder: Path, mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> FeatureCache:
    return replace(load_cache(folder), mean=mean, deviation=deviation)


def _labels_of(recording: Recording, class_names: Sequence[str], stft: StftSettings) -> int:
    """Label frames of a recording. Raises ValueError if its wav or its labels do not fit."""
    wav = read_wav_header(recording.wav)
    if wav.channels != recording.array.channels:
        raise ValueError(
            f"{recording.wav}: got {wav.channels} channels, "
            f"wanted the {recording.array.channels} of array {recording.array.name!r}"
        )
    try:
        Resampler(wav.sample_rate_hz, stft.sample_rate_hz, wav.channels)
    except ValueError as error:
        raise ValueError(f"{recording.wav}: {error}") from None
    recording.labels(class_names)
    return math.ceil(math.ceil(wav.frames * stft.sample_rate_hz / wav.sample_rate_hz) / stft.label_samples)


def check_room(path: Path, size: int, what: str) -> None:
    """Say on stderr how much there is to compute. Raises ValueError if the disk has not enough room for it.

    `size` in bytes is that of a file, which may be there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free + (path.stat().st_size if path.is_file() else 0)
    told = f"{size / 1e9:.2f} GB for {what}"
    if size > free:
        raise ValueError(f"{path.parent}: got {free / 1e9:.2f} GB of room on the disk, wanted {told}")
    print(f"{path.parent}: {told}", file=sys.stderr, flush=True)


def _chances(folders: Sequence[DataFolder], first_labels: Sequence[int]) -> list[float] | None:
    """Of every recording: the folder's weight, shared out by length. None without weights."""
    if folders[0].weight is None:
        return None
    lengths = np.split(np.diff(first_labels), np.cumsum([len(folder.recordings) for folder in folders])[:-1])
    weights = np.array([folder.weight for folder in folders])
    shares = weights / weights.sum()
    return np.concatenate([share * each / each.sum() for share, each in zip(shares, lengths, strict=True)]).tolist()


def _recording_arrays(
    task: tuple[Recording, Sequence[str], StftSettings, FeatureSettings],
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Maps (frames, bands, maps) and stacked-tracks (slots, labels, 4) of one recording."""
    recording, class_names, stft, features = task
    samples = read_samples(recording, stft.sample_rate_hz)
    samples = encode(samples, recording.array, stft.sample_rate_hz, features.microphones)
    maps = device_features(samples, stft, FeatureExtractor(features, stft)).astype(np.float16)
    labels = len(maps) // stft.frames_per_label
    return maps, label_tracks(recording.labels(class_names), labels, len(class_names))


def _fill_cache(
    recordings: Sequence[Recording],
    class_names: Sequence[str],
    cache: Path,
    stft: StftSettings,
    features: FeatureSettings,
    jobs: int,
) -> list[int]:
    """Write everything but the index; returns where each recording begins, and the end."""
    tasks = [(recording, class_names, stft, features) for recording in recordings]
    total = np.zeros(1)
    square_sum = np.zeros(1)
    frames, first_labels, tracks = 0, [0], []
    with (cache / _MAPS).open("wb") as file, ExitStack() as stack:
        computed: Iterable[tuple[NDArray[np.float16], NDArray[np.float32]]] = map(_recording_arrays, tasks)
        if jobs > 1:
            computed = stack.enter_context(process_pool(jobs)).map(_recording_arrays, tasks)
        for maps, scene_tracks in tqdm(computed, total=len(tasks), desc="features", unit="scene", disable=None):
            file.write(maps.tobytes())
            wide = maps.astype(np.float64)
            total = total + wide.sum(axis=0)
            square_sum = square_sum + (wide**2).sum(axis=0)
            frames += len(maps)
            tracks.append(scene_tracks)
            first_labels.append(frames // stft.frames_per_label)
    mean = total / frames
    deviation = np.sqrt(np.maximum(square_sum / frames - mean**2, 1e-12))
    np.savez(cache / STATISTICS, mean=mean.astype(np.float32), deviation=deviation.astype(np.float32))
    np.save(cache / "tracks.npy", np.concatenate(tracks, axis=1))
    log.info("%s: %d recordings", cache, len(recordings))
    return first_labels

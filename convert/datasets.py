"""Scene folders -> a feature cache on disk -> random chunks for training.

A scene folder holds NAME.wav (FOA) and NAME.csv (DCASE labels) and `scenes.json` with the class names. The cache holds
un-normalised device features in float16, memory-mapped, and stacked-tracks; statistics are taken over all of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from convert.capsules import encode
from convert.tracks import label_tracks
from edge.annotations import read_annotations
from edge.array import ArrayProfile, load_array
from edge.features import FeatureExtractor, FeatureSettings
from edge.stft import Stft, StftSettings
from edge.types import AudioBlock
from edge.wav import read_wav

log = logging.getLogger(__name__)
STATISTICS = "statistics.npz"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A training example before augmentation."""

    maps: NDArray[np.float32]  # (frames, bands, maps), not normalised
    tracks: NDArray[np.float32]  # (slots, labels, 4): stacked-tracks x, y, z, class


@dataclass(frozen=True, slots=True)
class FeatureCache:
    """All scenes of one or several folders, ready to sample from."""

    maps: NDArray[np.float16]  # (frames, bands, maps), memory-mapped
    tracks: NDArray[np.float32]  # (slots, labels, 4)
    first_labels: tuple[int, ...]  # where each scene begins, and the end
    class_names: tuple[str, ...]
    stft: StftSettings
    features: FeatureSettings
    mean: NDArray[np.float32]  # (bands, maps)
    deviation: NDArray[np.float32]

    def sample(self, labels: int, rng: np.random.Generator) -> Chunk:
        """A random run of `labels` label frames from a random scene."""
        scene = int(rng.integers(len(self.first_labels) - 1))
        begin, end = self.first_labels[scene : scene + 2]
        start = int(rng.integers(begin, end - labels + 1))
        per_label = self.stft.frames_per_label
        maps = self.maps[start * per_label : (start + labels) * per_label].astype(np.float32)
        return Chunk(maps, self.tracks[:, start : start + labels].copy())


def scene_names(folder: Path) -> list[str]:
    """Names of the scenes in a folder, sorted. Raises ValueError if a wav has no csv or there are none."""
    names = sorted(path.stem for path in folder.glob("*.wav"))
    if not names:
        raise ValueError(f"{folder}: got no .wav file, wanted a folder of scenes")
    for name in names:
        if not (folder / f"{name}.csv").is_file():
            raise ValueError(f"{folder / name}.wav: got no labels, wanted {name}.csv beside it")
    return names


def read_class_names(folder: Path) -> tuple[str, ...]:
    """Class names of a scene folder, from its scenes.json."""
    path = folder / "scenes.json"
    if not path.is_file():
        raise ValueError(f"{folder}: got no scenes.json, wanted one with the class names")
    try:
        return tuple(json.loads(path.read_text(encoding="utf-8"))["class_names"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: got no list of class names, wanted JSON with class_names") from None


def read_array(folder: Path) -> ArrayProfile:
    """The array that a scene folder was made for, from its scenes.json."""
    return load_array(json.loads((folder / "scenes.json").read_text(encoding="utf-8")).get("array", "foa"))


def device_features(
    samples: NDArray[np.float32], stft: StftSettings, extractor: FeatureExtractor
) -> NDArray[np.float32]:
    """FOA samples (n, 4) at the model's rate -> maps (frames, bands, maps), by the device's own code."""
    transform = Stft(stft, samples.shape[1])

    def groups() -> Iterator[NDArray[np.float32]]:
        for spectra in transform.push(AudioBlock(samples, 0)):
            yield extractor(spectra).maps
        for spectra in transform.finish():
            yield extractor(spectra).maps

    return np.concatenate(list(groups()))


def build_cache(
    folders: Sequence[Path], cache: Path, stft: StftSettings, features: FeatureSettings, jobs: int = 1
) -> FeatureCache:
    """Compute the features of all scenes into `cache`, or take them from there if it was built from the same scenes."""
    if jobs < 1:
        raise ValueError(f"got {jobs} jobs, wanted at least 1")
    class_names = read_class_names(folders[0])
    for folder in folders[1:]:
        if read_class_names(folder) != class_names:
            raise ValueError(f"{folder}: got classes {read_class_names(folder)}, wanted {class_names}")
    scenes = [(folder / name, read_array(folder)) for folder in folders for name in scene_names(folder)]
    described: dict[str, object] = {
        "scenes": [str(scene) for scene, _ in scenes],
        "digests": [hashlib.sha256((folder / "scenes.json").read_bytes()).hexdigest() for folder in folders],
        "class_names": list(class_names),
        "stft": asdict(stft),
        "features": asdict(features),
    }
    index_path = cache / "cache.json"
    if not index_path.is_file() or json.loads(index_path.read_text())["described"] != described:
        cache.mkdir(parents=True, exist_ok=True)
        _fill_cache(scenes, class_names, cache, stft, features, jobs, described)
    return load_cache(cache)


def load_cache(cache: Path) -> FeatureCache:
    """Open a cache that `build_cache` wrote."""
    index = json.loads((cache / "cache.json").read_text())
    described = index["described"]
    stft, features = StftSettings(**described["stft"]), FeatureSettings(**described["features"])
    statistics = np.load(cache / STATISTICS)
    maps = len(statistics["mean"][0])
    return FeatureCache(
        maps=np.memmap(cache / "maps.f16", np.float16, "r").reshape(-1, features.bands, maps),
        tracks=np.load(cache / "tracks.npy"),
        first_labels=tuple(index["first_labels"]),
        class_names=tuple(described["class_names"]),
        stft=stft,
        features=features,
        mean=statistics["mean"],
        deviation=statistics["deviation"],
    )


def adopt_statistics(cache: Path, start: Path) -> FeatureCache:
    """Give a cache the statistics that the weights in `start`, a run or shipped weights, were trained with."""
    found = [path for path in (start / STATISTICS, start / "cache" / STATISTICS) if path.is_file()]
    if not found:
        raise ValueError(f"{start}: got no {STATISTICS}, wanted a training run or shipped weights")
    own = load_cache(cache)
    with np.load(found[0]) as statistics:
        if statistics["mean"].shape != own.mean.shape:
            raise ValueError(f"{found[0]}: got statistics of {statistics['mean'].shape}, wanted {own.mean.shape}")
        np.savez(cache / STATISTICS, mean=statistics["mean"], deviation=statistics["deviation"])
    return load_cache(cache)


def shipped_weights() -> dict[str, Path]:
    """Folders of the Keras weights behind the shipped bundles, by name: where training can go on from."""
    root = Path(str(resources.files("convert"))) / "weights"
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{STATISTICS}"))}


def _scene_arrays(
    task: tuple[Path, ArrayProfile, int, StftSettings, FeatureSettings],
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    scene, array, classes, stft, features = task
    samples, rate_hz = read_wav(scene.with_suffix(".wav"))
    if rate_hz != stft.sample_rate_hz or samples.shape[1] != array.channels:
        raise ValueError(
            f"{scene}.wav: got {samples.shape[1]} channels at {rate_hz} Hz, "
            f"wanted {array.channels} at {stft.sample_rate_hz} Hz"
        )
    samples = encode(samples, array, rate_hz)
    maps = device_features(samples, stft, FeatureExtractor(features, stft)).astype(np.float16)
    labels = read_annotations(scene.with_suffix(".csv"), classes)
    return maps, label_tracks(labels, len(maps) // stft.frames_per_label, classes)


def _fill_cache(
    scenes: Sequence[tuple[Path, ArrayProfile]],
    class_names: tuple[str, ...],
    cache: Path,
    stft: StftSettings,
    features: FeatureSettings,
    jobs: int,
    described: dict[str, object],
) -> None:
    tasks = [(scene, array, len(class_names), stft, features) for scene, array in scenes]
    total = np.zeros(1)
    square_sum = np.zeros(1)
    frames, first_labels, tracks = 0, [0], []
    (cache / "cache.json").unlink(missing_ok=True)  # of a cache before this one: what is half filled has no index
    with (cache / "maps.f16").open("wb") as file, ExitStack() as stack:
        computed: Iterable[tuple[NDArray[np.float16], NDArray[np.float32]]] = map(_scene_arrays, tasks)
        if jobs > 1:  # spawned, not forked: TensorFlow's threads may be running
            pool = stack.enter_context(ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")))
            computed = pool.map(_scene_arrays, tasks)
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
    (cache / "cache.json").write_text(json.dumps({"described": described, "first_labels": first_labels}))
    log.info("%s: %d scenes, %.2f GB", cache, len(scenes), (cache / "maps.f16").stat().st_size / 1e9)


def read_sources(folders: Sequence[Path]) -> list[dict[str, object]]:
    """Where the sounds of scene folders come from: rows of source, licence and number of clips, for the model card."""
    rows: dict[tuple[str, str], int] = {}
    for folder in folders:
        for row in json.loads((folder / "scenes.json").read_text()).get("sources", []):
            key = row["source"], row["licence"]
            rows[key] = max(rows.get(key, 0), row["clips"])
    return [{"source": source, "licence": licence, "clips": clips} for (source, licence), clips in rows.items()]

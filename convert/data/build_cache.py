"""Folders of labelled recordings -> a feature cache on disk, as `convert.data.cache` opens it.

Computing is the slow part, so a cache is kept with a description of what it was made of, and reused for the same.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from convert.data.cache import INDEX, MAPS, STATISTICS, TRACKS, FeatureCache, load_cache
from convert.data.features import recording_arrays
from convert.data.recordings import DataFolder, LabelledRecording, count_labels
from convert.data.symmetry import symmetries
from convert.data.tracks import SLOTS
from convert.engine import compute_each
from edge.files import write_atomically
from edge.frontend.maps import FEATURES, FeatureSettings
from edge.frontend.stft import StftSettings

log = logging.getLogger(__name__)


def build_cache(
    folders: Sequence[DataFolder],
    class_names: Sequence[str],
    cache: Path,
    stft: StftSettings,
    features: FeatureSettings,
    jobs: int = 1,
    least_labels: int = 1,
    dask: str | None = None,
    slots: int = SLOTS,
    distances: bool = False,
) -> FeatureCache:
    """Compute the features of all recordings, or take them from `cache` if it was built from the same.

    A change of weights alone computes nothing anew.

    Args:
        folders: the recordings, in order.
        class_names: the classes of the model; labels of other classes are left out.
        cache: the folder to write to; it is created.
        stft: settings of the STFT.
        features: settings of the feature extractor.
        jobs: number of processes.
        least_labels: the shortest recording that is accepted, in label frames.
        dask: address of a Dask scheduler whose workers compute instead, see `convert.engine`.
        slots: most events at one time; further ones are left out of the labels.
        distances: whether the labels are to have the distances.

    Raises:
        ValueError: wavs, labels or lengths do not fit, or the disk is too full. It is raised before the long part.
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
    if any(recording.array.planar for recording in recordings):
        described["azimuth_only"] = True  # caches of flat arrays that lack it are older, and have elevations
    if slots != SLOTS:
        described["slots"] = slots
    if distances:
        described["distances"] = True
    path = cache / INDEX
    index = json.loads(path.read_text()) if path.is_file() else {}
    known = index.get("described", {})
    known["features"] = asdict(FeatureSettings()) | known.get("features", {})  # older caches lack newer settings
    if known != described:
        lengths = [count_labels(recording, class_names, stft) for recording in recordings]
        for recording, labels in zip(recordings, lengths, strict=True):
            if labels < least_labels:
                raise ValueError(f"{recording.wav}: got {labels} label frames, wanted at least {least_labels}")
        size = feature_bytes(sum(lengths), stft, features)
        check_free_space(cache / MAPS, size, f"the features of {sum(lengths) * stft.label_s / 3600:.2f} hours")
        path.unlink(missing_ok=True)  # without an index, a half-filled cache is never taken for a finished one
        first_labels = _fill_cache(recordings, class_names, cache, stft, features, jobs, dask, slots, distances)
        index = {"described": described, "first_labels": first_labels}
    drawn = {
        "chances": _chances(folders, index["first_labels"]),
        "patterns": [list(symmetries(recording.array)) for recording in recordings],
    }
    if not path.is_file() or index != index | drawn:
        write_atomically(path, json.dumps(index | drawn))
    return replace(load_cache(cache), recordings=tuple(recordings))


def feature_bytes(labels: int, stft: StftSettings, features: FeatureSettings) -> int:
    """The size of the features of so many label frames in a cache."""
    frame_size = features.bands * len(FEATURES[features.kind][1]) * np.dtype(np.float16).itemsize
    return labels * stft.frames_per_label * frame_size


def check_free_space(path: Path, size: int, what: str) -> None:
    """Check that a file fits on its disk, and print its size on stderr. The folder of the file is created.

    Args:
        path: the file; if it exists, the room that it takes counts as free.
        size: its size in bytes.
        what: what it will hold, for the message.

    Raises:
        ValueError: the disk has not enough free space.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free + (path.stat().st_size if path.is_file() else 0)
    needed = f"{size / 1e9:.2f} GB for {what}"
    if size > free:
        raise ValueError(f"{path.parent}: got {free / 1e9:.2f} GB of free disk space, wanted {needed}")
    print(f"{path.parent}: {needed}", file=sys.stderr, flush=True)


def _chances(folders: Sequence[DataFolder], first_labels: Sequence[int]) -> list[float] | None:
    """The probability of each recording: the weight of its folder, divided in proportion to length; None without."""
    if folders[0].weight is None:
        return None
    lengths = np.split(np.diff(first_labels), np.cumsum([len(folder.recordings) for folder in folders])[:-1])
    weights = np.array([folder.weight for folder in folders])
    shares = weights / weights.sum()
    return np.concatenate([share * each / each.sum() for share, each in zip(shares, lengths, strict=True)]).tolist()


def _fill_cache(
    recordings: Sequence[LabelledRecording],
    class_names: Sequence[str],
    cache: Path,
    stft: StftSettings,
    features: FeatureSettings,
    jobs: int,
    dask: str | None,
    slots: int,
    distances: bool,
) -> list[int]:
    """Write maps, tracks and statistics, but not the index; return the first label of each recording, and the end."""
    compute = partial(
        recording_arrays, class_names=class_names, stft=stft, features=features, slots=slots, distances=distances
    )
    total = np.zeros(1)
    square_sum = np.zeros(1)
    frames, first_labels, tracks = 0, [0], []
    with (cache / MAPS).open("wb") as file:
        computed = compute_each(compute, recordings, jobs, dask)
        for maps, scene_tracks in tqdm(computed, total=len(recordings), desc="features", unit="scene", disable=None):
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
    np.save(cache / TRACKS, np.concatenate(tracks, axis=1))
    log.info("%s: %d recordings", cache, len(recordings))
    return first_labels

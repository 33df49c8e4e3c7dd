"""Folders of sound clips -> a library of mono clips with classes; a clip is decoded when it is used.

A folder has either a `clips.csv` (columns split, file, class, group, source, licence, seconds), or one sub-folder for
each class, or such sub-folders for each split (`train/dog_bark/x.wav`). The class `interferer` holds sounds that are
mixed into scenes but never labelled. An `attribution.csv` beside `clips.csv` (columns source, licence, attribution)
says who is to be named.
"""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import resample_poly

from edge.types import FloatArray

log = logging.getLogger(__name__)
INTERFERER = "interferer"
SPLITS = ("train", "test")
HOP_S = 0.01  # resolution of envelopes and activity
TRIM_DB = 40.0  # this far below the peak of the envelope, the ends of a clip are cut off as silence
ACTIVE_DB = 30.0  # this far below the peak of the envelope, a clip is inactive
COLUMNS = ("split", "file", "class", "group", "source", "licence", "seconds")
_CACHED_CLIPS = 512


@dataclass(frozen=True, slots=True)
class Clip:
    """One sound file with its class, source and licence."""

    path: Path
    class_name: str
    split: str  # "train", "test", or "" if the folder has no splits
    group: str  # clips of the same recording or speaker share a group
    source: str
    licence: str
    seconds: float  # length of the file, before trimming
    attribution: str = ""  # who is to be named for the clips of this source and licence


@dataclass(frozen=True, slots=True)
class ClipLibrary:
    """The clips of one split."""

    clips: tuple[Clip, ...]
    class_names: tuple[str, ...]  # sorted, without `interferer`; the same for all splits of a folder
    sample_rate_hz: int

    def of_class(self, name: str) -> dict[str, tuple[Clip, ...]]:
        """Return the clips of one class by group; empty if there are none."""
        groups: dict[str, list[Clip]] = {}
        for clip in self.clips:
            if clip.class_name == name:
                groups.setdefault(clip.group, []).append(clip)
        return {group: tuple(clips) for group, clips in groups.items()}

    def samples(self, clip: Clip) -> FloatArray:
        """Decode a clip; see `decode_clip`.

        Returns:
            Samples (n,), read-only.

        Raises:
            ValueError: the file cannot be read or is silent.
        """
        return decode_clip(clip.path, self.sample_rate_hz)

    def sources(self) -> list[dict[str, str | int]]:
        """Count the clips of each source and licence, for the model card; sorted. Names are there if there are any."""
        counts = Counter((clip.source, clip.licence, clip.attribution) for clip in self.clips)
        rows: list[dict[str, str | int]] = []
        for (source, licence, attribution), count in sorted(counts.items()):
            names = {"attribution": attribution} if attribution else {}
            rows.append({"source": source, "licence": licence, "clips": count, **names})
        return rows


def load_clip_library(folder: Path | str, split: str | None = None, sample_rate_hz: int = 24000) -> ClipLibrary:
    """List the clips of a folder.

    Args:
        folder: the folder.
        split: list only the clips of this split; None for all clips.
        sample_rate_hz: the rate that clips are resampled to.

    Raises:
        ValueError: the split is unknown or the folder has no splits, there are no clips, or `clips.csv` is malformed.
    """
    root = Path(folder)
    if split is not None and split not in SPLITS:
        raise ValueError(f"got split {split!r}, wanted one of {SPLITS} or None")
    if not root.is_dir():
        raise ValueError(f"got clip folder {root}, wanted a folder that exists")
    table = root / "clips.csv"
    everything = _clips_of_table(table) if table.is_file() else _clips_of_folders(root)
    _warn_of_empty_folders(root, everything)
    if split is not None and any(not clip.split for clip in everything):
        raise ValueError(
            f"got split {split!r} for {root}, wanted None: this folder has neither clips.csv nor train/ and test/"
        )
    clips = tuple(clip for clip in everything if split in (None, clip.split))
    if not clips:
        raise ValueError(f"got no clips of split {split!r} in {root}, wanted at least one")
    return ClipLibrary(clips, _class_names(everything), sample_rate_hz)


def merge_libraries(libraries: Sequence[ClipLibrary]) -> ClipLibrary:
    """Merge libraries into one with all clips and the union of the class names.

    Raises:
        ValueError: there is no library, or the sample rates differ.
    """
    rates = {library.sample_rate_hz for library in libraries}
    if len(rates) != 1:
        raise ValueError(f"got libraries with the sample rates {sorted(rates)} Hz, wanted one rate")
    clips = tuple(clip for library in libraries for clip in library.clips)
    names = {name for library in libraries for name in library.class_names}
    return ClipLibrary(clips, tuple(sorted(names)), rates.pop())


@lru_cache(maxsize=_CACHED_CLIPS)
def decode_clip(path: Path, sample_rate_hz: int) -> FloatArray:
    """Decode a sound file to mono, resample it, remove DC, and trim silence at the ends (`TRIM_DB`).

    The most recent clips are cached in each process.

    Args:
        path: the file.
        sample_rate_hz: the rate to resample to.

    Returns:
        Samples (n,), read-only, full scale 1.

    Raises:
        ValueError: the file cannot be read or is silent; the message names it.
    """
    try:
        audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ValueError(f"got {path}, wanted a readable audio file ({error})") from error
    mono = audio.mean(axis=1)
    if rate_hz != sample_rate_hz and len(mono):
        common = gcd(rate_hz, sample_rate_hz)
        mono = resample_poly(mono, sample_rate_hz // common, rate_hz // common)
    mono = mono - (mono.mean() if len(mono) else 0.0)
    if not len(mono) or not np.isfinite(mono).all() or np.max(np.abs(mono)) < 1e-6:
        raise ValueError(f"got {path}, wanted a clip that is not silent or broken")
    hop = round(HOP_S * sample_rate_hz)
    loud = np.flatnonzero(active_hops(mono, sample_rate_hz, TRIM_DB))
    trimmed = np.ascontiguousarray(mono[loud[0] * hop : (loud[-1] + 1) * hop], dtype=np.float32)
    trimmed.flags.writeable = False
    return trimmed


def draw_clip(clips: Sequence[Clip], rng: np.random.Generator) -> Clip:
    """Draw one of the clips at random."""
    return clips[int(rng.integers(len(clips)))]


def active_hops(samples: FloatArray, sample_rate_hz: int, below_peak_db: float = ACTIVE_DB) -> NDArray[np.bool_]:
    """Find the hops of 10 ms in which a sound is active.

    Args:
        samples: samples (n,).
        sample_rate_hz: sample rate.
        below_peak_db: a hop is active if the 30 ms envelope is less than this below its peak.

    Returns:
        A mask (ceil(n / hop),).
    """
    hop = round(HOP_S * sample_rate_hz)
    hops = -(-len(samples) // hop)
    power = np.pad(np.square(samples, dtype=np.float64), (0, hops * hop - len(samples))).reshape(hops, hop).mean(axis=1)
    envelope = uniform_filter1d(power, 3, mode="constant")
    return np.asarray(envelope > envelope.max() * 10 ** (-below_peak_db / 10))


def _clips_of_table(table: Path) -> list[Clip]:
    names = _attributions(table.with_name("attribution.csv"))
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"got {table} without the columns {missing}, wanted {COLUMNS}")
        clips = [_clip_of_row(table, line, row) for line, row in enumerate(reader, start=2)]
    return [replace(clip, attribution=names.get((clip.source, clip.licence), "")) for clip in clips]


def _attributions(table: Path) -> dict[tuple[str, str], str]:
    """Who is to be named for each source and licence; several names are separated by semicolons."""
    if not table.is_file():
        return {}
    names: dict[tuple[str, str], set[str]] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                names.setdefault((row["source"], row["licence"]), set()).add(row["attribution"])
            except KeyError as error:
                raise ValueError(f"{table}: got no column {error}, wanted source, licence, attribution") from None
    return {key: "; ".join(sorted(each - {""})) for key, each in names.items()}


def _clip_of_row(table: Path, line: int, row: dict[str, str]) -> Clip:
    if row["split"] not in SPLITS:
        raise ValueError(f"{table}:{line}: got split {row['split']!r}, wanted one of {SPLITS}")
    path = table.parent / row["file"]
    if not path.is_file():
        raise ValueError(f"{table}:{line}: got {path}, wanted a file that exists")
    try:
        seconds = float(row["seconds"])
    except (TypeError, ValueError):
        raise ValueError(f"{table}:{line}: got seconds {row['seconds']!r}, wanted a number") from None
    return Clip(path, row["class"], row["split"], row["group"], row["source"], row["licence"], seconds)


def _clips_of_folders(root: Path) -> list[Clip]:
    splits = [split for split in SPLITS if (root / split).is_dir()]
    parents = {split: root / split for split in splits} or {"": root}
    suffixes = {f".{name.lower()}" for name in soundfile.available_formats()} | {".opus", ".aif", ".oga"}
    return [
        Clip(path, path.parent.name, split, f"{path.parent.name}/{path.stem}", str(root), "unknown", _seconds(path))
        for split, parent in parents.items()
        for path in sorted(parent.glob("*/*"))
        if path.suffix.lower() in suffixes
    ]


def _warn_of_empty_folders(root: Path, clips: Sequence[Clip]) -> None:
    """Log a warning for each folder of a class without a sound file, as that class would be missing unnoticed."""
    if (root / "clips.csv").is_file():
        return
    full = {clip.path.parent for clip in clips}
    for parent in [root / split for split in SPLITS if (root / split).is_dir()] or [root]:
        for folder in sorted(parent.iterdir()):
            if folder.is_dir() and folder not in full and not folder.name.startswith("."):
                log.warning("%s: got no sound file, wanted some in the folder of a class", folder)


def _seconds(path: Path) -> float:
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ValueError(f"got {path}, wanted a readable audio file ({error})") from error


def _class_names(clips: Sequence[Clip]) -> tuple[str, ...]:
    return tuple(sorted({clip.class_name for clip in clips} - {INTERFERER}))

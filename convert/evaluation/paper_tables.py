"""Scenes and the nets of CoLoC -> the localizer's table of DOA errors and the classifier's accuracy (section 4).

The nets are conditioned on the true directions, so errors of one pass do not affect the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from convert.data.features import device_features
from convert.data.tracks import SLOTS, label_tracks
from convert.scenes.capsules import encode
from edge.arrays.profile import ArrayProfile, load_array
from edge.audio.sources import open_source
from edge.geometry import angle_between_deg
from edge.nets.bundle import Bundle
from edge.nets.net import Net
from edge.scoring.annotations import Label
from edge.settings import build
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.window import NETS
from edge.types import FloatArray


@dataclass(frozen=True, slots=True)
class PaperTables:
    """Table 1 and section 4.1 of the CoLoC paper. As text, it is a table.

    In the arrays (SLOTS, SLOTS), row i is for i + 1 active sources, column j for j known directions.
    """

    error_deg: NDArray[np.float64]  # (SLOTS, SLOTS), NaN where nothing was measured
    frames: NDArray[np.int64]  # (SLOTS, SLOTS), number of label frames behind each cell
    conditional_accuracy: float  # of the classifier, given the true direction
    confusion: NDArray[np.int64]  # (classes, classes + 1), truth by answer; the last answer is "none"

    def __str__(self) -> str:
        lines = ["mean DOA error in degrees (frames)", "sources \\ known" + "".join(f"{r:>16}" for r in range(SLOTS))]
        for active in range(SLOTS):
            cells = [
                f"{self.error_deg[active, known]:7.1f} ({self.frames[active, known]:6d})" if known <= active else ""
                for known in range(SLOTS)
            ]
            lines.append(f"{active + 1:>15}" + "".join(f"{cell:>16}" for cell in cells))
        lines.append(f"conditional accuracy of the classifier: {self.conditional_accuracy:.3f}")
        return "\n".join(lines)


def paper_tables(
    bundle: Bundle,
    wavs: Sequence[Path],
    truth: Mapping[str, Sequence[Label]],
    nets: Mapping[str, Net] | None = None,
    array: ArrayProfile | None = None,
) -> PaperTables:
    """Measure the nets for windows on labelled scenes, in windows that do not overlap.

    Args:
        bundle: a bundle of the system `coloc`.
        wavs: wav files.
        truth: the labels of each, by file name without suffix.
        nets: nets to use instead of those of the bundle, by name.
        array: the array that recorded the files; by default the first one of the bundle.

    Raises:
        ValueError: the nets for windows are missing, or a file does not fit.
    """
    manifest = bundle.manifest
    used = bundle.nets() if nets is None else nets
    if not used.keys() >= set(NETS):
        raise ValueError(f"{manifest.name}: got nets {', '.join(used)}, wanted for the tables {', '.join(NETS)}")
    profile = array or load_array(manifest.arrays[0])
    labels = build(ColocSettings, manifest.settings, f"{manifest.name}: settings").window_labels
    per_label, classes = manifest.stft.frames_per_label, len(manifest.class_names)
    extractor = bundle.extractor()
    error_sum = np.zeros((SLOTS, SLOTS))
    frames = np.zeros((SLOTS, SLOTS), np.int64)
    confusion = np.zeros((classes, classes + 1), np.int64)
    for wav in tqdm(wavs, desc="tables", unit="scene", disable=None):
        maps = device_features(_foa(wav, profile, manifest.stft.sample_rate_hz), manifest.stft, extractor)
        tracks = label_tracks(truth[wav.stem], len(maps) // per_label, classes)
        for start in range(0, tracks.shape[1] - labels + 1, labels):
            window = maps[start * per_label : (start + labels) * per_label]
            stacked = tracks[:, start : start + labels]
            for known in range(SLOTS):
                _add_errors(error_sum, frames, used, window, stacked, known)
            for row in stacked:
                _add_answers(confusion, used, window, row)
    with np.errstate(invalid="ignore"):
        error_deg = np.where(frames > 0, error_sum / frames, np.nan)
    right = int(np.trace(confusion[:, :classes]))
    return PaperTables(error_deg, frames, right / max(int(confusion.sum()), 1), confusion)


def _foa(wav: Path, array: ArrayProfile, sample_rate_hz: int) -> FloatArray:
    """Read a recording and encode it as the device does: FOA samples (n, 4)."""
    with open_source(str(wav), array.channels, sample_rate_hz) as source:
        return encode(np.concatenate([block.samples for block in source]), array, sample_rate_hz)


def _add_errors(
    error_sum: NDArray[np.float64],
    frames: NDArray[np.int64],
    nets: Mapping[str, Net],
    window: FloatArray,
    stacked: FloatArray,
    known: int,
) -> None:
    """Run the localizer with `known` true directions; add its error to the nearest of the other active sources."""
    active = np.any(stacked[..., :3] != 0, axis=-1).sum(axis=0)
    frames_with_more = np.flatnonzero(active > known)
    if not len(frames_with_more):
        return
    encode = nets["localizer_encoder"]
    origin = encode(direction=np.zeros((stacked.shape[1], 3), np.float32))["embedding"]
    embedding = origin
    if known:
        each = [encode(direction=np.ascontiguousarray(row[:, :3]))["embedding"] for row in stacked[:known]]
        complete = (active >= known)[:, None]
        embedding = np.where(complete, np.mean(each, axis=0, dtype=np.float32), origin)
    found = nets["localizer"](features=window, embedding=embedding)["output"]
    for frame in frames_with_more:
        angles = angle_between_deg(stacked[known : active[frame], frame, :3], found[frame])
        error_sum[active[frame] - 1, known] += float(angles.min())
        frames[active[frame] - 1, known] += 1


def _add_answers(confusion: NDArray[np.int64], nets: Mapping[str, Net], window: FloatArray, row: FloatArray) -> None:
    """Run the classifier on the true directions of one stacked-track (labels, 4) and count its answers."""
    occupied = np.any(row[:, :3] != 0, axis=-1)
    if not occupied.any():
        return
    embedding = nets["classifier_encoder"](direction=np.ascontiguousarray(row[:, :3]))["embedding"]
    answer = nets["classifier"](features=window, embedding=embedding)["output"].argmax(axis=-1)
    np.add.at(confusion, (row[occupied, 3].astype(int), answer[occupied]), 1)

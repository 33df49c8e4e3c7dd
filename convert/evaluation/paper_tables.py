"""The figures of CoLoC's section 4 for any rung: the localizer's table of DOA errors and the classifier's accuracy.

Both ask the nets about the truth: the condition holds true directions, so errors of one step do not reach the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from convert.data.cache import device_features
from convert.data.tracks import SLOTS, label_tracks
from convert.scenes.capsules import encode
from edge.arrays.profile import ArrayProfile, load_array
from edge.audio.sources import open_source
from edge.geometry import angle_between_deg
from edge.nets.bundle import Bundle
from edge.nets.net import Net
from edge.scoring.annotations import read_annotations
from edge.settings import build
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.window import NETS
from edge.types import FloatArray


@dataclass(frozen=True, slots=True)
class PaperTables:
    """Table 1 and section 4.1 of the paper. Rows: active sources 1..SLOTS, columns: known DOAs 0..SLOTS - 1."""

    error_deg: NDArray[np.float64]  # (SLOTS, SLOTS), nan where nothing was measured
    frames: NDArray[np.int64]  # (SLOTS, SLOTS), label frames behind each cell
    conditional_accuracy: float  # of the class given the true direction
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
    bundle: Bundle, wavs: Sequence[Path], nets: Mapping[str, Net] | None = None, array: ArrayProfile | None = None
) -> PaperTables:
    """Measure on scenes with labels beside them, in windows that do not overlap, whatever the mode of the bundle is.

    `nets` replaces the bundle's own; those for windows must be among them, or it raises ValueError.
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
        truth = read_annotations(wav.with_suffix(".csv"), classes)
        tracks = label_tracks(truth, len(maps) // per_label, classes)
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
    """What the device makes of the recording of an array: (n, 4)."""
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
    """Ask the localizer for one more direction where more than `known` are active; the nearest of the rest counts."""
    active = np.any(stacked[..., :3] != 0, axis=-1).sum(axis=0)
    asked = np.flatnonzero(active > known)
    if not len(asked):
        return
    encode = nets["localizer_encoder"]
    origin = encode(direction=np.zeros((stacked.shape[1], 3), np.float32))["embedding"]
    embedding = origin
    if known:
        each = [encode(direction=np.ascontiguousarray(row[:, :3]))["embedding"] for row in stacked[:known]]
        complete = (active >= known)[:, None]
        embedding = np.where(complete, np.mean(each, axis=0, dtype=np.float32), origin)
    named = nets["localizer"](features=window, embedding=embedding)["output"]
    for frame in asked:
        angles = angle_between_deg(stacked[known : active[frame], frame, :3], named[frame])
        error_sum[active[frame] - 1, known] += float(angles.min())
        frames[active[frame] - 1, known] += 1


def _add_answers(confusion: NDArray[np.int64], nets: Mapping[str, Net], window: FloatArray, row: FloatArray) -> None:
    """Ask the classifier what sounds from the true directions of one stacked-track."""
    occupied = np.any(row[:, :3] != 0, axis=-1)
    if not occupied.any():
        return
    embedding = nets["classifier_encoder"](direction=np.ascontiguousarray(row[:, :3]))["embedding"]
    answer = nets["classifier"](features=window, embedding=embedding)["output"].argmax(axis=-1)
    np.add.at(confusion, (row[occupied, 3].astype(int), answer[occupied]), 1)

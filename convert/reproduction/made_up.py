"""Made-up recordings in the layout of a corpus -> a folder that is read like the real one, in a minute.

Only names, columns and channels are those of the publishers: nothing that is learnt from such a folder means anything.
Sources of the layouts: `tests/convert/data/test_published_layouts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.data.corpora import CORPORA
from edge.audio.wav import write_wav
from edge.geometry import foa_gains, unit_vector
from edge.scoring.annotations import Label, write_annotations

RATE_HZ = 24000
LABELS = 20  # of each recording
LABEL_SAMPLES = RATE_HZ // 10


@dataclass(frozen=True, slots=True)
class Layout:
    """How the publishers of a corpus pack it."""

    ending: str  # of the folders `foa`, `mic` and `metadata`
    recordings: tuple[str, ...]  # their names, with the folders that they are in
    distances: bool = False  # whether label files have the sixth column, the distance in cm


_STARSS = tuple(
    f"dev-{part}-{place}/fold{fold}_room{room}_mix001"
    for part, fold in (("train", 3), ("test", 4))
    for place, room in (("sony", 21), ("tau", 4))
)
LAYOUTS: Mapping[str, Layout] = {
    "starss22": Layout("_dev", _STARSS),
    "starss23": Layout("_dev", _STARSS, distances=True),
    "tnsse2020": Layout("_dev", tuple(f"fold{fold}_room1_mix001_ov1" for fold in range(1, 7))),
    "tnsse2021": Layout(
        "_dev",
        ("dev-train/fold1_room1_mix001", "dev-val/fold5_room1_mix001", "dev-test/fold6_room1_mix001"),
    ),
    "dcase2022_synth": Layout("", ("fold1_room1_mix001", "fold2_room1_mix001")),
}
_CAPSULES = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)  # as an Eigenmike's tetrahedron


def make_corpus(corpus: str, folder: Path, labels: int = LABELS) -> None:
    """Write the recordings of a corpus in both formats, with their labels. Files that are there are written again.

    In each, three sources of noise begin one after the other and sound for two thirds of the recording.

    Args:
        corpus: a name of `LAYOUTS`.
        folder: what it is unpacked to.
        labels: label frames of each recording.
    """
    layout = LAYOUTS[corpus]
    for number, name in enumerate(layout.recordings):
        rng = np.random.default_rng(number)
        foa, mic, rows = _recording(number, labels, len(CORPORA[corpus]), layout.distances, rng)
        for audio, samples in (("foa", foa), ("mic", mic)):
            wav = folder / f"{audio}{layout.ending}" / f"{name}.wav"
            wav.parent.mkdir(parents=True, exist_ok=True)
            write_wav(wav, samples.astype(np.float32), RATE_HZ)
        csv = folder / f"metadata{layout.ending}" / f"{name}.csv"
        csv.parent.mkdir(parents=True, exist_ok=True)
        write_annotations(csv, rows)


def _recording(
    number: int, labels: int, classes: int, distances: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Sequence[Label]]:
    """FOA and capsules (n, 4), and the rows of the label file."""
    foa, mic = (0.001 * rng.normal(size=(labels * LABEL_SAMPLES, 4)) for _ in range(2))
    rows = []
    for source in range(3):
        kind = (3 * number + source) % classes
        azimuth_deg, elevation_deg = float(rng.integers(-180, 180)), float(rng.integers(-30, 31))
        toward = unit_vector(azimuth_deg, elevation_deg)
        begin, end = source * labels // 6, (source * labels // 6) + 2 * labels // 3
        sound = 0.1 * rng.normal(size=((end - begin) * LABEL_SAMPLES, 1))
        part = slice(begin * LABEL_SAMPLES, end * LABEL_SAMPLES)
        foa[part] += sound * foa_gains(toward)
        mic[part] += sound * (0.5 + 0.5 * _CAPSULES @ toward)
        distance_cm = 150.0 if distances else None
        rows += [Label(frame, kind, 0, azimuth_deg, elevation_deg, distance_cm) for frame in range(begin, end)]
    return foa, mic, sorted(rows, key=lambda row: (row.frame, row.class_index))

"""A wav file and its csv file -> samples at the rate of a model, and labels in the numbering of a model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.arrays.profile import ArrayProfile
from edge.audio.resample import Resampler
from edge.audio.wav import read_wav, read_wav_header
from edge.frontend.stft import StftSettings
from edge.scoring.annotations import Label, read_annotations


@dataclass(frozen=True, slots=True)
class LabelledRecording:
    """One wav file with its labels."""

    wav: Path
    csv: Path
    split: str | None  # "train", "val", "test", or None where the data set has no splits
    class_names: tuple[str, ...]  # the meaning of the class numbers in the csv file
    array: ArrayProfile  # the array whose channels the wav file holds
    parts: frozenset[str] = frozenset()  # names of the parts of its corpus that it belongs to
    microphones: Path | None = None  # the wav file of the capsules of `array`; `wav` holds FOA then

    def labels(self, class_names: Sequence[str]) -> list[Label]:
        """Read the labels. Elevations are 0 where the array is flat, as it hears none.

        Args:
            class_names: the classes of a model. Labels are renumbered accordingly; labels of other classes are left
                out.

        Raises:
            ValueError: the csv file is malformed; the message names file and line.
        """
        index = {name: number for number, name in enumerate(class_names)}
        found = read_annotations(self.csv, len(self.class_names))
        if self.array.planar:
            found = [replace(label, elevation_deg=0.0) for label in found]
        known = [(label, index.get(self.class_names[label.class_index])) for label in found]
        return [replace(label, class_index=number) for label, number in known if number is not None]


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The recordings of one folder that a model is trained on."""

    path: Path
    corpus: str | None  # a name of `corpora.CORPORA`, or None for own scenes
    recordings: tuple[LabelledRecording, ...]
    weight: float | None = None  # its share of the chunks relative to other folders; None in all folders or in none

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of its labels."""
        return self.recordings[0].class_names

    def digest(self) -> str:
        """Compute a SHA-256 that changes with the labels, the wav sizes, or the way that own scenes were made."""
        if self.corpus is None:
            return hashlib.sha256((self.path / "scenes.json").read_bytes()).hexdigest()
        digest = hashlib.sha256()
        for item in self.recordings:
            digest.update(repr((item.wav.stat().st_size, item.class_names, item.array)).encode())
            if item.microphones is not None:
                digest.update(str(item.microphones.stat().st_size).encode())
            digest.update(item.csv.read_bytes())
        return digest.hexdigest()


def read_samples(recording: LabelledRecording, sample_rate_hz: int) -> NDArray[np.float32]:
    """Read the channels of a recording, resampled to `sample_rate_hz`.

    Returns:
        Samples (n, channels), full scale 1. Of a recording in both formats, the microphones follow FOA: (n, 8).

    Raises:
        ValueError: a wav file is malformed, or its rate cannot be resampled.
    """
    if recording.microphones is None:
        return _read_resampled(recording.wav, sample_rate_hz)
    return np.concatenate([_read_resampled(wav, sample_rate_hz) for wav in (recording.wav, recording.microphones)], 1)


def count_labels(recording: LabelledRecording, class_names: Sequence[str], stft: StftSettings) -> int:
    """Check the header of the wav file and all labels of a recording.

    Returns:
        The number of label frames, the last one possibly in part.

    Raises:
        ValueError: wav or csv are malformed, or the wav has another number of channels than the array, or the two
            formats of a recording differ in length or rate.
    """
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
    if recording.microphones is not None:
        other = read_wav_header(recording.microphones)
        got, wanted = ((each.channels, each.sample_rate_hz, each.frames) for each in (other, wav))
        if got != wanted:
            raise ValueError(
                f"{recording.microphones}: got channels, rate and frames {got}, wanted {wanted} as in {recording.wav}"
            )
    recording.labels(class_names)
    return math.ceil(math.ceil(wav.frames * stft.sample_rate_hz / wav.sample_rate_hz) / stft.label_samples)


def _read_resampled(wav: Path, sample_rate_hz: int) -> NDArray[np.float32]:
    samples, rate_hz = read_wav(wav)
    resampler = Resampler(rate_hz, sample_rate_hz, samples.shape[1])
    return np.concatenate([resampler.push(samples), resampler.finish()])

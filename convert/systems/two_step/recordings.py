"""A recording -> windows of all that the fusion net of two-step is given, with their truth; step 1 is asked on the way.

Beams take spectra, which a feature cache does not hold: so a hearing begins with the wav, and what is varied is varied
in it: the level, where it is cut into windows and, if it is FOA, which way it is turned.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convert.data.augment import Augmentation, rotate_samples
from convert.data.recordings import LabelledRecording, read_samples
from convert.data.tracks import SLOTS, label_tracks
from convert.scenes.capsules import encode
from convert.systems.two_step.sizes import TwoStepSizes
from edge.frontend.maps import MICROPHONES, FeatureExtractor
from edge.frontend.stft import Stft, StftSettings
from edge.systems.two_step.accdoa import AXES
from edge.systems.two_step.beams import BeamMaps
from edge.systems.two_step.window import DOA_MAPS
from edge.types import AudioBlock, FloatArray

if TYPE_CHECKING:
    from convert.training.recipes import Recipe


class Told(NamedTuple):
    """What step 1 says of windows."""

    vectors: FloatArray  # (n, labels, 3 K)
    doa: FloatArray  # (n, labels, D_DoA)
    sed: FloatArray  # (n, labels, D_SED)


Windows = Generator[FloatArray, Told, np.ndarray]
"""Gives maps (n, frames, bands, 9), normalised, takes what step 1 says of them, returns windows."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """A recording, heard once."""

    recording: LabelledRecording
    number: int  # of the recording
    seed: tuple[int, ...]
    class_names: tuple[str, ...]


def window_type(sizes: TwoStepSizes) -> np.dtype[Any]:
    """One window."""
    return np.dtype(
        [
            ("features", np.float16, (sizes.frames, sizes.bands, 7)),
            ("beams", np.float16, (sizes.frames, sizes.bands, sizes.tracks)),
            ("doa", np.float16, (sizes.labels, sizes.doa_hidden)),
            ("sed", np.float16, (sizes.labels, sizes.sed_hidden)),
            ("tracks", np.float32, (SLOTS, sizes.labels, 4)),
            ("recording", np.int32),
        ]
    )


def heard_windows(hearing: Hearing, recipe: Recipe, extractor: FeatureExtractor, settings: Augmentation) -> Windows:
    """Windows of a recording as it may be heard, side by side, with their truth."""
    array, stft, labels = hearing.recording.array, recipe.stft, recipe.sizes.labels
    samples, tracks = _varied(hearing, stft, settings, labels)
    encoded = encode(samples, array, stft.sample_rate_hz, microphones=True)
    windows = yield from windows_of(encoded, recipe, extractor, BeamMaps(array, stft, extractor))
    windows["recording"] = hearing.number
    windows["tracks"] = np.stack(np.split(tracks[:, : len(windows) * labels], len(windows), axis=1))
    return windows


def windows_of(encoded: FloatArray, recipe: Recipe, extractor: FeatureExtractor, beams: BeamMaps) -> Windows:
    """FOA and microphones (n, 8) -> whole windows, side by side, of what the device gives its fusion net.

    `tracks` and `recording` are left empty.
    """
    sizes, transform = recipe.sizes, Stft(recipe.stft, encoded.shape[1])
    spectra = [*transform.push(AudioBlock(encoded, 0)), *transform.finish()]
    count = len(spectra) // sizes.labels
    spectra = spectra[: count * sizes.labels]
    extractor.reset()
    maps = np.stack([extractor(each).maps for each in spectra]).reshape(count, sizes.frames, sizes.bands, -1)
    told = yield maps
    vectors = told.vectors.reshape(len(spectra), sizes.tracks, AXES)
    heard = [beams(each.bins[:, -MICROPHONES:], named) for each, named in zip(spectra, vectors, strict=True)]
    windows = np.zeros(count, window_type(sizes))
    windows["features"] = maps[..., DOA_MAPS]
    windows["beams"] = np.stack(heard).reshape(count, sizes.frames, sizes.bands, -1)
    windows["doa"], windows["sed"] = told.doa, told.sed
    return windows


def _varied(
    hearing: Hearing, stft: StftSettings, settings: Augmentation, window_labels: int
) -> tuple[FloatArray, FloatArray]:
    """Channels (n, channels), stacked-tracks (slots, labels, 4)."""
    recording, rng, classes = hearing.recording, np.random.default_rng(hearing.seed), hearing.class_names
    samples = read_samples(recording, stft.sample_rate_hz)
    labels = len(samples) // stft.label_samples
    tracks = label_tracks(recording.labels(classes), labels, len(classes))
    samples = samples * np.float32(10.0 ** (rng.uniform(*settings.level_db) / 20.0))
    if recording.array.kind == "foa" and rng.random() < settings.rotated_share:
        samples, tracks[..., :3] = rotate_samples(samples, tracks[..., :3], int(rng.integers(16)))
    first = int(rng.integers(min(window_labels, labels - window_labels + 1)))
    return samples[first * stft.label_samples :], tracks[:, first:]

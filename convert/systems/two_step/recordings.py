"""A recording -> windows of all inputs of the fusion net of two-step, with their truth, in two halves.

The nets of step 1 stand between the halves: `hearing_maps` makes their inputs, `hearing_windows` takes their answers.
Beams take spectra, which a feature cache does not hold: so a hearing begins with the wav, and the augmentation is done
on samples: the level, the first label frame and, if the wav is FOA, the rotation. Each half computes the spectra, as
sending them from process to process would take longer. A hearing is a pure function of its seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from convert.data.augment import Augmentation, draw_level_db, rotate_samples
from convert.data.features import encode_recording
from convert.data.recordings import LabelledRecording, read_samples
from convert.data.tracks import label_tracks
from convert.systems.recipe import Recipe
from convert.systems.two_step.sizes import TwoStepSizes
from edge.frontend.maps import MICROPHONES, FeatureExtractor
from edge.frontend.stft import Stft, StftSettings
from edge.systems.two_step.accdoa import AXES
from edge.systems.two_step.beams import BeamMaps
from edge.systems.two_step.window import DOA_MAPS
from edge.types import AudioBlock, FloatArray, Spectra


class Step1Answers(NamedTuple):
    """Answers of the nets of step 1 about n windows."""

    vectors: FloatArray  # (n, labels, 3 K)
    doa: FloatArray  # (n, labels, D_DoA)
    sed: FloatArray  # (n, labels, D_SED)


@dataclass(frozen=True, slots=True)
class Hearing:
    """One pass over a recording, varied as its seed says."""

    recording: LabelledRecording
    number: int  # of the recording
    seed: tuple[int, ...]
    class_names: tuple[str, ...]


def window_type(sizes: TwoStepSizes) -> np.dtype[Any]:
    """The structured type of one window: the inputs of the fusion net, stacked-tracks, and the recording's number."""
    return np.dtype(
        [
            ("features", np.float16, (sizes.frames, sizes.bands, 7)),
            ("beams", np.float16, (sizes.frames, sizes.bands, sizes.tracks)),
            ("doa", np.float16, (sizes.labels, sizes.doa_hidden)),
            ("sed", np.float16, (sizes.labels, sizes.sed_hidden)),
            ("tracks", np.float32, (sizes.slots, sizes.labels, 4)),
            ("recording", np.int32),
        ]
    )


def hearing_maps(hearing: Hearing, recipe: Recipe, extractor: FeatureExtractor) -> FloatArray:
    """Normalised maps (n, frames, bands, 9) of the windows of a hearing, side by side: inputs of step 1."""
    encoded, _ = _heard(hearing, recipe)
    return window_maps(window_spectra(encoded, recipe), recipe.sizes, extractor)


def hearing_windows(
    hearing: Hearing, maps: FloatArray, answers: Step1Answers, recipe: Recipe, extractor: FeatureExtractor
) -> np.ndarray:
    """Windows (n,) of `window_type` of a hearing with their truth.

    Args:
        hearing: The recording, and how it is varied.
        maps: What `hearing_maps` made of the same hearing.
        answers: What step 1 answered to them.
        recipe: That of the nets.
        extractor: That of the cache, with its statistics.
    """
    encoded, tracks = _heard(hearing, recipe)
    beams = BeamMaps(hearing.recording.array, recipe.stft, extractor)
    windows = filled_windows(window_spectra(encoded, recipe), maps, answers, recipe.sizes, beams)
    labels = recipe.sizes.labels
    windows["recording"] = hearing.number
    windows["tracks"] = np.stack(np.split(tracks[:, : len(windows) * labels], len(windows), axis=1))
    return windows


def window_spectra(encoded: FloatArray, recipe: Recipe) -> list[Spectra]:
    """FOA and microphones (n, 8) -> spectra of the label frames that fill whole windows."""
    transform, labels = Stft(recipe.stft, encoded.shape[1]), recipe.sizes.labels
    spectra = [*transform.push(AudioBlock(encoded, 0)), *transform.finish()]
    return spectra[: len(spectra) // labels * labels]


def window_maps(spectra: Sequence[Spectra], sizes: TwoStepSizes, extractor: FeatureExtractor) -> FloatArray:
    """Spectra of whole windows -> normalised maps (n, frames, bands, 9)."""
    extractor.reset()
    return np.stack([extractor(each).maps for each in spectra]).reshape(-1, sizes.frames, sizes.bands, 9)


def filled_windows(
    spectra: Sequence[Spectra], maps: FloatArray, answers: Step1Answers, sizes: TwoStepSizes, beams: BeamMaps
) -> np.ndarray:
    """Windows (n,) of `window_type` as the device gives them to its fusion net; `tracks` and `recording` stay empty."""
    vectors = answers.vectors.reshape(len(spectra), sizes.tracks, AXES)
    steered = [beams(each.bins[:, -MICROPHONES:], toward) for each, toward in zip(spectra, vectors, strict=True)]
    windows = np.zeros(len(maps), window_type(sizes))
    windows["features"] = maps[..., DOA_MAPS]
    windows["beams"] = np.stack(steered).reshape(len(maps), sizes.frames, sizes.bands, -1)
    windows["doa"], windows["sed"] = answers.doa, answers.sed
    return windows


def _heard(hearing: Hearing, recipe: Recipe) -> tuple[FloatArray, FloatArray]:
    """FOA and microphones (n, 8) of a hearing, and its stacked-tracks (slots, labels, 4)."""
    samples, tracks = _varied(hearing, recipe.stft, recipe.augmentation, recipe.sizes)
    return encode_recording(samples, hearing.recording, recipe.stft.sample_rate_hz, microphones=True), tracks


def _varied(
    hearing: Hearing, stft: StftSettings, settings: Augmentation, sizes: TwoStepSizes
) -> tuple[FloatArray, FloatArray]:
    """Channels (n, channels), stacked-tracks (slots, labels, 4)."""
    recording, rng, classes = hearing.recording, np.random.default_rng(hearing.seed), hearing.class_names
    samples = read_samples(recording, stft.sample_rate_hz)
    labels = len(samples) // stft.label_samples
    tracks = label_tracks(recording.labels(classes), labels, len(classes), sizes.slots)
    samples = samples * np.float32(10.0 ** (draw_level_db(settings, rng) / 20.0))
    if recording.array.kind == "foa" and rng.random() < settings.rotated_share:
        samples, tracks[..., :3] = rotate_samples(samples, tracks[..., :3], int(rng.integers(16)))
    first = int(rng.integers(min(sizes.labels, labels - sizes.labels + 1)))
    return samples[first * stft.label_samples :], tracks[:, first:]

"""Samples or a recording -> feature maps by the device's own code, and the truth as stacked-tracks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from convert.data.recordings import LabelledRecording, read_samples
from convert.data.tracks import SLOTS, label_tracks
from convert.scenes.capsules import encode
from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import Stft, StftSettings
from edge.types import AudioBlock


def device_features(
    samples: NDArray[np.float32], stft: StftSettings, extractor: FeatureExtractor
) -> NDArray[np.float32]:
    """Compute the maps of a whole recording with the device's STFT and feature extractor.

    Args:
        samples: encoded samples (n, 4), or (n, 8) for features of the microphones too, at the rate of the model.
        stft: settings of the STFT.
        extractor: the feature extractor, in its initial state.

    Returns:
        Maps (frames, bands, maps), as the extractor scales them.
    """
    transform = Stft(stft, samples.shape[1])

    def groups() -> Iterator[NDArray[np.float32]]:
        for spectra in chain(transform.push(AudioBlock(samples, 0)), transform.finish()):
            for features in extractor.push(spectra):
                yield features.maps
        for features in extractor.finish():
            yield features.maps

    return np.concatenate(list(groups()))


def encode_recording(
    samples: NDArray[np.float32], recording: LabelledRecording, sample_rate_hz: int, microphones: bool
) -> NDArray[np.float32]:
    """Encode what `read_samples` read, with the device's encoder.

    Args:
        samples: samples (n, channels), or (n, 8) of a recording in both formats. Its FOA is taken as it is.
        recording: the recording.
        sample_rate_hz: sample rate.
        microphones: whether to append the four microphone channels.

    Returns:
        FOA samples (n, 4), or (n, 8) with the microphones.
    """
    if recording.microphones is None:
        return encode(samples, recording.array, sample_rate_hz, microphones)
    foa, capsules = samples[:, :4], samples[:, 4:]
    if not microphones:
        return foa
    return np.concatenate([foa, encode(capsules, recording.array, sample_rate_hz, microphones=True)[:, 4:]], axis=1)


def recording_arrays(
    recording: LabelledRecording,
    class_names: Sequence[str],
    stft: StftSettings,
    features: FeatureSettings,
    slots: int = SLOTS,
    distances: bool = False,
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Compute what a feature cache holds of one recording.

    Returns:
        Maps (frames, bands, maps), not normalised, and stacked-tracks (slots, labels, 4 or, with distances, 5).
    """
    samples = read_samples(recording, stft.sample_rate_hz)
    samples = encode_recording(samples, recording, stft.sample_rate_hz, features.microphones)
    maps = device_features(samples, stft, FeatureExtractor(features, stft)).astype(np.float16)
    labels = len(maps) // stft.frames_per_label
    return maps, label_tracks(recording.labels(class_names), labels, len(class_names), slots, distances)

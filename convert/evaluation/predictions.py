"""Wav files through the device's own loop -> label rows and track frames, with Keras, float or int8 TFLite nets.

System, array encoder, STFT and decoder are built by `edge.runtime.pipeline`, so a prediction is what a device prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from convert.evaluation.both_formats import both_encoder, joined
from edge.arrays.profile import ArrayProfile, load_array
from edge.audio.sources import open_source
from edge.events.decoder import DecodeSettings
from edge.geometry import azimuth_elevation_deg
from edge.nets.bundle import Bundle
from edge.nets.net import Net
from edge.runtime.pipeline import build_decoder, build_pipeline, build_system
from edge.scoring.annotations import Label, label_of
from edge.systems import System
from edge.types import AudioBlock, Event, EventUpdate, FloatArray, FrameRow, Item, Spectra, TrackFrames


@dataclass(frozen=True, slots=True)
class Begin:
    """The begin of an event, as the device told it."""

    told_s: float  # seconds of the scene that were heard by then
    event: Event  # as it was known


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answers of the device's loop for one scene."""

    rows: list[Label]  # decoded; all elevations are 0 for a flat array, as on the device
    direction: FloatArray  # (labels, slots, 3), as the system returned it
    activity: FloatArray  # (labels, slots, classes)
    begins: list[Begin] = field(default_factory=list)
    distance_m: FloatArray | None = None  # (labels, slots); None where the system tells none


class _TrackTap:
    """A system that passes everything on to another one and keeps the track frames that it returns."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.levels, self.settings, self.array, self.clock = system.levels, system.settings, system.array, system.clock
        self.tracks: list[TrackFrames] = []

    @property
    def latency_s(self) -> float:
        return self._system.latency_s

    def step(self, spectra: Spectra) -> Iterator[TrackFrames]:
        return self._kept(self._system.step(spectra))

    def finish(self) -> Iterator[TrackFrames]:
        return self._kept(self._system.finish())

    def reset(self) -> None:
        self._system.reset()
        self.tracks = []

    def set_level(self, index: int) -> None:
        self._system.set_level(index)

    def _kept(self, answers: Iterable[TrackFrames]) -> Iterator[TrackFrames]:
        for tracks in answers:
            self.tracks.append(tracks)
            yield tracks


def predict(
    bundle: Bundle,
    wavs: Sequence[Path],
    nets: Mapping[str, Net] | None = None,
    overrides: Mapping[str, Any] | None = None,
    decode: Mapping[str, Any] | None = None,
    array: ArrayProfile | None = None,
    description: str = "evaluate",
    microphones: Mapping[str, Path] | None = None,
) -> dict[str, Prediction]:
    """Run the device's loop over wav files.

    Args:
        bundle: the model.
        wavs: wav files with the channels of `array`.
        nets: nets to use instead of those of the bundle, by name.
        overrides: settings of the system that replace those of the bundle.
        decode: settings of the decoder that replace those of the bundle.
        array: the array that recorded the files; by default the first one of the bundle.
        description: label of the progress bar.
        microphones: for wav files that hold FOA, the wav files of the capsules of `array`, by file name without suffix
            (`convert.evaluation.both_formats`).

    Returns:
        A prediction for each wav file, by file name without suffix.

    Raises:
        ValueError: a setting is invalid, or a wav file does not fit the array.
    """
    profile = array or load_array(bundle.manifest.arrays[0])
    tap = _TrackTap(build_system(bundle, overrides=overrides, nets=nets, array=profile))
    rate_hz = bundle.manifest.stft.sample_rate_hz
    encode = both_encoder(profile, rate_hz, bundle.manifest.features.microphones) if microphones else None
    pipeline = build_pipeline(bundle, profile, tap, decode, encode=encode)
    predictions = {}
    for path in tqdm(wavs, desc=description, unit="scene", disable=None):
        pipeline.reset()
        items: list[Item] = []
        begins: list[Begin] = []
        heard_s = 0.0
        with ExitStack() as stack:
            blocks: Iterable[AudioBlock] = stack.enter_context(
                open_source(str(path), profile.channels, rate_hz, used_channels=profile.channel_map)
            )
            if microphones:
                capsules = open_source(str(microphones[path.stem]), profile.channels, rate_hz)
                blocks = joined(blocks, stack.enter_context(capsules))
            for block in blocks:
                heard_s = (block.start + len(block.samples)) / rate_hz
                told = list(pipeline.push(block))
                items += told
                begins += _begins(told, heard_s)
        told = list(pipeline.finish())
        items += told
        begins += _begins(told, heard_s)
        predictions[path.stem] = Prediction(
            rows=_labels(items),
            direction=np.concatenate([tracks.direction for tracks in tap.tracks]),
            activity=np.concatenate([tracks.activity for tracks in tap.tracks]),
            distance_m=_joined([tracks.distance_m for tracks in tap.tracks]),
            begins=begins,
        )
    return predictions


def decode_again(
    prediction: Prediction, bundle: Bundle, settings: DecodeSettings, array: ArrayProfile | None = None
) -> list[Label]:
    """Decode the track frames of a prediction with other decoder settings, without running the nets again.

    Args:
        prediction: what `predict` returned for a scene.
        bundle: the model that was used.
        settings: the new settings of the decoder.
        array: the array that was used; by default the first one of the bundle.

    Returns:
        The rows that `predict` returns with these settings.
    """
    decoder = build_decoder(bundle, array or load_array(bundle.manifest.arrays[0]), settings)
    tracks = TrackFrames(prediction.activity, prediction.direction, 0, prediction.distance_m)
    items = [*decoder.push(tracks), *decoder.finish()]
    return _labels(items)


def undecoded(prediction: Prediction, planar: bool = False) -> Prediction:
    """Answers of the system as they are, frame by frame, as the papers score them: without tracking, without a decoder.

    A slot says what is likeliest: one of the classes, or none of them, to which the rest of the probability belongs
    (CoLoC, section 2.4: the classifier has a class for that). A slot of another system holds one class at most, which
    counts from one half on.

    Args:
        prediction: what `predict` returned for a scene.
        planar: whether the array is flat; all elevations are 0 then.

    Returns:
        The same with other rows.
    """
    kind, most = prediction.activity.argmax(axis=-1), prediction.activity.max(axis=-1)
    found = (most > 0.0) & (most >= 1.0 - prediction.activity.sum(axis=-1))
    azimuth_deg, elevation_deg = azimuth_elevation_deg(prediction.direction)
    rows = [
        Label(
            int(frame),
            int(kind[frame, slot]),
            int(slot),
            float(azimuth_deg[frame, slot]),
            0.0 if planar else float(elevation_deg[frame, slot]),
            None if prediction.distance_m is None else 100.0 * float(prediction.distance_m[frame, slot]),
        )
        for frame, slot in zip(*np.nonzero(found), strict=True)
    ]
    return replace(prediction, rows=rows)


def _joined(distances_m: Sequence[FloatArray | None]) -> FloatArray | None:
    known = [each for each in distances_m if each is not None]
    return np.concatenate(known) if known else None


def _begins(items: Iterable[Item], heard_s: float) -> list[Begin]:
    return [Begin(heard_s, item.event) for item in items if isinstance(item, EventUpdate) and item.phase == "begin"]


def _labels(items: Iterable[Item]) -> list[Label]:
    return [label_of(item) for item in items if isinstance(item, FrameRow)]

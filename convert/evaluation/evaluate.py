"""Scenes through the device's own loop -> predictions and SELD scores, for Keras, float and int8 TFLite alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from convert.data.cache import read_array, read_class_names, read_scenes_json, scene_names
from edge.arrays.profile import ArrayProfile, load_array
from edge.audio.sources import open_source
from edge.events.decoder import Decoder, DecodeSettings
from edge.nets.bundle import Bundle
from edge.nets.net import Net
from edge.runtime.pipeline import build_pipeline, build_system
from edge.scoring.annotations import Label, label_of, read_annotations
from edge.scoring.metrics import ClassScores, SeldScores, score
from edge.systems import System
from edge.types import Event, FloatArray, FrameRow, Spectra, TrackFrames


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the loop said about one scene."""

    rows: list[Label]  # decoded
    direction: FloatArray  # (labels, slots, 3), as the system gave it
    activity: FloatArray  # (labels, slots, classes)


class _Recorder:
    """A system that keeps what the system inside it says."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.clock, self.levels, self.settings, self.array = system.clock, system.levels, system.settings, system.array
        self.heard: list[TrackFrames] = []

    @property
    def latency_s(self) -> float:
        return self._system.latency_s

    def step(self, spectra: Spectra) -> Iterator[TrackFrames]:
        return self._kept(self._system.step(spectra))

    def finish(self) -> Iterator[TrackFrames]:
        return self._kept(self._system.finish())

    def reset(self) -> None:
        self._system.reset()
        self.heard = []

    def set_level(self, index: int) -> None:
        self._system.set_level(index)

    def _kept(self, answers: Iterable[TrackFrames]) -> Iterator[TrackFrames]:
        for tracks in answers:
            self.heard.append(tracks)
            yield tracks


def predict(
    bundle: Bundle,
    wavs: Sequence[Path],
    nets: Mapping[str, Net] | None = None,
    overrides: Mapping[str, Any] | None = None,
    decode: Mapping[str, Any] | None = None,
    array: ArrayProfile | None = None,
    description: str = "evaluate",
) -> dict[str, Prediction]:
    """Run the device's loop over wav files; predictions by file stem. `nets` replaces the bundle's own."""
    profile = array or load_array(bundle.manifest.arrays[0])
    recorder = _Recorder(build_system(bundle, overrides=overrides, nets=nets, array=profile))
    pipeline = build_pipeline(bundle, profile, recorder, decode)
    predictions = {}
    for path in tqdm(wavs, desc=description, unit="scene", disable=None):
        pipeline.reset()
        with open_source(str(path), profile.channels, bundle.manifest.stft.sample_rate_hz) as source:
            items = [item for block in source for item in pipeline.push(block)]
            items += list(pipeline.finish())
        predictions[path.stem] = Prediction(
            rows=_labels(items),
            direction=np.concatenate([tracks.direction for tracks in recorder.heard]),
            activity=np.concatenate([tracks.activity for tracks in recorder.heard]),
        )
    return predictions


def decoded(
    prediction: Prediction, settings: DecodeSettings, class_names: Sequence[str], label_s: float
) -> list[Label]:
    """The rows of a prediction as other decoder settings give them."""
    decoder = Decoder(settings, class_names, label_s)
    items = [*decoder.push(TrackFrames(prediction.activity, prediction.direction, 0)), *decoder.finish()]
    return _labels(items)


def labelled_scenes(folder: Path, class_names: Sequence[str]) -> tuple[list[Path], dict[str, list[Label]]]:
    """The wavs of a scene folder and the labels of each by name. Raises ValueError if its classes are others."""
    found = read_class_names(folder)
    if found != tuple(class_names):
        raise ValueError(f"{folder}: got classes {found}, wanted {tuple(class_names)}")
    names = scene_names(folder)
    labels = {name: read_annotations(folder / f"{name}.csv", len(class_names)) for name in names}
    return [folder / f"{name}.wav" for name in names], labels


def scene_array(folder: Path, bundle: Bundle, name: str | None = None) -> ArrayProfile:
    """The array whose channels the wavs hold: `name`, or what the folder's scenes.json says, or the bundle's."""
    if name is None and "array" in read_scenes_json(folder):
        return read_array(folder)
    return load_array(name or bundle.manifest.arrays[0])


def score_predictions(
    reference: Mapping[str, Sequence[Label]], predictions: Mapping[str, Prediction], classes: int
) -> dict[str, SeldScores]:
    """Scores by the rules of 2022 (macro and micro) and 2020."""
    rows = {name: prediction.rows for name, prediction in predictions.items()}
    return {
        "2022_macro": score(reference, rows, classes, "2022", "macro"),
        "2022_micro": score(reference, rows, classes, "2022", "micro"),
        "2020": score(reference, rows, classes, "2020"),
    }


def report(scores: Mapping[str, SeldScores], class_names: Sequence[str]) -> str:
    """A readable table of scores, with one line per class."""
    return table({**scores, **dict(zip(class_names, scores["2022_macro"].per_class, strict=True))})


def table(scores: Mapping[str, SeldScores | ClassScores]) -> str:
    """A readable table of scores, one line each."""
    width = max(14, *(len(name) + 1 for name in scores))
    lines = [f"{'':<{width}}{'ER20':>7}{'F20':>7}{'LE':>7}{'LR':>7}{'SELD':>7}"]
    for name, each in scores.items():
        lines.append(f"{name:<{width}}{each.er:7.3f}{each.f:7.3f}{each.le:7.1f}{each.lr:7.3f}{each.seld:7.3f}")
    return "\n".join(lines)


def _labels(items: Iterable[Event | FrameRow]) -> list[Label]:
    return [label_of(item) for item in items if isinstance(item, FrameRow)]

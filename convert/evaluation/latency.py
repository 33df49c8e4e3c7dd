"""Scenes and what the device told of them -> how long after its onset each event began; and how late answers are.

Time is that of the stream: what has been heard by then, computing time aside. `seld-convert evaluate --latency`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from convert.evaluation.predictions import Begin
from edge.arrays.profile import load_array
from edge.audio.sources import open_source
from edge.geometry import angle_between_deg, unit_vector
from edge.nets.bundle import Bundle
from edge.runtime.pipeline import build_pipeline, build_system
from edge.scoring.annotations import LABEL_FRAME_S, Label
from edge.types import AudioBlock, FloatArray, Spectra, TrackFrames

FOUND_DEG = 20.0  # farthest that a begin may be from the event that it tells
JOIN_LABELS = 5  # label frames of one source with fewer unlabelled ones in between are one event
LATEST_S = 5.0  # after the end of an event, no begin belongs to it any more
BIN_S = 0.2
_LAST_BIN = 15  # which has all longer delays, too

_IMPULSE_S = 12.0  # of the demo scene
_SETTLED_LABELS = 50
_TRIES = 20


@dataclass(frozen=True, slots=True)
class BeginDelays:
    """How long after the onsets of events their begins were told. As text, it is a histogram."""

    events: int  # labelled
    begins: int  # told, those that belong to no event among them
    delays_s: tuple[float, ...]  # of each event that was told, from the begin of its first label frame

    def __str__(self) -> str:
        head = f"begin told of {len(self.delays_s)} of {self.events} events, {self.begins} begins"
        if not self.delays_s:
            return head
        delays_s = np.array(self.delays_s)
        lines = [
            f"{head}; after the onset: median {np.median(delays_s):.2f} s, 90 % {np.percentile(delays_s, 90):.2f} s",
        ]
        counts = np.bincount(np.minimum((delays_s / BIN_S + 1e-6).astype(int), _LAST_BIN))
        for index, count in enumerate(counts):
            end = "   ..." if index == _LAST_BIN else f"{(index + 1) * BIN_S:6.1f}"
            lines.append(f"{index * BIN_S:6.1f} -{end} s {count:5d} {'#' * round(50 * count / counts.max())}")
        return "\n".join(lines)


def begin_delays(
    truth: Mapping[str, Sequence[Label]], begins: Mapping[str, Sequence[Begin]], class_names: Sequence[str]
) -> BeginDelays:
    """Find the first begin that tells each event: of its class, near its direction, between its onset and some s later.

    Args:
        truth: the labels of each scene, by name; elevations are 0 where the array is flat.
        begins: what was told of each scene, by name.
        class_names: of the class indices of the labels.
    """
    delays_s: list[float] = []
    events = 0
    for name, labels in truth.items():
        left = sorted(begins[name], key=lambda begin: begin.told_s)
        for event in labelled_events(labels):
            events += 1
            found = next((begin for begin in left if _tells(begin, event, class_names)), None)
            if found is not None:
                left.remove(found)
                delays_s.append(found.told_s - event[0].frame * LABEL_FRAME_S)
    return BeginDelays(events, sum(map(len, begins.values())), tuple(delays_s))


def labelled_events(labels: Sequence[Label]) -> Iterator[list[Label]]:
    """The labels of each event, in the order of onsets: those of one class and track without a long gap."""
    events: list[list[Label]] = []
    by_source = sorted(labels, key=lambda label: (label.class_index, label.track, label.frame))
    for _, group in groupby(by_source, key=lambda label: (label.class_index, label.track)):
        last = -JOIN_LABELS - 1
        for label in group:
            if label.frame - last > JOIN_LABELS:
                events.append([])
            events[-1].append(label)
            last = label.frame
    yield from sorted(events, key=lambda event: event[0].frame)


def _tells(begin: Begin, event: Sequence[Label], class_names: Sequence[str]) -> bool:
    """Whether a begin is told of an event: of its class, in time, and near one of its directions."""
    onset_s, end_s = event[0].frame * LABEL_FRAME_S, (event[-1].frame + 1) * LABEL_FRAME_S
    if begin.event.name != class_names[event[0].class_index] or not onset_s < begin.told_s <= end_s + LATEST_S:
        return False
    places = unit_vector([label.azimuth_deg for label in event], [label.elevation_deg for label in event])
    toward = unit_vector(begin.event.azimuth_deg, begin.event.elevation_deg or 0.0)
    return bool(angle_between_deg(places, toward).min() <= FOUND_DEG)


@dataclass(frozen=True, slots=True)
class ImpulseDelay:
    """How late an impulse is answered. As text, it is a line."""

    waited_s: float  # from the impulse to the answer about its label frame
    stated_s: float  # `latency_s` of the pipeline
    ahead_s: float  # how long before the impulse the first answer is about that differs because of it

    def __str__(self) -> str:
        return (
            f"an impulse is answered {self.waited_s:.2f} s later (stated: within {self.stated_s:.2f} s), "
            f"and changes answers about {self.ahead_s:.1f} s before it"
        )


def impulse_delay(bundle: Bundle) -> ImpulseDelay:
    """Measure the delay of the answers to the demo scene in FOA, with an impulse where an answer takes longest.

    Raises:
        ValueError: no answer differs from that without the impulse.
    """
    rate_hz, array = bundle.manifest.stft.sample_rate_hz, load_array("foa")
    with open_source("demo", array.channels, rate_hz) as source:
        samples = np.concatenate([block.samples for block in source])[: round(_IMPULSE_S * rate_hz)]
    stated_s, usual = _answers(bundle, samples)
    waits_s = {label: told_s - label * LABEL_FRAME_S for label, (told_s, _) in usual.items()}
    until = max(usual) - round(stated_s / LABEL_FRAME_S) - 1  # later ones are answered early, as the stream ends
    settled = [label for label in waits_s if _SETTLED_LABELS <= label < until]
    longest_s = max(waits_s[label] for label in settled)
    slowest = [label for label in settled if waits_s[label] > longest_s - 1e-6]
    for label in slowest[:: max(1, len(slowest) // _TRIES)]:  # where nothing is found either way, it says nothing
        struck = samples.copy()
        struck[round(label * LABEL_FRAME_S * rate_hz)] += np.float32(0.5)
        _, changed = _answers(bundle, struck)
        differing = [each for each in usual if not np.array_equal(usual[each][1], changed[each][1])]
        if label in differing:
            told_s, _ = changed[label]
            return ImpulseDelay(told_s - label * LABEL_FRAME_S, stated_s, (label - min(differing)) * LABEL_FRAME_S)
    raise ValueError(f"{bundle.manifest.name}: got the same answer with and without an impulse, wanted another one")


class _Answers:
    """An observer of the pipeline that keeps each answer with what was heard by then."""

    def __init__(self) -> None:
        self.heard_s = 0.0
        self.of_label: dict[int, tuple[float, FloatArray]] = {}

    def answered(self, tracks: TrackFrames) -> None:
        answers = np.concatenate([tracks.direction, tracks.activity], axis=-1)  # (labels, slots, 3 + classes)
        for index, answer in enumerate(answers):
            self.of_label[tracks.start + index] = self.heard_s, answer

    def stepped(self, spectra: Spectra, spent_ms: float) -> None:
        """Steps are of no interest."""


def _answers(bundle: Bundle, samples: FloatArray) -> tuple[float, dict[int, tuple[float, FloatArray]]]:
    """The latency that the pipeline states, and when each label frame was answered, and how."""
    rate_hz = bundle.manifest.stft.sample_rate_hz
    pipeline = build_pipeline(bundle, load_array("foa"), build_system(bundle))
    pipeline.observer = answers = _Answers()
    block = round(LABEL_FRAME_S * rate_hz / 10)
    for start in range(0, len(samples), block):
        answers.heard_s = min(start + block, len(samples)) / rate_hz
        list(pipeline.push(AudioBlock(samples[start : start + block], start)))
    list(pipeline.finish())
    return pipeline.latency_s, answers.of_label

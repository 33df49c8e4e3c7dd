"""Spectra, tracks, items and samples of a running loop -> messages to the page.

While no page is open, events alone are passed on, so that the next page has a list of them.
"""

from __future__ import annotations

import base64
import json
import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from edge.events.records import When, event_record
from edge.frontend.mel import FilterBank, mel_filters
from edge.frontend.quantities import decibel, power
from edge.frontend.stft import StftSettings
from edge.page.health import StepTimes, step_times
from edge.types import AudioBlock, Event, EventUpdate, FloatArray, Item, LiveFrame, Spectra, TrackFrames

BANDS = 64
FLOOR_DB, TOP_DB = -90.0, 0.0  # of the spectrogram: 0 and 255
TOP_CLASSES = 6
LABELS = 2  # label frames of a message
KEPT_STEPS = 600  # a minute, for the times of steps


class Pages(Protocol):
    """The way to the open pages."""

    @property
    def pages(self) -> int:
        """Number of open pages."""

    def send(self, kind: str, data: bytes) -> None:
        """Send a message: its kind, and JSON without a line feed. It never waits."""


class Feed:
    """What the loop tells the page. An observer of the pipeline, a sink, and a tap."""

    def __init__(self, stft: StftSettings, when: When | None, to: Pages) -> None:
        """Begin with nothing heard.

        Args:
            stft: transform of the spectra.
            when: gives the time of day for seconds of a live source; None for a file.
            to: takes the messages.
        """
        self._when, self._to = when, to
        self._label_s, self._frames_per_label = stft.label_s, stft.frames_per_label
        self._mel = FilterBank(mel_filters(stft.sample_rate_hz, stft.nfft, BANDS))
        self._heard_s = 0.0  # end of the last label frame
        self._samples: FloatArray | None = None
        self._power: FloatArray | None = None  # (1, 1, bins), summed over the frames since the last message
        self._frames = 0  # how many these were
        self._answer: TrackFrames | None = None
        self._places: list[tuple[int, float, int, int | None]] = []  # id, time, azimuth and elevation of live events
        self._live: set[int] = set()  # ids of events that are not finished
        self._spent_ms: deque[float] = deque(maxlen=KEPT_STEPS)

    def hear(self, block: AudioBlock) -> None:
        """Keep a block on its way to the loop, for the level of each channel."""
        if self._to.pages and len(block.samples):
            self._samples = block.samples

    def answered(self, tracks: TrackFrames) -> None:
        """Keep an answer for the next message."""
        if self._to.pages and len(tracks.activity):
            self._answer = tracks

    def stepped(self, spectra: Spectra, spent_ms: float) -> None:
        """Note what a step has heard, and send it with every second step: that halves what an open page costs."""
        label = spectra.start // self._frames_per_label + 1
        self._heard_s = label * self._label_s
        if not self._to.pages:
            self._power, self._answer, self._places = None, None, []
            return
        self._spent_ms.append(spent_ms)
        heard = power(spectra.bins[:, :1]).sum(axis=0, keepdims=True)
        self._power = heard if self._power is None else self._power + heard
        self._frames += len(spectra.bins)
        if label % LABELS == 0:
            self._send_step()

    def _send_step(self) -> None:
        message: dict[str, Any] = {"t": _rounded(self._heard_s)}
        if self._power is not None:
            message["mel"] = _coded(decibel(self._mel(self._power)[0, 0] / np.float32(self._frames)))
            self._power, self._frames = None, 0
        if self._samples is not None:
            squares = np.einsum("ij,ij->j", self._samples, self._samples) / np.float32(len(self._samples))
            message["levels"] = [round(level, 1) for level in decibel(squares).tolist()]
            self._samples = None
        if self._answer is not None:
            message["answer"], self._answer = _answer(self._answer, self._label_s), None
        if self._places:
            message["places"], self._places = self._places, []
        self._to.send("step", json.dumps(message).encode())

    def emit(self, item: Item) -> None:
        """Send an event that begins, moves or has ended; note for the next message where each one is."""
        if isinstance(item, LiveFrame) and self._to.pages:
            for event in item.sources:
                elevation = None if event.elevation_deg is None else round(event.elevation_deg)
                self._places.append((event.id, _rounded(item.end_s), round(event.azimuth_deg), elevation))
        elif isinstance(item, Event | EventUpdate):
            self._send_event(item)

    def _send_event(self, item: Event | EventUpdate) -> None:
        if isinstance(item, EventUpdate) and item.phase != "discarded":
            self._live.add(item.event.id)
        else:
            self._live.discard((item.event if isinstance(item, EventUpdate) else item).id)
        record = event_record(item, self._when) | {"told_s": _rounded(self._heard_s)}
        self._to.send("event", json.dumps(record).encode())

    def close(self) -> None:
        """Nothing to release."""

    def times(self, budget_ms: float) -> StepTimes | None:
        """Return the times of the last steps that pages have seen. Any thread may ask."""
        return step_times(list(self._spent_ms), budget_ms)

    def health(self, record: Mapping[str, Any]) -> None:
        """Send the health of the run, and which events are not finished. Any thread may."""
        self._to.send("health", json.dumps({**record, "live": sorted(self._live.copy())}).encode())


def _coded(levels_db: FloatArray) -> str:
    """Levels (bands,) -> base64 of a byte each, from FLOOR_DB to TOP_DB."""
    scaled = (levels_db - FLOOR_DB) * np.float32(255.0 / (TOP_DB - FLOOR_DB))
    return base64.b64encode(scaled.clip(0.0, 255.0).astype(np.uint8).tobytes()).decode()


def _answer(tracks: TrackFrames, label_s: float) -> dict[str, Any]:
    """The last label frame of an answer: its most likely classes, and the direction and class of each slot.

    Lists instead of arrays: so few numbers are faster that way.
    """
    activity, direction = tracks.activity[-1].tolist(), tracks.direction[-1].tolist()
    classes = sorted(((round(100 * max(each)), index) for index, each in enumerate(zip(*activity, strict=True))))
    sources = [
        [*_degrees(*vector), row.index(max(row)), round(max(row), 2)]
        for row, vector in zip(activity, direction, strict=True)
        if any(vector)
    ]
    return {
        "at": _rounded((tracks.start + len(tracks.activity)) * label_s),
        "classes": [[index, percent] for percent, index in classes[: -TOP_CLASSES - 1 : -1] if percent],
        "sources": sources,
    }


def _degrees(x: float, y: float, z: float) -> tuple[int, int]:
    return round(math.degrees(math.atan2(y, x))), round(math.degrees(math.atan2(z, math.hypot(x, y))))


def _rounded(seconds: float) -> float:
    return round(float(seconds), 3)

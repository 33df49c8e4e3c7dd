"""Spectra, tracks, items and samples of a running loop -> messages to the page.

While no page is open, events alone are passed on, so that the next page has a list of them.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from edge.events.records import When, event_record
from edge.frontend.mel import FilterBank, mel_filters
from edge.frontend.quantities import decibel, power
from edge.frontend.stft import StftSettings
from edge.geometry import azimuth_elevation_deg
from edge.page.health import StepTimes, step_times
from edge.types import AudioBlock, EventUpdate, FloatArray, FrameRow, Item, Spectra, TrackFrames

BANDS = 64
FLOOR_DB, TOP_DB = -90.0, 0.0  # of the spectrogram: 0 and 255
TOP_CLASSES = 6
LEAST_PERCENT = 1
KEPT_STEPS = 600  # a minute, for the times of steps


class Pages(Protocol):
    """The way to the open pages."""

    @property
    def pages(self) -> int:
        """Number of open pages."""

    def send(self, kind: str, data: bytes) -> None:
        """Send a message: its kind, and JSON without a line feed. It never waits."""


class Feed:
    """What the loop tells the page. An observer of the pipeline, a sink, and a tap on the blocks of the source."""

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
        self._levels: FloatArray | None = None
        self._answer: dict[str, Any] = {}
        self._rows: list[list[float]] = []
        self._live: set[int] = set()  # ids of events that are not finished
        self._spent_ms: deque[float] = deque(maxlen=KEPT_STEPS)

    def tapped(self, blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
        """Yield the same blocks, and note the level of each channel."""
        for block in blocks:
            if self._to.pages and len(block.samples):
                self._levels = np.einsum("ij,ij->j", block.samples, block.samples) / np.float32(len(block.samples))
            yield block

    def answered(self, tracks: TrackFrames) -> None:
        """Note the classes and directions of an answer: those of its last label frame."""
        if not self._to.pages or not len(tracks.activity):
            return
        activity, direction = tracks.activity[-1], tracks.direction[-1]
        percent = np.rint(100.0 * activity.max(axis=0)).astype(int)
        best = np.argsort(-percent)[:TOP_CLASSES]
        self._answer = {
            "at": _rounded((tracks.start + len(tracks.activity)) * self._label_s),
            "classes": [[int(index), int(percent[index])] for index in best if percent[index] >= LEAST_PERCENT],
            "sources": [
                [*_degrees(direction[slot]), int(activity[slot].argmax()), round(float(activity[slot].max()), 2)]
                for slot in np.flatnonzero(direction.any(axis=-1))
            ],
        }

    def stepped(self, spectra: Spectra, spent_ms: float) -> None:
        """Send what a step has heard and how long it took."""
        self._heard_s = (spectra.start + self._frames_per_label) // self._frames_per_label * self._label_s
        if not self._to.pages:
            return
        self._spent_ms.append(spent_ms)
        bands = self._mel(power(spectra.bins[:, :1]).mean(axis=0, keepdims=True))[0, 0]
        message = {"t": _rounded(self._heard_s), "mel": _coded(decibel(bands)), "ms": round(spent_ms, 2)}
        if self._levels is not None:
            message["levels"] = [round(float(level), 1) for level in decibel(self._levels)]
        if self._answer:
            message["answer"], self._answer = self._answer, {}
        if self._rows:
            message["rows"], self._rows = self._rows, []
        self._to.send("step", json.dumps(message).encode())

    def emit(self, item: Item) -> None:
        """Send an event that begins, moves or has ended; note a row for the next step."""
        if isinstance(item, FrameRow):
            if self._to.pages:
                at_s = _rounded(item.frame * self._label_s)
                self._rows.append([item.track, at_s, item.azimuth_deg, item.elevation_deg])
            return
        record = event_record(item, self._when) | {"told_s": _rounded(self._heard_s)}
        if isinstance(item, EventUpdate) and item.phase != "discarded":
            self._live.add(item.event.id)
        else:
            self._live.discard(record["id"])
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


def _degrees(direction: FloatArray) -> tuple[int, int]:
    azimuth, elevation = azimuth_elevation_deg(direction)
    return round(float(azimuth)), round(float(elevation))


def _rounded(seconds: float) -> float:
    return round(float(seconds), 3)

"""Records that stages pass to each other: eight frozen dataclasses.

Indices are integers and absolute (counted from the start of the stream); seconds and degrees exist only in `Event`.
Azimuth runs counter-clockwise from the front (x axis), y is left, z is up. FOA channels are ACN/SN3D: W, Y, Z, X.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
ComplexArray = NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """A run of samples from one source."""

    samples: FloatArray  # (n, channels), full scale = 1
    start: int  # absolute index of the first sample
    lost: int = 0  # samples missing between the previous block and this one


@dataclass(frozen=True, slots=True)
class Spectra:
    """A group of short-time spectra, always one label frame long."""

    bins: ComplexArray  # (frames, channels, bins)
    start: int  # absolute index of the first STFT frame


@dataclass(frozen=True, slots=True)
class FeatureFrames:
    """Real-valued maps computed from one group of spectra."""

    maps: FloatArray  # (frames, bands, maps)
    start: int  # absolute index of the first STFT frame


@dataclass(frozen=True, slots=True)
class TrackFrames:
    """Answer of a system about a run of label frames. Slots are a set: their order carries no identity over time."""

    activity: FloatArray  # (labels, slots, classes), probability of each class; all zero where a slot is empty
    direction: FloatArray  # (labels, slots, 3), unit vectors; zero where a slot is empty
    start: int  # absolute index of the first label frame
    distance_m: FloatArray | None = None  # (labels, slots), of no meaning where a slot is empty; None: not told


@dataclass(frozen=True, slots=True)
class Event:
    """One sound event: finished, or as it is known so far inside an `EventUpdate`."""

    name: str
    onset_s: float
    offset_s: float
    azimuth_deg: float
    elevation_deg: float | None  # None where the array is flat, as above and below sound alike to it
    score: float  # mean class probability over the event, 0..1; without a class, the share that has a direction
    id: int = 0  # number in its stream: the same in updates, event, rows and live frames
    sector: str | None = None  # part of the room in which its direction lies
    level_db: float | None = None  # A-weighted level; of events without a class, see `edge/events/unknown.py`
    distance_m: float | None = None  # mean distance; None where the model does not tell it


Phase = Literal["begin", "update", "discarded"]
"""What an `EventUpdate` tells. The end of an event is the `Event` itself."""


@dataclass(frozen=True, slots=True)
class EventUpdate:
    """An event that is not finished: it begins, has moved, or is discarded.

    Every event is told once as `begin`, any number of times as `update`, and then once as an `Event`, or, where it
    turned out to be too short, as `discarded`; all with the same `event.id`.
    """

    phase: Phase
    event: Event  # offset and score so far; direction and distance at this moment rather than the mean


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One event in one label frame, as DCASE writes it."""

    frame: int  # label frame of 100 ms, from the start of the stream
    class_index: int
    track: int  # `Event.id`, which distinguishes simultaneous events of one class
    azimuth_deg: int
    elevation_deg: int  # 0 where the array is flat: the csv cannot express an unknown value
    distance_cm: int | None = None  # None where the model does not tell it


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """What sounds in one label frame, as far as it is known when the frame is answered: see `EventUpdate`."""

    frame: int  # label frame from the start of the stream
    end_s: float
    sources: tuple[Event, ...]  # events that have begun; direction and score are those of now


Item = Event | EventUpdate | FrameRow | LiveFrame
"""What comes out of the loop, and what sinks take."""

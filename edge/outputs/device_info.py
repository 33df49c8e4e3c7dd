"""What receivers of events may want to know about the sending device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.runtime.pause import Pause


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """The model and the array of a run, and a way to ask for its health."""

    model: str = ""  # name of the bundle
    array: str = ""  # name of the array profile
    class_names: tuple[str, ...] = ()  # in the order of `FrameRow.class_index`
    health: Callable[[], Mapping[str, object]] | None = None  # current counts of the run; called from other threads
    sectors: tuple[str, ...] = ()  # names of the parts of the room that are heard
    pause: Pause | None = None  # pauses the run; None where it cannot be
    # gives the sound level in dB, None where it is not known; called from other threads. None where it is not measured
    sound_level_db: Callable[[], float | None] | None = None

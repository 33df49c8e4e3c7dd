"""Audio and events -> a clip of each event: a beam toward its direction, as a file.

The last seconds of the audio stay in memory, as references to the blocks of the loop: nothing is copied there. An event
is cut out of them when the sound after it has been heard, and a worker thread makes its beam and writes the file. So
memory is bounded by the ring, and by WAITING clips that wait for the disk.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.arrays.profile import ArrayProfile
from edge.events.records import When
from edge.files import is_temporary
from edge.frontend.beam_stream import Listener
from edge.geometry import unit_vector
from edge.outputs.clip_folder import ClipFolder
from edge.outputs.clip_settings import ClipSettings
from edge.outputs.line_file import SinkError
from edge.outputs.worker import Worker
from edge.types import AudioBlock, Event, FloatArray, FrameRow, Item

WAITING = 4  # clips that may wait for the disk; more are dropped
EVENTS_WAITING = 64  # events that may wait for the sound after them; more are dropped
LABEL_S = 0.1
_MARGIN_S = 2.0  # of the ring, for steps that are late
_INTERVAL_S = 5.0  # longest time between two turns of the worker

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeardBy:
    """What a run knows about the audio that it listens to."""

    array: ArrayProfile
    sample_rate_hz: int  # of the blocks
    class_names: tuple[str, ...]
    delay_s: float  # longest time from a sound to the rows of its label frame
    # (3, 3) from directions of the array to those of events; None where they are equal
    rotation: NDArray[np.float64] | None = None

    def direction(self, event: Event) -> NDArray[np.float64]:
        """Unit vector toward an event, as the array has it; at elevation 0 where that is not known."""
        direction = unit_vector(event.azimuth_deg, event.elevation_deg or 0.0)
        return direction if self.rotation is None else direction @ self.rotation


class _Cut(NamedTuple):
    """An event whose sound is to be cut out."""

    event: Event
    taken: datetime  # time of the onset
    start: int  # samples
    end: int
    ready: int  # end of the audio from which on it can be cut out


class _Clip(NamedTuple):
    """An event and the blocks that have its sound."""

    cut: _Cut
    blocks: tuple[AudioBlock, ...]


class Clips:
    """A sink of events and a tap on the audio. Both belong to the thread of the loop.

    They never wait for the disk in a live run. A run of a file, which nothing drives, waits for each clip.

    Attributes:
        dropped: number of clips that could not be kept: the disk has too little room, fails or is too slow.
    """

    def __init__(
        self,
        settings: ClipSettings,
        heard_by: HeardBy,
        when: When | None,
        kept: Callable[[Event, str], None] | None = None,
    ) -> None:
        """Open the folder.

        Args:
            settings: which clips are kept; `folder` is given.
            heard_by: the array and the stream.
            when: gives the time of day for seconds of a live source; None for a file.
            kept: is told each event whose clip was written, and the name of the file. Called by another thread.

        Raises:
            ValueError: the settings name a class that the model does not know.
            SinkError: the folder cannot be made. If the disk is full or read-only, clips are dropped until it is not.
        """
        self.dropped = 0
        self._settings, self._heard_by, self._when, self._kept = settings, heard_by, when, kept
        unknown = sorted(set(settings.classes) - set(heard_by.class_names))
        if unknown:
            raise ValueError(f"clips: classes: got {unknown[0]!r}, wanted one of {', '.join(heard_by.class_names)}")
        self._private = {
            number
            for number, name in enumerate(heard_by.class_names)
            if settings.private(name) and not settings.with_speech
        }
        self._ring_samples = self._samples(ring_s(settings, heard_by.delay_s))
        self._blocks: deque[AudioBlock] = deque()
        self._end = 0  # of the audio that was heard
        self._cuts: deque[_Cut] = deque()
        self._speech: deque[int] = deque(maxlen=math.ceil(ring_s(settings, heard_by.delay_s) / LABEL_S) * 8)  # frames
        self._clips: deque[_Clip] = deque()
        self._folder: ClipFolder | None = None
        self._listener: Listener | None = None
        self._problem = ""
        self._closed = False
        try:
            self._opened()
        except OSError as error:
            if when is None or not is_temporary(error):
                raise SinkError(f"clips: {settings.folder}: {error.strerror}") from error
            self._say(error.strerror or str(error))
        self._worker = Worker("clips", self._work, _INTERVAL_S) if when is not None else None

    @property
    def alive(self) -> bool:
        """Whether clips are still being written, or wait for the disk."""
        return self._worker is None or self._worker.alive

    def hear(self, block: AudioBlock) -> None:
        """Keep a block in the ring, and cut out the events that were complete before it.

        What the loop found in the block before has been told by now, so speech in it is known.
        """
        if not len(block.samples):
            return
        while self._cuts and self._cuts[0].ready <= self._end:
            self._cut_out(self._cuts.popleft())
        self._blocks.append(block)
        self._end = block.start + len(block.samples)
        while self._blocks[0].start + len(self._blocks[0].samples) <= self._end - self._ring_samples:
            self._blocks.popleft()

    def emit(self, item: Item) -> None:
        """Note an event whose clip is wanted, or a label frame in which somebody speaks."""
        if isinstance(item, FrameRow):
            if item.class_index in self._private:
                self._speech.append(item.frame)
        elif isinstance(item, Event) and self._settings.kept(item.name):
            settings = self._settings
            taken = datetime.now(UTC) if self._when is None else self._when(item.onset_s)
            start_s = max(item.onset_s - settings.pre_s, item.offset_s - settings.longest_s, 0.0)
            end = self._samples(item.offset_s + settings.post_s)
            ready = end + (self._samples(self._heard_by.delay_s) if self._private else 0)  # speech is known by then
            if len(self._cuts) == EVENTS_WAITING:
                self.dropped += 1
            else:
                self._cuts.append(_Cut(item, taken, self._samples(start_s), end, ready))

    def close(self) -> None:
        """Write the clips that wait. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._worker is not None and not self._worker.close():
            log.error("clips: the disk does not answer; the last ones may be lost")
            return
        while self._cuts or self._clips:
            if self._cuts:
                self._cut_out(self._cuts.popleft())
            self._work()

    def _cut_out(self, cut: _Cut) -> None:
        """Hand the sound of an event to the worker, unless somebody speaks in it."""
        first, end = cut.start / self._heard_by.sample_rate_hz, cut.end / self._heard_by.sample_rate_hz
        if any(first < (frame + 1) * LABEL_S and frame * LABEL_S < end for frame in self._speech):
            return
        blocks = tuple(
            block for block in self._blocks if block.start < cut.end and cut.start < block.start + len(block.samples)
        )
        if not blocks:
            return
        if len(self._clips) >= WAITING:
            self.dropped += 1
            self._say("the disk is too slow")
            return
        self._clips.append(_Clip(cut, blocks))
        if self._worker is None:
            self._work()
        else:
            self._worker.wake()

    def _work(self) -> None:
        """Write the clips that wait. One that fails is dropped."""
        while self._clips:
            clip = self._clips[0]
            try:
                name = self._written(clip)
            except OSError as error:
                self.dropped += 1
                self._folder = None  # it may have been removed
                self._say(error.strerror or str(error))
            else:
                if name is not None and self._kept is not None:
                    self._kept(clip.cut.event, name)
            finally:
                self._clips.popleft()

    def _written(self, clip: _Clip) -> str | None:
        """Write a clip; returns the name of its file, None if the disk has too little room."""
        folder, event = self._opened(), clip.cut.event
        if not folder.has_room():
            self.dropped += 1
            self._say(f"less than {self._settings.reserve_mb:g} MB are free on the disk")
            return None
        if self._listener is None:
            self._listener = Listener(self._heard_by.array, self._heard_by.sample_rate_hz)
        samples = _joined(clip.blocks, clip.cut.start, clip.cut.end)
        beam = self._listener.heard(samples, self._heard_by.direction(event))
        channels = samples if self._settings.channels else None
        rate_hz = self._heard_by.sample_rate_hz
        name = folder.write(event, clip.cut.taken, beam, channels, rate_hz)
        if self._problem:
            log.warning("clips: can be written again, %d dropped so far", self.dropped)
            self._problem = ""
        return name

    def _opened(self) -> ClipFolder:
        if self._folder is None:
            path = Path(self._settings.folder or ".")
            self._folder = ClipFolder(path, self._settings, self._heard_by.class_names)
        return self._folder

    def _say(self, problem: str) -> None:
        """Log the first of several failures for one cause; `_written` logs the recovery."""
        if problem != self._problem:
            log.warning("clips: %s: %s: clips are dropped", self._settings.folder, problem)
        self._problem = problem

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._heard_by.sample_rate_hz)


def ring_s(settings: ClipSettings, delay_s: float) -> float:
    """Return how much audio stays in memory: a longest clip, and the time until it is known what is in it."""
    return settings.pre_s + settings.longest_s + settings.post_s + delay_s + _MARGIN_S


def _joined(blocks: tuple[AudioBlock, ...], start: int, end: int) -> FloatArray:
    """The samples from `start` to `end`, as far as the blocks reach; zeros where some were lost."""
    first = max(start, blocks[0].start)
    last = min(end, blocks[-1].start + len(blocks[-1].samples))
    samples = np.zeros((last - first, blocks[0].samples.shape[1]), np.float32)
    for block in blocks:
        begin, finish = max(first, block.start), min(last, block.start + len(block.samples))
        samples[begin - first : finish - first] = block.samples[begin - block.start : finish - block.start]
    return samples

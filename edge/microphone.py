"""A microphone array, by way of PyAudio -> AudioBlock at the device's own rate; and the list of input devices.

PortAudio's thread puts buffers into a bounded `CaptureQueue`, the loop takes them out. What the loop was too slow for,
and what the device lost, is counted and told with the next block, so that sample indices stay absolute. A dead device
shows no error, its callbacks just stop (PortAudio #1037): progress against a deadline is the only judge.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.types import AudioBlock

BUFFER_S = 0.1  # PyAudio cannot set the latency and overflows after a stall of about 1.5 buffers
QUEUE_S = 2.0
DEADLINE_S = 3.0
RATES_HZ = (16000, 24000, 44100, 48000)

_FLOAT_BYTES = 4
_CLOSE_S = 2.0
_ORIGINS = 50  # few enough that the drift between the two clocks does not matter

logger = logging.getLogger(__name__)


class SourceError(OSError):
    """A source of audio failed while it was open."""


@dataclass(frozen=True, slots=True)
class Device:
    """An input device as `seld-edge devices` shows it."""

    index: int
    name: str
    channels: int
    default_rate_hz: int
    rates_hz: tuple[int, ...]  # those of RATES_HZ that work


class CaptureQueue:
    """Bounded hand-over of float32 buffers from a capture thread (`put`) to the loop (`take`, `blocks`)."""

    def __init__(
        self,
        name: str,
        channels: int,
        sample_rate_hz: int,
        max_buffers: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._channels, self._sample_rate_hz, self._clock = name, channels, sample_rate_hz, clock
        self._queue: queue.Queue[tuple[bytes, int, float]] = queue.Queue(max_buffers)
        self._missing = 0  # samples lost since the last buffer that was queued
        self._captured = 0  # samples since the start, the lost ones too
        self._origins_s: deque[float] = deque(maxlen=_ORIGINS)  # time of sample 0, as each of the last buffers tells it
        self._taken = 0  # samples that were taken, and the lost ones before them
        self._recorded_s = 0.0  # when the buffer that was taken last had been recorded

    @property
    def waiting(self) -> int:
        """Buffers that are there to be taken."""
        return self._queue.qsize()

    def put(self, raw: bytes, overflowed: bool = False, at_s: float | None = None) -> None:
        """Queue one buffer of interleaved float32 samples. Never blocks: if the queue is full, the buffer is lost.

        overflowed: the device lost samples before this buffer. How many it does not say: they are counted by the clock,
        from the buffer among the last few seconds' that came with the least delay. at_s: when it was recorded, by the
        clock; now by default.
        """
        samples = len(raw) // (_FLOAT_BYTES * self._channels)
        if samples == 0:
            return
        now_s = self._clock() if at_s is None else at_s
        if overflowed and self._origins_s:
            due = round((now_s - min(self._origins_s)) * self._sample_rate_hz)
            lost = max(1, due - samples - self._captured)
            self._missing += lost
            self._captured += lost
        self._captured += samples
        self._origins_s.append(now_s - self._captured / self._sample_rate_hz)
        try:
            self._queue.put_nowait((raw, self._missing, now_s))
        except queue.Full:
            self._missing += samples
        else:
            self._missing = 0

    def blocks(self, deadline_s: float = DEADLINE_S) -> Iterator[AudioBlock]:
        """Yield the buffers in order, without end. Raises SourceError if none came for `deadline_s` seconds."""
        while True:
            yield self.take(deadline_s)

    def take(self, deadline_s: float = DEADLINE_S) -> AudioBlock:
        """The next buffer, as soon as there is one. Raises SourceError if none comes for `deadline_s` seconds."""
        try:
            raw, lost, self._recorded_s = self._queue.get(timeout=deadline_s)
        except queue.Empty:
            message = f"microphone {self._name!r} stopped delivering: no samples for {deadline_s:g} s"
            raise SourceError(message) from None
        return self._block(raw, lost)

    def rest(self) -> Iterator[AudioBlock]:
        """After the last `put`: the buffers that wait, then an empty block if more was lost after them."""
        while self.waiting:
            yield self.take()
        if self._missing:
            lost, self._missing = self._missing, 0
            yield self._block(b"", lost)

    def age_s(self) -> float:
        """Time since the buffer that was taken last had been recorded."""
        return self._clock() - self._recorded_s

    def _block(self, raw: bytes, lost: int) -> AudioBlock:
        samples = np.frombuffer(raw, np.float32).reshape(-1, self._channels)
        start = self._taken + lost
        self._taken = start + len(samples)
        return AudioBlock(samples, start, lost)


class Microphone:
    """An open PyAudio input stream. `name` and `sample_rate_hz` say what was opened."""

    def __init__(self, device: str | int | None, channels: int, sample_rate_hz: int) -> None:
        """Open `device` (index, name, part of a name, or None for the default), at `sample_rate_hz` if it can.

        Raises ValueError if PyAudio is missing, there is no such device, or it has too few channels or no known rate;
        SourceError if it cannot be opened.
        """
        pyaudio = _load_pyaudio()
        self.name = "default" if device is None else str(device)
        self._audio = pyaudio.PyAudio()
        self._stream: Any = None
        try:
            info = _choose(self._audio, device)
            self.name = str(info["name"])
            if (present := info["maxInputChannels"]) < channels:
                raise ValueError(f"microphone {self.name!r}: got {present} channels, wanted {channels}")
            self.sample_rate_hz = _choose_rate(pyaudio, self._audio, info, channels, sample_rate_hz)
            self._queue = CaptureQueue(self.name, channels, self.sample_rate_hz, round(QUEUE_S / BUFFER_S))

            def callback(raw: bytes, _frames: int, _time: object, status: int) -> tuple[None, int]:
                self._queue.put(raw, bool(status & pyaudio.paInputOverflow))
                return None, pyaudio.paContinue

            self._stream = self._audio.open(
                rate=self.sample_rate_hz,
                channels=channels,
                format=pyaudio.paFloat32,
                input=True,
                input_device_index=info["index"],
                frames_per_buffer=round(BUFFER_S * self.sample_rate_hz),
                stream_callback=callback,
            )
        except OSError as error:
            self.close()
            raise SourceError(f"microphone {self.name!r}: cannot be opened: {error}") from None
        except ValueError:
            self.close()
            raise

    def blocks(self, deadline_s: float = DEADLINE_S) -> Iterator[AudioBlock]:
        """Yield what was captured, (n, channels) at `sample_rate_hz`, as `CaptureQueue.blocks` does."""
        return self._queue.blocks(deadline_s)

    def age_s(self) -> float:
        """Time since the last buffer that came out of `blocks` had been recorded."""
        return self._queue.age_s()

    def close(self) -> None:
        """Release the device. A dead one can hang PortAudio for ever: it is then left behind, with a warning."""
        worker = threading.Thread(target=self._release, name="microphone-close", daemon=True)
        worker.start()
        worker.join(_CLOSE_S)
        if worker.is_alive():
            logger.warning("microphone %r does not close: left to the end of the process", self.name)

    def _release(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
        self._audio.terminate()


def list_devices(channels: int = 4) -> list[Device]:
    """All input devices; rates are tried with `channels` channels, or all of a device that has fewer.

    Raises ValueError if PyAudio is missing.
    """
    pyaudio = _load_pyaudio()
    audio = pyaudio.PyAudio()
    try:
        return [
            Device(
                index=info["index"],
                name=info["name"],
                channels=info["maxInputChannels"],
                default_rate_hz=round(info["defaultSampleRate"]),
                rates_hz=tuple(
                    rate_hz
                    for rate_hz in RATES_HZ
                    if _supports(pyaudio, audio, info, min(channels, info["maxInputChannels"]), rate_hz)
                ),
            )
            for info in _inputs(audio)
        ]
    finally:
        audio.terminate()


def _load_pyaudio() -> Any:
    try:
        import pyaudio
    except ModuleNotFoundError:
        raise ValueError("PyAudio is not installed: pip install 'seld-edge[mic]'") from None
    except ImportError as error:
        raise ValueError(f"PyAudio does not load: {error}") from None
    return pyaudio


def _inputs(audio: Any) -> list[dict[str, Any]]:
    infos = [dict(audio.get_device_info_by_index(index)) for index in range(audio.get_device_count())]
    return [info for info in infos if info["maxInputChannels"] > 0]


def _choose(audio: Any, device: str | int | None) -> dict[str, Any]:
    """The description of the wanted device; a full name goes before a part of one."""
    inputs = _inputs(audio)
    if device is None:
        with contextlib.suppress(OSError):
            return dict(audio.get_default_input_device_info())
        matches = []
    elif str(device).isdecimal():
        matches = [info for info in inputs if info["index"] == int(device)]
    else:
        matches = [info for info in inputs if str(device).lower() in info["name"].lower()]
    if not matches:
        present = ", ".join(f"{i['index']} {i['name']!r} ({i['maxInputChannels']} channels)" for i in inputs)
        asked = "no default device" if device is None else f"no device {str(device)!r}"
        raise ValueError(f"microphone: {asked}, there is: {present or 'none'}")
    return min(matches, key=lambda info: info["name"] != device)


def _choose_rate(pyaudio: Any, audio: Any, info: dict[str, Any], channels: int, wanted_hz: int) -> int:
    rates_hz = (wanted_hz, 48000, 44100, 96000, 16000, round(info["defaultSampleRate"]))
    for rate_hz in rates_hz:
        if _supports(pyaudio, audio, info, channels, rate_hz):
            return rate_hz
    raise ValueError(f"microphone {info['name']!r}: got none of the rates {rates_hz} Hz with {channels} channels")


def _supports(pyaudio: Any, audio: Any, info: dict[str, Any], channels: int, rate_hz: int) -> bool:
    try:
        audio.is_format_supported(
            rate_hz, input_device=info["index"], input_channels=channels, input_format=pyaudio.paFloat32
        )
    except ValueError:
        return False
    return True

"""A microphone array -> AudioBlock at the device's own rate, for ever; and the list of input devices.

A process of its own records (edge/audio/recorder.py) and a thread puts its buffers into a bounded `CaptureQueue`;
the loop takes them out. A dead device shows no error: progress against a deadline is the only judge. Its process is
ended then, whatever it hangs in, and a new one started now and then until the device is back.
"""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.audio.capture_queue import DEADLINE_S, CaptureQueue, SourceError
from edge.audio.recorder import BUFFER_S, HEADER, QUEUE_S, inputs, load_pyaudio, supports
from edge.types import AudioBlock

RETRY_S = 3.0  # between two attempts to open a device that is away
OPEN_S = 10.0  # within which it is opened, or not
RATES_HZ = (16000, 24000, 44100, 48000)
RECORDER = (sys.executable, "-P", "-m", "edge.audio.recorder")

_END_S = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Device:
    """An input device as `seld-edge devices` shows it."""

    index: int
    name: str
    channels: int
    default_rate_hz: int
    rates_hz: tuple[int, ...]  # those of RATES_HZ that work


class Microphone:
    """An open input device. `name` and `sample_rate_hz` say what was opened.

    If it stops, what is missing is told, and it is opened again as soon as it is back.
    """

    def __init__(self, device: str | int | None, channels: int, sample_rate_hz: int) -> None:
        """Open `device` (index, name, part of a name, or None for the default), at `sample_rate_hz` if it can.

        Raises ValueError if PyAudio is missing, there is no such device, or it has too few channels or no known rate;
        SourceError if it cannot be opened.
        """
        wanted = None if device is None else str(device)
        self._recording = _Recording(wanted, channels, sample_rate_hz)
        self.name, self.sample_rate_hz = self._recording.name, self._recording.sample_rate_hz
        self._wanted = self.name if wanted is not None and wanted.isdecimal() else wanted  # indices may change
        self._channels = channels
        self._queue = CaptureQueue(self.name, channels, self.sample_rate_hz, round(QUEUE_S / BUFFER_S))
        self._recording.start(self._queue)

    def blocks(self, deadline_s: float = DEADLINE_S) -> Iterator[AudioBlock]:
        """Yield what is captured, (n, channels) at `sample_rate_hz`, without end, and an empty block where it stops.

        Raises SourceError if the first samples do not come for `deadline_s` seconds. When later ones do not, the gap
        is told at once and the device is waited for.
        """
        yield self._queue.take(deadline_s)
        while True:
            try:
                block = self._queue.take(deadline_s)
            except SourceError as error:
                stopped_s = time.monotonic() - deadline_s
                logger.warning("%s: trying again until it is back", error)
                self._recording.end()
                yield from self._queue.gap()
                block = self._first_block_again(deadline_s)
                logger.warning("microphone %r is back after %.0f s", self.name, time.monotonic() - stopped_s)
            yield block

    def age_s(self) -> float:
        """Time since the last buffer that came out of `blocks` had been recorded."""
        return self._queue.age_s()

    def close(self) -> None:
        """Release the device."""
        self._recording.end()

    def _first_block_again(self, deadline_s: float) -> AudioBlock:
        while True:
            self._recording.end()
            time.sleep(RETRY_S)
            try:
                self._recording = _Recording(self._wanted, self._channels, self.sample_rate_hz)
                if self._recording.sample_rate_hz != self.sample_rate_hz:
                    logger.debug("got %d Hz, wanted %d", self._recording.sample_rate_hz, self.sample_rate_hz)
                    continue
                self._recording.start(self._queue, after_gap=True)
                return self._queue.take(deadline_s)
            except (ValueError, OSError) as error:
                logger.debug("%s", error)


class _Recording:
    """A process that records (edge/audio/recorder.py), and a thread that takes what it says."""

    def __init__(self, device: str | None, channels: int, sample_rate_hz: int) -> None:
        """Raises ValueError or SourceError, and leaves no process behind."""
        asked = [*RECORDER, f"--channels={channels}", f"--rate-hz={sample_rate_hz}"]
        if device is not None:
            asked.append(f"--device={device}")
        self._process = subprocess.Popen(
            asked,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # of PortAudio: 100 lines at every start, millions when a device dies
            env=os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(each).absolute()) for each in sys.path)},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._reader: threading.Thread | None = None
        try:
            self.name, self.sample_rate_hz = self._opened(device)
        except BaseException:  # SIGTERM may come while it is waited for
            self.end()
            raise

    def start(self, capture: CaptureQueue, after_gap: bool = False) -> None:
        """From now on put what is recorded into `capture`. after_gap: something is missing before it."""
        self._reader = threading.Thread(target=self._read, args=(capture, after_gap), name="microphone", daemon=True)
        self._reader.start()

    def end(self) -> None:
        """Nothing is put after this. Doing it again does no harm."""
        self._process.kill()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            logger.warning("process %d, which recorded, cannot be ended", self._process.pid)
        if self._reader is not None:
            self._reader.join(_END_S)
        if self._reader is None or not self._reader.is_alive():
            self._stdin.close()
            self._stdout.close()

    def _opened(self, device: str | None) -> tuple[str, int]:
        name = f"microphone {'default' if device is None else device!r}"
        if not select.select([self._stdout], [], [], OPEN_S)[0]:
            raise SourceError(f"{name}: cannot be opened: no answer for {OPEN_S:g} s")
        try:
            said = json.loads(self._stdout.readline())
        except ValueError:
            raise SourceError(f"{name}: cannot be opened: the process that records has ended") from None
        if "error" in said:
            raise (ValueError if said["refused"] else SourceError)(said["error"])
        return said["name"], said["sample_rate_hz"]

    def _read(self, capture: CaptureQueue, lost: bool) -> None:
        while len(header := self._stdout.read(HEADER.size)) == HEADER.size:
            size, overflowed, at_s = HEADER.unpack(header)
            if len(raw := self._stdout.read(size)) < size:
                return
            capture.put(raw, lost or overflowed, at_s)
            lost = False


def list_devices(channels: int = 4) -> list[Device]:
    """All input devices; rates are tried with `channels` channels, or all of a device that has fewer.

    Raises ValueError if PyAudio is missing.
    """
    pyaudio = load_pyaudio()
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        audio = pyaudio.PyAudio()
        stack.callback(audio.terminate)
        return [
            Device(
                index=info["index"],
                name=info["name"],
                channels=info["maxInputChannels"],
                default_rate_hz=round(info["defaultSampleRate"]),
                rates_hz=tuple(
                    rate_hz
                    for rate_hz in RATES_HZ
                    if supports(pyaudio, audio, info, min(channels, info["maxInputChannels"]), rate_hz)
                ),
            )
            for info in inputs(audio)
        ]


@contextmanager
def _quiet() -> Iterator[None]:
    """What PortAudio and alsa-lib print on stderr meanwhile, 100 lines at every start, goes nowhere."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

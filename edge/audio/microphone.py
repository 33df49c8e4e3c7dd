"""A microphone array -> AudioBlock at the device's own rate, without end; and the list of input devices.

A recorder process (edge/audio/recorder.py) records, a thread puts its buffers into a bounded `CaptureQueue`, and the
loop takes them out. A dead device reports no error, so the only evidence is that samples stop arriving within a
deadline. The recorder is killed then, whatever state it is in, and a new one is started from time to time until the
device is back. Meanwhile blocks without samples are yielded, so that the loop goes on with everything else.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edge.audio.capture_queue import DEADLINE_S, CaptureQueue, SourceError
from edge.audio.live_check import RareLog
from edge.audio.recorder import BUFFER_S, HEADER, QUEUE_S, inputs, load_pyaudio, supports
from edge.files import wait_readable
from edge.stderr import silent_stderr
from edge.types import AudioBlock

RETRY_S = 3.0
"""Time between two attempts to open a device that is away."""

OPEN_S = 10.0
"""Longest time that opening a device may take."""

RATES_HZ = (16000, 24000, 44100, 48000)
"""Rates that `list_devices` tries."""

RECORDER = (sys.executable, "-P", "-m", "edge.audio.recorder")

_END_S = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InputDevice:
    """An input device as `seld-edge devices` shows it."""

    index: int
    name: str
    channels: int
    default_rate_hz: int
    rates_hz: tuple[int, ...]  # those of RATES_HZ that work


class Microphone:
    """An open input device, which is opened again when it comes back after a failure.

    Attributes:
        name: Name of the device, or what it was asked for by as long as it was never there.
        sample_rate_hz: Rate of the block that was yielded last. A device may come back at another one.
    """

    def __init__(self, device: str | int | None, channels: int, sample_rate_hz: int, wait: bool = False) -> None:
        """Open a device and begin to record.

        Args:
            device: Index, name or part of a name; None for the system's default.
            channels: Channels to record.
            sample_rate_hz: Rate that is tried first; a device without it is opened at another one.
            wait: Whether a device that cannot be opened is waited for in `blocks`.

        Raises:
            ValueError: PyAudio is missing, there is no such device, or it has too few channels or no known rate.
            SourceError: The device cannot be opened.
        """
        self._wanted = None if device is None else str(device)
        self._channels, self._first_rate_hz, self._wait = channels, sample_rate_hz, wait
        self.name, self.sample_rate_hz = self._wanted or "default", sample_rate_hz
        self._queue = CaptureQueue(self.name, channels, sample_rate_hz, round(QUEUE_S / BUFFER_S))
        self._recorder: _RecorderProcess | None = None
        self._away = RareLog()
        try:
            self._open(after_gap=False)
        except (ValueError, SourceError) as error:
            if not wait:
                raise
            self._report_away(error)

    def blocks(self, deadline_s: float = DEADLINE_S) -> Iterator[AudioBlock]:
        """Capture without end.

        Args:
            deadline_s: Time without samples after which the device counts as stopped.

        Yields:
            Samples (n, channels) at `sample_rate_hz`. When the device stops, a block without samples reports the loss
            at once. Until the device is back, each attempt to open it yields blocks without samples and without a loss.

        Raises:
            SourceError: The first samples did not arrive within the deadline, and the device is not waited for.
        """
        yield (yield from self._first_block(deadline_s))
        while True:
            try:
                block = self._queue.take(deadline_s)
            except SourceError as error:
                stopped_s = time.monotonic() - deadline_s
                logger.warning("%s: trying again until it is back", error)
                self._away.reset()
                self._away.due()  # it has just been said
                self.close()
                yield from self._queue.gap()
                block = yield from self._until_open(deadline_s, after_gap=True)
                logger.warning("microphone %r is back after %.0f s", self.name, time.monotonic() - stopped_s)
            yield block

    def age_s(self) -> float:
        """Time since the buffer yielded last was recorded."""
        return self._queue.age_s()

    def close(self) -> None:
        """Release the device."""
        if self._recorder is not None:
            self._recorder.end()

    def _open(self, after_gap: bool) -> None:
        """Open the device and begin to record, at the rate of before if the device still has it."""
        recorder = _RecorderProcess(self._wanted, self._channels, self._first_rate_hz)
        if self._recorder is None:
            self.name = recorder.name
            self._wanted = self.name if self._wanted is not None and self._wanted.isdecimal() else self._wanted
            self._queue = CaptureQueue(self.name, self._channels, recorder.sample_rate_hz, round(QUEUE_S / BUFFER_S))
        elif recorder.sample_rate_hz != self.sample_rate_hz:
            logger.warning(
                "microphone %r: got %d Hz, after %d Hz before", self.name, recorder.sample_rate_hz, self.sample_rate_hz
            )
            self._queue = self._queue.at_rate(recorder.sample_rate_hz)
        self._recorder, self.sample_rate_hz = recorder, recorder.sample_rate_hz
        self._first_rate_hz = self.sample_rate_hz
        recorder.start(self._queue, after_gap)

    def _first_block(self, deadline_s: float) -> Generator[AudioBlock, None, AudioBlock]:
        """Take the first block; where the device is waited for, yield blocks without samples until it is there."""
        began_s = time.monotonic()
        if self._recorder is not None:
            try:
                return self._queue.take(deadline_s)
            except SourceError as error:
                if not self._wait:
                    raise
                self._report_away(error)
        block = yield from self._until_open(deadline_s, after_gap=False)
        logger.warning("microphone %r is there after %.0f s", self.name, time.monotonic() - began_s)
        return block

    def _until_open(self, deadline_s: float, after_gap: bool) -> Generator[AudioBlock, None, AudioBlock]:
        """Open the device until it delivers samples, yield blocks without samples until then; return the first block.

        A block is yielded between any two steps that may take seconds, as the watchdog of systemd waits for them.
        """
        while True:
            self.close()
            time.sleep(RETRY_S)
            yield self._queue.waiting_block()
            try:
                self._open(after_gap)
                yield self._queue.waiting_block()
                return self._queue.take(deadline_s)
            except (ValueError, OSError) as error:
                self._report_away(error)

    def _report_away(self, error: Exception) -> None:
        if self._away.due():
            logger.warning("%s: trying again until it is there", error)


class _RecorderProcess:
    """A recorder process (edge/audio/recorder.py) and the thread that reads its output."""

    def __init__(self, device: str | None, channels: int, sample_rate_hz: int) -> None:
        """Start the process and wait until the device is open; arguments as for `Microphone`.

        Raises:
            ValueError: The device cannot be used.
            SourceError: The device cannot be opened. No process is left behind.
        """
        command = [*RECORDER, f"--channels={channels}", f"--rate-hz={sample_rate_hz}"]
        if device is not None:
            command.append(f"--device={device}")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # PortAudio prints 100 lines at every start, millions when a device dies
            env=os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(each).absolute()) for each in sys.path)},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._reader: threading.Thread | None = None
        try:
            self.name, self.sample_rate_hz = self._opened(device)
        except BaseException:  # SIGTERM may arrive during the wait
            self.end()
            raise

    def start(self, capture: CaptureQueue, after_gap: bool = False) -> None:
        """Begin to hand over buffers.

        Args:
            capture: Queue for everything that is recorded from now on.
            after_gap: Whether samples are missing before the first buffer, which then reports a loss.
        """
        self._reader = threading.Thread(target=self._read, args=(capture, after_gap), name="microphone", daemon=True)
        self._reader.start()

    def end(self) -> None:
        """Kill the process; no buffer is put after this. A second call does no harm."""
        self._process.kill()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            logger.warning("recorder process %d cannot be ended", self._process.pid)
        if self._reader is not None:
            self._reader.join(_END_S)
        if self._reader is None or not self._reader.is_alive():
            self._stdin.close()
            self._stdout.close()

    def _opened(self, device: str | None) -> tuple[str, int]:
        """Wait for the first line of the process: name and rate of the device."""
        name = f"microphone {'default' if device is None else device!r}"
        if not wait_readable(self._stdout, OPEN_S):
            raise SourceError(f"{name}: cannot be opened: no answer for {OPEN_S:g} s")
        try:
            answer = json.loads(self._stdout.readline())
        except ValueError:
            raise SourceError(f"{name}: cannot be opened: the recorder process has ended") from None
        if "error" in answer:
            raise (ValueError if answer["refused"] else SourceError)(answer["error"])
        return answer["name"], answer["sample_rate_hz"]

    def _read(self, capture: CaptureQueue, lost: bool) -> None:
        while len(header := self._stdout.read(HEADER.size)) == HEADER.size:
            size, overflowed, at_s = HEADER.unpack(header)
            if len(raw := self._stdout.read(size)) < size:
                return
            capture.put(raw, lost or overflowed, at_s)
            lost = False


def list_devices(channels: int = 4) -> list[InputDevice]:
    """List all input devices.

    Args:
        channels: Channels with which the rates are tried; a device that has fewer is tried with all it has.

    Returns:
        The devices in PortAudio's order.

    Raises:
        ValueError: PyAudio is missing.
    """
    pyaudio = load_pyaudio()
    with ExitStack() as stack:
        stack.enter_context(silent_stderr())
        audio = pyaudio.PyAudio()
        stack.callback(audio.terminate)
        return [
            InputDevice(
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

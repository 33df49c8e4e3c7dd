"""An input device, through PyAudio -> its buffers with their times on stdout: `python -m edge.audio.recorder`.

The recorder is a process of its own because PortAudio does not survive the loss of a device (PortAudio #1037):
callbacks stop without an error, closing hangs, a read spins, stderr is flooded. A failed recorder is killed from
outside and started again; one that spins ends itself sooner.
The first line on stdout is JSON and says what was opened, or why nothing was. After it, HEADER and samples alternate.
The process ends when its stdin does. Nothing here imports numpy: the process has to start quickly, again and again
while a device is away.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

BUFFER_S = 0.1
"""Length of a buffer. PyAudio cannot set the latency and overflows after a stall of about 1.5 buffers."""

QUEUE_S = 2.0
"""Length of the audio that a queue of buffers holds."""

SPINNING_S = 0.5
"""Time without a buffer in which PortAudio, if it uses a processor for half of it, counts as spinning."""

HEADER = struct.Struct("<I?d")
"""What precedes the samples: their bytes, whether samples were lost before them, time.monotonic() of the buffer."""

Put = Callable[[bytes, bool, float], None]
"""Takes interleaved float32 samples, whether the device has overflowed, and the time of the buffer."""


def load_pyaudio() -> Any:
    """Import PyAudio.

    Returns:
        The module.

    Raises:
        ValueError: PyAudio is not installed or does not load.
    """
    try:
        import pyaudio
    except ModuleNotFoundError:
        raise ValueError("PyAudio is not installed: apt install python3-pyaudio, or pip install PyAudio") from None
    except ImportError as error:
        raise ValueError(f"PyAudio does not load: {error}") from None
    return pyaudio


def inputs(audio: Any) -> list[dict[str, Any]]:
    """List PortAudio's descriptions of all devices with input channels."""
    infos = [dict(audio.get_device_info_by_index(index)) for index in range(audio.get_device_count())]
    return [info for info in infos if info["maxInputChannels"] > 0]


def supports(pyaudio: Any, audio: Any, info: dict[str, Any], channels: int, rate_hz: int) -> bool:
    """Say whether a device delivers a number of channels at a rate.

    Args:
        pyaudio: The module.
        audio: An instance of `pyaudio.PyAudio`.
        info: PortAudio's description of the device.
        channels: Channels of float32.
        rate_hz: Sample rate.

    Returns:
        Whether PortAudio accepts the combination.
    """
    try:
        audio.is_format_supported(
            rate_hz, input_device=info["index"], input_channels=channels, input_format=pyaudio.paFloat32
        )
    except ValueError:
        return False
    return True


def start_stream(device: str | None, channels: int, sample_rate_hz: int, put: Put) -> tuple[str, int, Any]:
    """Open a device and begin to record.

    Args:
        device: Index, name or part of a name; None for the system's default.
        channels: Channels to record.
        sample_rate_hz: Rate that is tried first.
        put: Called with every buffer, from a thread of PortAudio.

    Returns:
        Name of the device, its rate in Hz, and an object that has to be kept while `put` is to be called.

    Raises:
        ValueError: PyAudio is missing, there is no such device, or it has too few channels or no known rate.
        OSError: The device cannot be opened.
    """
    pyaudio = load_pyaudio()
    audio = pyaudio.PyAudio()
    info = _choose(audio, device)
    name = str(info["name"])
    if (present := info["maxInputChannels"]) < channels:
        raise ValueError(f"microphone {name!r}: got {present} channels, wanted {channels}")
    rate_hz = _choose_rate(pyaudio, audio, info, channels, sample_rate_hz)

    def callback(raw: bytes, _frames: int, _time: object, status: int) -> tuple[None, int]:
        put(raw, bool(status & pyaudio.paInputOverflow), time.monotonic())
        return None, pyaudio.paContinue

    try:
        stream = audio.open(
            rate=rate_hz,
            channels=channels,
            format=pyaudio.paFloat32,
            input=True,
            input_device_index=info["index"],
            frames_per_buffer=round(BUFFER_S * rate_hz),
            stream_callback=callback,
        )
    except OSError as error:
        raise OSError(f"microphone {name!r}: cannot be opened: {error}") from None
    return name, rate_hz, (audio, stream)


class Backlog:
    """Bounded hand-over from PortAudio's thread (`put`) to the thread that writes (`get`)."""

    def __init__(self, buffers: int) -> None:
        """Create an empty backlog that holds a number of buffers."""
        self._queue: queue.Queue[tuple[bytes, bool, float]] = queue.Queue(buffers)
        self._lost = False
        self.came = 0  # buffers so far, lost ones included

    def put(self, raw: bytes, overflowed: bool, at_s: float) -> None:
        """Queue one buffer. Never blocks: if the queue is full, the buffer is lost, and the next one reports it.

        Args:
            raw: Interleaved float32 samples.
            overflowed: Whether the device lost samples before this buffer or inside it; PortAudio does not say where.
                Such a buffer is dropped, so that every buffer in the queue is without a hole.
            at_s: time.monotonic() at which the buffer arrived.
        """
        self.came += 1
        if overflowed:
            self._lost = True
            return
        try:
            self._queue.put_nowait((raw, self._lost, at_s))
        except queue.Full:
            self._lost = True
        else:
            self._lost = False

    def get(self) -> bytes:
        """Wait for the next buffer and return it with its HEADER, as it is to be written."""
        raw, lost, at_s = self._queue.get()
        return HEADER.pack(len(raw), lost, at_s) + raw


def main(argv: Sequence[str] | None = None) -> int:
    """Record until stdin ends.

    Args:
        argv: Options; None for those of the process.

    Returns:
        2 if the device cannot be opened. Otherwise the process ends inside.
    """
    parser = argparse.ArgumentParser(prog="edge.audio.recorder")
    parser.add_argument("--device")
    parser.add_argument("--channels", type=int, required=True)
    parser.add_argument("--rate-hz", type=int, required=True)
    args = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # they are meant for the parent, which then closes stdin
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    backlog = Backlog(round(QUEUE_S / BUFFER_S))
    try:
        name, rate_hz, _kept = start_stream(args.device, args.channels, args.rate_hz, backlog.put)
    except (ValueError, OSError) as error:
        _write(json.dumps({"error": str(error), "refused": isinstance(error, ValueError)}).encode() + b"\n")
        return 2
    _write(json.dumps({"name": name, "sample_rate_hz": rate_hz}).encode() + b"\n")
    threading.Thread(target=end_when_spinning, args=(backlog,), daemon=True).start()
    while True:
        _write(backlog.get())


def end_when_spinning(backlog: Backlog) -> None:
    """End the process as soon as PortAudio keeps a processor busy without delivering a buffer."""
    while True:
        came, spent_s = backlog.came, time.process_time()
        time.sleep(SPINNING_S)
        if backlog.came == came and time.process_time() - spent_s > SPINNING_S / 2:
            os._exit(1)


def _write(message: bytes) -> None:
    while message:
        message = message[os.write(sys.stdout.fileno(), message) :]


def _end_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


def _choose(audio: Any, device: str | None) -> dict[str, Any]:
    """Find the description of the wanted device; a full name takes precedence over a part of one."""
    present = inputs(audio)
    if device is None:
        with contextlib.suppress(OSError):
            return dict(audio.get_default_input_device_info())
        matches = []
    elif device.isdecimal():
        matches = [info for info in present if info["index"] == int(device)]
    else:
        matches = [info for info in present if device.lower() in info["name"].lower()]
    if not matches:
        named = ", ".join(f"{i['index']} {i['name']!r} ({i['maxInputChannels']} channels)" for i in present)
        asked = "no default device" if device is None else f"no device {device!r}"
        raise ValueError(f"microphone: {asked}, there is: {named or 'none'}")
    return min(matches, key=lambda info: info["name"] != device)


def _choose_rate(pyaudio: Any, audio: Any, info: dict[str, Any], channels: int, wanted_hz: int) -> int:
    rates_hz = (wanted_hz, 48000, 44100, 96000, 16000, round(info["defaultSampleRate"]))
    for rate_hz in rates_hz:
        if supports(pyaudio, audio, info, channels, rate_hz):
            return rate_hz
    raise ValueError(f"microphone {info['name']!r}: got none of the rates {rates_hz} Hz with {channels} channels")


if __name__ == "__main__":
    sys.exit(main())

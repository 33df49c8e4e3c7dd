"""An input device, by way of PyAudio -> its buffers on stdout, with when they came: `python -m edge.audio.recorder`.

It is a process of its own, because a device that dies takes PortAudio with it (PortAudio #1037): callbacks just stop,
closing hangs, a read spins, stderr is flooded. What has gone wrong then is ended from outside, and a new one started;
one that spins ends itself sooner.
The first line on stdout is JSON and says what was opened, or why nothing was; then HEADER and samples by turns. It ends
when its stdin does. Nothing here imports numpy: it has to start quickly, again and again while a device is away.
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

BUFFER_S = 0.1  # PyAudio cannot set the latency and overflows after a stall of about 1.5 buffers
QUEUE_S = 2.0
SPINNING_S = 0.5  # in which nothing comes and yet a processor is busy for half of the time: the device is dead
HEADER = struct.Struct("<I?d")  # bytes of samples that follow, whether some were lost before, time.monotonic()

Put = Callable[[bytes, bool, float], None]
"""Takes interleaved float32 samples, whether the device has overflowed, and when they came."""


def load_pyaudio() -> Any:
    """The module. Raises ValueError where it is missing."""
    try:
        import pyaudio
    except ModuleNotFoundError:
        raise ValueError("PyAudio is not installed: pip install 'seld-edge[mic]'") from None
    except ImportError as error:
        raise ValueError(f"PyAudio does not load: {error}") from None
    return pyaudio


def inputs(audio: Any) -> list[dict[str, Any]]:
    """PortAudio's descriptions of all input devices."""
    infos = [dict(audio.get_device_info_by_index(index)) for index in range(audio.get_device_count())]
    return [info for info in infos if info["maxInputChannels"] > 0]


def supports(pyaudio: Any, audio: Any, info: dict[str, Any], channels: int, rate_hz: int) -> bool:
    """Whether a device delivers so many channels at this rate."""
    try:
        audio.is_format_supported(
            rate_hz, input_device=info["index"], input_channels=channels, input_format=pyaudio.paFloat32
        )
    except ValueError:
        return False
    return True


def start_stream(device: str | None, channels: int, sample_rate_hz: int, put: Put) -> tuple[str, int, Any]:
    """Open `device` (index, name, part of a name, or None for the default), at `sample_rate_hz` if it can.

    Returns its name, its rate, and what has to be kept while `put` is to be called, from a thread of PortAudio's.

    Raises ValueError if PyAudio is missing, there is no such device, or it has too few channels or no known rate;
    OSError if it cannot be opened.
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
    """Bounded hand-over from PortAudio's thread (`put`) to the one that writes (`get`)."""

    def __init__(self, buffers: int) -> None:
        self._queue: queue.Queue[tuple[bytes, bool, float]] = queue.Queue(buffers)
        self._lost = False
        self.came = 0  # buffers, those that were lost among them

    def put(self, raw: bytes, overflowed: bool, at_s: float) -> None:
        """Never blocks: if the queue is full, the buffer is lost, and the next one says so.

        overflowed: the device lost samples before this buffer or inside it, PortAudio does not say where. So it is
        given up: what is handed over is whole.
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
        """The next message, as soon as there is one."""
        raw, lost, at_s = self._queue.get()
        return HEADER.pack(len(raw), lost, at_s) + raw


def main(argv: Sequence[str] | None = None) -> int:
    """Record until stdin ends. Returns 2 if the device cannot be opened."""
    parser = argparse.ArgumentParser(prog="edge.audio.recorder")
    parser.add_argument("--device")
    parser.add_argument("--channels", type=int, required=True)
    parser.add_argument("--rate-hz", type=int, required=True)
    args = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the parent, who is to close what is open first
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


def _write(message: bytes) -> None:
    while message:
        message = message[os.write(sys.stdout.fileno(), message) :]


def _end_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


def end_when_spinning(backlog: Backlog) -> None:
    """End the process as soon as PortAudio keeps a processor busy and gives nothing for it."""
    while True:
        came, spent_s = backlog.came, time.process_time()
        time.sleep(SPINNING_S)
        if backlog.came == came and time.process_time() - spent_s > SPINNING_S / 2:
            os._exit(1)


def _choose(audio: Any, device: str | None) -> dict[str, Any]:
    """The description of the wanted device; a full name goes before a part of one."""
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

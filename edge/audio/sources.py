"""Wav file, demo scene, raw PCM on stdin or microphone -> AudioBlock at the model's rate."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import BinaryIO

from edge.audio.capture_queue import DEADLINE_S, CaptureQueue, SourceError
from edge.audio.microphone import Microphone
from edge.audio.pacing import paced
from edge.audio.recorder import QUEUE_S
from edge.audio.resample import Resampler
from edge.audio.wav import SAMPLE_BYTES, check_finite, decode_samples, read_wav_blocks, read_wav_header
from edge.types import AudioBlock

RAW_TYPES = {"s16le": "pcm16", "s32le": "pcm32", "f32le": "float32"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RawFormat:
    """How the raw samples on stdin are to be read. Raises ValueError if `sample_type` is none of RAW_TYPES."""

    sample_type: str = "s16le"
    sample_rate_hz: int = 24000
    channels: int = 4

    def __post_init__(self) -> None:
        if self.sample_type not in RAW_TYPES:
            raise ValueError(f"raw samples: got type {self.sample_type!r}, wanted one of {', '.join(RAW_TYPES)}")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.channels * SAMPLE_BYTES[RAW_TYPES[self.sample_type]]


@dataclass(frozen=True, slots=True)
class Source:
    """An open source of audio: iterate once over its blocks, inside a `with` that closes it.

    Iterating raises ValueError on bad samples (NaN, a file truncated meanwhile) and SourceError where a device fails.
    """

    name: str
    live: bool  # the first sample is heard now: a wall-clock time can be given to events
    blocks: Iterator[AudioBlock]
    close: Callable[[], None]
    real_time: bool = False  # blocks come at the pace at which they are recorded, whether they are taken or not
    age_s: Callable[[], float] | None = None  # time since the last block was recorded, where that is known

    def __iter__(self) -> Iterator[AudioBlock]:
        return self.blocks

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_source(
    spec: str,
    channels: int,
    sample_rate_hz: int,
    block_samples: int = 2400,
    *,
    realtime: bool = False,
    raw: RawFormat | None = None,
    device: str | int | None = None,
    native_rate_hz: int | None = None,
    deadline_s: float = DEADLINE_S,
    demo_wav: str | Path | None = None,
    stdin: BinaryIO | None = None,
) -> Source:
    """Open `demo`, `mic`, `-` (raw PCM on stdin) or a wav file, to give `channels` channels at `sample_rate_hz`.

    Blocks come in the size that suits the source, about `block_samples` samples; a microphone's are 100 ms.

    realtime: play a file as if a microphone heard it. raw: what is on stdin. device, deadline_s: see `Microphone`.
    native_rate_hz: is asked of the microphone before the other rates, so that nothing but us resamples.
    demo_wav: replaces the shipped scene. stdin: replaces `sys.stdin.buffer`.

    Raises ValueError, one line that starts with the name of the source, if it is missing, unreadable, empty, truncated
    or has another number of channels, or if it cannot be played; SourceError if a device cannot be opened.
    """
    if spec == "mic":
        source = _open_microphone(device, channels, sample_rate_hz, native_rate_hz or sample_rate_hz, deadline_s)
    elif spec == "-":
        source = _open_stdin(stdin, raw or RawFormat(), channels, sample_rate_hz, block_samples)
    elif spec == "demo":
        with resources.as_file(resources.files("edge") / "demo" / "scene.wav") as scene:
            source = _open_wav(demo_wav or scene, channels, sample_rate_hz, block_samples)
    else:
        source = _open_wav(spec, channels, sample_rate_hz, block_samples)
    return _played(source, channels, sample_rate_hz, block_samples) if realtime else source


def resample_blocks(blocks: Iterable[AudioBlock], resampler: Resampler) -> Iterator[AudioBlock]:
    """Bring blocks, their `start` and `lost` to `resampler.rate_out`. At a gap the resampler ends and begins anew.

    The end of a gap is rounded to whole output samples from its absolute place, so that rounding never adds up.
    """
    if resampler.rate_in == resampler.rate_out:
        yield from blocks
        return
    start = lost = 0
    for block in blocks:
        if block.lost:
            tail = resampler.finish()
            if len(tail):
                yield AudioBlock(tail, start, lost)
                start, lost = start + len(tail), 0
            resumed = max(start, -(-block.start * resampler.rate_out // resampler.rate_in))
            start, lost = resumed, lost + resumed - start
        samples = resampler.push(block.samples)
        if len(samples) or (lost and not len(block.samples)):  # a source that has stopped is told of at once
            yield AudioBlock(samples, start, lost)
            start, lost = start + len(samples), 0
    tail = resampler.finish()
    if len(tail) or lost:
        yield AudioBlock(tail, start, lost)


def _played(source: Source, channels: int, sample_rate_hz: int, block_samples: int) -> Source:
    """A file as if it were heard now."""
    if source.real_time:
        source.close()
        raise ValueError(f"{source.name}: got realtime, wanted it for a file only: this is real time already")
    queued = max(1, round(QUEUE_S * sample_rate_hz / block_samples))
    capture = CaptureQueue(source.name, channels, sample_rate_hz, queued)
    return replace(source, blocks=paced(source.blocks, capture, sample_rate_hz), real_time=True, age_s=capture.age_s)


def _open_wav(path: str | Path, channels: int, sample_rate_hz: int, block_samples: int) -> Source:
    wav = read_wav_header(path)
    _check_channels(str(path), wav.channels, channels)
    resampler = _resampler(str(path), wav.sample_rate_hz, sample_rate_hz, channels)
    arrays = read_wav_blocks(path, _input_samples(block_samples, resampler))

    def blocks() -> Iterator[AudioBlock]:
        start = 0
        for samples in arrays:
            yield AudioBlock(samples, start)
            start += len(samples)

    return Source(str(path), False, resample_blocks(blocks(), resampler), arrays.close)


def _open_stdin(
    stdin: BinaryIO | None, raw: RawFormat, channels: int, sample_rate_hz: int, block_samples: int
) -> Source:
    stream = stdin or (sys.stdin.buffer if sys.stdin else None)
    if stream is None:
        raise ValueError("stdin: closed")
    _check_channels("stdin", raw.channels, channels)
    resampler = _resampler("stdin", raw.sample_rate_hz, sample_rate_hz, channels)
    blocks = _raw_blocks(stream, raw, _input_samples(block_samples, resampler))
    return Source("stdin", True, resample_blocks(blocks, resampler), lambda: None, _is_fed(stream))


def _open_microphone(
    device: str | int | None, channels: int, sample_rate_hz: int, native_rate_hz: int, deadline_s: float
) -> Source:
    microphone = Microphone(device, channels, native_rate_hz)
    try:
        resampler = _resampler(microphone.name, microphone.sample_rate_hz, sample_rate_hz, channels)
    except ValueError:
        microphone.close()
        raise
    blocks = resample_blocks(microphone.blocks(deadline_s), resampler)
    return Source(microphone.name, True, blocks, microphone.close, True, microphone.age_s)


def _is_fed(stream: BinaryIO) -> bool:
    """Whether a stream is a pipe or a device, at whose other end somebody may be recording, rather than a file."""
    try:
        return not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:  # it lies in memory
        return False


def _raw_blocks(stream: BinaryIO, raw: RawFormat, block_samples: int) -> Iterator[AudioBlock]:
    start = 0
    try:
        while data := stream.read(block_samples * raw.frame_bytes):
            whole = len(data) - len(data) % raw.frame_bytes
            if whole < len(data):
                logger.warning("stdin: dropped the last %d bytes, they are no whole frame", len(data) - whole)
            samples = decode_samples(data[:whole], RAW_TYPES[raw.sample_type], raw.channels)
            check_finite(samples, start, "stdin")
            if len(samples):
                yield AudioBlock(samples, start)
            start += len(samples)
    except OSError as error:
        raise SourceError(f"stdin: not readable: {error.strerror}") from None
    if start == 0:
        raise ValueError("stdin: no samples")


def _check_channels(name: str, got: int, wanted: int) -> None:
    if got != wanted:
        raise ValueError(f"{name}: got {got} channels, wanted {wanted}")


def _resampler(name: str, rate_in: int, rate_out: int, channels: int) -> Resampler:
    try:
        return Resampler(rate_in, rate_out, channels)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _input_samples(block_samples: int, resampler: Resampler) -> int:
    return max(1, round(block_samples * resampler.rate_in / resampler.rate_out))

"""Sound file, demo scene, raw PCM on stdin or microphone -> AudioBlock at the model's rate."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edge.audio.audio_file import open_audio_file
from edge.audio.capture_queue import DEADLINE_S, CaptureQueue, SourceError
from edge.audio.live_check import CHANNEL_FAULT_S, ChannelWatch, LiveCheck
from edge.audio.microphone import Microphone
from edge.audio.pacing import paced
from edge.audio.recorder import QUEUE_S
from edge.audio.resample import BlockResampler, Resampler
from edge.audio.samples import RAW_TYPES, SAMPLE_BYTES, decode_samples
from edge.types import AudioBlock, FloatArray

_CONTAINERS = {b"RIFF": "wav", b"RF64": "wav", b"fLaC": "FLAC", b"OggS": "Ogg"}
"""First bytes of files whose header would be taken for sound."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RawFormat:
    """Format of the raw samples on stdin.

    Raises:
        ValueError: `sample_type` is not a key of RAW_TYPES.
    """

    sample_type: str = "s16le"  # type of the samples: s16le, s32le or f32le
    sample_rate_hz: int = 24000  # sample rate
    channels: int = 4  # number of interleaved channels

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

    Iterating raises ValueError on bad samples of a file (NaN, truncated meanwhile) and SourceError where a device
    fails. A live source never ends because of a sample: see `LiveCheck`. A block without samples says that a device is
    waited for.
    """

    name: str
    rate_hz: int  # of the source itself, from which the blocks are resampled
    live: bool  # the first sample sounds now: events can be given wall-clock times
    blocks: Iterator[AudioBlock]
    close: Callable[[], None]
    real_time: bool = False  # blocks arrive at the pace of the recording, whether they are taken or not
    age_s: Callable[[], float] | None = None  # time since the last block was recorded, where that is known
    check: LiveCheck | None = None  # of a live source: repaired samples, channels that do not work

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
    repeat: bool = False,
    raw: RawFormat | None = None,
    device: str | int | None = None,
    native_rate_hz: int | None = None,
    deadline_s: float = DEADLINE_S,
    wait: bool = False,
    used_channels: Sequence[int] | None = None,
    channel_fault_s: float = CHANNEL_FAULT_S,
    demo_wav: str | Path | None = None,
    stdin: BinaryIO | None = None,
) -> Source:
    """Open a source of audio.

    Args:
        spec: `demo` (the shipped scene), `mic`, `-` (raw PCM on stdin), or the path of a wav, FLAC or Ogg file.
        channels: Channels that the source has to have.
        sample_rate_hz: Rate of the blocks; a source at another rate is resampled.
        block_samples: Approximate length of the blocks of files and stdin. Those of a microphone are 100 ms long.
        realtime: Whether a file is played at the pace of its recording, through the queue of a microphone.
        repeat: Whether a file begins again after its end, without end.
        raw: Format of the samples on stdin.
        device: Microphone to open: see `Microphone`.
        native_rate_hz: Rate that is tried first at the microphone, so that only our own resampler converts it.
        deadline_s: Time without samples after which a microphone counts as stopped.
        wait: Whether a microphone that cannot be opened yet is waited for.
        used_channels: Channels of the capsules; all if not given. Those of a live source are watched for faults; a file
            may have these alone, in this order.
        channel_fault_s: Time after which a channel that does not work counts as faulty; 0 watches none.
        demo_wav: File that replaces the shipped scene.
        stdin: Stream that replaces `sys.stdin.buffer`.

    Returns:
        The open source.

    Raises:
        ValueError: The source is missing, unreadable, empty, truncated, has another number of channels or cannot be
            played in real time. One line that starts with the name of the source.
        SourceError: The microphone cannot be opened.
    """
    if repeat:
        again = partial(
            open_source, spec, channels, sample_rate_hz, block_samples, used_channels=used_channels, demo_wav=demo_wav
        )
        source = _repeated(again)
        return _in_real_time(source, channels, sample_rate_hz, block_samples) if realtime else source
    used = range(channels) if used_channels is None else used_channels
    if spec == "mic":
        microphone = Microphone(device, channels, native_rate_hz or sample_rate_hz, wait)
        watch = ChannelWatch(f"microphone {microphone.name!r}", used, channel_fault_s)
        source = _microphone_source(microphone, watch, channels, sample_rate_hz, deadline_s)
    elif spec == "-":
        watch = ChannelWatch("stdin", used, channel_fault_s)
        source = _open_stdin(stdin, raw or RawFormat(), watch, channels, sample_rate_hz, block_samples)
    elif spec == "demo":
        with resources.as_file(resources.files("edge") / "demo" / "scene.wav") as scene:
            source = _open_file(demo_wav or scene, channels, used, sample_rate_hz, block_samples)
    else:
        source = _open_file(spec, channels, used, sample_rate_hz, block_samples)
    return _in_real_time(source, channels, sample_rate_hz, block_samples) if realtime else source


def resample_blocks(blocks: Iterable[AudioBlock], resampler: Resampler) -> Iterator[AudioBlock]:
    """Resample a whole stream of blocks, their `start` and `lost` included.

    Args:
        blocks: Blocks at `resampler.rate_in`.
        resampler: A resampler at the beginning of a stream.

    Yields:
        Blocks at `resampler.rate_out`: see `BlockResampler`.
    """
    resampled = BlockResampler(resampler)
    for block in blocks:
        yield from resampled.push(block)
    yield from resampled.finish()


def _repeated(again: Callable[[], Source]) -> Source:
    """A file without end: its blocks, as if it were joined to itself again and again."""

    def blocks(source: Source) -> Iterator[AudioBlock]:
        start = 0
        while True:
            end = start
            with source:
                for block in source:
                    yield AudioBlock(block.samples, start + block.start)
                    end = start + block.start + len(block.samples)
            start, source = end, again()

    first = again()
    return replace(first, blocks=blocks(first))


def _in_real_time(source: Source, channels: int, sample_rate_hz: int, block_samples: int) -> Source:
    """The same source at the pace of its recording."""
    if source.real_time:
        source.close()
        raise ValueError(f"{source.name}: got realtime, wanted it for a file only: this is real time already")
    queued = max(1, round(QUEUE_S * sample_rate_hz / block_samples))
    capture = CaptureQueue(source.name, channels, sample_rate_hz, queued)
    return replace(source, blocks=paced(source.blocks, capture, sample_rate_hz), real_time=True, age_s=capture.age_s)


def _open_file(path: str | Path, channels: int, used: Sequence[int], sample_rate_hz: int, block_samples: int) -> Source:
    file = open_audio_file(path)
    only_used = file.channels == len(used) < channels
    if only_used:
        logger.info("%s: its %d channels are taken as channels %s of %d", path, len(used), list(used), channels)
    else:
        _check_channels(str(path), file.channels, channels)
    resampler = _resampler(str(path), file.sample_rate_hz, sample_rate_hz, channels)
    arrays = file.blocks(_input_samples(block_samples, resampler))

    def blocks() -> Iterator[AudioBlock]:
        start = 0
        for samples in arrays:
            yield AudioBlock(_placed(samples, used, channels) if only_used else samples, start)
            start += len(samples)

    return Source(str(path), file.sample_rate_hz, False, resample_blocks(blocks(), resampler), arrays.close)


def _placed(samples: FloatArray, places: Sequence[int], channels: int) -> FloatArray:
    """Put the columns of samples (n, m) at their places among `channels`; the other channels are silent."""
    placed = np.zeros((len(samples), channels), samples.dtype)
    placed[:, places] = samples
    return placed


def _open_stdin(
    stdin: BinaryIO | None, raw: RawFormat, watch: ChannelWatch, channels: int, sample_rate_hz: int, block_samples: int
) -> Source:
    stream = stdin or (sys.stdin.buffer if sys.stdin else None)
    if stream is None:
        raise ValueError("stdin: closed")
    _check_channels("stdin", raw.channels, channels)
    resampler = _resampler("stdin", raw.sample_rate_hz, sample_rate_hz, channels)
    check = LiveCheck("stdin", watch)
    blocks = _raw_blocks(stream, raw, _input_samples(block_samples, resampler))
    resampled = resample_blocks(check.checked(blocks, lambda: raw.sample_rate_hz), resampler)
    name = f"stdin ({raw.sample_type})"
    return Source(name, raw.sample_rate_hz, True, resampled, lambda: None, _is_fed(stream), check=check)


def _microphone_source(
    microphone: Microphone, watch: ChannelWatch, channels: int, sample_rate_hz: int, deadline_s: float
) -> Source:
    try:
        resampler = _resampler(microphone.name, microphone.sample_rate_hz, sample_rate_hz, channels)
    except ValueError:
        microphone.close()
        raise
    check = LiveCheck(f"microphone {microphone.name!r}", watch)
    checked = check.checked(microphone.blocks(deadline_s), lambda: microphone.sample_rate_hz)
    blocks = _resampled_microphone(checked, microphone, BlockResampler(resampler))
    rate_hz = microphone.sample_rate_hz
    return Source(microphone.name, rate_hz, True, blocks, microphone.close, True, microphone.age_s, check)


def _resampled_microphone(
    blocks: Iterable[AudioBlock], microphone: Microphone, resampled: BlockResampler
) -> Iterator[AudioBlock]:
    """Resample the blocks of a microphone, which may change its rate at a gap."""
    for block in blocks:
        if microphone.sample_rate_hz != resampled.rate_in:
            resampled = resampled.at_rate(microphone.sample_rate_hz)
        yield from resampled.push(block)


def _is_fed(stream: BinaryIO) -> bool:
    """Whether a stream is a pipe or a device, into which a recorder may be writing, rather than a file."""
    try:
        return not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:  # a stream in memory has no descriptor
        return False


def _raw_blocks(stream: BinaryIO, raw: RawFormat, block_samples: int) -> Iterator[AudioBlock]:
    start = 0
    try:
        while data := stream.read(block_samples * raw.frame_bytes):
            if start == 0 and (kind := _CONTAINERS.get(data[:4])):
                raise ValueError(
                    f"stdin: got a {kind} file, wanted raw samples: name the file, or use `-t raw` of arecord"
                )
            whole = len(data) - len(data) % raw.frame_bytes
            if whole < len(data):
                logger.warning("stdin: dropped the last %d bytes, which are not a whole frame", len(data) - whole)
            samples = decode_samples(data[:whole], RAW_TYPES[raw.sample_type], raw.channels)
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

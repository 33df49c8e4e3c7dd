"""Wav file -> samples (n, channels) float32 with full scale 1, block by block; and a PCM16 writer.

Reads RIFF and RF64: PCM of 16, 24 and 32 bits, float of 32 and 64 bits, plain or WAVE_FORMAT_EXTENSIBLE. Unknown chunks
are skipped. Every defect of a file raises a `ValueError` of one line that starts with its path.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge.audio.samples import SAMPLE_BYTES, check_finite, decode_samples
from edge.files import open_regular
from edge.types import FloatArray

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_ENCODINGS = {
    (_PCM, 16): "pcm16",
    (_PCM, 24): "pcm24",
    (_PCM, 32): "pcm32",
    (_FLOAT, 32): "float32",
    (_FLOAT, 64): "float64",
}
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # of the GUIDs that carry a plain format tag
_SIZE_IN_DS64 = 0xFFFFFFFF
_MOST_CHUNKS = 1000  # before the data; a sparse file has millions of empty ones


@dataclass(frozen=True, slots=True)
class WavFormat:
    """The header of a wav file."""

    channels: int
    sample_rate_hz: int
    frames: int  # samples per channel
    sample_type: str  # a key of SAMPLE_BYTES
    data_offset: int  # byte position of the first sample in the file

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.channels * SAMPLE_BYTES[self.sample_type]


def read_wav_header(path: str | Path) -> WavFormat:
    """Parse the header of a wav file and check that all its samples are there.

    Args:
        path: A regular file.

    Returns:
        The header.

    Raises:
        ValueError: The file is unreadable, no wav, truncated, empty, or of an encoding that is not read.
    """
    try:
        with open_regular(path) as file:
            return _parse(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise ValueError(f"{path}: not readable: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_wav_blocks(path: str | Path, block_frames: int) -> Generator[FloatArray, None, None]:
    """Read a wav file block by block.

    Args:
        path: A regular file.
        block_frames: Samples per channel in each block but the last.

    Yields:
        Samples (n, channels), n = `block_frames` except in the last block.

    Raises:
        ValueError: See `read_wav_header`; also where a sample of a float file is NaN or infinite, or where the file
            became shorter while it was read.
    """
    wav = read_wav_header(path)
    try:
        with open_regular(path) as file:
            file.seek(wav.data_offset)
            for start in range(0, wav.frames, block_frames):
                count = min(block_frames, wav.frames - start)
                raw = file.read(count * wav.frame_bytes)
                if len(raw) < count * wav.frame_bytes:
                    raise ValueError(f"{path}: truncated while it was read")
                samples = decode_samples(raw, wav.sample_type, wav.channels)
                check_finite(samples, start, str(path))
                yield samples
    except OSError as error:
        raise ValueError(f"{path}: not readable: {error.strerror}") from None


def read_wav(path: str | Path) -> tuple[FloatArray, int]:
    """Read a whole wav file.

    Args:
        path: A regular file.

    Returns:
        Samples (n, channels) and the sample rate in Hz.

    Raises:
        ValueError: See `read_wav_blocks`.
    """
    wav = read_wav_header(path)
    return np.concatenate(list(read_wav_blocks(path, 1 << 16))), wav.sample_rate_hz


def write_wav(path: str | Path, samples: FloatArray, sample_rate_hz: int) -> None:
    """Write a wav file of PCM16.

    Args:
        path: File to write or replace.
        samples: Samples (n, channels) with full scale 1; values beyond full scale are clipped.
        sample_rate_hz: Sample rate for the header.

    Raises:
        ValueError: A sample is NaN or infinite.
        OSError: The file cannot be written.
    """
    check_finite(samples, 0, str(path))
    Path(path).write_bytes(wav_content(to_pcm16(samples), sample_rate_hz))


def wav_content(pcm16: NDArray[np.int16], sample_rate_hz: int) -> bytes:
    """Return the content of a wav file with samples (n, channels)."""
    pcm, channels = pcm16.tobytes(), pcm16.shape[1]
    fmt = struct.pack("<HHIIHH", _PCM, channels, sample_rate_hz, sample_rate_hz * channels * 2, channels * 2, 16)
    header = b"RIFF" + struct.pack("<I", 36 + len(pcm)) + b"WAVEfmt " + struct.pack("<I", 16) + fmt
    return header + b"data" + struct.pack("<I", len(pcm)) + pcm


def to_pcm16(samples: FloatArray) -> NDArray[np.int16]:
    """Round samples with full scale 1 to 16 bits, little-endian; values beyond full scale are clipped."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")


def _parse(file: BinaryIO, file_bytes: int) -> WavFormat:
    if file_bytes == 0:
        raise ValueError("empty file")
    head = file.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        raise ValueError("not a wav file")
    encoding: tuple[str, int, int] | None = None
    long_data_bytes: int | None = None
    for _ in range(_MOST_CHUNKS):
        chunk = file.read(8)
        if len(chunk) < 8:
            raise ValueError("truncated: no data chunk")
        name, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        body = file.tell()
        if name == b"data":
            break
        if name == b"fmt ":
            encoding = _parse_fmt(file.read(min(size, 40)))
        elif name == b"ds64" and head[:4] == b"RF64":
            long_data_bytes = _parse_ds64(file.read(min(size, 16)))
        file.seek(body + size + size % 2)
    else:
        raise ValueError(f"not a wav file: got {_MOST_CHUNKS} chunks, wanted one with the data among them")
    if encoding is None:
        raise ValueError("not a wav file: no fmt chunk before the data")
    if size == _SIZE_IN_DS64 and long_data_bytes is not None:
        size = long_data_bytes
    return _locate_data(*encoding, body, size, file_bytes)


def _parse_fmt(fmt: bytes) -> tuple[str, int, int]:
    if len(fmt) < 16:
        raise ValueError(f"fmt chunk: got {len(fmt)} bytes, wanted at least 16")
    tag, channels, sample_rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", fmt)
    if tag == _EXTENSIBLE and len(fmt) >= 40 and fmt[26:40] == _SUBFORMAT_TAIL:
        (tag,) = struct.unpack_from("<H", fmt, 24)
    sample_type = _ENCODINGS.get((tag, bits))
    if sample_type is None:
        raise ValueError(f"unsupported encoding: format {tag:#06x} of {bits} bits, wanted PCM 16/24/32 or float 32/64")
    if channels == 0 or sample_rate_hz == 0:
        raise ValueError(f"got {channels} channels at {sample_rate_hz} Hz, wanted at least one of each")
    if frame_bytes != channels * SAMPLE_BYTES[sample_type]:
        raise ValueError(f"got frames of {frame_bytes} bytes, wanted {channels} x {SAMPLE_BYTES[sample_type]}")
    return sample_type, channels, sample_rate_hz


def _parse_ds64(ds64: bytes) -> int:
    if len(ds64) < 16:
        raise ValueError(f"ds64 chunk: got {len(ds64)} bytes, wanted at least 16")
    return int(struct.unpack_from("<Q", ds64, 8)[0])


def _locate_data(
    sample_type: str, channels: int, sample_rate_hz: int, offset: int, data_bytes: int, file_bytes: int
) -> WavFormat:
    if data_bytes > file_bytes - offset:
        raise ValueError(f"truncated: got {file_bytes - offset} bytes of samples, wanted {data_bytes}")
    frames, rest = divmod(data_bytes, channels * SAMPLE_BYTES[sample_type])
    if rest:
        raise ValueError(f"truncated: the last frame has only {rest} bytes")
    if frames == 0:
        raise ValueError("no samples")
    return WavFormat(channels, sample_rate_hz, frames, sample_type, offset)

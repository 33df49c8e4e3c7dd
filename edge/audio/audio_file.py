"""Sound file -> its format, and its samples (n, channels) float32 with full scale 1, block by block.

Wav files are read by `edge/audio/wav.py`. FLAC and Ogg files (Vorbis, Opus, FLAC) are read by the package `soundfile`
where it is installed. The first bytes of a file decide which it is, and its extension where they are of neither. Every
defect of a file raises a `ValueError` of one line that starts with its path.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.audio.samples import check_finite
from edge.audio.wav import read_wav_blocks, read_wav_header
from edge.files import open_regular
from edge.types import FloatArray

COMPRESSED = {".flac": "FLAC", ".ogg": "Ogg", ".oga": "Ogg", ".opus": "Ogg"}
"""Extensions of the files that need `soundfile`, and what they are called."""

_MAGIC = {b"fLaC": "FLAC", b"OggS": "Ogg"}
_UNKNOWN_FRAMES = 1 << 50  # libsndfile gives a huge number where the header has no length
_MOST_PAGE_BYTES = 65307  # of Ogg: RFC 3533, section 6
_LAST_PAGE = 4  # flag of an Ogg page


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A sound file whose header was read."""

    channels: int
    sample_rate_hz: int
    blocks: Callable[[int], Generator[FloatArray, None, None]]
    """Samples per block -> generator of (n, channels), shorter at the end; `close` releases the file. Raises ValueError
    where a sample is NaN or infinite or the file is truncated."""


def open_audio_file(path: str | Path) -> AudioFile:
    """Read the header of a sound file.

    Args:
        path: A wav, FLAC or Ogg file.

    Returns:
        The format of the file, and its samples on request.

    Raises:
        ValueError: The file is unreadable, of another kind, damaged or empty, or needs `soundfile`, which is missing.
    """
    compressed = _compression(path)
    if compressed is None:
        wav = read_wav_header(path)
        return AudioFile(wav.channels, wav.sample_rate_hz, lambda frames: read_wav_blocks(path, frames))
    soundfile = _soundfile(path, compressed)
    with _opened(soundfile, path, compressed) as file:
        if file.frames == 0:
            raise ValueError(f"{path}: no samples")
        if file.frames >= _UNKNOWN_FRAMES:
            raise ValueError(f"{path}: got a header without a length, wanted one: encode it into a file, not a pipe")
        if file.format == "OGG" and not _is_ended(path):
            raise ValueError(f"{path}: truncated: no last page")
        channels, sample_rate_hz = file.channels, file.samplerate
    return AudioFile(channels, sample_rate_hz, lambda frames: _blocks(soundfile, path, compressed, frames))


def _compression(path: str | Path) -> str | None:
    """Name of the compressed format of a file; None for all that the wav reader takes or refuses."""
    try:
        with open_regular(path) as file:
            head = file.read(4)
    except (OSError, ValueError):  # the wav reader finds it again and says it
        return None
    if head in (b"RIFF", b"RF64"):
        return None
    return _MAGIC.get(head) or COMPRESSED.get(Path(path).suffix.lower())


def _soundfile(path: str | Path, compressed: str) -> Any:
    """The module `soundfile`. Raises ValueError where it is missing or finds no libsndfile."""
    try:
        import soundfile
    except ModuleNotFoundError:
        raise ValueError(
            f"{path}: got a file of {compressed}, wanted wav, or the package soundfile: pip install soundfile"
        ) from None
    except OSError as error:
        raise ValueError(f"{path}: got a file of {compressed}, but soundfile does not load: {error}") from None
    return soundfile


def _opened(soundfile: Any, path: str | Path, compressed: str) -> Any:
    try:
        return soundfile.SoundFile(str(path))
    except RuntimeError as error:
        raise ValueError(f"{path}: not a file of {compressed} that can be read: {_reason(error)}") from None


def _blocks(soundfile: Any, path: str | Path, compressed: str, block_frames: int) -> Generator[FloatArray, None, None]:
    with _opened(soundfile, path, compressed) as file:
        start = 0
        while start < file.frames:
            try:
                samples: FloatArray = file.read(block_frames, dtype="float32", always_2d=True)
            except RuntimeError as error:
                raise ValueError(f"{path}: damaged after sample {start}: {_reason(error)}") from None
            if not len(samples):
                raise ValueError(f"{path}: truncated: got {start} samples, wanted {file.frames}")
            check_finite(samples, start, str(path))
            yield samples
            start += len(samples)


def _is_ended(path: str | Path) -> bool:
    """Whether the last page of an Ogg file is marked as the last one of its stream."""
    with open_regular(path) as file:
        file.seek(max(0, Path(path).stat().st_size - _MOST_PAGE_BYTES))
        tail = file.read()
    page = tail.rfind(b"OggS")
    return page >= 0 and page + 5 < len(tail) and bool(tail[page + 5] & _LAST_PAGE)


def _reason(error: RuntimeError) -> str:
    """What libsndfile says, without the path, in one line."""
    return " ".join(str(getattr(error, "error_string", error)).split())

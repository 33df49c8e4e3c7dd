"""Sound files of any format -> mono samples; long recordings -> pieces; speech -> its pitch."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from convert.clips.library import active_hops
from edge.types import FloatArray

CLIP_RATE_HZ = 24000
G722_RATE_HZ = 16000
_GSM = {"format": "RAW", "subtype": "GSM610", "samplerate": 8000, "channels": 1}  # files of Asterisk have no header
_GAP_S = 0.25  # a pause this long ends a piece
_SHORTEST_S = 0.08
_FRAME_S, _LOWEST_HZ, _HIGHEST_HZ, _VOICED = 0.04, 60.0, 400.0, 0.6


def seconds_of(path: Path) -> float:
    """Length of a sound file in seconds.

    Raises:
        ValueError: the file cannot be read.
    """
    if path.suffix == ".g722":
        return path.stat().st_size * 2 / G722_RATE_HZ  # 64 kbit/s: two samples in each byte
    with _opened(path) as file:
        return float(file.frames / file.samplerate)


def read_mono(path: Path, start_s: float = 0.0, stop_s: float | None = None) -> tuple[FloatArray, int]:
    """Read a part of a sound file: WAV, FLAC, Ogg, MP3, GSM by libsndfile, G.722 by the package of that name.

    Args:
        path: the file.
        start_s: where to begin.
        stop_s: where to end; None for the end of the file.

    Returns:
        Samples (n,) at 24 kHz, or at the rate of the file if that is lower; and the rate in Hz.

    Raises:
        ValueError: the file cannot be read.
    """
    if path.suffix == ".g722":
        samples, rate_hz = _read_g722(path), G722_RATE_HZ
        samples = samples[round(start_s * rate_hz) : None if stop_s is None else round(stop_s * rate_hz)]
    else:
        samples, rate_hz = _read(path, start_s, stop_s)
    if rate_hz > CLIP_RATE_HZ and len(samples):
        common = gcd(rate_hz, CLIP_RATE_HZ)
        samples = resample_poly(samples, CLIP_RATE_HZ // common, rate_hz // common)
        rate_hz = CLIP_RATE_HZ
    return np.asarray(samples, dtype=np.float32), rate_hz


def _read(path: Path, start_s: float, stop_s: float | None) -> tuple[FloatArray, int]:
    with _opened(path) as file:
        start = min(file.frames, round(start_s * file.samplerate))
        frames = file.frames - start if stop_s is None else round((stop_s - start_s) * file.samplerate)
        if file.seekable():
            file.seek(start)
        else:  # GSM
            file.read(start)
        return file.read(frames, dtype="float32", always_2d=True).mean(axis=1), int(file.samplerate)


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    try:
        with soundfile.SoundFile(path, **(_GSM if path.suffix == ".gsm" else {})) as file:
            yield file
    except (soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "error_string", error)
        raise ValueError(f"{path.name}: not a sound file that can be read: {reason}") from error


def _read_g722(path: Path) -> FloatArray:
    from G722 import G722  # compiled: only who reads such files needs it

    samples: array[int] = G722(G722_RATE_HZ, 64000).decode(path.read_bytes())
    return np.frombuffer(samples, dtype=np.int16).astype(np.float32) / np.float32(32768)


def excerpts(seconds: float, longest_s: float, most: int) -> list[tuple[float, float]]:
    """Cut a long sound that goes on all the time, such as music, into pieces of one length, evenly spread.

    Args:
        seconds: length of the sound.
        longest_s: length of a piece.
        most: largest number of pieces.

    Returns:
        (start, stop) of each piece in seconds; the whole sound if it is not longer than a piece.
    """
    if seconds <= longest_s:
        return [(0.0, seconds)]
    count = min(most, int(seconds // longest_s))
    share_s = seconds / count
    starts = [round(index * share_s + (share_s - longest_s) / 2, 3) for index in range(count)]
    return [(start, round(start + longest_s, 3)) for start in starts]


def split_at_silence(samples: FloatArray, rate_hz: int, longest_s: float) -> list[tuple[float, float]]:
    """Cut a recording of separate sounds at its pauses.

    Args:
        samples: samples (n,).
        rate_hz: sample rate.
        longest_s: a longer piece ends here.

    Returns:
        (start, stop) of each piece in seconds; pieces under 0.08 s are left out.
    """
    if not len(samples) or not np.any(samples):
        return []
    hop_s = 0.01
    active = np.flatnonzero(active_hops(samples, rate_hz))
    breaks = np.flatnonzero(np.diff(active) * hop_s > _GAP_S)
    starts, stops = active[[0, *(breaks + 1)]] * hop_s, (active[[*breaks, -1]] + 1) * hop_s
    return [
        (round(max(0.0, float(start) - hop_s), 2), round(min(float(stop), float(start) + longest_s) + hop_s, 2))
        for start, stop in zip(starts, stops, strict=True)
        if stop - start >= _SHORTEST_S
    ]


def voiced_pitches_hz(samples: FloatArray, rate_hz: int) -> NDArray[np.float64]:
    """Estimate the fundamental frequency of the voiced frames of speech, by the peak of the autocorrelation.

    Args:
        samples: samples (n,).
        rate_hz: sample rate.

    Returns:
        Fundamental frequencies (frames,) in Hz of the 40 ms frames that are loud and periodic; maybe none.
    """
    frame = round(_FRAME_S * rate_hz)
    if len(samples) < frame:
        return np.empty(0)
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(samples, dtype=np.float64), frame)[:: frame // 2]
    energy = np.square(frames).sum(axis=1)
    frames = frames[energy > 0.1 * energy.max()]
    window = np.hanning(frame)
    spectra = np.fft.rfft((frames - frames.mean(axis=1, keepdims=True)) * window, 2 * frame, axis=1)
    correlation = np.fft.irfft(np.square(np.abs(spectra)), axis=1)
    bias = np.fft.irfft(np.square(np.abs(np.fft.rfft(window, 2 * frame))))  # that of the window, divided out
    shortest, longest = int(rate_hz / _HIGHEST_HZ), min(int(rate_hz / _LOWEST_HZ), round(0.7 * frame))
    energy = np.maximum(correlation[:, :1], 1e-12)
    normal = correlation[:, shortest:longest] / energy / (bias[shortest:longest] / bias[0])
    best = normal.max(axis=1)
    # a whole number of periods fits as well as one: take the first peak that is nearly as high as the best
    inner = normal[:, 1:-1]
    peaks = (inner >= normal[:, :-2]) & (inner > normal[:, 2:]) & (inner > 0.85 * best[:, None])
    voiced = (best > _VOICED) & peaks.any(axis=1)
    return np.asarray(rate_hz / (shortest + 1 + peaks[voiced].argmax(axis=1)), dtype=np.float64)

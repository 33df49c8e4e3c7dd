"""Sound files of any format -> mono samples; long recordings -> pieces; speech -> its pitch."""

from __future__ import annotations

from array import array
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
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ValueError(f"{path}: not a sound file that can be read: {error}") from error


def read_mono(path: Path, start_s: float = 0.0, stop_s: float | None = None) -> tuple[FloatArray, int]:
    """Read a part of a sound file: WAV, FLAC, Ogg, MP3 and others by libsndfile, G.722 by the package of that name.

    Args:
        path: the file.
        start_s: where to begin.
        stop_s: where to end; None for the end of the file.

    Returns:
        Samples (n,) at 24 kHz, or at the rate of the file if that is lower; and the rate in Hz.

    Raises:
        ValueError: the file cannot be read.
    """
    samples, rate_hz = _read_g722(path) if path.suffix == ".g722" else _read(path)
    samples = samples[round(start_s * rate_hz) : None if stop_s is None else round(stop_s * rate_hz)]
    if rate_hz > CLIP_RATE_HZ and len(samples):
        common = gcd(rate_hz, CLIP_RATE_HZ)
        samples = resample_poly(samples, CLIP_RATE_HZ // common, rate_hz // common)
        rate_hz = CLIP_RATE_HZ
    return np.asarray(samples, dtype=np.float32), rate_hz


def _read(path: Path) -> tuple[FloatArray, int]:
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ValueError(f"{path}: not a sound file that can be read: {error}") from error
    return samples.mean(axis=1), int(rate_hz)


def _read_g722(path: Path) -> tuple[FloatArray, int]:
    from G722 import G722  # compiled: only who reads such files needs it

    samples: array[int] = G722(G722_RATE_HZ, 64000).decode(path.read_bytes())
    return np.frombuffer(samples, dtype=np.int16).astype(np.float32) / np.float32(32768), G722_RATE_HZ


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
    frames = frames - frames.mean(axis=1, keepdims=True)
    energy = np.square(frames).sum(axis=1)
    loud = frames[energy > 0.05 * energy.max()] if energy.max() > 0 else frames[:0]
    spectra = np.fft.rfft(loud * np.hanning(frame), 4 * frame, axis=1)
    correlation = np.fft.irfft(np.square(np.abs(spectra)), axis=1)[:, :frame]
    window = np.fft.irfft(np.square(np.abs(np.fft.rfft(np.hanning(frame), 4 * frame))))[:frame]
    shortest, longest = int(rate_hz / _HIGHEST_HZ), min(int(rate_hz / _LOWEST_HZ), round(0.7 * frame))
    normal = correlation[:, shortest:longest] / correlation[:, :1] / (window[shortest:longest] / window[0])
    best = normal.argmax(axis=1)
    # a period later the correlation is as high: take the first peak that is nearly as high as the best
    for row, values in enumerate(normal):
        near = np.flatnonzero(values[: best[row] + 1] > 0.9 * values[best[row]])
        best[row] = _climb(values, int(near[0])) if len(near) else best[row]
    voiced = normal.max(axis=1) > _VOICED if len(normal) else np.empty(0, dtype=bool)
    return np.asarray(rate_hz / (shortest + best[voiced]), dtype=np.float64)


def _climb(values: NDArray[np.float64], index: int) -> int:
    while index + 1 < len(values) and values[index + 1] > values[index]:
        index += 1
    return index

"""A dry sound and its path through a room -> what a microphone array picks up of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import oaconvolve

from convert.scenes.motion import STEP_S
from convert.scenes.rooms import ArrayResponse, Room, early_response, image_sources, join_parts, late_response
from edge.geometry import SPEED_OF_SOUND_M_S
from edge.types import FloatArray


def place_source(
    signal: FloatArray,
    room: Room,
    path: NDArray[np.float64],
    rate_hz: int,
    rng: np.random.Generator,
    array: ArrayResponse,
) -> FloatArray:
    """Render a dry signal at a path in a room.

    A moving source has one early response for each position; these are cross-faded. The late reverberation is that of
    the middle of the path. The delay of the direct sound is removed, so that labels of the signal hold for the result.

    Args:
        signal: samples (n,).
        room: the room with the array in it.
        path: positions (k, 3) in metres, `STEP_S` apart; a source that stands still has one.
        rate_hz: sample rate.
        rng: the source of randomness for the late reverberation.
        array: impulse responses of the array.

    Returns:
        Samples (n + reverberation, channels).
    """
    earlies, onsets = [], []
    for images in image_sources(room, path):
        onsets.append(max(0, round(images.distances_m.min() / SPEED_OF_SOUND_M_S * rate_hz) - 16))
        earlies.append(early_response(room, images, rate_hz, array))
    middle = len(path) // 2
    late = late_response(room, earlies[middle], rng, rate_hz, array)[onsets[middle] :]
    if len(path) == 1:
        return oaconvolve(signal[:, None], join_parts(earlies[0][onsets[0] :], late), axes=0).astype(np.float32)
    image = oaconvolve(signal[:, None], late, axes=0).astype(np.float32)
    step = round(STEP_S * rate_hz)
    size = fft.next_fast_len(2 * step + len(earlies[0]), real=True)
    window = np.bartlett(2 * step + 1)[:-1].astype(np.float32)
    padded = np.pad(signal, (step, step * (len(path) + 1) - len(signal)))
    image = np.pad(image, ((step, max(0, step * len(path) + size - step - len(image))), (0, 0)))
    for index, (early, onset) in enumerate(zip(earlies, onsets, strict=True)):
        piece = padded[index * step : (index + 2) * step] * window
        spectrum = fft.rfft(piece, size)[:, None] * fft.rfft(early[onset:], size, axis=0)
        image[index * step : index * step + size] += fft.irfft(spectrum, size, axis=0)
    return image[step:]

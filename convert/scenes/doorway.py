"""A room and a sound in the next room -> the open door that it comes from, and the sound that arrives there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter, oaconvolve

from convert.scenes.rooms import Room
from convert.scenes.settings import SceneSettings
from edge.geometry import azimuth_elevation_deg
from edge.types import FloatArray

_FROM_WALL_M = 0.2
_FROM_CORNER_M = 0.5
_HEIGHT_M = (0.8, 1.8)  # of the middle of what comes through a door
_NEXT_RT60_S = (0.3, 1.0)
_LOW_PASS_HZ = (300.0, 1500.0)  # sound has to bend around the frame
_DIRECT_TO_LATE_DB = (-10.0, 0.0)


def draw_door(room: Room, settings: SceneSettings, rng: np.random.Generator) -> NDArray[np.float64] | None:
    """Draw where a door of the room is.

    Args:
        room: the room.
        settings: ranges of distance and elevation that the door must keep to.
        rng: the source of randomness.

    Returns:
        Position (1, 3) in metres, a little inside the room; None if no door fits.
    """
    (low_m, high_m), (lowest_deg, highest_deg) = settings.distance_m, settings.elevation_deg
    for _ in range(50):
        wall_axis, far = int(rng.integers(2)), bool(rng.integers(2))
        place = np.empty(3)
        place[wall_axis] = room.size_m[wall_axis] - _FROM_WALL_M if far else _FROM_WALL_M
        place[1 - wall_axis] = rng.uniform(_FROM_CORNER_M, room.size_m[1 - wall_axis] - _FROM_CORNER_M)
        place[2] = rng.uniform(*_HEIGHT_M)
        offset = place - room.microphone_m
        _, elevation_deg = azimuth_elevation_deg(offset)
        if low_m <= np.linalg.norm(offset) <= high_m and lowest_deg <= elevation_deg <= highest_deg:
            return place[None]
    return None


def through_door(signal: FloatArray, level_db: float, rate_hz: int, rng: np.random.Generator) -> FloatArray:
    """Let a sound of the next room arrive at the door: more reverberant, duller and quieter.

    Args:
        signal: dry samples (n,).
        level_db: level at the door relative to the signal.
        rate_hz: sample rate.
        rng: the source of randomness.

    Returns:
        Samples (n + reverberation,); the first sound is not delayed.
    """
    rt60_s, corner_hz = rng.uniform(*_NEXT_RT60_S), np.exp(rng.uniform(*np.log(_LOW_PASS_HZ)))
    response = rng.standard_normal(int(rt60_s * rate_hz), np.float32)
    response *= np.exp(-np.log(1e3) / (rt60_s * rate_hz) * np.arange(len(response))).astype(np.float32)
    response /= np.sqrt(np.sum(np.square(response)))
    response[0] = 10 ** (rng.uniform(*_DIRECT_TO_LATE_DB) / 20)
    response /= np.sqrt(np.sum(np.square(response)))
    pole = np.exp(-2 * np.pi * corner_hz / rate_hz)
    dull = lfilter([1 - pole], [1, -pole], oaconvolve(signal, response))
    power, wanted = np.mean(np.square(dull[: len(signal)])), np.mean(np.square(signal, dtype=np.float64))
    return (dull * np.sqrt(wanted / (power + 1e-20)) * 10 ** (level_db / 20)).astype(np.float32)

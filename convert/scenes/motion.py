"""A room and settings -> the path of a source in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.scenes.rooms import Room, reach_m
from convert.scenes.settings import SceneSettings
from edge.geometry import unit_vector

STEP_S = 0.15  # time between two positions of a moving source

_MARGIN_M = 0.4  # least distance of somebody who walks from the walls
_SHORTEST_WALK_M = 1.0


def draw_path(
    room: Room, settings: SceneSettings, seconds: float, moving: bool, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw where a source is while it sounds. Moving sources turn around the microphone.

    Args:
        room: the room.
        settings: ranges of elevation, distance and speed.
        seconds: length of the sound.
        moving: whether the source moves. If no moving path fits into the room, it stands still.
        rng: the source of randomness.

    Returns:
        Positions (k, 3) in metres, `STEP_S` apart in time; (1, 3) for a source that stands still.

    Raises:
        ValueError: no position within the ranges fits into the room.
    """
    low, high = settings.elevation_deg
    for trial in range(400):
        azimuth_deg, elevation_deg = rng.uniform(-180, 180), rng.uniform(low, high)
        speed_deg_s, tilt = rng.uniform(*settings.speed_deg_s) * rng.choice([-1, 1]), rng.uniform(-0.5, 0.5)
        steps = int(np.ceil(seconds / STEP_S)) + 1 if moving and trial < 200 else 1
        turned_deg = speed_deg_s * STEP_S * np.arange(steps)
        climb = np.abs(
            (elevation_deg + turned_deg * np.sin(tilt) - low + high - low) % (2 * (high - low) or 1) - (high - low)
        )
        elevations_deg = low + climb if steps > 1 else np.full(1, elevation_deg)  # reflected at the ends of the range
        azimuths_deg = azimuth_deg + np.cumsum(
            np.diff(turned_deg, prepend=0) * np.cos(tilt) / np.cos(np.deg2rad(elevations_deg))
        )
        directions = unit_vector(azimuths_deg, elevations_deg)
        limits = reach_m(room, directions)
        if limits[0] >= settings.distance_m[0] and limits.min() >= 0.5 * settings.distance_m[0]:
            farthest_m = min(limits[0], settings.distance_m[1])
            distance_m = np.exp(rng.uniform(np.log(settings.distance_m[0]), np.log(farthest_m)))
            return room.microphone_m + directions * np.minimum(distance_m, limits)[:, None]
    raise ValueError(
        f"got distances of {settings.distance_m} m at elevations of {settings.elevation_deg} degrees, "
        f"wanted some that fit into a room of {room.size_m.round(1).tolist()} m"
    )


def draw_walk(
    room: Room, settings: SceneSettings, seconds: float, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Draw the path of somebody who walks straight from one place to another and back, at one height.

    Args:
        room: the room.
        settings: ranges of distance and elevation, the latter for the first place, and of the speed.
        seconds: length of the sound.
        rng: the source of randomness.

    Returns:
        Positions (k, 3) in metres, `STEP_S` apart in time; None if no such path was found.
    """
    nearest_m, farthest_m = settings.distance_m
    for _ in range(200):
        ends = np.stack([rng.uniform(_MARGIN_M, room.size_m - _MARGIN_M) for _ in range(2)])
        ends[1, 2] = ends[0, 2]
        length_m = float(np.linalg.norm(ends[1] - ends[0]))
        speed_m_s = rng.uniform(*settings.home.walking_m_s)
        if length_m < _SHORTEST_WALK_M:
            continue
        walked_m = speed_m_s * STEP_S * np.arange(int(np.ceil(seconds / STEP_S)) + 1)
        place_m = length_m - np.abs(walked_m % (2 * length_m) - length_m)
        path = ends[0] + (ends[1] - ends[0]) * (place_m / length_m)[:, None]
        offsets_m = path - room.microphone_m
        distances_m = np.linalg.norm(offsets_m, axis=1)
        elevation_deg = np.degrees(np.arcsin(offsets_m[0, 2] / distances_m[0]))
        near_enough = nearest_m <= distances_m.min() and distances_m.max() <= farthest_m
        if near_enough and settings.elevation_deg[0] <= elevation_deg <= settings.elevation_deg[1]:
            return path
    return None

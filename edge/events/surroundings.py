"""Directions as the array hears them -> directions in the room, and the sectors of the room in which they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.geometry import azimuth_elevation_deg
from edge.types import FloatArray, TrackFrames


@dataclass(frozen=True, slots=True)
class MountSettings:
    """How the array hangs. All directions are turned by it: of events, updates, label frames and the live stream.

    First the array is turned upside down about its front axis, then its front is pitched up, then all is turned around.
    """

    yaw_deg: float = 0.0  # azimuth in the room of the front of the array, counter-clockwise, -360 to 360
    pitch_deg: float = 0.0  # elevation of the front of the array, -90 to 90; a flat array cannot be pitched
    upside_down: bool = False  # whether the array hangs from the ceiling, its front still where yaw_deg says

    def __post_init__(self) -> None:
        if not (abs(self.yaw_deg) <= 360.0 and abs(self.pitch_deg) <= 90.0):
            raise ValueError(
                f"got yaw_deg {self.yaw_deg}, pitch_deg {self.pitch_deg}, wanted -360 to 360 and -90 to 90"
            )

    @property
    def rotation(self) -> NDArray[np.float64]:
        """Matrix (3, 3) from unit vectors of the array to those of the room; exact for the default."""
        yaw, pitch = np.deg2rad(self.yaw_deg), np.deg2rad(self.pitch_deg)
        flipped = -1.0 if self.upside_down else 1.0
        turned = [[np.cos(yaw), -np.sin(yaw), 0.0], [np.sin(yaw), np.cos(yaw), 0.0], [0.0, 0.0, 1.0]]
        pitched = [[np.cos(pitch), 0.0, -np.sin(pitch)], [0.0, 1.0, 0.0], [np.sin(pitch), 0.0, np.cos(pitch)]]
        rotation: NDArray[np.float64] = np.array(turned) @ pitched @ np.diag([1.0, flipped, flipped])
        return rotation


@dataclass(frozen=True, slots=True)
class SectorSettings:
    """A part of the room. Of sectors that overlap, the first one counts."""

    name: str  # what events from there carry, such as door
    azimuth_deg: tuple[float, float]  # from, to, counter-clockwise: [170, -170] are 20 degrees at the back
    elevation_deg: tuple[float, float] = (-90.0, 90.0)  # lowest, highest; not used for a flat array
    ignore: bool = False  # whether what sounds there is not heard at all, such as a television

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.name.isprintable():
            raise ValueError(f"got name {self.name!r}, wanted printable characters")
        if max(map(abs, self.azimuth_deg)) > 360.0:
            raise ValueError(f"got azimuth_deg {list(self.azimuth_deg)}, wanted -360 to 360")
        lowest, highest = self.elevation_deg
        if not -90.0 <= lowest < highest <= 90.0:
            raise ValueError(f"got elevation_deg {list(self.elevation_deg)}, wanted [lowest, highest] of -90 to 90")

    @property
    def middle_deg(self) -> tuple[float, float]:
        """Azimuth and elevation of the middle of the sector."""
        begin_deg, end_deg = self.azimuth_deg
        width_deg = 360.0 if end_deg - begin_deg >= 360.0 else (end_deg - begin_deg) % 360.0
        return begin_deg + width_deg / 2, sum(self.elevation_deg) / 2

    def holds(self, azimuth_deg: NDArray[np.float64], elevation_deg: NDArray[np.float64] | None) -> NDArray[np.bool_]:
        """Say which directions lie in the sector, its edges included; without elevations, by azimuth alone."""
        begin_deg, end_deg = self.azimuth_deg
        width_deg = 360.0 if end_deg - begin_deg >= 360.0 else (end_deg - begin_deg) % 360.0
        inside: NDArray[np.bool_] = (azimuth_deg - begin_deg) % 360.0 <= width_deg
        if elevation_deg is not None:
            inside = inside & (self.elevation_deg[0] <= elevation_deg) & (elevation_deg <= self.elevation_deg[1])
        return inside


class Surroundings:
    """Turns what a system answers into the room, empties what is ignored, and names sectors."""

    def __init__(
        self, mount: MountSettings | None = None, sectors: Sequence[SectorSettings] = (), planar: bool = False
    ) -> None:
        """Combine mounting and sectors.

        Args:
            mount: How the array hangs; as its profile has it without.
            sectors: Parts of the room.
            planar: Whether the array is flat, so that elevations mean nothing.

        Raises:
            ValueError: Two sectors have one name, or a flat array is pitched.
        """
        mount = mount or MountSettings()
        if planar and mount.pitch_deg:
            raise ValueError(f"mount: got pitch_deg {mount.pitch_deg} for a flat array, wanted 0")
        names = [sector.name for sector in sectors]
        if len(set(names)) != len(names):
            raise ValueError(f"sector: got the names {', '.join(names)}, wanted each once")
        self._rotation = None if mount == MountSettings() else mount.rotation.astype(np.float32)
        self._sectors, self._planar = tuple(sectors), planar
        self._ignored = any(sector.ignore for sector in sectors)

    def rotated(self, direction: FloatArray) -> FloatArray:
        """Turn unit vectors (..., 3) of the array into the room."""
        return direction if self._rotation is None else direction @ self._rotation.T

    def turned(self, frames: TrackFrames) -> TrackFrames:
        """Turn the directions of tracks, and empty the slots of those in ignored sectors."""
        activity, direction = frames.activity, self.rotated(frames.direction)
        if self._ignored:
            heard = ~self._is_ignored(direction)[..., None]
            activity, direction = activity * heard, direction * heard
        return replace(frames, activity=activity, direction=direction)

    def sector_of(self, azimuth_deg: float, elevation_deg: float) -> str | None:
        """Name the sector in which a direction lies; None outside of all."""
        if not self._sectors:
            return None
        sector = int(self._first(np.array(azimuth_deg), np.array(elevation_deg)))
        return None if sector < 0 else self._sectors[sector].name

    def _is_ignored(self, direction: FloatArray) -> NDArray[np.bool_]:
        first = self._first(*azimuth_elevation_deg(direction))
        return np.array([*(sector.ignore for sector in self._sectors), False])[first]

    def _first(self, azimuth_deg: NDArray[np.float64], elevation_deg: NDArray[np.float64]) -> NDArray[np.intp]:
        """Index of the first sector that holds each direction; -1 outside of all."""
        found = np.full(azimuth_deg.shape, -1)
        for index in reversed(range(len(self._sectors))):
            inside = self._sectors[index].holds(azimuth_deg, None if self._planar else elevation_deg)
            found = np.where(inside, index, found)
        return found


def surroundings_of(
    mount: MountSettings, sectors: Sequence[SectorSettings], planar: bool = False
) -> Surroundings | None:
    """Combine mounting and sectors; None if there are none, so that directions stay those of the array.

    Raises:
        ValueError: See `Surroundings`.
    """
    return Surroundings(mount, sectors, planar) if mount != MountSettings() or sectors else None

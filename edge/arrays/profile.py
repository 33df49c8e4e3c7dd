"""Name or TOML file of a microphone array -> its checked `ArrayProfile`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.arrays.acoustics import PATTERNS, Capsules
from edge.arrays.sound_card import CARD_ID, SoundCard, is_card_id
from edge.audio.resample import MAX_RATE_HZ, MIN_RATE_HZ
from edge.audio.samples import RAW_TYPES
from edge.profiles import load_profile, shipped_profiles
from edge.types import FloatArray

_MIXING: dict[str, FloatArray] = {
    "foa": np.eye(4, dtype=np.float32),
    "foa_fuma": np.array([[np.sqrt(2), 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]], dtype=np.float32),
}
FOA_KINDS = tuple(_MIXING)
"""Kinds of arrays whose device delivers FOA."""

KINDS = (*FOA_KINDS, "rigid_sphere", "open")
"""All kinds of arrays: FOA, capsules in the surface of a rigid sphere, capsules with nothing between them."""

PLANAR = "planar"
"""Name that stands for any flat array, among the arrays that a model was trained for."""

_RADIUS_M = (0.002, 0.5)
_EVEN_M = 1e-4  # by which the capsules of a sphere may miss its surface
_MOST_DB = 20.0


@dataclass(frozen=True, slots=True)
class ArrayProfile:
    """What a device delivers, which of its channels are used and, for capsules (rather than FOA), where they are.

    Raises:
        ValueError: A value is out of range or does not go with another one.
    """

    name: str  # name of the array
    kind: str  # what the channels are: FOA (foa, foa_fuma), or capsules in a hard sphere (rigid_sphere) or free (open)
    channels: int  # number of channels that the device or file delivers
    channel_map: tuple[int, ...]  # the four channels that are used, in the order of the kind or of the capsules below
    # front, left and up of each capsule from the middle of the array; it looks outwards
    capsule_position_m: tuple[tuple[float, float, float], ...] = ()
    capsule_pattern: str = "omni"  # directivity of the capsules: omni, subcardioid, cardioid or hypercardioid
    capsule_gain_db: tuple[float, ...] = ()  # calibrated gains of the capsules; empty where they are equal
    capsule_tilt_db: tuple[float, ...] = ()  # gain far above 1 kHz, relative to that far below
    device: str | None = None  # part of the name that the input device has
    native_rate_hz: int | None = None  # sample rate of the device itself
    format: str | None = None  # format of its raw samples: s16le, s32le or f32le
    card: SoundCard | None = None  # for `seld-edge apply`

    def __post_init__(self) -> None:
        for name, text in (("name", self.name), ("device", self.device or "none")):
            if not text or not text.isprintable():
                raise ValueError(f"got {name} {text!r}, wanted printable characters")
        if self.kind not in KINDS:
            raise ValueError(f"got kind {self.kind!r}, wanted one of {', '.join(KINDS)}")
        if len(self.channel_map) != 4 or not all(0 <= index < self.channels for index in self.channel_map):
            raise ValueError(
                f"got channel_map {list(self.channel_map)}, wanted four channels of 0 to {self.channels - 1}"
            )
        if self.capsule_pattern not in PATTERNS:
            raise ValueError(f"got capsule_pattern {self.capsule_pattern!r}, wanted one of {', '.join(PATTERNS)}")
        if self.device == "":
            raise ValueError("got device '', wanted a part of its name, or none")
        if self.native_rate_hz is not None and not MIN_RATE_HZ <= self.native_rate_hz <= MAX_RATE_HZ:
            raise ValueError(f"got native_rate_hz {self.native_rate_hz}, wanted {MIN_RATE_HZ} to {MAX_RATE_HZ}")
        if self.format is not None and self.format not in RAW_TYPES:
            raise ValueError(f"got format {self.format!r}, wanted one of {', '.join(RAW_TYPES)}")
        if self.card is not None:
            if self.native_rate_hz is None or self.format is None:
                raise ValueError("got a card without native_rate_hz or format, wanted both")
            if not is_card_id(self.name):
                raise ValueError(f"got name {self.name!r} of an array with a card, wanted {CARD_ID}")
        if self.kind not in FOA_KINDS:
            self._check_capsules()
        elif self.capsule_position_m or self.capsule_gain_db or self.capsule_tilt_db or self.capsule_pattern != "omni":
            raise ValueError(f"got capsules, wanted none for kind {self.kind!r}: its channels are FOA")

    @property
    def capsules(self) -> Capsules:
        """The acoustic model of the capsules, in the order of `channel_map`.

        Raises:
            ValueError: The array is of a kind that delivers FOA.
        """
        if self.kind in FOA_KINDS:
            raise ValueError(f"array {self.name!r}: got kind {self.kind!r}, wanted one with capsules")
        equal = (0.0,) * 4
        return Capsules(
            self.capsule_position_m,
            PATTERNS[self.capsule_pattern],
            self.kind == "rigid_sphere",
            self.capsule_gain_db or equal,
            self.capsule_tilt_db or equal,
        )

    @property
    def planar(self) -> bool:
        """Whether the capsules lie in one horizontal plane, so that the array determines azimuths only."""
        return self.kind not in FOA_KINDS and self.capsules.planar

    @property
    def mixing(self) -> FloatArray | None:
        """Matrix (4, 4) from the channels of `channel_map` to W, Y, Z, X; None for a kind with capsules."""
        return _MIXING.get(self.kind)

    def heard_as(self, names: Sequence[str]) -> bool:
        """Say whether a model that was trained for some arrays fits this one.

        Args:
            names: Names of the arrays that the model was trained for.

        Returns:
            True if this array is among them, if it delivers FOA and "foa" is (after encoding all kinds of FOA are
            equal), or if it is flat and PLANAR is.
        """
        return self.name in names or (self.kind in FOA_KINDS and "foa" in names) or (self.planar and PLANAR in names)

    def _check_capsules(self) -> None:
        places = len(set(self.capsule_position_m))
        if places != 4 or len(self.capsule_position_m) != 4:
            raise ValueError(f"got capsule_position_m of {places} places, wanted one for each of four capsules")
        for name in ("capsule_gain_db", "capsule_tilt_db"):
            values = getattr(self, name)
            if values and (len(values) != 4 or max(map(abs, values)) > _MOST_DB):
                raise ValueError(f"got {name} {list(values)}, wanted four of {-_MOST_DB} to {_MOST_DB} dB, or none")
        if len(set(self.channel_map)) != 4:
            raise ValueError(f"got channel_map {list(self.channel_map)}, wanted every capsule once")
        radii_m = np.linalg.norm(self.capsule_position_m, axis=1)
        least, most = _RADIUS_M
        if not np.all((radii_m >= least) & (radii_m <= most)):
            raise ValueError(f"got capsules {radii_m.round(4).tolist()} m from the middle, wanted {least} to {most} m")
        if self.kind == "rigid_sphere" and (np.ptp(radii_m) > _EVEN_M or self.capsule_pattern != "omni"):
            raise ValueError(
                f"got {self.capsule_pattern} capsules {radii_m.round(4).tolist()} m from the middle, "
                "wanted omni capsules at one distance for a rigid sphere"
            )


def shipped_arrays() -> dict[str, Path]:
    """List the array profiles that come with the package: paths of TOML files by name."""
    return shipped_profiles("array")


def load_array(name: str) -> ArrayProfile:
    """Load a profile.

    Args:
        name: The name of a shipped profile or the path of a TOML file.

    Returns:
        The checked profile.

    Raises:
        ValueError: There is no such profile, or the file cannot be read or describes no array.
    """
    return load_profile(ArrayProfile, "array", name)

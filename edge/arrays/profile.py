"""Channels of a microphone array -> FOA (W, Y, Z, X in ACN/SN3D), as the array's profile says.

Beside FOA, for systems that want them, the signals of the four microphones themselves. Where the device delivers FOA
alone these are virtual ones: cardioids in one point, toward the corners of a tetrahedron.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edge.arrays.acoustics import PATTERNS, Capsules
from edge.arrays.encoding import FilterEncoder
from edge.arrays.sound_card import CARD_ID, SoundCard, is_card_id
from edge.audio.microphone import Device
from edge.audio.resample import MAX_RATE_HZ, MIN_RATE_HZ
from edge.audio.sources import RAW_TYPES
from edge.geometry import foa_gains
from edge.profiles import load_profile, shipped_profiles
from edge.types import AudioBlock, FloatArray

_MIXING: dict[str, FloatArray] = {
    "foa": np.eye(4, dtype=np.float32),
    "foa_fuma": np.array([[np.sqrt(2), 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]], dtype=np.float32),
}
FOA_KINDS = tuple(_MIXING)  # of devices that deliver FOA
KINDS = (*FOA_KINDS, "rigid_sphere", "open")
VIRTUAL_AXES = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
"""Unit vectors (4, 3) that the virtual microphones look along, in the order of tetrahedral arrays."""

_CARDIOIDS = (0.5 * foa_gains(VIRTUAL_AXES)).astype(np.float32)  # (microphones, 4): 0.5 (W + axis . V)
_RADIUS_M = (0.002, 0.5)
_EVEN_M = 1e-4  # by which the capsules of a sphere may miss its surface
_MOST_DB = 20.0


@dataclass(frozen=True, slots=True)
class ArrayProfile:
    """What a device delivers and which of its channels are used; for capsules (rather than FOA) also where they are."""

    name: str
    kind: str  # foa, foa_fuma, rigid_sphere (capsules in the surface of a ball) or open (nothing between capsules)
    channels: int  # that the device or file delivers
    channel_map: tuple[int, ...]  # the four that are used, in the order of the kind or of the capsules below
    capsule_position_m: tuple[tuple[float, float, float], ...] = ()  # front, left, up of the middle; they look outwards
    capsule_pattern: str = "omni"
    capsule_gain_db: tuple[float, ...] = ()  # as calibrated; none where they are equal
    capsule_tilt_db: tuple[float, ...] = ()  # gain far above 1 kHz, against that far below
    device: str | None = None  # part of the name under which it is found
    native_rate_hz: int | None = None  # at which it delivers by itself
    format: str | None = None  # of its raw samples: see RAW_TYPES
    card: SoundCard | None = None  # for `seld-edge apply`

    def __post_init__(self) -> None:
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
        """The capsules in the order of `channel_map`. Raises ValueError for a kind that delivers FOA."""
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
        """It tells azimuth alone: its capsules lie in one plane."""
        return self.kind not in _MIXING and self.capsules.planar

    def heard_as(self, names: Sequence[str]) -> bool:
        """Whether what comes of it is what comes of an array of those names: ambisonics are all alike."""
        return self.name in names or (self.kind in FOA_KINDS and "foa" in names)

    @property
    def mixing(self) -> FloatArray | None:
        """Matrix (4, 4) from the channels of `channel_map` to W, Y, Z, X; None for a kind with capsules."""
        return _MIXING.get(self.kind)

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


class Encoder(Protocol):
    """From blocks of the device's channels to blocks of FOA, and maybe microphones, with the same sample indices."""

    latency_s: float  # most time by which FOA comes later than the channels

    def __call__(self, block: AudioBlock) -> AudioBlock:
        """Take (n, channels), give (m, 4 or 8) that continue the block before; m is 0 while nothing can be told."""

    def finish(self) -> Iterator[AudioBlock]:
        """End of stream: give what is left."""

    def reset(self) -> None:
        """Forget the past: the next block is expected at sample 0."""


class MixingEncoder:
    """Channels that are FOA already, in whatever order and scale: no state, no delay."""

    latency_s = 0.0

    def __init__(self, mixing: FloatArray, channel_map: tuple[int, ...], microphones: bool = False) -> None:
        self._channels = list(channel_map)
        self._microphones = microphones
        self._mixing = None if np.array_equal(mixing, np.eye(4)) else mixing.T

    def __call__(self, block: AudioBlock) -> AudioBlock:
        """(n, channels) -> (n, 4), or (n, 8) with microphones."""
        samples = block.samples[:, self._channels]
        foa = samples if self._mixing is None else samples @ self._mixing
        if self._microphones:
            foa = np.concatenate([foa, _cardioids(foa)], axis=1)
        return AudioBlock(foa, block.start, block.lost)

    def finish(self) -> Iterator[AudioBlock]:
        """Nothing is left at the end."""
        return iter(())

    def reset(self) -> None:
        """There is nothing to forget."""


def shipped_arrays() -> dict[str, Path]:
    """Array profiles that come with the package, by name."""
    return shipped_profiles("array")


def load_array(name: str) -> ArrayProfile:
    """A profile by the name of a shipped one or by the path of a TOML file."""
    return load_profile(ArrayProfile, "array", name)


def fitting_arrays(device: Device) -> list[str]:
    """Shipped profiles that know the name of a device; where it has too few channels or another rate, that is said."""
    found = []
    for name, profile in ((name, load_array(name)) for name in shipped_arrays()):
        if profile.device is None or profile.device.lower() not in device.name.lower():
            continue
        wanted = []
        if device.channels < profile.channels:
            wanted.append(f"{profile.channels} channels")
        if profile.native_rate_hz is not None and profile.native_rate_hz not in device.rates_hz:
            wanted.append(f"{profile.native_rate_hz} Hz")
        found.append(f"{name}, but it wants {' and '.join(wanted)}" if wanted else name)
    return found


def foa_encoder(profile: ArrayProfile, sample_rate_hz: int = 24000, microphones: bool = False) -> Encoder:
    """What turns blocks of the device's channels, at this rate, into blocks of FOA.

    With `microphones`, into blocks of 8 channels: FOA, then the four microphones at the same time. These are the
    capsules in the order of the profile, made alike by its calibration, or cardioids along `VIRTUAL_AXES`.
    """
    if profile.kind in FOA_KINDS:
        return MixingEncoder(_MIXING[profile.kind], profile.channel_map, microphones)
    return FilterEncoder(profile.capsules, profile.channel_map, sample_rate_hz, microphones)


def _cardioids(foa: FloatArray) -> FloatArray:
    """FOA (n, 4) -> virtual microphones (n, 4). Every sample by itself: the length of the block does not matter."""
    sums = np.zeros((len(_CARDIOIDS), len(foa)), np.float32)
    for gains, channel in zip(_CARDIOIDS.T, foa.T, strict=True):
        sums += np.multiply.outer(gains, channel)
    return sums.T

"""Channels of a microphone array -> FOA (W, Y, Z, X in ACN/SN3D), as the array's profile says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from edge.config import build, read_toml
from edge.types import AudioBlock, FloatArray

_KINDS: dict[str, FloatArray] = {
    "foa": np.eye(4, dtype=np.float32),
    "foa_fuma": np.array([[np.sqrt(2), 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]], dtype=np.float32),
}


@dataclass(frozen=True, slots=True)
class ArrayProfile:
    """What a device delivers and which of its channels are used."""

    name: str
    kind: str  # how its channels become FOA
    channels: int  # that the device or file delivers
    channel_map: tuple[int, ...]  # the four that are used, in the order of the kind

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"got kind {self.kind!r}, wanted one of {', '.join(_KINDS)}")
        if len(self.channel_map) != 4 or not all(0 <= index < self.channels for index in self.channel_map):
            raise ValueError(
                f"got channel_map {list(self.channel_map)}, wanted four channels of 0 to {self.channels - 1}"
            )


def shipped_arrays() -> dict[str, Path]:
    """Array profiles that come with the package, by name."""
    root = Path(str(resources.files("firmware_config"))) / "arrays"
    return {path.stem: path for path in sorted(root.glob("*.toml"))}


def load_array(name: str) -> ArrayProfile:
    """A profile by the name of a shipped one or by the path of a TOML file."""
    shipped = shipped_arrays()
    if name in shipped:
        path = shipped[name]
    elif name.endswith(".toml"):
        path = Path(name)
    else:
        raise ValueError(f"array {name!r}: got no such profile, wanted {', '.join(shipped)} or a .toml file")
    return build(ArrayProfile, read_toml(path), str(path))


def foa_encoder(profile: ArrayProfile) -> Callable[[AudioBlock], AudioBlock]:
    """A function from blocks of the device's channels to blocks of FOA."""
    mixing = np.zeros((profile.channels, 4), np.float32)
    mixing[list(profile.channel_map)] = _KINDS[profile.kind].T

    def encode(block: AudioBlock) -> AudioBlock:
        return AudioBlock(block.samples @ mixing, block.start, block.lost)

    def select(block: AudioBlock) -> AudioBlock:
        return AudioBlock(block.samples[:, list(profile.channel_map)], block.start, block.lost)

    return select if profile.kind == "foa" else encode

"""Sizes of ETRI's nets."""

from __future__ import annotations

from dataclasses import dataclass

from convert.layers.poolnet import POOLS


@dataclass(frozen=True, slots=True)
class EtriSizes:
    """Sizes of the three nets. Filters are those at full size, then those of each level of the pyramid.

    The defaults, those of `etri-edge`, train on two cores. Raises ValueError for sizes that do not fit each other.
    """

    frames: int = 200
    bands: int = 64
    frames_per_label: int = 5
    sad_filters: tuple[int, ...] = (8, 8, 12, 16)
    sed_filters: tuple[int, ...] = (16, 24, 32, 48)
    doae_filters: tuple[int, ...] = (16, 24, 32, 48)
    convolutions: int = 1  # at each level
    trellis_units: int = 64
    trellis_dilations: tuple[int, ...] = (1, 1, 2, 4, 8)
    doae_masks: bool = True  # the output of DOAE is where each class is in the spectrogram, not its angles
    dropout: float = 0.05

    def __post_init__(self) -> None:
        if self.frames_per_label < 1 or self.frames < 1 or self.frames % self.frames_per_label:
            raise ValueError(f"got frames {self.frames}, wanted a multiple of frames_per_label {self.frames_per_label}")
        for name in ("sad_filters", "sed_filters", "doae_filters"):
            filters = getattr(self, name)
            if len(filters) < 2 or min(filters) < 1:
                raise ValueError(f"got {name} {filters}, wanted at least two, all positive")
            step = 2 ** (len(filters) - 1)
            least = step * max(POOLS)  # the largest average pool still fits the top of the pyramid
            if any(size % step or size < least for size in (self.frames, self.bands)):
                raise ValueError(
                    f"got frames {self.frames}, bands {self.bands} for {len(filters) - 1} levels of {name}, "
                    f"wanted multiples of {step}, {least} or more"
                )
        if min(self.convolutions, self.trellis_units) < 1 or not 0.0 <= self.dropout < 1.0:
            raise ValueError(
                f"got convolutions {self.convolutions}, trellis_units {self.trellis_units}, dropout {self.dropout}, "
                "wanted at least 1, at least 1 and one from 0 to below 1"
            )

    @property
    def labels(self) -> int:
        """Label frames in a window."""
        return self.frames // self.frames_per_label

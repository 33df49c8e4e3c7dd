"""Sizes of CoLoC's nets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CrnnSizes:
    """Sizes of L_net and C_net: the DCASE 2022 baseline with other filters.

    The defaults, those of `coloc-edge`, give 0.48 M parameters and train on two cores.
    """

    frames: int = 250
    bands: int = 64
    maps: int = 7
    filters: tuple[int, int, int] = (32, 64, 128)
    frequency_pools: tuple[int, int, int] = (4, 4, 2)
    frames_per_label: int = 5
    gru_units: int = 96
    dense_units: int = 96
    dropout: float = 0.05
    condition_units: int = 128  # causal nets only: values of a label frame behind the layer where the condition enters
    random_look_ahead: bool = True  # train the recurrence for streaming; without, it always sees the whole window

    @property
    def labels(self) -> int:
        """Label frames in a window."""
        return self.frames // self.frames_per_label

    @property
    def pools(self) -> list[tuple[int, int]]:
        """The pooling (time, frequency) of each block: a label frame is one row from the first block on."""
        return list(zip((self.frames_per_label, 1, 1), self.frequency_pools, strict=True))

    @property
    def pooled_bands(self) -> int:
        """Bands behind the last block."""
        bands = self.bands
        for pool in self.frequency_pools:
            bands //= pool
        return bands

"""Maps of a clip -> what a label stepper takes for the features of spectra."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge.types import FeatureFrames, Spectra


class Clip:
    """In place of the features of spectra: maps by label frame; zeros where there is nothing to hear."""

    look_ahead_labels, channels = 0, 4

    def __init__(self, maps: np.ndarray) -> None:
        self._maps = maps

    def push(self, spectra: Spectra) -> Iterator[FeatureFrames]:
        maps = self._maps[spectra.start // 5] if spectra.bins.any() else np.zeros_like(self._maps[0])
        yield FeatureFrames(maps, spectra.start)

    def finish(self) -> Iterator[FeatureFrames]:
        return iter(())

    def reset(self) -> None:
        """There is no past."""

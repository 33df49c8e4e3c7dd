"""Spectra -> maps of label frames that follow each other, and whether a label frame continues the stream."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge.frontend.maps import FeatureExtractor
from edge.frontend.stft import StftSettings
from edge.stage_clock import StageClock
from edge.types import FloatArray, Spectra


class LabelStepper:
    """Counts the label frames of a stream and computes their maps.

    A stream begins with the label frame that `restart` names. Spectra whose number is not `next_label` belong to
    another stream: the system that uses the stepper finishes the present one and restarts.

    Attributes:
        clock: Takes the laps of the features, and those of the system that uses the stepper.
        label_s: Duration of a label frame.
        look_ahead_labels: How many label frames later than its spectra the maps of a label frame come.
        next_label: Number of the label frame that continues the stream.
        silent_spectra: A label frame of silence.
        silent_maps: The maps (frames, bands, maps) of that.
    """

    def __init__(self, extractor: FeatureExtractor, stft: StftSettings, clock: StageClock) -> None:
        self.clock = clock
        self.label_s = stft.label_s
        self.look_ahead_labels = extractor.look_ahead_labels
        self.next_label = 0
        self._frames_per_label = stft.frames_per_label
        self._extractor = extractor
        self.silent_spectra = Spectra(np.zeros((stft.frames_per_label, extractor.channels, stft.bins), np.complex64), 0)
        extractor.reset()
        (features,) = [*extractor.push(self.silent_spectra), *extractor.finish()]
        self.silent_maps = features.maps

    def label_of(self, spectra: Spectra) -> int:
        """The number of the label frame that spectra belong to."""
        return spectra.start // self._frames_per_label

    def push(self, spectra: Spectra) -> list[FloatArray]:
        """Take the next label frame.

        Args:
            spectra: Bins (frames, channels, bins) of label frame `next_label`.

        Returns:
            The maps (frames, bands, maps) of the label frame `look_ahead_labels` before it; nothing if the stream
            began later than that.
        """
        self.next_label += 1
        maps = [features.maps for features in self._extractor.push(spectra)]
        self.clock.lap("features")
        return maps

    def finish(self) -> Iterator[FloatArray]:
        """End the stream: yield the maps of the label frames taken that are still missing, as if silence followed."""
        for features in self._extractor.finish():
            yield features.maps

    def restart(self, label: int) -> None:
        """Forget the past: a stream begins with label frame `label`."""
        self._extractor.reset()
        self.next_label = label

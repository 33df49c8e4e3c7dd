"""Microphone spectra and directions of a label frame -> log-mel of beams toward these directions."""

from __future__ import annotations

from edge.arrays.profile import ArrayProfile
from edge.frontend.beams import Beamformer
from edge.frontend.maps import FeatureExtractor, FeatureSettings, logmel, mel_bank
from edge.frontend.stft import StftSettings
from edge.types import ComplexArray, FloatArray

KIND = "two_step"  # of the features that the beams are heard beside


class BeamMaps:
    """Log-mel of delay-and-sum beams, normalised by the statistics of the log-mel of W.

    A beam toward a source is as loud as the source is in W.

    Attributes:
        array: The array whose microphones the beams are made of.
    """

    def __init__(self, array: ArrayProfile, stft: StftSettings, extractor: FeatureExtractor) -> None:
        """`extractor` is that of the features beside which the beams are heard: it has the bands and statistics."""
        self.array = array
        self._beamformer = Beamformer(array, stft)
        self._mel = mel_bank(FeatureSettings(KIND, extractor.bands), stft)
        self._extractor = extractor

    def __call__(self, microphones: ComplexArray, vectors: FloatArray) -> FloatArray:
        """Compute the maps of a label frame.

        Args:
            microphones: Spectra of the microphones (frames, 4, bins).
            vectors: Directions to listen to (K, 3), of any length.

        Returns:
            Maps (frames, bands, K).
        """
        return self._extractor.normalised(logmel(self._beamformer(microphones, vectors), self._mel), 0)

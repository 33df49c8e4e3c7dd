"""Spectra -> FeatureFrames: the feature maps that nets take.

Four kinds, of FOA channels W, Y, Z, X (ACN/SN3D):

* `logmel_iv`: 4 log-mel + 3 mel intensity maps, equal to the DCASE 2022 baseline's FOA features;
* `logpower_phase_iv`: 4 log-power + 4 phase + 3 intensity maps over all bins (CoLoC, section 3.6);
* `etri`: mean log-mel with its harmonic and percussive part, 4 log-mel, 3 active and 3 reactive mel intensity maps
  (ETRI, section 2);
* `two_step`: the maps of `logmel_iv`, and the log-mel of the first microphone at twice as many bands (Yu, section 3.1).

All but `etri` are pure functions of one group of spectra. `etri` looks ahead, so its maps are available later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from edge.frontend.hpss import Separator
from edge.frontend.mel import FilterBank, mel_filters
from edge.frontend.quantities import decibel, intensity, power, reactive_intensity
from edge.frontend.stft import StftSettings
from edge.types import ComplexArray, FeatureFrames, FloatArray, Spectra

FOA_CHANNELS = MICROPHONES = 4
MAX_BANDS = 8193
MAX_HARMONIC_LABELS = 10
HPSS = ("mel", "bins")
LIBROSA_REACH = 15  # frames and bins to both sides: 31 of each


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """Which maps to compute.

    Raises:
        ValueError: The kind is unknown or a size is out of range.
    """

    kind: str = "logmel_iv"  # a key of FEATURES
    bands: int = 64
    harmonic_labels: int = 1  # kind `etri`: half the width of the median over time, which is also the look-ahead
    hpss: str = "mel"  # kind `etri`: what is separated, mel power; or the magnitudes of all bins, as librosa does it

    @property
    def microphones(self) -> bool:
        """Whether the maps need the microphones besides FOA."""
        return self.kind == "two_step"

    @property
    def channels(self) -> int:
        """Channels of the spectra: 4 of FOA, or 8 with the microphones after them."""
        return FOA_CHANNELS + MICROPHONES * self.microphones

    def __post_init__(self) -> None:
        if self.kind not in FEATURES:
            raise ValueError(f"got feature kind {self.kind!r}, wanted one of {', '.join(FEATURES)}")
        if not 1 <= self.bands <= MAX_BANDS:
            raise ValueError(f"got {self.bands} bands, wanted 1 to {MAX_BANDS}")
        if not 1 <= self.harmonic_labels <= MAX_HARMONIC_LABELS:
            raise ValueError(f"got harmonic_labels {self.harmonic_labels}, wanted 1 to {MAX_HARMONIC_LABELS}")
        if self.hpss not in HPSS:
            raise ValueError(f"got hpss {self.hpss!r}, wanted {' or '.join(HPSS)}")


class Maps(Protocol):
    """Maps of one kind, computed for one group of spectra after the other."""

    @property
    def look_ahead_labels(self) -> int:
        """Label frames by which the maps are late."""
        ...

    def __call__(self, bins: ComplexArray) -> FloatArray:
        """Compute maps.

        Args:
            bins: Spectra (frames, 4 or 8, bins) of the next label frame.

        Returns:
            Maps (frames, bands, maps), not normalised, of the label frame `look_ahead_labels` earlier.
        """
        ...

    def reset(self) -> None:
        """Forget the past."""
        ...


class FeatureExtractor:
    """Computation and normalisation of maps, one label frame after the other.

    Without look-ahead, the maps are a pure function of the spectra of the call. With look-ahead, the calls have to
    follow a stream: each returns the maps of the label frame `look_ahead_labels` earlier.

    Attributes:
        map_names: Names of the maps, in their order.
        bands: Bands of the maps.
        channels: Channels of the spectra.
        look_ahead_labels: Label frames by which the maps are late.
    """

    def __init__(
        self,
        settings: FeatureSettings,
        stft: StftSettings,
        mean: FloatArray | None = None,
        deviation: FloatArray | None = None,
    ) -> None:
        """Begin a stream.

        Args:
            settings: Which maps to compute.
            stft: Transform of the spectra.
            mean: Mean (bands, maps) of the maps in training; None for 0.
            deviation: Standard deviation (bands, maps) of the maps in training; None for 1.

        Raises:
            ValueError: The statistics have another shape, or the bands do not fit the kind.
        """
        make, self.map_names = FEATURES[settings.kind]
        self.bands, self.channels = settings.bands, settings.channels
        shape = (settings.bands, len(self.map_names))
        self._mean = np.zeros(shape, np.float32) if mean is None else np.asarray(mean, np.float32)
        self._scale = np.ones(shape, np.float32) if deviation is None else np.float32(1.0) / deviation
        if self._mean.shape != shape or self._scale.shape != shape:
            raise ValueError(f"got statistics of shape {self._mean.shape} and {self._scale.shape}, wanted {shape}")
        self._maps = make(settings, stft)
        self.look_ahead_labels = self._maps.look_ahead_labels
        self._late_frames = self.look_ahead_labels * stft.frames_per_label
        self._silence = np.zeros((stft.frames_per_label, self.channels, stft.bins), np.complex64)
        self._first: int | None = None  # first frame of the current stream
        self._next = 0

    def __call__(self, spectra: Spectra) -> FeatureFrames:
        """Compute normalised maps.

        Args:
            spectra: Spectra (frames, channels, bins) of one label frame.

        Returns:
            Maps (frames, bands, maps) of the label frame `look_ahead_labels` earlier; those of silence if this lies
            before the stream.
        """
        maps = self._maps(spectra.bins)
        maps -= self._mean
        maps *= self._scale
        return FeatureFrames(maps, spectra.start - self._late_frames)

    def normalised(self, maps: FloatArray, index: int) -> FloatArray:
        """Normalise maps of other signals by the statistics of one map.

        Args:
            maps: Maps (frames, bands, n).
            index: Index of the map whose mean and deviation are used.

        Returns:
            Normalised maps (frames, bands, n).
        """
        return (maps - self._mean[:, index, None]) * self._scale[:, index, None]

    def push(self, spectra: Spectra) -> Iterator[FeatureFrames]:
        """Take the next label frame of a stream.

        Args:
            spectra: Spectra (frames, channels, bins) of one label frame.

        Yields:
            The maps of the label frame that it completes; nothing while the stream is not longer than the look-ahead.
        """
        if self._first is None:
            self._first = spectra.start
        self._next = spectra.start + len(spectra.bins)
        features = self(spectra)
        if features.start >= self._first:
            yield features

    def finish(self) -> Iterator[FeatureFrames]:
        """End the stream as if silence followed, and forget the past.

        Yields:
            The maps of the label frames that were not complete yet.
        """
        for _ in range(self.look_ahead_labels):
            yield from self.push(Spectra(self._silence, self._next))
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next label frame is the first of a new stream."""
        self._maps.reset()
        self._first, self._next = None, 0


def logmel_iv(bins: ComplexArray, mel: FilterBank) -> FloatArray:
    """Compute the maps of kind `logmel_iv`.

    Args:
        bins: FOA spectra (frames, 4, bins).
        mel: Bank of all bands.

    Returns:
        Maps (frames, bands, 7): log-mel of W, Y, Z, X in dB, then mel intensity y, z, x.
    """
    bin_power = power(bins)
    maps = mel(np.concatenate([bin_power, intensity(bins, bin_power)], axis=1))  # (frames, 7, bands)
    maps[:, :4] = decibel(maps[:, :4])
    return np.ascontiguousarray(maps.transpose(0, 2, 1))


def logmel(bins: ComplexArray, mel: FilterBank) -> FloatArray:
    """Compute log-mel maps of microphones or beams.

    Args:
        bins: Spectra (frames, channels, bins).
        mel: Bank of all bands.

    Returns:
        Levels (frames, bands, channels) in dB.
    """
    return np.ascontiguousarray(decibel(mel(power(bins))).transpose(0, 2, 1))


def two_step(bins: ComplexArray, mel: FilterBank, fine_mel: FilterBank) -> FloatArray:
    """Compute the maps of kind `two_step` (Yu, section 3.1).

    Args:
        bins: Spectra (frames, 8, bins) of FOA, then of the microphones.
        mel: Bank of all bands.
        fine_mel: Bank of twice as many bands: 128 in the paper.

    Returns:
        Maps (frames, bands, 9): the 7 of `logmel_iv`, then the log-mel of the first microphone in two maps. Its band
        2 b + m is row b of the map m of these two, so that a row has the same frequency in all maps.
    """
    maps = logmel_iv(np.ascontiguousarray(bins[:, :FOA_CHANNELS]), mel)
    fine = logmel(bins[:, FOA_CHANNELS : FOA_CHANNELS + 1], fine_mel)  # (frames, 2 bands, 1)
    return np.concatenate([maps, fine.reshape(*maps.shape[:2], 2)], axis=2)


def mel_bank(settings: FeatureSettings, stft: StftSettings, finer: int = 1) -> FilterBank:
    """Make the bank of the log-mel maps.

    Args:
        settings: Bands of the maps.
        stft: Transform of the spectra.
        finer: Factor for the number of bands.

    Returns:
        The bank of `finer` times `settings.bands` bands.
    """
    return FilterBank(mel_filters(stft.sample_rate_hz, stft.nfft, finer * settings.bands))


def logpower_phase_iv(bins: ComplexArray) -> FloatArray:
    """Compute the maps of kind `logpower_phase_iv` (CoLoC, section 3.6).

    Args:
        bins: FOA spectra (frames, 4, bins).

    Returns:
        Maps (frames, bins, 11): log-power in dB and phase in radians of W, Y, Z, X, then intensity y, z, x.
    """
    bin_power = power(bins)
    maps = np.concatenate([decibel(bin_power), np.angle(bins), intensity(bins, bin_power)], axis=1)
    return np.ascontiguousarray(maps.transpose(0, 2, 1))


@dataclass(frozen=True, slots=True)
class GroupMaps:
    """Maps that are a pure function of one group of spectra."""

    function: Callable[[ComplexArray], FloatArray]
    look_ahead_labels: int = 0

    def __call__(self, bins: ComplexArray) -> FloatArray:
        """Compute the maps (frames, bands, maps) of spectra (frames, channels, bins)."""
        return self.function(bins)

    def reset(self) -> None:
        """Do nothing: there is no past."""


class EtriMaps:
    """Maps of kind `etri` (ETRI, section 2), `harmonic_labels` label frames late. Silence precedes the first group.

    The paper does not say which signals its "average" and "hpss" are computed from. Our reconstruction: the average is
    the mean of the four log-mel maps; the harmonic and percussive parts are those of the mean of the four mel power
    spectrograms. With `hpss = "bins"` they are the mel power of the parts that librosa's `decompose.hpss` finds in the
    magnitudes of the mean of the four power spectrograms, by medians over 31 frames and 31 bins.
    """

    def __init__(self, settings: FeatureSettings, stft: StftSettings) -> None:
        """Begin a stream.

        Args:
            settings: Bands and look-ahead of the maps.
            stft: Transform of the spectra.

        Raises:
            ValueError: The look-ahead is shorter than the median over time.
        """
        self.look_ahead_labels = settings.harmonic_labels
        self._mel = mel_bank(settings, stft)
        self._of_bins = settings.hpss == "bins"
        self._unused_frames = 0  # at both ends of the groups that are held, outside the median over time
        frames, bands = settings.harmonic_labels * stft.frames_per_label, settings.bands
        if self._of_bins:
            self._unused_frames, bands = frames - LIBROSA_REACH, stft.bins
            if self._unused_frames < 0:
                raise ValueError(
                    f"got harmonic_labels {settings.harmonic_labels} of {stft.frames_per_label} frames, wanted at "
                    f"least {LIBROSA_REACH} frames for hpss 'bins'"
                )
            self._separate = Separator(bands, LIBROSA_REACH, LIBROSA_REACH, of_magnitudes=True)
        else:
            self._separate = Separator(bands, frames)
        count = 2 * settings.harmonic_labels + 1
        self._silence = [np.zeros((stft.frames_per_label, bands), np.float32)] * count  # to be separated
        self._no_sums = [np.zeros((stft.frames_per_label, 10, settings.bands), np.float32)] * count
        self.reset()

    def __call__(self, bins: ComplexArray) -> FloatArray:
        """Compute the maps (frames, bands, 13) of an earlier group; take the spectra (frames, 4, bins) of the next."""
        bin_power = power(bins)
        intensities = intensity(bins, bin_power), reactive_intensity(bins, bin_power)
        sums = self._mel(np.concatenate([bin_power, *intensities], axis=1))
        self._mixed.append((bin_power if self._of_bins else sums[:, :4]).mean(axis=1))
        self._sums.append(sums)
        mixed = np.concatenate(self._mixed)
        parts = self._separate(mixed[self._unused_frames : len(mixed) - self._unused_frames])
        parts = self._mel(parts) if self._of_bins else parts
        sums = self._sums[self.look_ahead_labels]
        levels = decibel(np.concatenate([parts, sums[:, :4]], axis=1))
        mean_level = levels[:, 2:].mean(axis=1, keepdims=True)
        return np.ascontiguousarray(np.concatenate([mean_level, levels, sums[:, 4:]], axis=1).transpose(0, 2, 1))

    def reset(self) -> None:
        """Forget the past: silence precedes the next group."""
        self._mixed = deque(self._silence, len(self._silence))
        self._sums = deque(self._no_sums, len(self._no_sums))


def _logmel_iv(settings: FeatureSettings, stft: StftSettings) -> Maps:
    return GroupMaps(partial(logmel_iv, mel=mel_bank(settings, stft)))


def _two_step(settings: FeatureSettings, stft: StftSettings) -> Maps:
    return GroupMaps(partial(two_step, mel=mel_bank(settings, stft), fine_mel=mel_bank(settings, stft, finer=2)))


def _logpower_phase_iv(settings: FeatureSettings, stft: StftSettings) -> Maps:
    if settings.bands != stft.bins:
        raise ValueError(f"got {settings.bands} bands for {settings.kind}, wanted all {stft.bins} bins")
    return GroupMaps(logpower_phase_iv)


_FOA = ("w", "y", "z", "x")
_LOGMEL = tuple(f"logmel_{c}" for c in _FOA)
_INTENSITY = tuple(f"intensity_{c}" for c in _FOA[1:])
FEATURES: dict[str, tuple[Callable[[FeatureSettings, StftSettings], Maps], Sequence[str]]] = {
    "logmel_iv": (_logmel_iv, (*_LOGMEL, *_INTENSITY)),
    "logpower_phase_iv": (
        _logpower_phase_iv,
        (*(f"logpower_{c}" for c in _FOA), *(f"phase_{c}" for c in _FOA), *_INTENSITY),
    ),
    "etri": (
        EtriMaps,
        (
            *(f"logmel_{part}" for part in ("mean", "harmonic", "percussive")),
            *_LOGMEL,
            *(f"{kind}_{c}" for kind in ("active", "reactive") for c in _FOA[1:]),
        ),
    ),
    "two_step": (_two_step, (*_LOGMEL, *_INTENSITY, "logmel_even", "logmel_odd")),
}
"""Kinds of maps by name: how they are made, and the names of the maps."""

"""Spectra -> FeatureFrames: the maps that the nets see.

Four kinds, on FOA channels W, Y, Z, X (ACN/SN3D):

* `logmel_iv`: 4 log-mel + 3 mel intensity maps, equal to the DCASE 2022 baseline's FOA features;
* `logpower_phase_iv`: 4 log-power + 4 phase + 3 intensity maps over all bins (CoLoC, section 3.6);
* `etri`: mean log-mel with its harmonic and percussive part, 4 log-mel, 3 active and 3 reactive mel intensity maps
  (ETRI, section 2);
* `two_step`: the maps of `logmel_iv`, and the log-mel of the first microphone at twice as many bands (Yu, section 3.1).

All but `etri` are pure functions of one group of spectra. That one looks ahead, and its maps come as much later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from edge.frontend.hpss import POWER_FLOOR, Separator
from edge.frontend.mel import FilterBank, mel_filters
from edge.frontend.stft import StftSettings
from edge.types import ComplexArray, FeatureFrames, FloatArray, Spectra

FLOOR_DB = np.float32(-100.0)  # of POWER_FLOOR
INTENSITY_FLOOR = np.float32(1e-8)  # as the DCASE baseline
FOA_CHANNELS = MICROPHONES = 4
MAX_BANDS = 8193
MAX_HARMONIC_LABELS = 10

_DB_PER_NEPER = FLOOR_DB / np.log(POWER_FLOOR)  # 10 / ln 10; np.log is fast on more processors than np.log10
_QUARTER_TURN = np.array([[1.0], [-1.0j], [-1.0j], [-1.0j]], np.complex64)  # of Y, Z, X against W
_ENERGY_WEIGHTS = np.array([[1.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]], np.float32)  # of W, Y, Z, X


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """Which maps to compute."""

    kind: str = "logmel_iv"
    bands: int = 64
    harmonic_labels: int = 1  # kind `etri`: half the width of the median over time, and so the look-ahead

    @property
    def microphones(self) -> bool:
        """Whether it takes the microphones besides FOA."""
        return self.kind == "two_step"

    @property
    def channels(self) -> int:
        """Of the spectra: 4 of FOA, or 8, the microphones after them."""
        return FOA_CHANNELS + MICROPHONES * self.microphones

    def __post_init__(self) -> None:
        if self.kind not in FEATURES:
            raise ValueError(f"got feature kind {self.kind!r}, wanted one of {', '.join(FEATURES)}")
        if not 1 <= self.bands <= MAX_BANDS:
            raise ValueError(f"got {self.bands} bands, wanted 1 to {MAX_BANDS}")
        if not 1 <= self.harmonic_labels <= MAX_HARMONIC_LABELS:
            raise ValueError(f"got harmonic_labels {self.harmonic_labels}, wanted 1 to {MAX_HARMONIC_LABELS}")


class Maps(Protocol):
    """The maps of one kind, of one group of spectra after the other."""

    @property
    def look_ahead_labels(self) -> int:
        """By how many label frames the maps come late."""
        ...

    def __call__(self, bins: ComplexArray) -> FloatArray:
        """(frames, 4 or 8, bins) -> maps (frames, bands, maps), not normalised."""
        ...

    def reset(self) -> None:
        """Forget the past."""
        ...


class FeatureExtractor:
    """Computes and normalises maps, one label frame after the other.

    A kind without look-ahead is a pure function of the spectra that it is called with, and may be called with any. One
    with look-ahead takes a stream: each call gives the maps of the label frame `look_ahead_labels` earlier.
    """

    def __init__(
        self,
        settings: FeatureSettings,
        stft: StftSettings,
        mean: FloatArray | None = None,
        deviation: FloatArray | None = None,
    ) -> None:
        """`mean` and `deviation` are (bands, maps), from training; without them the maps stay as they are."""
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
        self._first: int | None = None  # frame of the stream under way
        self._next = 0

    def __call__(self, spectra: Spectra) -> FeatureFrames:
        """Spectra (frames, channels, bins) -> normalised (frames, bands, maps); of silence before the stream begins."""
        maps = self._maps(spectra.bins)
        maps -= self._mean
        maps *= self._scale
        return FeatureFrames(maps, spectra.start - self._late_frames)

    def normalised(self, maps: FloatArray, index: int) -> FloatArray:
        """Further maps (frames, bands, n) by the statistics of map `index`."""
        return (maps - self._mean[:, index, None]) * self._scale[:, index, None]

    def push(self, spectra: Spectra) -> Iterator[FeatureFrames]:
        """Take the next label frame; yield the one that it completes, once the stream is longer than the look-ahead."""
        if self._first is None:
            self._first = spectra.start
        self._next = spectra.start + len(spectra.bins)
        features = self(spectra)
        if features.start >= self._first:
            yield features

    def finish(self) -> Iterator[FeatureFrames]:
        """End of stream: yield the label frames still under way, as if silence followed, and forget the past."""
        for _ in range(self.look_ahead_labels):
            yield from self.push(Spectra(self._silence, self._next))
        self.reset()

    def reset(self) -> None:
        """Forget the past: what comes next begins a stream."""
        self._maps.reset()
        self._first, self._next = None, 0


def power(bins: ComplexArray) -> FloatArray:
    """Squared magnitude."""
    parts = _parts(bins)
    return _pair_sums(parts * parts)


def intensity(bins: ComplexArray, power: FloatArray) -> FloatArray:
    """Normalised active intensity (frames, 3, bins) of FOA spectra (frames, 4, bins), in channel order Y, Z, X.

    I = Re(conj(W) V) / (|W|^2 + (|X|^2 + |Y|^2 + |Z|^2) / 3), which for a single plane wave is 3/4 of the unit vector
    toward its source (DCASE 2022 baseline; Cao et al. 2019).
    """
    energy = _ENERGY_WEIGHTS @ power
    energy += INTENSITY_FLOOR
    parts = _parts(bins)
    active = _pair_sums(parts[:, :1] * parts[:, 1:])
    active /= energy
    return active


def reactive_intensity(bins: ComplexArray, power: FloatArray) -> FloatArray:
    """Normalised reactive intensity: Im(conj(W) V) in place of the real part, otherwise as `intensity`.

    Zero for a plane wave; between two that make a standing wave it is up to sqrt(3) / 2 long. Sign and normalisation
    are reconstructed: the paper (section 2) but names it.
    """
    return intensity(bins * _QUARTER_TURN, power)


def logmel_iv(bins: ComplexArray, mel: FilterBank) -> FloatArray:
    """(frames, 4, bins) -> (frames, bands, 7): log-mel of W, Y, Z, X in dB, then mel intensity y, z, x."""
    bin_power = power(bins)
    maps = mel(np.concatenate([bin_power, intensity(bins, bin_power)], axis=1))  # (frames, 7, bands)
    maps[:, :4] = _decibel(maps[:, :4])
    return np.ascontiguousarray(maps.transpose(0, 2, 1))


def logmel(bins: ComplexArray, mel: FilterBank) -> FloatArray:
    """(frames, channels, bins) -> (frames, bands, channels): log-mel in dB, of microphones or of beams."""
    return np.ascontiguousarray(_decibel(mel(power(bins))).transpose(0, 2, 1))


def two_step(bins: ComplexArray, mel: FilterBank, fine_mel: FilterBank) -> FloatArray:
    """FOA and microphones (frames, 8, bins) -> (frames, bands, 9): the 7 maps of `logmel_iv`, then the microphone's.

    `fine_mel` has twice as many bands, 128 in the paper (section 3.1). Band 2 b + m of the first microphone is row b of
    map m of the last two: so both spectrograms have rows of the same frequency.
    """
    maps = logmel_iv(np.ascontiguousarray(bins[:, :FOA_CHANNELS]), mel)
    fine = logmel(bins[:, FOA_CHANNELS : FOA_CHANNELS + 1], fine_mel)  # (frames, 2 bands, 1)
    return np.concatenate([maps, fine.reshape(*maps.shape[:2], 2)], axis=2)


def mel_bank(settings: FeatureSettings, stft: StftSettings, finer: int = 1) -> FilterBank:
    """The bank of log-mel maps; with `finer` times as many bands."""
    return FilterBank(mel_filters(stft.sample_rate_hz, stft.nfft, finer * settings.bands))


def logpower_phase_iv(bins: ComplexArray) -> FloatArray:
    """(frames, 4, bins) -> (frames, bins, 11): log-power in dB, phase in radians, intensity y, z, x (CoLoC, 3.6)."""
    bin_power = power(bins)
    maps = np.concatenate([_decibel(bin_power), np.angle(bins), intensity(bins, bin_power)], axis=1)
    return np.ascontiguousarray(maps.transpose(0, 2, 1))


@dataclass(frozen=True, slots=True)
class GroupMaps:
    """Maps that are a pure function of one group: (frames, channels, bins) -> (frames, bands, maps)."""

    function: Callable[[ComplexArray], FloatArray]
    look_ahead_labels: int = 0

    def __call__(self, bins: ComplexArray) -> FloatArray:
        """The maps of a group."""
        return self.function(bins)

    def reset(self) -> None:
        """There is no past to forget."""


class EtriMaps:
    """The maps of ETRI (section 2), `harmonic_labels` label frames late; there is silence before the first group.

    The paper leaves open what "average" and "hpss" are of. Reconstructed: the mean log-mel is that of the four log-mel
    maps; harmonic and percussive are the parts of the mean of the four mel power spectrograms.
    """

    def __init__(self, settings: FeatureSettings, stft: StftSettings) -> None:
        self.look_ahead_labels = settings.harmonic_labels
        self._mel = mel_bank(settings, stft)
        self._separate = Separator(settings.bands, settings.harmonic_labels * stft.frames_per_label)
        silence = np.zeros((stft.frames_per_label, 11, settings.bands), np.float32)  # of mean power and of sums
        self._silence = [silence] * (2 * settings.harmonic_labels + 1)
        self.reset()

    def __call__(self, bins: ComplexArray) -> FloatArray:
        """(frames, 4, bins) -> (frames, bands, 13) of an earlier group."""
        bin_power = power(bins)
        intensities = intensity(bins, bin_power), reactive_intensity(bins, bin_power)
        sums = self._mel(np.concatenate([bin_power, *intensities], axis=1))
        mean_power = sums[:, :4].mean(axis=1, keepdims=True)
        self._groups.append(np.concatenate([mean_power, sums], axis=1))
        parts = self._separate(np.concatenate([group[:, 0] for group in self._groups]))
        sums = self._groups[self.look_ahead_labels][:, 1:]
        levels = _decibel(np.concatenate([parts, sums[:, :4]], axis=1))
        mean_level = levels[:, 2:].mean(axis=1, keepdims=True)
        return np.ascontiguousarray(np.concatenate([mean_level, levels, sums[:, 4:]], axis=1).transpose(0, 2, 1))

    def reset(self) -> None:
        """Forget the past."""
        self._groups = deque(self._silence, len(self._silence))


def _logmel_iv(settings: FeatureSettings, stft: StftSettings) -> Maps:
    return GroupMaps(partial(logmel_iv, mel=mel_bank(settings, stft)))


def _two_step(settings: FeatureSettings, stft: StftSettings) -> Maps:
    return GroupMaps(partial(two_step, mel=mel_bank(settings, stft), fine_mel=mel_bank(settings, stft, finer=2)))


def _logpower_phase_iv(settings: FeatureSettings, stft: StftSettings) -> Maps:
    if settings.bands != stft.bins:
        raise ValueError(f"got {settings.bands} bands for {settings.kind}, wanted all {stft.bins} bins")
    return GroupMaps(logpower_phase_iv)


def _parts(bins: ComplexArray) -> FloatArray:
    """(..., n) -> (..., 2 n): real and imaginary part of each number side by side, as they lie in memory."""
    bins = np.ascontiguousarray(bins)
    return bins.view(bins.real.dtype)


def _pair_sums(parts: FloatArray) -> FloatArray:
    return parts[..., 0::2] + parts[..., 1::2]


def _decibel(power: FloatArray) -> FloatArray:
    level = np.maximum(power, POWER_FLOOR)
    np.log(level, out=level)
    level *= _DB_PER_NEPER
    return level


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

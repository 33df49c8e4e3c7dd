"""FOA spectra -> the quantities that feature maps are made of: power, level, active and reactive intensity."""

from __future__ import annotations

import numpy as np

from edge.types import ComplexArray, FloatArray

POWER_FLOOR = np.float32(1e-10)
"""Least power, as in librosa's power_to_db."""

FLOOR_DB = np.float32(-100.0)
"""Level of POWER_FLOOR."""

INTENSITY_FLOOR = np.float32(1e-8)
"""Added to the energy that intensities are divided by, as in the DCASE baseline."""

_DB_PER_NEPER = FLOOR_DB / np.log(POWER_FLOOR)  # 10 / ln 10; np.log is fast on more processors than np.log10
_QUARTER_TURN = np.array([[1.0], [-1.0j], [-1.0j], [-1.0j]], np.complex64)  # of the phase of Y, Z, X relative to W
_ENERGY_WEIGHTS = np.array([[1.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]], np.float32)  # of W, Y, Z, X


def power(bins: ComplexArray) -> FloatArray:
    """Compute the squared magnitude of spectra of any shape."""
    parts = _parts(bins)
    return _pair_sums(parts * parts)


def intensity(bins: ComplexArray, power: FloatArray) -> FloatArray:
    """Compute the normalised active intensity (DCASE 2022 baseline; Cao et al. 2019).

    I = Re(conj(W) V) / (|W|^2 + (|X|^2 + |Y|^2 + |Z|^2) / 3), which for a single plane wave is 3/4 of the unit vector
    toward its source.

    Args:
        bins: FOA spectra (frames, 4, bins).
        power: Their squared magnitude (frames, 4, bins).

    Returns:
        Intensity (frames, 3, bins) in the order y, z, x.
    """
    energy = _ENERGY_WEIGHTS @ power
    energy += INTENSITY_FLOOR
    parts = _parts(bins)
    active = _pair_sums(parts[:, :1] * parts[:, 1:])
    active /= energy
    return active


def reactive_intensity(bins: ComplexArray, power: FloatArray) -> FloatArray:
    """Compute the normalised reactive intensity: Im(conj(W) V) in place of the real part of `intensity`.

    It is zero for a plane wave, and up to sqrt(3) / 2 long in a standing wave of two. Sign and normalisation are
    reconstructed: ETRI's paper (section 2) only names it.

    Args:
        bins: FOA spectra (frames, 4, bins).
        power: Their squared magnitude (frames, 4, bins).

    Returns:
        Intensity (frames, 3, bins) in the order y, z, x.
    """
    return intensity(bins * _QUARTER_TURN, power)


def decibel(power: FloatArray) -> FloatArray:
    """Compute the levels in dB of powers of any shape; powers below POWER_FLOOR give FLOOR_DB."""
    level = np.maximum(power, POWER_FLOOR)
    np.log(level, out=level)
    level *= _DB_PER_NEPER
    return level


def _parts(bins: ComplexArray) -> FloatArray:
    """View complex numbers (..., n) as (..., 2 n): real and imaginary parts alternate, as they lie in memory."""
    bins = np.ascontiguousarray(bins)
    return bins.view(bins.real.dtype)


def _pair_sums(parts: FloatArray) -> FloatArray:
    return parts[..., 0::2] + parts[..., 1::2]

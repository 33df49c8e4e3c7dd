"""Positions and patterns of capsules -> their responses to plane waves: the acoustic model of a microphone array.

Phases are those of exp(+j 2 pi f t), as in numpy's FFT, and relative to the middle of the array: a capsule that points
toward the source receives the wave early. Every capsule points outwards, so its response depends only on the angle
between its axis and the wave.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from edge.geometry import SPEED_OF_SOUND_M_S

Array64 = NDArray[np.float64]
Complex128 = NDArray[np.complex128]

PATTERNS = {"omni": 1.0, "subcardioid": 0.7, "cardioid": 0.5, "hypercardioid": 0.25}
"""Share of pressure in a capsule's pattern a + (1 - a) cos(angle); the rest is velocity."""

TILT_HZ = 1000.0
"""Frequency at which the shelf of `tilts_db` is half way."""

_FLAT_M = 1e-4  # height below which a capsule counts as in the plane
_LEAST_KR = 1e-3  # replaces a wave number times radius of 0, at which the pressure is equal everywhere
_ORDERS_BEYOND_KR = 12  # orders of the series above kr, by which it has fallen to 1e-10


@dataclass(frozen=True, slots=True)
class Capsules:
    """The microphones of an array, in the order of their channels."""

    positions_m: tuple[tuple[float, float, float], ...]  # from the middle of the array; capsules point that way
    pressure_share: float = 1.0  # see PATTERNS
    rigid: bool = False  # whether they are pressure microphones in the surface of a rigid sphere around the middle
    gains_db: tuple[float, ...] = (0.0,) * 4  # gain of each far below TILT_HZ
    tilts_db: tuple[float, ...] = (0.0,) * 4  # gain far above TILT_HZ, relative to that far below
    delays_s: tuple[float, ...] = (0.0,) * 4  # delay of each

    @property
    def radii_m(self) -> Array64:
        """Distance of each capsule (capsules,) from the middle."""
        return np.linalg.norm(self.positions_m, axis=1)

    @property
    def planar(self) -> bool:
        """Whether all lie at the height of the middle, where waves from above and from below give equal responses."""
        return bool(np.all(np.abs(np.asarray(self.positions_m)[:, 2]) < _FLAT_M))

    @property
    def axes(self) -> Array64:
        """Unit vectors (capsules, 3) along which the capsules point."""
        return np.asarray(self.positions_m) / self.radii_m[:, None]


def array_spectra(capsules: Capsules, directions: ArrayLike, frequencies_hz: ArrayLike) -> Complex128:
    """Compute the responses of all capsules to plane waves of unit amplitude.

    Args:
        capsules: The array.
        directions: Unit vectors (n, 3) toward the sources.
        frequencies_hz: Frequencies (frequencies,).

    Returns:
        Complex responses (n, capsules, frequencies).
    """
    cosines = np.asarray(directions) @ capsules.axes.T  # (n, capsules)
    each = [capsule_spectra(capsules, index, cosine, frequencies_hz) for index, cosine in enumerate(cosines.T)]
    return np.stack(each, axis=1)


def capsule_spectra(capsules: Capsules, index: int, cosines: ArrayLike, frequencies_hz: ArrayLike) -> Complex128:
    """Compute the response of one capsule to plane waves of unit amplitude.

    Args:
        capsules: The array.
        index: The capsule.
        cosines: Cosines (n,) of the angles between the axis of the capsule and the directions of the sources.
        frequencies_hz: Frequencies (frequencies,).

    Returns:
        Complex responses (n, frequencies), with the gain, tilt and delay of the capsule.
    """
    cosine, frequencies = np.asarray(cosines, np.float64), np.asarray(frequencies_hz, np.float64)
    kr = np.maximum(2 * np.pi * frequencies * capsules.radii_m[index] / SPEED_OF_SOUND_M_S, _LEAST_KR)
    ideal = rigid_sphere(cosine, kr) if capsules.rigid else open_capsule(cosine, kr, capsules.pressure_share)
    low, high = 10 ** (capsules.gains_db[index] / 20), 10 ** (capsules.tilts_db[index] / 20)
    shelf = low * (1 + 1j * high * frequencies / TILT_HZ) / (1 + 1j * frequencies / TILT_HZ)
    return ideal * shelf * np.exp(-2j * np.pi * frequencies * capsules.delays_s[index])


def open_capsule(cosines: Array64, kr: Array64, pressure_share: float) -> Complex128:
    """Compute the response of a first-order capsule that nothing shadows.

    Args:
        cosines: Cosines (n,) of the angles between the axis of the capsule and the directions of the sources.
        kr: Wave number times distance from the middle (k,): 2 pi radius / wavelength.
        pressure_share: See PATTERNS.

    Returns:
        Complex responses (n, k) to plane waves of unit amplitude.
    """
    return (pressure_share + (1 - pressure_share) * cosines[:, None]) * np.exp(1j * np.outer(cosines, kr))


def rigid_sphere(cosines: Array64, kr: Array64) -> Complex128:
    """Compute the pressure in the surface of a rigid sphere.

    The series is that of Rafaely, Fundamentals of Spherical Array Processing (2015), chapter 2: sum over n of
    (2 n + 1) j^n b_n P_n(cosine), with b_n = j_n - h_n j_n' / h_n', which is -j / (kr^2 h_n'(kr)), and outgoing waves
    h_n = j_n - j y_n.

    Args:
        cosines: Cosines (n,) of the angles between a point of the surface and the directions of the sources.
        kr: Wave number times radius (k,), above 0.

    Returns:
        Complex pressure (n, k) for plane waves of unit amplitude.
    """
    orders = np.arange(int(np.ceil(kr.max())) + _ORDERS_BEYOND_KR + 1)
    n = orders[:, None]
    outgoing = spherical_jn(n, kr, derivative=True) - 1j * spherical_yn(n, kr, derivative=True)
    modes = (2 * n + 1) * 1j ** (n % 4) * -1j / (kr**2 * outgoing)  # (orders, k)
    return eval_legendre(orders, cosines[:, None]) @ modes


def sphere_grid(points: int) -> Array64:
    """Spread unit vectors (points, 3) evenly over the sphere, in a Fibonacci lattice."""
    index = np.arange(points) + 0.5
    height, angle = 1 - 2 * index / points, np.pi * (1 + np.sqrt(5)) * index
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=-1)

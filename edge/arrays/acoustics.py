"""Where capsules sit and how they listen -> what they pick up of plane waves: the model of a microphone array.

Phases are those of exp(+j 2 pi f t), as in numpy's FFT, and relative to the middle of the array: a capsule that looks
toward the source hears it early. Every capsule looks outwards, so that it hears a wave by the angle to it alone.
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
_FLAT_M = 1e-4  # height that is none
_LEAST_KR = 1e-3  # wave number times radius, in place of 0: the pressure is even everywhere then
_ORDERS_BEYOND_KR = 12  # of the series, which by then is down to 1e-10


@dataclass(frozen=True, slots=True)
class Capsules:
    """The microphones of an array, in the order of their channels."""

    positions_m: tuple[tuple[float, float, float], ...]  # from the middle of the array; capsules look that way
    pressure_share: float = 1.0  # see PATTERNS
    rigid: bool = False  # they are pressure microphones in the surface of a hard sphere around the middle
    gains_db: tuple[float, ...] = (0.0,) * 4  # far below TILT_HZ
    tilts_db: tuple[float, ...] = (0.0,) * 4  # gain far above TILT_HZ, against that far below
    delays_s: tuple[float, ...] = (0.0,) * 4  # by which each is late

    @property
    def radii_m(self) -> Array64:
        """Distance of each capsule (capsules,) from the middle."""
        return np.linalg.norm(self.positions_m, axis=1)

    @property
    def planar(self) -> bool:
        """All lie at the height of the middle: a wave from above is heard as one from below."""
        return bool(np.all(np.abs(np.asarray(self.positions_m)[:, 2]) < _FLAT_M))

    @property
    def axes(self) -> Array64:
        """Unit vectors (capsules, 3) that the capsules look along."""
        return np.asarray(self.positions_m) / self.radii_m[:, None]


def array_spectra(capsules: Capsules, directions: ArrayLike, frequencies_hz: ArrayLike) -> Complex128:
    """What each capsule picks up of unit plane waves from unit vectors (n, 3): (n, capsules, frequencies)."""
    cosines = np.asarray(directions) @ capsules.axes.T  # (n, capsules)
    each = [capsule_spectra(capsules, index, cosine, frequencies_hz) for index, cosine in enumerate(cosines.T)]
    return np.stack(each, axis=1)


def capsule_spectra(capsules: Capsules, index: int, cosines: ArrayLike, frequencies_hz: ArrayLike) -> Complex128:
    """What one capsule picks up of waves at angles of these cosines (n,) to its axis: (n, frequencies)."""
    cosine, frequencies = np.asarray(cosines, np.float64), np.asarray(frequencies_hz, np.float64)
    kr = np.maximum(2 * np.pi * frequencies * capsules.radii_m[index] / SPEED_OF_SOUND_M_S, _LEAST_KR)
    heard = rigid_sphere(cosine, kr) if capsules.rigid else open_capsule(cosine, kr, capsules.pressure_share)
    low, high = 10 ** (capsules.gains_db[index] / 20), 10 ** (capsules.tilts_db[index] / 20)
    shelf = low * (1 + 1j * high * frequencies / TILT_HZ) / (1 + 1j * frequencies / TILT_HZ)
    return heard * shelf * np.exp(-2j * np.pi * frequencies * capsules.delays_s[index])


def open_capsule(cosines: Array64, kr: Array64, pressure_share: float) -> Complex128:
    """What a capsule in the open picks up (n, k) at angles of these cosines (n,) to a unit plane wave."""
    return (pressure_share + (1 - pressure_share) * cosines[:, None]) * np.exp(1j * np.outer(cosines, kr))


def rigid_sphere(cosines: Array64, kr: Array64) -> Complex128:
    """Pressure (n, k) in the surface of a hard sphere at angles of these cosines (n,) to a unit plane wave.

    kr (k,) is 2 pi radius / wavelength, above 0. The series is that of Rafaely, Fundamentals of Spherical Array
    Processing (2015), chapter 2: sum over n of (2 n + 1) j^n b_n P_n(cosine), with b_n = j_n - h_n j_n' / h_n', which
    is -j / (kr^2 h_n'(kr)), and outgoing waves h_n = j_n - j y_n.
    """
    orders = np.arange(int(np.ceil(kr.max())) + _ORDERS_BEYOND_KR + 1)
    n = orders[:, None]
    outgoing = spherical_jn(n, kr, derivative=True) - 1j * spherical_yn(n, kr, derivative=True)
    modes = (2 * n + 1) * 1j ** (n % 4) * -1j / (kr**2 * outgoing)  # (orders, k)
    return eval_legendre(orders, cosines[:, None]) @ modes


def sphere_grid(points: int) -> Array64:
    """Unit vectors (points, 3) spread evenly over the sphere (a Fibonacci lattice)."""
    index = np.arange(points) + 0.5
    height, angle = 1 - 2 * index / points, np.pi * (1 + np.sqrt(5)) * index
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=-1)

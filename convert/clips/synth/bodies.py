"""Materials, sizes and forces -> the sound of bodies that are struck, scraped or shaken, (n,) at 24 kHz.

A body is a set of modes. A force, sample by sample, drives one resonator for each mode, so that a knock, a scrape and
a slip of a hinge differ only in the force.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import signal

from convert.clips.synth.tools import SAMPLE_RATE_HZ, Signal, length

HIGHEST_HZ = 11_500.0
MOST_MODES = 40
SPEED_OF_SOUND_M_S = 343.0


@dataclass(frozen=True, slots=True)
class Material:
    """What a plate is made of; figures from tables of room and structural acoustics."""

    young_pa: float
    density_kg_m3: float
    poisson: float
    loss_factor: float  # of the material alone; joints and air add to it


MATERIALS = {
    "pine": Material(9.0e9, 500.0, 0.35, 0.015),
    "plywood": Material(7.0e9, 600.0, 0.30, 0.020),
    "chipboard": Material(3.0e9, 680.0, 0.25, 0.030),
    "plaster": Material(2.5e9, 800.0, 0.25, 0.020),
    "concrete": Material(26.0e9, 2300.0, 0.20, 0.010),
    "plastic": Material(2.3e9, 1050.0, 0.38, 0.040),
    "glass": Material(65.0e9, 2500.0, 0.22, 0.003),
    "ceramic": Material(70.0e9, 2400.0, 0.22, 0.004),
    "steel": Material(200.0e9, 7800.0, 0.29, 0.002),
    "aluminium": Material(70.0e9, 2700.0, 0.33, 0.002),
}


@dataclass(frozen=True, slots=True)
class Body:
    """Modes of a body, each with its frequency, decay and the gain from a force to the sound."""

    hz: Signal  # (modes,)
    t60_s: Signal  # (modes,)
    gain: Signal  # (modes,)


def body(hz: ArrayLike, t60_s: ArrayLike, gain: ArrayLike) -> Body:
    """Make a body from its modes; modes above `HIGHEST_HZ` are left out, as they cannot be heard at 24 kHz."""
    hz, t60_s, gain = (np.array(x, dtype=np.float64) for x in np.broadcast_arrays(hz, t60_s, gain))
    low = hz < HIGHEST_HZ
    return Body(hz[low], t60_s[low], gain[low])


def plate_modes_hz(material: Material, size_m: tuple[float, float], thickness_m: float, count: int) -> Signal:
    """Compute the modes of a thin rectangular plate on simple supports: (count, count), index m - 1, n - 1.

    f_mn = pi / 2 * sqrt(D / (rho h)) * ((m / a)^2 + (n / b)^2), with the bending stiffness D = E h^3 / (12 (1 - nu^2))
    (Leissa, Vibration of Plates, 1969).
    """
    speed = thickness_m * np.sqrt(material.young_pa / (12 * material.density_kg_m3 * (1 - material.poisson**2)))
    m = np.arange(1, count + 1.0)
    return 0.5 * np.pi * speed * ((m[:, None] / size_m[0]) ** 2 + (m[None, :] / size_m[1]) ** 2)


def plate(
    rng: np.random.Generator,
    material: Material,
    size_m: tuple[float, float],
    thickness_m: float,
    damping: float = 0.0,
    at: tuple[float, float] | None = None,
) -> Body:
    """Make a panel, a pane, a sheet or a dish from its material and size.

    Args:
        rng: draws where it is struck, and small deviations of real plates from the ideal one.
        material: see `MATERIALS`.
        size_m: width and height.
        thickness_m: thickness.
        damping: loss factor of joints, edges and contents, added to that of the material.
        at: where the force acts, as parts of width and height; drawn if None.

    Returns:
        The modes with the largest gains below 11.5 kHz, at most `MOST_MODES`.
    """
    hz = plate_modes_hz(material, size_m, thickness_m, 24)
    x, y = at or (rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9))
    m = np.arange(1, len(hz) + 1.0)
    shape = np.sin(np.pi * m * x)[:, None] * np.sin(np.pi * m * y)[None, :]
    hz = (hz * np.exp(0.03 * rng.standard_normal(hz.shape))).ravel()
    # A plate radiates badly below its critical frequency, c^2 / (1.8 c_L h).
    critical_hz = SPEED_OF_SOUND_M_S**2 / (1.8 * np.sqrt(material.young_pa / material.density_kg_m3) * thickness_m)
    gain = shape.ravel() * np.sqrt(hz / (hz + critical_hz))
    # Losses grow a little with frequency by radiation and by friction at the edges.
    loss = material.loss_factor + damping * (hz / 300.0) ** 0.15 + 0.001
    t60_s = np.minimum(2.2 / (hz * loss), 4.0)
    gain = np.where(hz < HIGHEST_HZ, gain, 0.0)
    kept = np.argsort(-np.abs(gain))[:MOST_MODES]
    kept = kept[gain[kept] != 0]
    return Body(hz[kept], t60_s[kept], gain[kept])


def bar(rng: np.random.Generator, base_hz: float, t60_s: float, slope: float = 0.7) -> Body:
    """Make a free bar or tube, a key or a fork: modes at the squares of 3.011, 5, 7, 9... (Fletcher and Rossing)."""
    ratio = (np.array([3.0112, 5.0, 7.0, 9.0, 11.0, 13.0]) / 3.0112) ** 2 * np.exp(0.02 * rng.standard_normal(6))
    return body(base_hz * ratio, t60_s / ratio**slope, rng.uniform(0.3, 1.0, 6) / ratio**0.3)


def join(*bodies: Body) -> Body:
    """Let one force drive several bodies."""
    return Body(*(np.concatenate([getattr(b, name) for b in bodies]) for name in ("hz", "t60_s", "gain")))


def scaled(one: Body, gain: float = 1.0, pitch: float = 1.0) -> Body:
    """Change the loudness and the pitch of a body."""
    return body(one.hz * pitch, one.t60_s, one.gain * gain)


def normalised(one: Body, gain: float = 1.0) -> Body:
    """Scale a body so that its loudest mode has the gain `gain`."""
    return scaled(one, gain / max(float(np.max(np.abs(one.gain), initial=0.0)), 1e-9))


def ring(one: Body, force: Signal) -> Signal:
    """Drive the modes of a body by a force (n,): one resonator of second order for each mode."""
    out = np.zeros(len(force))
    turn = 2 * np.pi * one.hz / SAMPLE_RATE_HZ
    radius = 10.0 ** (-3.0 / (np.maximum(one.t60_s, 1e-3) * SAMPLE_RATE_HZ))
    for w, r, gain in zip(turn, radius, one.gain, strict=True):
        out += signal.lfilter([gain * np.sin(w)], [1.0, -2 * r * np.cos(w), r**2], force)
    return out


def blows(n: int, at_s: Sequence[float] | Signal, contact_s: ArrayLike, strength: ArrayLike = 1.0) -> Signal:
    """Make a force of n samples: one raised cosine for each blow, of the given contact time.

    A contact of T seconds excites little above 1.5 / T Hz. A fingertip touches for 5 to 10 ms, a knuckle on wood for
    1 to 3 ms, metal on metal for 0.05 to 0.3 ms. The area is `strength` times one sample, so that T only takes treble.
    """
    force = np.zeros(n)
    contacts, strengths = np.broadcast_to(contact_s, np.shape(at_s)), np.broadcast_to(strength, np.shape(at_s))
    for start, contact, size in zip(at_s, contacts, strengths, strict=True):
        first, count = int(start * SAMPLE_RATE_HZ), max(2, round(float(contact) * SAMPLE_RATE_HZ))
        pulse = np.hanning(count + 2)[1:-1]
        pulse *= size / pulse.sum()
        if 0 <= first < n:
            force[first : first + count] += pulse[: n - first]
    return force


def bounces(rng: np.random.Generator, first_s: float, interval_s: float, count: int) -> tuple[Signal, Signal]:
    """Let something fall and bounce: times and strengths of its blows, of which each is weaker and sooner."""
    restitution = rng.uniform(0.5, 0.85)
    intervals = interval_s * restitution ** np.arange(count) * np.exp(0.1 * rng.standard_normal(count))
    times = first_s + np.concatenate([[0.0], np.cumsum(intervals)[:-1]])
    strengths = restitution ** np.arange(count, dtype=np.float64) * np.exp(0.2 * rng.standard_normal(count))
    return times, np.asarray(strengths, dtype=np.float64)


def stick_slip(rng: np.random.Generator, rate_hz: Signal, irregular: float) -> Signal:
    """Make the force of a surface that sticks and slips: a kick for each slip, the stronger the longer it stuck.

    Args:
        rng: the source of randomness.
        rate_hz: slips per second (n,); it follows the speed of the movement.
        irregular: relative deviation of the time that it sticks.

    Returns:
        The force (n,).
    """
    n, t = len(rate_hz), 0.0
    force = np.zeros(n)
    while t < n:
        stuck = SAMPLE_RATE_HZ / max(rate_hz[int(t)], 2.0) * np.exp(irregular * rng.standard_normal())
        t += max(stuck, 3.0)
        if t < n - 1:
            part = t % 1.0
            kick = (stuck * max(rate_hz[int(t)], 2.0) / SAMPLE_RATE_HZ) ** 0.7
            force[int(t)] += (1 - part) * kick
            force[int(t) + 1] += part * kick
    return force


def grains(rng: np.random.Generator, density_per_s: Signal, spread: float = 1.0) -> Signal:
    """Make the force of many small collisions, as of gravel, paper or crumbs.

    Args:
        rng: the source of randomness.
        density_per_s: expected collisions per second (n,).
        spread: deviation of the logarithm of their strengths; real grains differ by 10 dB and more.

    Returns:
        The force (n,), of both signs.
    """
    n = len(density_per_s)
    hits = rng.random(n) < np.clip(density_per_s / SAMPLE_RATE_HZ, 0.0, 1.0)
    return np.where(hits, rng.standard_normal(n) * np.exp(spread * rng.standard_normal(n)), 0.0)


def helmholtz_hz(volume_m3: ArrayLike, opening_m2: ArrayLike, neck_m: ArrayLike) -> Signal:
    """Compute the resonance of an air volume with an opening: c / 2 pi * sqrt(A / (V L)), L with end correction."""
    corrected_m = np.asarray(neck_m) + 1.7 * np.sqrt(np.asarray(opening_m2) / np.pi)
    return SPEED_OF_SOUND_M_S / (2 * np.pi) * np.sqrt(np.asarray(opening_m2) / (np.asarray(volume_m3) * corrected_m))


def rhythm(rng: np.random.Generator, count: int, period_s: float, jitter: float = 0.04, first_s: float = 0.0) -> Signal:
    """Draw times of a repeated human movement: each interval deviates, and the tempo drifts slowly."""
    drift = np.cumsum(0.5 * jitter * rng.standard_normal(count))
    intervals = period_s * np.exp(jitter * rng.standard_normal(count) + drift)
    return first_s + np.concatenate([[0.0], np.cumsum(intervals)[: count - 1]])


def lengthened(force: Signal, seconds: float) -> Signal:
    """Append silence to a force, in which bodies ring out."""
    return np.concatenate([force, np.zeros(length(seconds))])


def mixed(parts: Iterable[tuple[float, Signal]]) -> Signal:
    """Add signals of different lengths, each with a gain; all start together."""
    listed = list(parts)
    out = np.zeros(max(len(x) for _, x in listed))
    for gain, x in listed:
        out[: len(x)] += gain * x
    return out

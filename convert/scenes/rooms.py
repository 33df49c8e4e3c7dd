"""A shoebox room and a source position -> the impulse response of a microphone array in it.

The early part consists of image sources (Allen & Berkley 1979; positions and wall damping come from pyroomacoustics).
Each one is a plane wave with a delay, a 1/r gain, a damping for each octave band, and the response of the array to its
direction. The late part is diffuse noise with an exponential decay in each octave band; its energy matches that of the
last images. The direct sound of a source at 1 m has gain 1. The array is given as a function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyroomacoustics as pra
from numpy.typing import ArrayLike, NDArray
from scipy import fft, sparse
from scipy.signal import oaconvolve

from edge.arrays.acoustics import sphere_grid
from edge.geometry import SPEED_OF_SOUND_M_S, foa_gains
from edge.types import FloatArray

Array64 = NDArray[np.float64]
ArrayResponse = Callable[[Array64], NDArray[np.floating[Any]]]
"""Unit vectors (n, 3) toward the source -> impulse responses (n, channels, taps), taps = 1 for plain gains."""

OCTAVES_HZ = 125.0 * 2.0 ** np.arange(7)
_AIR_PER_M = np.array([0.1, 0.3, 0.6, 1.0, 1.9, 5.8, 20.3]) * 1e-3
"""Share of energy that air absorbs per metre in each octave, at 20 degrees C and 30-50 % humidity (pyroomacoustics)."""
_FILTER_TAPS = 511
_SINC_HALF = 15  # length of the sinc on either side of a fractional delay
_MAX_IMAGES = 1000  # about this many images lie inside the radius that the early part covers
_MAX_EARLY_S = 0.08
_FADE_S = 0.01  # length of the cross-fade from images to noise
_MATCH_S = 0.02  # the images of this time before the fade set the level of the noise
_DIFFUSE_POINTS = 1000  # plane waves that stand for an isotropic field
_WALLS = ("west", "east", "south", "north", "floor", "ceiling")


@dataclass(frozen=True, slots=True)
class Room:
    """A rectangular room with one corner at the origin, and a microphone array in it."""

    size_m: Array64  # (3,)
    microphone_m: Array64  # (3,)
    rt60_s: float  # reverberation time, mean of the octaves at 500 and 1000 Hz
    band_rt60_s: Array64  # (bands,)
    absorption: Array64  # (6 walls, bands), absorbed share of the energy

    @property
    def early_s(self) -> float:
        """Time after which diffuse noise replaces the images."""
        radius_m = (3 * _MAX_IMAGES * float(np.prod(self.size_m)) / (4 * np.pi)) ** (1 / 3)
        return min(radius_m / SPEED_OF_SOUND_M_S, _MAX_EARLY_S)


@dataclass(frozen=True, slots=True)
class Images:
    """The image sources of one source, as far as the early part reaches."""

    directions: Array64  # (n, 3), unit vectors from the microphone
    distances_m: Array64  # (n,)
    gains: Array64  # (n, bands): product of 1/r, walls and air


def foa_array(directions: Array64) -> Array64:
    """Respond like an ideal first-order ambisonic microphone: (n, 3) -> (n, 4, 1), channels W, Y, Z, X."""
    return foa_gains(directions)[..., None]


def make_room(
    size_m: ArrayLike,
    microphone_m: ArrayLike,
    rt60_s: float,
    wall_weights: ArrayLike = (1, 1, 1, 1, 1, 1),
    low_ratio: float = 1.15,
    high_ratio: float = 0.6,
) -> Room:
    """Make a room with a given reverberation time. The absorption follows from Eyring's formula with air.

    Args:
        size_m: length, width and height.
        microphone_m: position of the array.
        rt60_s: reverberation time at 500-1000 Hz.
        wall_weights: how absorbing the walls are relative to each other (6,): x = 0, x = L, y = 0, y = L, floor,
            ceiling.
        low_ratio: reverberation time at 125 Hz divided by `rt60_s`.
        high_ratio: reverberation time at 8000 Hz divided by `rt60_s`.

    Raises:
        ValueError: the microphone is outside the room, or the reverberation time is not positive or is longer than the
            absorption of air allows.
    """
    size, microphone, weights = (np.asarray(value, dtype=np.float64) for value in (size_m, microphone_m, wall_weights))
    if size.shape != (3,) or microphone.shape != (3,) or not np.all((microphone > 0) & (microphone < size)):
        raise ValueError(f"got a microphone at {microphone.tolist()} m, wanted it inside the room of {size.tolist()} m")
    ratios = np.interp(np.arange(7), [0, 2, 3, 6], [low_ratio, 1, 1, high_ratio])
    volume_m3, walls_m2 = float(np.prod(size)), np.prod(size) / np.repeat(size, 2)
    if rt60_s <= 0:
        raise ValueError(f"got a reverberation time of {rt60_s} s, wanted more than 0")
    exponent = (
        0.161 * volume_m3 / (rt60_s * ratios) - 4 * _AIR_PER_M * volume_m3
    ) / walls_m2.sum()  # -ln(1 - absorption)
    if exponent.min() <= 0:
        raise ValueError(f"got a reverberation time of {rt60_s} s, wanted less than air alone allows")
    shares = weights * walls_m2.sum() / np.dot(weights, walls_m2)
    return Room(size, microphone, float(rt60_s), rt60_s * ratios, 1 - np.exp(-np.outer(shares, exponent)))


def random_room(
    rng: np.random.Generator,
    rt60_range_s: tuple[float, float] = (0.15, 0.9),
    size_range_m: Sequence[tuple[float, float]] = ((3, 10), (3, 8), (2.4, 4)),
    microphone_height_m: tuple[float, float] = (0.8, 1.8),
    wall_distance_m: float = 0.5,
) -> Room:
    """Draw a room whose walls differ in absorption, and the position of the array.

    Args:
        rng: the source of randomness.
        rt60_range_s: range of the reverberation time.
        size_range_m: ranges of length, width and height.
        microphone_height_m: range of the height of the array.
        wall_distance_m: least distance of the array from walls and ceiling.
    """
    size = np.array([rng.uniform(*limits) for limits in size_range_m])
    height = rng.uniform(microphone_height_m[0], min(microphone_height_m[1], size[2] - wall_distance_m))
    microphone = np.array([*rng.uniform(wall_distance_m, size[:2] - wall_distance_m), height])
    weights = np.exp(rng.normal(0, 0.4, 6))
    return make_room(
        size, microphone, rng.uniform(*rt60_range_s), weights, rng.uniform(1.0, 1.3), rng.uniform(0.5, 0.8)
    )


def reach_m(room: Room, directions: ArrayLike, margin_m: float = 0.2) -> Array64:
    """Compute how far from the array a source can be without leaving the room.

    Args:
        room: the room.
        directions: unit vectors (..., 3) from the array.
        margin_m: least distance from the walls.

    Returns:
        Distances (...) in metres.
    """
    vectors = np.asarray(directions, dtype=np.float64)
    limits = np.where(vectors > 0, room.size_m - margin_m, margin_m) - room.microphone_m
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.min(np.where(vectors == 0, np.inf, limits / vectors), axis=-1)


def image_sources(room: Room, sources_m: ArrayLike) -> list[Images]:
    """Compute the image sources of each of the source positions.

    Args:
        room: the room.
        sources_m: positions (k, 3), or one (3,).

    Returns:
        The images of each source, k in all.

    Raises:
        ValueError: a position is outside the room.
    """
    sources = np.atleast_2d(np.asarray(sources_m, dtype=np.float64))
    if not np.all((sources > 0) & (sources < room.size_m)):
        raise ValueError(
            f"got source positions {sources.tolist()} m, wanted them inside the room of {room.size_m.tolist()} m"
        )
    radius_m = room.early_s * SPEED_OF_SOUND_M_S
    materials = {
        wall: pra.Material({"coeffs": row, "center_freqs": OCTAVES_HZ})
        for wall, row in zip(_WALLS, room.absorption, strict=True)
    }
    order = int(np.ceil(radius_m * np.linalg.norm(1 / room.size_m))) + 3  # all images inside the radius are below
    shoebox = pra.ShoeBox(room.size_m, fs=2 * int(OCTAVES_HZ[-1] * np.sqrt(2)), materials=materials, max_order=order)
    shoebox.add_microphone(room.microphone_m)
    for source in sources:
        shoebox.add_source(source)
    shoebox.image_source_model()
    images = []
    for source in shoebox.sources:
        offsets = source.images.T.astype(np.float64) - room.microphone_m
        distances = np.linalg.norm(offsets, axis=1)
        near = distances < radius_m
        offsets, distances = offsets[near], distances[near]
        damping = source.damping.T[near] * np.exp(-0.5 * distances[:, None] * _AIR_PER_M)
        images.append(Images(offsets / distances[:, None], distances, damping / distances[:, None]))
    return images


def early_response(
    room: Room, images: Images, sample_rate_hz: int = 24000, array: ArrayResponse = foa_array
) -> FloatArray:
    """Compute direct sound and early reflections.

    Args:
        room: the room.
        images: image sources of one source.
        sample_rate_hz: sample rate.
        array: impulse responses of the array.

    Returns:
        Response (n, channels) to an impulse at sample 0.
    """
    delays = images.distances_m / SPEED_OF_SOUND_M_S * sample_rate_hz
    left = (room.early_s - images.distances_m / SPEED_OF_SOUND_M_S) / _FADE_S
    gains = images.gains * np.sin(np.pi / 2 * np.clip(left, 0, 1))[:, None]
    response = array(images.directions)  # (images, channels, taps)
    length = int(room.early_s * sample_rate_hz) + response.shape[2] + _FILTER_TAPS
    size = fft.next_fast_len(length + _FILTER_TAPS, real=True)
    arrivals = _arrivals(delays, gains, response, length)
    spectra = fft.rfft(arrivals, size, axis=0) * _octave_spectra(sample_rate_hz, size).T[..., None]
    half = _FILTER_TAPS // 2
    return fft.irfft(spectra.sum(axis=1), size, axis=0)[half : half + length]


def late_response(
    room: Room,
    early: FloatArray,
    rng: np.random.Generator,
    sample_rate_hz: int = 24000,
    array: ArrayResponse = foa_array,
) -> FloatArray:
    """Draw the diffuse reverberation that follows the early part, at the level of the end of the early part.

    Args:
        room: the room.
        early: early response (m, channels).
        rng: the source of randomness.
        sample_rate_hz: sample rate.
        array: impulse responses of the array.

    Returns:
        Response (n, channels), to be added to the early one.
    """
    length = int(max(room.band_rt60_s.max(), room.early_s + 0.05) * sample_rate_hz)
    time_s = np.arange(length) / sample_rate_hz
    fade = np.cos(np.pi / 2 * np.clip((room.early_s - time_s) / _FADE_S, 0, 1)).astype(np.float32)
    match = slice(*(int((room.early_s - _FADE_S - back_s) * sample_rate_hz) for back_s in (_MATCH_S, 0.0)))
    half = _FILTER_TAPS // 2
    padded = np.pad(early, ((half, half), (0, 0)))
    stretch = padded[match.start : match.stop + 2 * half]  # filtered, this is the end of the early part
    middle_s = room.early_s - _FADE_S - _MATCH_S / 2
    size = fft.next_fast_len(length + _FILTER_TAPS, real=True)
    filters = octave_filters(sample_rate_hz)
    noise = diffuse_spectrum(size, rng, array)
    tail = np.zeros((length, noise.shape[1]), np.float32)
    for taps, response, rt60_s in zip(filters, _octave_spectra(sample_rate_hz, size), room.band_rt60_s, strict=True):
        band = fft.irfft(noise * response[:, None], size, axis=0)[:length]
        wanted = np.mean(np.square(oaconvolve(stretch, taps[:, None], mode="valid", axes=0)))
        decay = np.exp(-np.log(1e3) / rt60_s * (time_s - middle_s)) * np.sqrt(wanted / np.mean(np.square(band)))
        tail += (decay.astype(np.float32) * fade)[:, None] * band
    return tail


def impulse_response(
    room: Room,
    source_m: ArrayLike,
    rng: np.random.Generator,
    sample_rate_hz: int = 24000,
    array: ArrayResponse = foa_array,
) -> FloatArray:
    """Compute the whole response from one source to the array.

    Args:
        room: the room.
        source_m: position (3,) in metres.
        rng: the source of randomness for the late part.
        sample_rate_hz: sample rate.
        array: impulse responses of the array.

    Returns:
        Response (n, channels) to an impulse at sample 0.

    Raises:
        ValueError: the source is outside the room.
    """
    images = image_sources(room, source_m)[0]
    early = early_response(room, images, sample_rate_hz, array)
    return join_parts(early, late_response(room, early, rng, sample_rate_hz, array))


def join_parts(early: FloatArray, late: FloatArray) -> FloatArray:
    """Add two responses (n, channels) and (m, channels) of different length: (max(n, m), channels)."""
    joined = np.zeros((max(len(early), len(late)), early.shape[1]), np.float32)
    joined[: len(early)] += early
    joined[: len(late)] += late
    return joined


def diffuse_spectrum(size: int, rng: np.random.Generator, array: ArrayResponse = foa_array) -> NDArray[np.complex64]:
    """Draw the spectrum of isotropic white noise of power 1 at the array.

    Args:
        size: length of the inverse real FFT.
        rng: the source of randomness.
        array: impulse responses of the array.

    Returns:
        Spectrum (size // 2 + 1, channels).
    """
    mixing = _diffuse_mixing(array)  # (bins, channels, channels); one bin if the array has plain gains
    bins, channels = size // 2 + 1, mixing.shape[1]
    noise = rng.standard_normal((bins, channels, 2), np.float32).view(np.complex64)[..., 0] * np.float32(
        np.sqrt(size / 2)
    )
    if np.array_equal(mixing, np.diag(np.diagonal(mixing[0]))[None]):
        return noise * np.diagonal(mixing[0]).real.astype(np.float32)
    places, knots = np.linspace(0, len(mixing) - 1, bins), np.arange(len(mixing))
    field = np.zeros((bins, channels), np.complex64)
    for row, column in np.argwhere(np.any(mixing, axis=0)):  # most are 0: the factors are triangular
        factor = mixing[:, row, column]
        gain = np.interp(places, knots, factor.real).astype(np.float32)
        field[:, row] += gain * noise[:, column]
        if np.any(factor.imag):
            field[:, row] += (
                np.complex64(1j) * np.interp(places, knots, factor.imag).astype(np.float32) * noise[:, column]
            )
    return field


@lru_cache(maxsize=8)
def octave_filters(sample_rate_hz: int) -> FloatArray:
    """Design linear-phase octave filters (bands, taps) whose sum is a delayed unit impulse."""
    size = 4096
    octave = np.log2(np.maximum(fft.rfftfreq(size, 1 / sample_rate_hz), 1.0) / OCTAVES_HZ[0])
    distance = np.abs(np.clip(octave, 0, len(OCTAVES_HZ) - 1)[None] - np.arange(len(OCTAVES_HZ))[:, None])
    zero_phase = fft.irfft(np.cos(np.pi / 2 * np.clip(distance, 0, 1)) ** 2, size, axis=1)
    half = _FILTER_TAPS // 2
    taps = np.roll(zero_phase, half, axis=1)[:, :_FILTER_TAPS] * np.hanning(_FILTER_TAPS + 2)[1:-1]
    return taps.astype(np.float32)


@lru_cache(maxsize=8)
def _octave_spectra(sample_rate_hz: int, size: int) -> NDArray[np.complex64]:
    """Return the spectra (bands, bins) of the octave filters."""
    return fft.rfft(octave_filters(sample_rate_hz), size, axis=1)


def _arrivals(delays_samples: Array64, gains: Array64, response: NDArray[np.floating[Any]], length: int) -> FloatArray:
    """Add up the images before their octaves are filtered.

    Args:
        delays_samples: delay of each image (images,).
        gains: gains (images, bands).
        response: response of the array to each image (images, channels, taps).
        length: length of the result in samples; all images end within it.

    Returns:
        Samples (length, bands, channels).
    """
    images, channels, taps = response.shape
    if taps == 1:
        waves = (gains[:, :, None] * response[:, None, :, 0]).reshape(images, -1).astype(np.float32)
        return (_fractional_delays(delays_samples, length) @ waves).reshape(length, -1, channels)
    whole = np.floor(delays_samples).astype(np.int32)
    offsets = np.arange(taps + 2 * _SINC_HALF, dtype=np.int32)  # from _SINC_HALF samples before an arrival
    size = fft.next_fast_len(len(offsets), real=True)
    sincs = _sincs(delays_samples - whole)
    spectra = fft.rfft(response.astype(np.float32), size, axis=2) * fft.rfft(sincs, size, axis=1)[:, None]
    delayed = fft.irfft(spectra, size, axis=2)[..., : len(offsets)]  # each image, by less than a sample
    rows = (whole[:, None] + offsets).ravel()
    starts = np.arange(0, len(rows) + 1, len(offsets), dtype=np.int32)
    weights, shape = gains.astype(np.float32), (length + _SINC_HALF, images)
    summed = np.zeros((length, gains.shape[1], channels), np.float32)
    for channel in np.flatnonzero(np.any(response, axis=(0, 2))):  # a device may have channels without a capsule
        placed = sparse.csc_matrix((delayed[:, channel].ravel(), rows, starts), shape=shape)
        summed[..., channel] = (placed @ weights)[_SINC_HALF:]
    return summed


def _sincs(fractions: Array64) -> FloatArray:
    """Compute windowed sincs (n, 2 * _SINC_HALF + 1) that delay by _SINC_HALF samples and these fractions (n,) of one.

    Sine and cosine of fraction and tap follow from those of the fraction alone, as the taps are whole numbers.
    """
    taps = np.arange(-_SINC_HALF, _SINC_HALF + 1)
    distance = fractions[:, None] - taps
    turn, quarter = np.pi / (_SINC_HALF + 1), fractions[:, None] * np.pi / (_SINC_HALF + 1)
    window = 0.5 + 0.5 * (np.cos(quarter) * np.cos(turn * taps) + np.sin(quarter) * np.sin(turn * taps))
    with np.errstate(invalid="ignore"):
        sincs = np.sin(np.pi * np.minimum(fractions, 1 - fractions))[:, None] * (-1.0) ** taps / (np.pi * distance)
    return (np.where(distance == 0, 1.0, sincs) * window).astype(np.float32)


def _fractional_delays(delays_samples: Array64, length: int) -> sparse.csr_matrix:
    """Build a sparse matrix (length, n) with a windowed sinc around its delay in each column."""
    whole = np.floor(delays_samples).astype(int)
    offsets = np.arange(-_SINC_HALF, _SINC_HALF + 1)
    rows = whole[:, None] + offsets
    values = _sincs(delays_samples - whole)
    columns = np.broadcast_to(np.arange(len(whole))[:, None], rows.shape)
    inside = (rows >= 0) & (rows < length)
    return sparse.csr_matrix((values[inside], (rows[inside], columns[inside])), shape=(length, len(whole)))


@lru_cache(maxsize=8)
def _diffuse_mixing(array: ArrayResponse) -> NDArray[np.complex128]:
    """Compute factors (bins, channels, channels) that turn independent noises into an isotropic field at the array."""
    responses = array(sphere_grid(_DIFFUSE_POINTS)).astype(np.float64)
    taps = responses.shape[2]
    spectra = fft.rfft(responses, 4 * taps, axis=2) if taps > 1 else responses
    covariance = np.einsum("pif,pjf->fij", spectra, spectra.conj()) / _DIFFUSE_POINTS
    factors = np.linalg.cholesky(covariance + 1e-6 * np.eye(responses.shape[1]))
    return np.where(np.abs(factors) < 1e-3, 0, factors).astype(np.complex128)

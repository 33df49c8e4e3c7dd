"""An array profile -> the impulse responses of such an array by direction, for `convert.scenes.rooms`.

The responses are either those of the capsules, or those of the FOA that the device's encoder computes from them. Real
capsules deviate from their profile in position, level and delay; a seed draws such deviations. The response of a
capsule to a plane wave depends only on the angle to its axis, so one table over this angle describes it.

`python -m convert.scenes.capsules --measured FILE.npz` compares the model and the encoder with measured responses.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse

from edge.arrays.acoustics import Capsules, Complex128, array_spectra, capsule_spectra
from edge.arrays.encoder import foa_encoder
from edge.arrays.filter_encoder import encoding_filters
from edge.arrays.profile import ArrayProfile, load_array
from edge.audio.resample import Resampler
from edge.frontend.quantities import intensity
from edge.geometry import SPEED_OF_SOUND_M_S, angle_between_deg, unit_vector
from edge.types import AudioBlock, FloatArray

Array64 = NDArray[np.float64]

_ANGLES = 361  # entries of the table, half a degree apart; interpolation errors are below -60 dB
_TAIL_SAMPLES = 16  # length of the sinc on either side of an arrival
_ENCODED_S = 0.0025  # length of FOA responses on either side; what is cut is -20 dB at 200 Hz, -35 at 500, -43 at 1000
_BOARD_TO_RADIUS = 1.2  # a board is this much larger than the circle of its capsules
_COMPARE_SAMPLES = 4096
_BAND_EDGE = 0.9  # of the Nyquist frequency: above it the response falls off, like that of the device's resampler


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Standard deviations of the normally distributed differences between real capsules and their profile.

    In the median, the defaults turn the intensity at 200-2000 Hz by 4 degrees in `em32_tetra` (in the unit that was
    measured, it is 6) and by 6 degrees in `open_tetra`.
    """

    gain_db: float = 0.5
    tilt_db: float = 0.7  # gain far above 1 kHz relative to far below, with the corresponding phase
    delay_us: float = 3.0
    position_m: float = 0.001


MATCHED = Mismatch(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Board:
    """What the board and the case of a flat array do to the sound at its capsules; the default is nothing.

    Sound that comes along the board passes it as if it was not there. At wavelengths below its size, it reflects sound
    from above and shadows sound from below. A case that is as high as it is wide bends sound like a rigid sphere, which
    delays it by up to one and a half times the way; a flat one does so less.
    """

    reflection: float = 0.0  # share of the sound from above that adds to it, and of that from below that is lost
    case_share: float = 0.0  # share of the response that is the one of capsules in a rigid sphere


BARE = Board()


@dataclass(frozen=True, slots=True)
class CapsuleArray:
    """An `ArrayResponse`: unit vectors (n, 3) toward the source -> impulse responses (n, channels, taps).

    All responses are delayed by (taps - 1) / 2 samples. Arrays with equal fields are equal and share one table.
    """

    profile: ArrayProfile
    sample_rate_hz: int
    mismatch: Mismatch
    seed: int | tuple[int, ...]
    encoded: bool  # True: the channels are FOA (W, Y, Z, X in ACN/SN3D); False: those of the device
    board: Board = BARE

    def __call__(self, directions: Array64) -> FloatArray:
        """Compute the impulse responses (n, channels, taps) from the directions of unit vectors (n, 3)."""
        axes, tables = _tables(self)
        capsules, rows, width = tables.shape
        places = np.arccos(np.clip(directions @ axes.T, -1, 1)) * ((_ANGLES - 1) / np.pi)  # (n, capsules)
        lower = np.minimum(places.astype(np.int32), _ANGLES - 2)
        weights = places - lower
        shares = np.stack([1 - weights, weights], axis=2)
        columns = np.stack([lower, lower + 1], axis=2) + rows * np.arange(capsules, dtype=np.int32)[:, None]
        if self.board.reflection:
            height = self.board.reflection * directions[:, 2, None, None]
            shares = np.concatenate([shares, height * shares], axis=2)
            columns = np.concatenate([columns, columns + np.int32(_ANGLES)], axis=2)
        interpolate = _matrix(shares, columns, capsules * rows)
        found = (interpolate @ tables.reshape(-1, width)).reshape(len(directions), capsules, -1)
        if self.encoded:
            return found.sum(axis=1).reshape(len(directions), 4, -1)
        responses = np.zeros((len(directions), self.profile.channels, width), np.float32)
        responses[:, self.profile.channel_map] = found
        return responses


def capsule_response(
    profile: ArrayProfile,
    sample_rate_hz: int = 24000,
    mismatch: Mismatch = MATCHED,
    seed: int | tuple[int, ...] = 0,
    board: Board = BARE,
) -> CapsuleArray:
    """Build the responses of the channels that the device receives.

    Scenes that are rendered with these, noise included, and then encoded by `encode` are what a real array delivers.

    Args:
        profile: the array.
        sample_rate_hz: sample rate of the responses.
        mismatch: how much the capsules deviate from the profile.
        seed: draws the deviations.
        board: what board and case do.

    Raises:
        ValueError: the profile has no capsules.
    """
    return _ready(CapsuleArray(profile, sample_rate_hz, mismatch, seed, encoded=False, board=board))


def encoded_response(
    profile: ArrayProfile,
    sample_rate_hz: int = 24000,
    mismatch: Mismatch = MATCHED,
    seed: int | tuple[int, ...] = 0,
    board: Board = BARE,
) -> CapsuleArray:
    """Build the responses of the FOA channels that the device's encoder computes.

    They give FOA directly, with the spatial aliasing of the array, but noise that is added is not coloured by the
    encoder.

    Args:
        profile: the array.
        sample_rate_hz: sample rate of the responses.
        mismatch: how much the capsules deviate from the profile.
        seed: draws the deviations.
        board: what board and case do.

    Raises:
        ValueError: the profile has no capsules.
    """
    return _ready(CapsuleArray(profile, sample_rate_hz, mismatch, seed, encoded=True, board=board))


def encode(
    samples: FloatArray, profile: ArrayProfile, sample_rate_hz: int = 24000, microphones: bool = False
) -> FloatArray:
    """Encode a whole recording with the device's encoder.

    Args:
        samples: samples (n, channels) of the channels of the device.
        profile: the array.
        sample_rate_hz: sample rate.
        microphones: whether to append the four microphone channels.

    Returns:
        FOA samples (n, 4), or (n, 8) with the microphones.
    """
    encoder = foa_encoder(profile, sample_rate_hz, microphones)
    return np.concatenate([block.samples for block in (encoder(AudioBlock(samples, 0)), *encoder.finish())])


def mismatched(capsules: Capsules, mismatch: Mismatch, seed: int | tuple[int, ...]) -> Capsules:
    """Draw capsules that deviate from nominal ones. Those on a rigid sphere stay on its surface.

    Args:
        capsules: the nominal capsules.
        mismatch: standard deviations.
        seed: draws the deviations.
    """
    gains, tilts, delays, *shifts = np.random.default_rng(seed).standard_normal((6, len(capsules.positions_m)))
    positions = np.asarray(capsules.positions_m) + mismatch.position_m * np.transpose(shifts)
    if capsules.rigid:
        positions *= (capsules.radii_m / np.linalg.norm(positions, axis=1))[:, None]
    return replace(
        capsules,
        positions_m=tuple((float(x), float(y), float(z)) for x, y, z in positions),
        gains_db=tuple(np.add(capsules.gains_db, mismatch.gain_db * gains).tolist()),
        tilts_db=tuple(np.add(capsules.tilts_db, mismatch.tilt_db * tilts).tolist()),
        delays_s=tuple(np.add(capsules.delays_s, mismatch.delay_us * 1e-6 * delays).tolist()),
    )


@lru_cache(maxsize=8)
def _tables(array: CapsuleArray) -> tuple[Array64, FloatArray]:
    """Compute the axes (capsules, 3) and the response of each capsule by the angle to its axis.

    The responses are (capsules, _ANGLES, outputs * taps): one output for a capsule itself, four for its part of the
    FOA. With a board there are as many rows again: what a board that reflects all adds for sound from straight above.
    """
    nominal, rate_hz = array.profile.capsules, array.sample_rate_hz
    capsules = mismatched(nominal, array.mismatch, array.seed)
    travel_s = 2 * capsules.radii_m.max() / SPEED_OF_SOUND_M_S + np.abs(capsules.delays_s).max()
    half = int(np.ceil(travel_s * rate_hz)) + _TAIL_SAMPLES
    size = fft.next_fast_len(4 * half, real=True)
    frequencies_hz = fft.rfftfreq(size, 1 / rate_hz)
    share = frequencies_hz * 2 / rate_hz  # of the Nyquist frequency
    edge = np.cos(np.pi / 2 * np.clip((share - _BAND_EDGE) / (1 - _BAND_EDGE), 0, 1)) ** 2
    cosines = np.cos(np.linspace(0, np.pi, _ANGLES))
    spectra = np.stack([capsule_spectra(capsules, index, cosines, frequencies_hz) for index in range(4)])
    if array.board.case_share:
        sphere = replace(capsules, rigid=True)
        bent = np.stack([capsule_spectra(sphere, index, cosines, frequencies_hz) for index in range(4)])
        spectra += array.board.case_share * (bent - spectra)
    corner_hz = SPEED_OF_SOUND_M_S / (2 * np.pi * _BOARD_TO_RADIUS * capsules.radii_m.max())
    shelf = 1j * frequencies_hz / (corner_hz + 1j * frequencies_hz)  # waves longer than the board pass it

    def table(response: Complex128) -> FloatArray:
        taps = np.roll(fft.irfft(response * edge, size, axis=2), half, axis=2)[:, :, None, : 2 * half + 1]
        if array.encoded:
            taps = _encode(taps, encoding_filters(nominal, rate_hz), round(_ENCODED_S * rate_hz))
        return taps.reshape(len(taps), _ANGLES, -1).astype(np.float32)

    if not array.board.reflection:
        return capsules.axes, table(spectra)
    return capsules.axes, np.concatenate([table(spectra), table(spectra * shelf)], axis=1)


def _matrix(values: Array64, columns: NDArray[np.int32], width: int) -> sparse.csr_array:
    """Build a sparse matrix (n * m, width) with the values (n, m, k) in these columns: k in each row."""
    n, m, each = values.shape
    starts = np.arange(0, n * m * each + 1, each, dtype=np.int32)
    return sparse.csr_array((values.astype(np.float32).ravel(), columns.ravel(), starts), shape=(n * m, width))


def _encode(tables: Array64, filters: FloatArray, half: int) -> Array64:
    """Filter tables (capsules, angles, 1, taps) by (4, capsules, taps): (capsules, angles, 4, 2 * half + 1)."""
    length = tables.shape[3] + filters.shape[2] - 1
    size = fft.next_fast_len(length, real=True)
    spectra = fft.rfft(filters, size, axis=2).swapaxes(0, 1)[:, None]  # (capsules, 1, 4, bins)
    middle = length // 2
    encoded = fft.irfft(fft.rfft(tables, size, axis=3) * spectra, size, axis=3)
    return encoded[..., middle - half : middle + half + 1] * np.hanning(2 * half + 3)[1:-1] ** 0.25


def _ready(array: CapsuleArray) -> CapsuleArray:
    _tables(array)  # raises ValueError here, rather than in the first call, for a profile that does not fit
    return array


def compare_responses(measured: FloatArray, directions: Array64, sample_rate_hz: int, capsules: Capsules) -> str:
    """Compare measured responses with those of the model.

    The factor that all responses have in common at a frequency (loudspeaker, gain, delay) is removed; its level is
    a column of the table.

    Args:
        measured: impulse responses (n, capsules, taps).
        directions: unit vectors (n, 3) toward the source.
        sample_rate_hz: sample rate of the responses.
        capsules: the capsules of the model.

    Returns:
        A table with the differences in magnitude and phase for each octave.
    """
    frequencies_hz = fft.rfftfreq(_COMPARE_SAMPLES, 1 / sample_rate_hz)
    spectra = fft.rfft(measured, _COMPARE_SAMPLES, axis=2)
    model = array_spectra(capsules, directions, frequencies_hz)
    common = np.sum(spectra * model.conj(), axis=(0, 1)) / np.sum(np.abs(model) ** 2, axis=(0, 1))
    ratio = spectra / (model * common)
    lines = [f"{'Hz':>12}{'common dB':>11}{'magnitude dB, median':>22}{'90 %':>6}{'phase deg, median':>19}{'90 %':>6}"]
    for name, band in _octaves(frequencies_hz, 7):
        level_db = 20 * np.log10(np.sqrt(np.mean(np.abs(common[band]) ** 2)))
        gain_db = np.percentile(np.abs(20 * np.log10(np.abs(ratio[..., band]))), [50, 90])
        phase_deg = np.percentile(np.abs(np.angle(ratio[..., band], deg=True)), [50, 90])
        lines.append(
            f"{name:>12}{level_db:11.1f}{gain_db[0]:22.1f}{gain_db[1]:6.1f}{phase_deg[0]:19.1f}{phase_deg[1]:6.1f}"
        )
    return "\n".join(lines)


def compare_directions(
    measured: FloatArray, directions: Array64, sample_rate_hz: int, profiles: dict[str, ArrayProfile]
) -> str:
    """Measure how well the device's resampler and encoder preserve the direction of the intensity.

    Args:
        measured: impulse responses (n, 4, taps).
        directions: unit vectors (n, 3) toward the source.
        sample_rate_hz: sample rate of the responses.
        profiles: array profiles to encode with, by name.

    Returns:
        A table with a column of errors in degrees for each profile, and one (`model`) for simulated responses of the
        first profile. Its rows are the octaves, with medians over directions and bins, and a last one for intensities
        that are summed over 200-5000 Hz with the same weight for each octave, with medians over directions.
    """
    first = next(iter(profiles.values()))
    model = CapsuleArray(replace(first, channels=4, channel_map=(0, 1, 2, 3)), 24000, MATCHED, 0, encoded=False)
    columns = {"model": _errors_deg(model(directions), directions, 24000, first)}
    columns |= {name: _errors_deg(measured, directions, sample_rate_hz, profile) for name, profile in profiles.items()}
    lines = [f"{'Hz':>12}" + "".join(f"{name:>16}" for name in columns)]
    for row in zip(*columns.values(), strict=True):
        lines.append(f"{row[0][0]:>12}" + "".join(f"{error:16.1f}" for _, error in row))
    return "\n".join(lines)


def _errors_deg(
    responses: NDArray[np.floating], directions: Array64, sample_rate_hz: int, profile: ArrayProfile
) -> list[tuple[str, float]]:
    """Return the name and the median error of each band for responses (n, 4, taps), encoded as one stream."""
    gap = sample_rate_hz // 20
    stream = np.zeros((len(responses), gap, profile.channels), np.float32)
    stream[:, : responses.shape[2], list(profile.channel_map)] = responses.transpose(0, 2, 1)
    resampler = Resampler(sample_rate_hz, 24000, profile.channels)
    samples = np.concatenate([resampler.push(stream.reshape(-1, profile.channels)), resampler.finish()])
    foa = np.roll(encode(samples, profile), 300, axis=0)  # the filters respond up to 10 ms early
    foa = foa.reshape(len(responses), -1, 4)
    bins = fft.rfft(foa.transpose(0, 2, 1), _COMPARE_SAMPLES, axis=2)
    frequencies_hz = fft.rfftfreq(_COMPARE_SAMPLES, 1 / 24000)
    vectors = intensity(bins, np.abs(bins) ** 2)[:, [2, 0, 1]].transpose(0, 2, 1)  # (n, bins, 3)
    errors = angle_between_deg(vectors, directions[:, None])
    rows = [(name, float(np.median(errors[:, band]))) for name, band in _octaves(frequencies_hz, 6)]
    band = (frequencies_hz >= 200) & (frequencies_hz <= 5000)
    summed = np.sum(vectors[:, band] / frequencies_hz[band, None], axis=1)
    return [*rows, ("200-5000", float(np.median(angle_between_deg(summed, directions))))]


def _octaves(frequencies_hz: Array64, count: int) -> list[tuple[str, NDArray[np.bool_]]]:
    centres = 125.0 * 2.0 ** np.arange(count)
    edges = [(centre / np.sqrt(2), centre * np.sqrt(2)) for centre in centres]
    return [(f"{low:.0f}-{high:.0f}", (frequencies_hz >= low) & (frequencies_hz < high)) for low, high in edges]


def main(arguments: list[str] | None = None) -> int:
    """Print how measured responses differ from the model, and how well the device's encoder preserves directions."""
    parser = argparse.ArgumentParser(prog="python -m convert.scenes.capsules", description=main.__doc__)
    parser.add_argument(
        "--measured",
        type=Path,
        required=True,
        metavar="FILE.npz",
        help="measured responses: arrays ir (n, 4, taps), fs, azimuth_deg, elevation_deg",
    )
    parser.add_argument("--array", default="em32_tetra", help="name or TOML file of the array profile")
    chosen = parser.parse_args(arguments)
    try:
        profile = load_array(chosen.array)
        capsules = profile.capsules
        plain = replace(profile, capsule_gain_db=(), capsule_tilt_db=())
        with np.load(chosen.measured) as file:
            measured, rate_hz = file["ir"], int(file["fs"])
            directions = unit_vector(file["azimuth_deg"], file["elevation_deg"])
        print(f"Responses from {len(measured)} directions against the model of {profile.name}, as calibrated")
        print(compare_responses(measured, directions, rate_hz, capsules))
        print("\nError of the direction of intensity in degrees, through the device's encoder")
        print(compare_directions(measured, directions, rate_hz, {"measured": profile, "uncalibrated": plain}))
    except (ValueError, OSError, KeyError) as error:
        print(f"convert.scenes.capsules: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

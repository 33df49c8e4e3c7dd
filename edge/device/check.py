"""A recording of an array -> which channels are dead, clipped, inverted, swapped or off in level, and the remedy.

The best sound is speech or clapping that moves around the array in an ordinary room. Faults that only turn or mirror
the sound field are found where the sound comes from a known direction (`check_capsules`, `check_foa`); 27 degrees to
the left of the front is a good one, because no two channels of a usual array hear the same from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from edge.arrays.acoustics import Array64
from edge.arrays.profile import ArrayProfile
from edge.audio.audio_file import open_audio_file
from edge.audio.sources import RawFormat, open_source
from edge.device.check_capsules import Order, capsule_faults
from edge.device.check_foa import foa_faults
from edge.types import FloatArray

MIN_SECONDS, MAX_SECONDS = 2.0, 3600.0
MIC_RATE_HZ = 48000  # where the profile does not give a rate

_DEAD_DBFS = -110.0  # no converter is so quiet
_DEAD_BELOW_DB = 40.0  # below the median of the channels
_OFFSET = 0.01  # of full scale
_FULL = 0.999  # of full scale
_CLIPPED_SAMPLES = 10
_LOUD = 0.03  # of full scale: nothing clips below it
_OFF_DB = {True: 2.0, False: 4.0}  # of omnis, and of capsules whose level depends on the direction
_FOA_NAMES = "WYZX"


class Fault(Enum):
    """A kind of fault."""

    DEAD = auto()  # the channel is silent
    OFFSET = auto()  # it has a DC offset
    CLIPPED = auto()  # it is overdriven
    COPIED = auto()  # two channels deliver the same samples
    UNRELATED = auto()  # the channels have no sound in common
    DEAF = auto()  # one channel does not hear what the others hear
    INVERTED = auto()  # its polarity is wrong
    SWAPPED = auto()  # channels are in each other's place
    UNEVEN = auto()  # its level is not that of the others
    TURNED = auto()  # the whole array looks elsewhere


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault that was found."""

    fault: Fault
    channels: tuple[int, ...]  # as the device counts them, from 0
    what: str  # what is wrong
    remedy: str  # what to do about it

    def __str__(self) -> str:
        named = " and ".join(map(str, self.channels))
        return f"channel{'s' if len(self.channels) > 1 else ''} {named}: {self.what}. {self.remedy}."


def record(source: str, profile: ArrayProfile, seconds: float, device: str | None = None) -> tuple[FloatArray, int]:
    """Record a source.

    Args:
        source: `mic`, a file, or `-`, which is read in the format of the profile.
        profile: the array; its native rate is used, but a file keeps its own rate.
        seconds: how long to record; a file may be shorter.
        device: the microphone; without it, the one that the profile names.

    Returns:
        Samples (n, channels) and the sample rate in Hz.

    Raises:
        ValueError: the source cannot be used, or has less than two seconds of sound.
        SourceError: the device cannot be opened or fails.
    """
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise ValueError(f"got seconds {seconds:g}, wanted {MIN_SECONDS:g} to {MAX_SECONDS:g}")
    rate_hz = profile.native_rate_hz or MIC_RATE_HZ
    if source not in ("mic", "-"):
        rate_hz = open_audio_file(source).sample_rate_hz
    raw = RawFormat(profile.format or "s16le", rate_hz, profile.channels)
    blocks: list[FloatArray] = []
    wanted, heard = round(seconds * rate_hz), 0
    with open_source(
        source,
        profile.channels,
        rate_hz,
        raw=raw,
        device=device or profile.device,
        channel_fault_s=0.0,  # the check itself finds the faults
    ) as opened:
        for block in opened:
            blocks.append(block.samples)
            heard += len(block.samples)
            if heard >= wanted:
                break
    if heard < MIN_SECONDS * rate_hz:
        raise ValueError(f"{source}: got {heard / rate_hz:.1f} s of sound, wanted at least {MIN_SECONDS:g} s")
    return np.concatenate(blocks)[:wanted], rate_hz


def check_array(
    samples: FloatArray, sample_rate_hz: int, profile: ArrayProfile, direction: Array64 | None = None
) -> list[Finding]:
    """Find the faults of an array: first of each channel by itself, then in how the channels fit together.

    Args:
        samples: what the array delivered (n, channels).
        sample_rate_hz: of the samples.
        profile: what the array should be.
        direction: unit vector (x, y, z) toward the sound, where it is known.
    """
    used = np.array(profile.channel_map)
    sound = samples[:, used].astype(np.float64)
    offsets = sound.mean(axis=0)
    sound -= offsets
    level_dbfs = 20 * np.log10(np.maximum(np.sqrt(np.mean(sound**2, axis=0)), 1e-9))
    alive = (level_dbfs > _DEAD_DBFS) & (level_dbfs > np.median(level_dbfs) - _DEAD_BELOW_DB)
    findings: list[Finding] = []
    for channel, offset, channel_dbfs, lives, wave in zip(used, offsets, level_dbfs, alive, sound.T, strict=True):
        findings += _channel_findings(int(channel), wave, float(offset), None if lives else float(channel_dbfs))
    copies = list(_copies(sound, used, alive))
    findings += copies
    if copies:
        return findings
    if profile.mixing is None:
        findings += _capsule_findings(sound, sample_rate_hz, profile, alive, direction)
    elif alive.all():
        findings += _foa_findings(sound, sample_rate_hz, profile, direction)
    return findings


def _channel_findings(channel: int, wave: Array64, offset: float, dead_dbfs: float | None) -> Iterator[Finding]:
    """Faults of one channel without its offset; `dead_dbfs` is its level where it is dead."""
    if dead_dbfs is not None:
        what = f"dead, {dead_dbfs:.0f} dB of full scale" if dead_dbfs > -150 else "dead, digital silence"
        yield Finding(Fault.DEAD, (channel,), what, "Check that it is not muted, then its cable and its capsule")
    if abs(offset) > _OFFSET:
        what = f"DC offset of {100 * offset:.1f} % of full scale"
        yield Finding(Fault.OFFSET, (channel,), what, "Switch on the high-pass of the converter, or check its supply")
    if _is_clipped(wave + offset):
        what = f"clipped, at {20 * np.log10(np.abs(wave + offset).max()):.1f} dB of full scale"
        yield Finding(
            Fault.CLIPPED, (channel,), what, "Lower the gain of the microphone (alsamixer), then check it again"
        )


def _is_clipped(wave: Array64) -> bool:
    """Whether more samples are at the very top than just below it, or many at full scale: no sound does that."""
    loud = np.abs(wave)
    top = loud.max()
    at_top, below = np.sum(loud >= 0.9999 * top), np.sum((loud >= 0.97 * top) & (loud < 0.9999 * top))
    flat = top > _LOUD and at_top >= _CLIPPED_SAMPLES and at_top > below
    return bool(flat or np.sum(loud >= _FULL) >= _CLIPPED_SAMPLES)


def _copies(sound: Array64, used: NDArray[np.intp], alive: NDArray[np.bool_]) -> Iterator[Finding]:
    """Pairs of channels that deliver the same samples."""
    for one, other in combinations(np.flatnonzero(alive).tolist(), 2):
        if used[one] != used[other] and np.array_equal(sound[:, one], sound[:, other]):
            remedy = "Check that the device is opened with all its channels, not through a mono or stereo plug-in"
            yield Finding(Fault.COPIED, (int(used[one]), int(used[other])), "they deliver the same samples", remedy)


def _capsule_findings(
    sound: Array64, rate_hz: int, profile: ArrayProfile, alive: NDArray[np.bool_], direction: Array64 | None
) -> Iterator[Finding]:
    """Faults in how the capsules fit together."""
    used, capsules = profile.channel_map, profile.capsules
    if np.sum(alive) < 2:
        return
    faults = capsule_faults(sound.astype(np.float32), rate_hz, capsules, alive, direction)
    if faults is None:
        remedy = "Make a sound that reaches all capsules, louder than the noise; if there was one, check channel_map"
        yield Finding(Fault.UNRELATED, tuple(used), "they have no sound in common", remedy)
        return
    for index in faults.deaf:
        what = "it does not hear what the others hear"
        yield Finding(Fault.DEAF, (used[index],), what, "Check channel_map, then its cable and its capsule")
    for index in faults.inverted:
        remedy = "Swap the two wires of its capsule, or change its polarity in the mixer"
        yield Finding(Fault.INVERTED, (used[index],), "inverted: in antiphase with the others", remedy)
    if faults.orders:
        yield _swapped(used, faults.orders)
    gains_db = np.array(profile.capsule_gain_db or (0.0,) * 4) + np.array(faults.off_db)
    setting = f"[{', '.join(f'{gain_db:.1f}' for gain_db in gains_db)}]"
    for index, off_db in enumerate(faults.off_db):
        if abs(off_db) > _OFF_DB[capsules.pressure_share == 1.0]:
            remedy = f"Make all gains equal in the mixer; if they are, write capsule_gain_db = {setting} in the profile"
            yield Finding(Fault.UNEVEN, (used[index],), f"{_too_loud(off_db)} the others", remedy)


def _swapped(used: tuple[int, ...], orders: tuple[Order, ...]) -> Finding:
    """The finding about capsules in each other's place; the remedy is the channel_map of each order that fits."""
    moved = tuple(channel for index, channel in enumerate(used) if any(order[index] != index for order in orders))
    maps = [f"channel_map = [{', '.join(str(used[index]) for index in order)}]" for order in orders]
    known = "" if len(maps) == 1 else "; a sound from a known direction tells which (--direction)"
    return Finding(
        Fault.SWAPPED, moved, "swapped", f"Swap their plugs, or write {' or '.join(maps)} in the profile{known}"
    )


def _foa_findings(sound: Array64, rate_hz: int, profile: ArrayProfile, direction: Array64 | None) -> Iterator[Finding]:
    """Faults in how the channels of ambisonics fit together."""
    assert profile.mixing is not None
    gains = np.abs(profile.mixing).max(axis=1)
    faults = foa_faults((sound @ profile.mixing.T).astype(np.float32), rate_hz, direction, float(gains[0] / gains[1]))
    used = [profile.channel_map[int(np.argmax(np.abs(row)))] for row in profile.mixing]  # those of W, Y, Z, X
    if faults.swapped_with_w is not None:
        name = _FOA_NAMES[faults.swapped_with_w]
        remedy = f"Put the channel of W first, and that of {name} in its place, in channel_map"
        what = f"swapped: the channel of {name} carries W"
        yield Finding(Fault.SWAPPED, (used[0], used[faults.swapped_with_w]), what, remedy)
    if faults.off is not None:
        index, off_db = faults.off
        what = f"{_FOA_NAMES[index]} is {_too_loud(off_db)} the others"
        remedy = "Make all gains equal; W 3 dB too quiet is Furse-Malham (foa_fuma), 4.8 dB is N3D: choose SN3D"
        yield Finding(Fault.UNEVEN, (used[index],), what, remedy)
    if faults.order != (1, 2, 3):
        moved = tuple(used[index] for index, place in enumerate(faults.order, start=1) if index != place)
        named = ", ".join(_FOA_NAMES[place] for place in faults.order)
        remedy = f"The channels fit as {named} rather than Y, Z, X: put channel_map in that order"
        yield Finding(Fault.SWAPPED, moved, "swapped", remedy)
    inverted = [index for index, sign in enumerate(faults.signs, start=1) if sign < 0]
    for index in inverted if len(inverted) < 3 else [0]:
        remedy = "Check the convention of the software that encodes it; azimuth is counter-clockwise"
        yield Finding(Fault.INVERTED, (used[index],), f"{_FOA_NAMES[index]} is inverted", remedy)
    if faults.off_deg:
        what = f"the sound comes from {faults.off_deg:.0f} degrees off the given direction"
        yield Finding(Fault.TURNED, tuple(used[1:]), what, "Turn the array so that its front is at azimuth 0")


def _too_loud(off_db: float) -> str:
    return f"{abs(off_db):.1f} dB too {'loud' if off_db > 0 else 'quiet'} compared with"

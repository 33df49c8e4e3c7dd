"""A recording of an array -> which channels are dead, clipped, inverted, swapped or off in level, and the remedy.

Best is a sound that moves around the array, speech or clapping, in an ordinary room. Some faults only turn or mirror
what is heard: they show where the sound comes from a known direction (`check_capsules`, `check_foa`); 27
degrees to the left of the front is a good one, as no two channels of a usual array hear alike from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from edge.arrays.acoustics import Array64
from edge.arrays.profile import ArrayProfile
from edge.audio.sources import RawFormat, open_source
from edge.audio.wav import read_wav_header
from edge.device.check_capsules import Order, capsule_faults
from edge.device.check_foa import foa_faults
from edge.types import FloatArray

MIN_SECONDS, MAX_SECONDS = 2.0, 3600.0
MIC_RATE_HZ = 48000  # where the profile does not say one

_DEAD_DB = -110.0  # of full scale: no converter is so quiet
_DEAD_BELOW_DB = 40.0  # below the median of the channels
_OFFSET = 0.01  # of full scale
_FULL = 0.999  # of full scale
_CLIPPED_SAMPLES = 10
_LOUD = 0.03  # of full scale: below, nothing clips
_OFF_DB = {True: 2.0, False: 4.0}  # of omnis, and of capsules whose level depends on the direction
_FOA_NAMES = "WYZX"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, with the channels as the device counts them, from 0."""

    channels: tuple[int, ...]
    what: str
    remedy: str

    def __str__(self) -> str:
        named = " and ".join(map(str, self.channels))
        return f"channel{'s' if len(self.channels) > 1 else ''} {named}: {self.what}. {self.remedy}."


def record(source: str, profile: ArrayProfile, seconds: float, device: str | None = None) -> tuple[FloatArray, int]:
    """Up to `seconds` of a source (`mic`, `-` or a wav file) as samples (n, channels), and the sample rate in Hz.

    `-` is read as the profile says: its format, rate and channels. A file keeps its own rate.

    Raises ValueError or SourceError as `open_source` does, and ValueError if there are less than two seconds.
    """
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise ValueError(f"got seconds {seconds:g}, wanted {MIN_SECONDS:g} to {MAX_SECONDS:g}")
    rate_hz = profile.native_rate_hz or MIC_RATE_HZ
    if source not in ("mic", "-"):
        rate_hz = read_wav_header(source).sample_rate_hz
    raw = RawFormat(profile.format or "s16le", rate_hz, profile.channels)
    blocks: list[FloatArray] = []
    wanted, heard = round(seconds * rate_hz), 0
    with open_source(source, profile.channels, rate_hz, raw=raw, device=device or profile.device) as opened:
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
    """What is wrong in samples (n, channels) of an array. direction: unit vector to where the sound is, if known.

    Every channel is judged by itself; then, if enough of them are alive, how they fit together.
    """
    used = np.array(profile.channel_map)
    sound = samples[:, used].astype(np.float64)
    mean = sound.mean(axis=0)
    sound -= mean
    level_db = 20 * np.log10(np.maximum(np.sqrt(np.mean(sound**2, axis=0)), 1e-9))
    alive = (level_db > _DEAD_DB) & (level_db > np.median(level_db) - _DEAD_BELOW_DB)
    found = []
    for channel, offset, channel_db, lives, wave in zip(used, mean, level_db, alive, sound.T, strict=True):
        if not lives:
            what = f"dead, {channel_db:.0f} dB of full scale" if channel_db > -150 else "dead, digital silence"
            found.append(Finding((int(channel),), what, "Check that it is not muted, its cable, then its capsule"))
        if abs(offset) > _OFFSET:
            what = f"DC offset of {100 * offset:.1f} % of full scale"
            found.append(Finding((int(channel),), what, "Switch on the converter's high-pass, or check its supply"))
        if _is_clipped(wave + offset):
            what = f"clipped, at {20 * np.log10(np.abs(wave + offset).max()):.1f} dB of full scale"
            found.append(
                Finding((int(channel),), what, "Lower the gain of the microphone (alsamixer), and listen again")
            )
    for one, other in combinations(np.flatnonzero(alive).tolist(), 2):
        if used[one] != used[other] and np.array_equal(sound[:, one], sound[:, other]):
            remedy = "Check that the device is opened with all its channels, not by way of a mono or stereo plug-in"
            found.append(Finding((int(used[one]), int(used[other])), "the same samples", remedy))
    if any(finding.what == "the same samples" for finding in found):
        return found
    if profile.mixing is None:
        found += _judge_capsules(sound, sample_rate_hz, profile, alive, direction)
    elif alive.all():
        found += _judge_foa(sound, sample_rate_hz, profile, direction)
    return found


def _is_clipped(wave: Array64) -> bool:
    """More samples at the very top than just below it, or many at full scale: no sound does that."""
    loud = np.abs(wave)
    top = loud.max()
    at_top, below = np.sum(loud >= 0.9999 * top), np.sum((loud >= 0.97 * top) & (loud < 0.9999 * top))
    flat = top > _LOUD and at_top >= _CLIPPED_SAMPLES and at_top > below
    return bool(flat or np.sum(loud >= _FULL) >= _CLIPPED_SAMPLES)


def _judge_capsules(
    sound: Array64, rate_hz: int, profile: ArrayProfile, alive: NDArray[np.bool_], direction: Array64 | None
) -> Iterator[Finding]:
    used, capsules = profile.channel_map, profile.capsules
    if np.sum(alive) < 2:
        return
    faults = capsule_faults(sound.astype(np.float32), rate_hz, capsules, alive, direction)
    if faults is None:
        remedy = "Make a sound that all hear, louder than the noise; if there was one, check the channel_map"
        yield Finding(tuple(used), "nothing is heard in common", remedy)
        return
    for index in faults.deaf:
        what = "hears nothing of what the others hear"
        yield Finding((used[index],), what, "Check the channel_map, its cable, then its capsule")
    for index in faults.inverted:
        remedy = "Swap the two wires of its capsule, or its polarity in the mixer"
        yield Finding((used[index],), "inverted: in antiphase with the others", remedy)
    if faults.orders:
        yield _swapped(used, faults.orders)
    gains_db = np.array(profile.capsule_gain_db or (0.0,) * 4) + np.array(faults.off_db)
    setting = f"[{', '.join(f'{gain_db:.1f}' for gain_db in gains_db)}]"
    for index, off_db in enumerate(faults.off_db):
        if abs(off_db) > _OFF_DB[capsules.pressure_share == 1.0]:
            what = f"{abs(off_db):.1f} dB too {'loud' if off_db > 0 else 'quiet'} beside the others"
            remedy = f"Make all gains equal in the mixer; if they are, write capsule_gain_db = {setting} in the profile"
            yield Finding((used[index],), what, remedy)


def _swapped(used: tuple[int, ...], orders: tuple[Order, ...]) -> Finding:
    """Of the orders that fit, the channel_maps that would put it right."""
    moved = tuple(channel for index, channel in enumerate(used) if any(order[index] != index for order in orders))
    maps = [f"channel_map = [{', '.join(str(used[index]) for index in order)}]" for order in orders]
    known = "" if len(maps) == 1 else "; a sound from a known direction tells which (--direction)"
    return Finding(moved, "swapped", f"Swap their plugs, or write {' or '.join(maps)} in the profile{known}")


def _judge_foa(sound: Array64, rate_hz: int, profile: ArrayProfile, direction: Array64 | None) -> Iterator[Finding]:
    assert profile.mixing is not None
    gains = np.abs(profile.mixing).max(axis=1)
    faults = foa_faults((sound @ profile.mixing.T).astype(np.float32), rate_hz, direction, float(gains[0] / gains[1]))
    used = [profile.channel_map[int(np.argmax(np.abs(row)))] for row in profile.mixing]  # those of W, Y, Z, X
    if faults.swapped_with_w is not None:
        name = _FOA_NAMES[faults.swapped_with_w]
        remedy = f"Put the channel of W first, and that of {name} in its place, in the channel_map"
        yield Finding((used[0], used[faults.swapped_with_w]), f"swapped: what should be {name} is W", remedy)
    if faults.off is not None:
        index, off_db = faults.off
        what = f"{_FOA_NAMES[index]} is {abs(off_db):.1f} dB too {'loud' if off_db > 0 else 'quiet'} beside the others"
        remedy = "Make all gains equal; W 3 dB too quiet is Furse-Malham (foa_fuma), 4.8 dB is N3D: choose SN3D"
        yield Finding((used[index],), what, remedy)
    if faults.order != (1, 2, 3):
        moved = tuple(used[index] for index, place in enumerate(faults.order, start=1) if index != place)
        named = ", ".join(_FOA_NAMES[place] for place in faults.order)
        yield Finding(moved, "swapped", f"They fit as {named} rather than Y, Z, X: put the channel_map in that order")
    inverted = [index for index, sign in enumerate(faults.signs, start=1) if sign < 0]
    for index in inverted if len(inverted) < 3 else [0]:
        remedy = "Check the convention of the software that encodes it; azimuth is counter-clockwise"
        yield Finding((used[index],), f"{_FOA_NAMES[index]} is inverted", remedy)
    if faults.off_deg:
        what = f"the sound comes from {faults.off_deg:.0f} degrees beside where you say"
        yield Finding(tuple(used[1:]), what, "Turn the array so that its front is where azimuth is 0")

"""A clip library and settings -> the events of one scene: their sounds, lanes and onsets.

A lane is a sequence of events that do not overlap. So there are at most as many simultaneous events as lanes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import resample_poly

from convert.clips.library import HOP_S, INTERFERER, Clip, ClipLibrary, active_hops, draw_clip
from convert.scenes.settings import Range, SceneSettings
from edge.scoring.annotations import LABEL_FRAME_S
from edge.types import FloatArray

Hops = NDArray[np.bool_]
Groups = dict[str, tuple[Clip, ...]]
"""The clips of one class by group."""

JOINED_GAP_S = 0.5  # shorter pauses inside an event count as active
_BETWEEN_EVENTS_S = 0.2  # least pause between events of a lane, so that no two of them share a label frame


@dataclass(frozen=True, slots=True)
class _Repeat:
    """How clips of single hits or words are repeated to make an event."""

    event_s: Range  # length of the event
    unit_s: float  # longer clips are not repeated
    gap_s: Range = (0.0, 0.0)  # from the end of a clip to the start of the next
    period_s: Range | None = None  # from start to start, drawn once for an event; replaces gap_s
    moving_share: float | None = None  # of the events of this class, instead of the one in the settings


_REPEATS = {
    "footsteps": _Repeat((2.0, 6.0), 0.8, period_s=(1 / 2.3, 1 / 1.5), moving_share=0.8),
    "knock": _Repeat((0.5, 2.5), 1.2, (0.3, 0.8)),
    "female_speech": _Repeat((1.0, 5.0), 6.0, (0.08, 0.4)),
    "male_speech": _Repeat((1.0, 5.0), 6.0, (0.08, 0.4)),
    "telephone": _Repeat((1.0, 6.0), 4.0, (0.8, 2.0)),
}


@dataclass(frozen=True, slots=True)
class Sound:
    """A dry sound and where it is active, in hops of 10 ms."""

    samples: FloatArray  # (n,), the RMS of the active part is 1
    active: Hops  # (hops,)
    group: str  # of its clips
    source: str  # of its first clip


@dataclass(frozen=True, slots=True)
class Event:
    """A sound on the timeline."""

    class_name: str
    lane: int
    onset_hop: int
    sound: Sound


def draw_events(library: ClipLibrary, settings: SceneSettings, rng: np.random.Generator) -> list[Event]:
    """Draw the events of a scene.

    Each of the `max_overlap` lanes is busy half as much as the one before. Interferers, if the scene has any, are on an
    additional lane.

    Args:
        library: the clips to use.
        settings: what to draw from.
        rng: the source of randomness.

    Returns:
        The events, lane by lane.
    """
    clips_of = {name: library.of_class(name) for name in (*library.class_names, INTERFERER)}
    names = [name for name in library.class_names if clips_of[name]]
    usual_s = np.array([_usual_s(clips_of[name], name, settings) for name in names])
    chances = usual_s**-settings.balance / np.sum(usual_s**-settings.balance)
    mean_s = float(chances @ usual_s)
    density = rng.uniform(*settings.density)
    quiet = [
        (start, start + rng.uniform(*settings.quiet_s))
        for start in rng.uniform(
            0, settings.duration_s, rng.poisson(settings.quiet_per_minute * settings.duration_s / 60)
        )
    ]
    events: list[Event] = []
    for lane in range(settings.max_overlap):
        busy = min(0.8 * density * 0.5**lane, 0.95)
        if busy > 0:
            events += _lane(library, clips_of, settings, rng, lane, names, chances, mean_s * (1 - busy) / busy, quiet)
    if settings.interferer_time > 0 and rng.random() < settings.interferer_share and clips_of[INTERFERER]:
        usual = _usual_s(clips_of[INTERFERER], INTERFERER, settings)
        gap_s = usual * (1 - settings.interferer_time) / settings.interferer_time
        events += _lane(library, clips_of, settings, rng, settings.max_overlap, [INTERFERER], np.ones(1), gap_s, quiet)
    return events


def _lane(
    library: ClipLibrary,
    clips_of: Mapping[str, Groups],
    settings: SceneSettings,
    rng: np.random.Generator,
    lane: int,
    names: Sequence[str],
    chances: NDArray[np.float64],
    gap_s: float,
    quiet: Sequence[Range],
) -> list[Event]:
    """Draw the events of one lane, with exponentially distributed gaps and none in a quiet stretch."""
    events = []
    time_s = rng.exponential(gap_s)
    while time_s < settings.duration_s - LABEL_FRAME_S:
        name = str(rng.choice(names, p=chances))
        sound = _sound(library, clips_of[name], name, settings, rng)
        length_s = len(sound.active) * HOP_S
        for begin_s, end_s in sorted(quiet):
            if time_s < end_s and time_s + length_s > begin_s:
                time_s = end_s + rng.uniform(0, 0.5)
        onset_hop = round(time_s / HOP_S)
        if onset_hop * HOP_S < settings.duration_s - LABEL_FRAME_S:
            events.append(Event(name, lane, onset_hop, sound))
        time_s += length_s + _BETWEEN_EVENTS_S + rng.exponential(gap_s)
    return events


def _usual_s(groups: Groups, name: str, settings: SceneSettings) -> float:
    """Estimate the mean length of an event of a class in seconds."""
    mean_s = float(np.mean([clip.seconds for clips in groups.values() for clip in clips]))
    repeat = _REPEATS.get(name)
    if repeat is not None and mean_s < repeat.unit_s:
        mean_s = max(mean_s, float(np.mean(repeat.event_s)))
    return min(max(mean_s, 0.1), settings.max_event_s)


def _sound(library: ClipLibrary, groups: Groups, name: str, settings: SceneSettings, rng: np.random.Generator) -> Sound:
    """Draw the sound of one event: an excerpt of a clip, or a sequence of clips of one group."""
    rate_hz = library.sample_rate_hz
    group = _draw_group(groups, settings.source_balance, rng)
    clips = groups[group]
    first = draw_clip(clips, rng)
    samples = library.samples(first)
    repeat = _REPEATS.get(name)
    if repeat is not None and len(samples) < repeat.unit_s * rate_hz:
        wanted_s = min(rng.uniform(*repeat.event_s), settings.max_event_s)
        samples = _repeated(
            samples, [clip for clip in clips if clip.seconds < repeat.unit_s], library, repeat, wanted_s, rng
        )
    samples = _varied(samples, rate_hz, settings, rng)
    longest = int(settings.max_event_s * rate_hz)
    if len(samples) > longest:
        start = int(rng.integers(len(samples) - longest + 1))
        samples = samples[start : start + longest]
    fade = np.minimum(1, np.minimum(np.arange(len(samples)) + 1, np.arange(len(samples), 0, -1)) / (0.005 * rate_hz))
    samples = (samples * fade).astype(np.float32)
    hop = round(HOP_S * rate_hz)
    active = active_hops(samples, rate_hz)
    samples = samples / np.float32(10 ** (level_db(samples, active, hop) / 20))
    for before, after in pairwise(np.flatnonzero(active)):
        if after - before <= JOINED_GAP_S / HOP_S:
            active[before:after] = True
    return Sound(samples, active, group, first.source)


def _draw_group(groups: Groups, source_balance: float, rng: np.random.Generator) -> str:
    """Draw a group; `source_balance` keeps a source of many groups, as synthesis is, from hiding the others."""
    if source_balance == 0:
        return str(rng.choice(list(groups)))
    sources = [clips[0].source for clips in groups.values()]
    groups_of = Counter(sources)
    weights = np.array([float(groups_of[source]) ** -source_balance for source in sources])
    return str(rng.choice(list(groups), p=weights / weights.sum()))


def _varied(samples: FloatArray, rate_hz: int, settings: SceneSettings, rng: np.random.Generator) -> FloatArray:
    """Vary speed and colour of a sound as the settings say: samples (n,) -> samples (m,)."""
    slowest, fastest = settings.replay_speed
    if settings.replay_speed != (1.0, 1.0):
        speed = Fraction(float(np.exp(rng.uniform(np.log(slowest), np.log(fastest))))).limit_denominator(40)
        samples = resample_poly(samples, speed.denominator, speed.numerator).astype(np.float32)
    if settings.colour_db > 0:
        size = fft.next_fast_len(len(samples) + rate_hz // 20, real=True)
        octaves = np.arange(11)  # from 20 Hz
        gain_db = rng.normal(0.0, settings.colour_db, len(octaves))
        frequency_hz = np.maximum(fft.rfftfreq(size, 1 / rate_hz), 20.0)
        gain = 10 ** (np.interp(np.log2(frequency_hz / 20), octaves, gain_db) / 20)
        samples = fft.irfft(fft.rfft(samples, size) * gain.astype(np.float32), size)[: len(samples)].astype(np.float32)
    return samples


def _repeated(
    first: FloatArray,
    clips: Sequence[Clip],
    library: ClipLibrary,
    repeat: _Repeat,
    wanted_s: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Append random clips to the first one as long as they end before `wanted_s`."""
    rate_hz = library.sample_rate_hz
    longest = int(wanted_s * rate_hz)
    line = np.zeros(max(longest, len(first)), np.float32)
    period_s = None if repeat.period_s is None else rng.uniform(*repeat.period_s)
    start, end, clip = 0, 0, first
    while start + len(clip) <= longest or end == 0:
        line[start : start + len(clip)] += clip
        end = max(end, start + len(clip))
        gap_s = rng.uniform(*repeat.gap_s)
        if period_s is None:
            start = end + int(gap_s * rate_hz)
        else:
            start += int(period_s * rng.uniform(0.95, 1.05) * rate_hz)
        clip = library.samples(draw_clip(clips, rng)) if clips else first
    return line[:end]


def level_db(samples: FloatArray, active: Hops, hop: int) -> float:
    """Compute the mean power in dB of samples (n,) over the active hops of `hop` samples each."""
    weights = np.repeat(active, hop)[: len(samples)]
    power = np.sum(np.square(samples, dtype=np.float64) * weights) / max(int(weights.sum()), 1)
    return float(10 * np.log10(power + 1e-20))


def moving_share(name: str, settings: SceneSettings) -> float:
    """Return the share of moving events of a class. Footsteps move more often, unless nothing is to move."""
    repeat = _REPEATS.get(name)
    if repeat is None or repeat.moving_share is None or settings.moving_share == 0:
        return settings.moving_share
    return repeat.moving_share

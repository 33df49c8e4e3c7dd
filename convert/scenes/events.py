"""A clip library and settings -> the events of one scene: their sounds, lanes and onsets.

A lane is a sequence of events that do not overlap. So there are at most as many simultaneous events as lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import resample_poly

from convert.clips.library import HOP_S, INTERFERER, Clip, ClipLibrary, active_hops, draw_clip
from edge.scoring.annotations import LABEL_FRAME_S
from edge.types import FloatArray

Range = tuple[float, float]
Hops = NDArray[np.bool_]

JOINED_GAP_S = 0.5  # shorter pauses inside an event count as active
_BETWEEN_EVENTS_S = 0.2  # least pause between events of a lane, so that no two of them share a label frame


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """The distributions that scenes are drawn from. Pairs are the ends of a uniform one; levels are of channel 0."""

    duration_s: float = 60.0  # length of a scene
    max_overlap: int = 3  # largest number of simultaneous labelled events
    density: Range = (
        0.7,
        1.2,
    )  # at 1, the lanes are busy 80 %, 40 %, 20 % of the time, pauses included
    quiet_per_minute: float = 1.0  # number of stretches without any event, labelled or not
    quiet_s: Range = (2.0, 5.0)  # length of such a stretch
    max_event_s: float = 6.0  # longest event
    balance: float = 0.5  # 0: equally many events of each class; 1: equal total duration of each class
    moving_share: float = 0.3  # share of the events that move
    speed_deg_s: Range = (10.0, 50.0)  # speed of a moving event
    rt60_s: Range = (0.15, 0.9)  # reverberation time of the room
    distance_m: Range = (0.8, 5.0)  # distance of an event from the array
    elevation_deg: Range = (-45.0, 45.0)  # elevation of an event
    source_db: Range = (-36.0, -20.0)  # RMS of the direct sound at 1 m over the active part
    replay_speed: Range = (1.0, 1.0)  # playback speed of the clips of an event; changes pitch and tempo
    colour_db: float = 0.0  # standard deviation of a random gain at each octave, for the clips of an event
    interferer_share: float = 0.3  # share of scenes with unlabelled sounds
    interferer_time: float = 0.3  # share of the time that unlabelled sounds take in such a scene
    snr_db: Range = (6.0, 35.0)  # mean level of the events relative to the ambience
    sensor_snr_db: Range = (30.0, 55.0)  # mean level of the events relative to the sensor noise
    gain_db: Range = (-8.0, 6.0)  # gain of the whole scene

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list | tuple):  # settings from a file are lists
                object.__setattr__(self, field.name, tuple(value))
                if len(value) != 2 or value[0] > value[1]:
                    raise ValueError(f"got {field.name} {value}, wanted a lower and an upper end")
        for name in ("balance", "moving_share", "interferer_share", "interferer_time"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"got {name} {getattr(self, name)}, wanted 0 to 1")
        if self.duration_s < 1 or self.max_overlap < 1 or self.max_event_s < 0.1:
            raise ValueError(
                f"got duration_s {self.duration_s}, max_overlap {self.max_overlap}, max_event_s {self.max_event_s}, "
                "wanted at least 1, 1 and 0.1"
            )
        if not 0.5 <= self.replay_speed[0] <= self.replay_speed[1] <= 2.0 or not 0 <= self.colour_db <= 12:
            raise ValueError(
                f"got replay_speed {self.replay_speed} and colour_db {self.colour_db}, wanted 0.5 to 2 and 0 to 12"
            )


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
    names = [name for name in library.class_names if library.of_class(name)]
    usual_s = np.array([_usual_s(library, name, settings) for name in names])
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
            events += _lane(library, settings, rng, lane, names, chances, mean_s * (1 - busy) / busy, quiet)
    if settings.interferer_time > 0 and rng.random() < settings.interferer_share and library.of_class(INTERFERER):
        gap_s = _usual_s(library, INTERFERER, settings) * (1 - settings.interferer_time) / settings.interferer_time
        events += _lane(library, settings, rng, settings.max_overlap, [INTERFERER], np.ones(1), gap_s, quiet)
    return events


def _lane(
    library: ClipLibrary,
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
        sound = _sound(library, name, settings, rng)
        length_s = len(sound.active) * HOP_S
        for begin_s, end_s in sorted(quiet):
            if time_s < end_s and time_s + length_s > begin_s:
                time_s = end_s + rng.uniform(0, 0.5)
        onset_hop = round(time_s / HOP_S)
        if onset_hop * HOP_S < settings.duration_s - LABEL_FRAME_S:
            events.append(Event(name, lane, onset_hop, sound))
        time_s += length_s + _BETWEEN_EVENTS_S + rng.exponential(gap_s)
    return events


def _usual_s(library: ClipLibrary, name: str, settings: SceneSettings) -> float:
    """Estimate the mean length of an event of a class in seconds."""
    mean_s = float(np.mean([clip.seconds for clips in library.of_class(name).values() for clip in clips]))
    repeat = _REPEATS.get(name)
    if repeat is not None and mean_s < repeat.unit_s:
        mean_s = max(mean_s, float(np.mean(repeat.event_s)))
    return min(max(mean_s, 0.1), settings.max_event_s)


def _sound(library: ClipLibrary, name: str, settings: SceneSettings, rng: np.random.Generator) -> Sound:
    """Draw the sound of one event: an excerpt of a clip, or a sequence of clips of one group."""
    rate_hz = library.sample_rate_hz
    groups = library.of_class(name)
    group = str(rng.choice(list(groups)))
    clips = groups[group]
    samples = library.samples(draw_clip(clips, rng))
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
    return Sound(samples, active, group)


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

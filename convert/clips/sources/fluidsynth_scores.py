"""A random generator -> notes: a phrase of one instrument, or a short piece of several parts in one of eight styles.

Scales and progressions are those of `convert.clips.synth.music`, which plays without a soundfont. Programs are those of
General MIDI, counted from 0; bank 128 holds the drum kits, where each key is an instrument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from convert.clips.synth.music import MODES, PROGRESSIONS

DRUM_BANK = 128


@dataclass(frozen=True, slots=True)
class Note:
    """One note of one part."""

    start_s: float
    seconds: float
    key: int  # MIDI number; 60 is middle C
    velocity: int  # 1 to 127
    part: int = 0  # index in Score.parts


@dataclass(frozen=True, slots=True)
class Part:
    """Who plays a part."""

    program: int
    bank: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """Notes for one or several parts."""

    parts: tuple[Part, ...]
    notes: tuple[Note, ...]
    seconds: float  # length of the sound, with the decay of the last notes


@dataclass(frozen=True, slots=True)
class Harmony:
    """A key, and a chord for each bar."""

    tonic: int  # MIDI number of the lowest tonic, 36 to 47
    scale: tuple[int, ...]  # semitones above the tonic
    roots: tuple[int, ...]  # degrees of the scale

    def key(self, degree: int) -> int:
        """MIDI number of a degree of the scale above the lowest tonic; negative degrees lie below."""
        octave, step = divmod(degree, len(self.scale))
        return self.tonic + 12 * octave + self.scale[step]

    def chord(self, bar: int) -> tuple[int, int, int]:
        """Degrees of the triad of a bar."""
        root = self.roots[bar % len(self.roots)]
        return root, root + 2, root + 4


def draw_harmony(rng: np.random.Generator) -> Harmony:
    """Draw a key and a chord progression."""
    scale = MODES[("major", "minor", "dorian")[int(rng.integers(3))]]
    roots = PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))]
    return Harmony(int(rng.integers(36, 48)), scale, roots)


# Phrases of one instrument

MANNERS = ("melody", "run", "arpeggio", "chords", "held", "repeat")


def phrase(rng: np.random.Generator, part: Part, low: int, high: int, manners: Sequence[str]) -> Score:
    """Compose 2 to 5 s for one instrument.

    Args:
        rng: the source of randomness.
        part: the instrument.
        low: lowest key.
        high: highest key, at least an octave above `low`.
        manners: the ways in which it is played, some of MANNERS; one is drawn.
    """
    harmony, seconds = draw_harmony(rng), float(rng.uniform(2.0, 4.5))
    manner = manners[int(rng.integers(len(manners)))]
    degrees = [degree for degree in range(-14, 42) if low <= harmony.key(degree) <= high]
    step_s = float(rng.choice((0.14, 0.18, 0.25, 0.35, 0.5)))
    loudness = int(rng.integers(55, 120))
    at = int(rng.integers(len(degrees)))
    notes: list[Note] = []
    start_s = 0.0
    while start_s < seconds:
        length_s, keys = step_s, [degrees[at]]
        if manner == "melody":
            length_s = step_s * float(rng.choice((1, 1, 2, 3)))
            at = _reflected(at + int(rng.integers(-3, 4)), len(degrees))
        elif manner == "run":
            at = (at + 1) % len(degrees)
        elif manner == "arpeggio":
            at = _reflected(at + int(rng.choice((-4, -2, 2, 2, 4))), len(degrees))
        elif manner == "chords":
            length_s = step_s * 2
            keys = [degree for degree in (degrees[at], degrees[at] + 2, degrees[at] + 4) if degree <= degrees[-1]]
            at = int(rng.integers(len(degrees)))
        elif manner == "held":
            length_s = float(rng.uniform(1.0, 2.5))
            at = int(rng.integers(len(degrees)))
        elif rng.random() < 0.15:
            at = int(rng.integers(len(degrees)))
        if rng.random() < 0.9 or not notes:
            notes += [_note(rng, start_s, 0.95 * length_s, harmony.key(degree), loudness) for degree in keys]
        start_s += length_s
    return Score((part,), tuple(notes), start_s + 0.8)


def strikes(rng: np.random.Generator, part: Part, keys: Sequence[int], gap_s: tuple[float, float]) -> Score:
    """Strike one of some keys up to five times, as one does a bell, or two falling keys in turn ("ding-dong").

    Args:
        rng: the source of randomness.
        part: the instrument.
        keys: the keys to choose from.
        gap_s: the time between two strikes, from and to.
    """
    key, pause_s = int(keys[int(rng.integers(len(keys)))]), float(rng.uniform(*gap_s))
    fall = int(rng.choice((0, 0, 3, 4, 5)))
    count = 2 if fall else int(rng.integers(1, 6))
    loudness = int(rng.integers(70, 120))
    notes = [_note(rng, pause_s * n, pause_s, key - fall * (n % 2), loudness) for n in range(count)]
    return Score((part,), tuple(notes), pause_s * count + 1.5)


def bursts(rng: np.random.Generator, part: Part, keys: Sequence[int], on_s: tuple[float, float], most: int) -> Score:
    """Hold one of some keys in up to `most` bursts of one length and with equal pauses, as a telephone rings."""
    key, loudness = int(keys[int(rng.integers(len(keys)))]), int(rng.integers(80, 120))
    length_s, pause_s = float(rng.uniform(*on_s)), float(rng.uniform(0.3, 1.5))
    count = int(rng.integers(1, most + 1))
    notes = [_note(rng, (length_s + pause_s) * n, length_s, key, loudness) for n in range(count)]
    return Score((part,), tuple(notes), (length_s + pause_s) * count)


def beat(rng: np.random.Generator, keys: Sequence[int]) -> Score:
    """Play a rhythm of one or two bars, repeated, on a few instruments of the drum kit."""
    step_s, steps = float(rng.uniform(0.09, 0.2)), int(rng.choice((8, 12, 16)))
    hits = [[key for key in keys if rng.random() < 0.5 / len(keys) ** 0.5] for _ in range(steps)]
    hits[0] = hits[0] or [keys[0]]
    total = int(np.ceil(rng.uniform(2.0, 4.0) / step_s))
    loudness = int(rng.integers(70, 120))
    notes = [_note(rng, n * step_s, step_s, key, loudness) for n in range(total) for key in hits[n % steps]]
    return Score((Part(0, DRUM_BANK),), tuple(notes), total * step_s + 0.8)


# Pieces

Programs = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Style:
    """What is common to the pieces of one style: one instrument is drawn for each part."""

    beats: int  # in a bar
    tempo_bpm: tuple[int, int]
    swing: float  # delay of every second half beat, as a part of a beat
    roles: tuple[tuple[str, Programs], ...]  # a key of _ROLES, and the programs to choose from
    drums: dict[int, str]  # key -> hits on a grid of quarter beats


PIANOS, STRINGS, LEADS = (0, 1, 2, 4, 5), (48, 49, 50), (80, 81, 85, 87)
STYLES = {
    "ballad": Style(
        4, (60, 85), 0.0,
        (("held", (*STRINGS, 89)), ("arpeggio", PIANOS), ("melody", (0, 40, 68, 73)), ("root", (32, 33, 43))),
        {},
    ),
    "folk": Style(
        4, (90, 130), 0.0,
        (("strum", (24, 25, 105)), ("melody", (21, 22, 40, 73, 110, 79)), ("root", (32, 43))),
        {},
    ),
    "rock": Style(
        4, (100, 150), 0.0,
        (("eighths", (33, 34)), ("strum", (27, 28, 29, 30)), ("melody", (29, 30, 18, 81))),
        {36: "x...x...x.x.x...", 38: "....x.......x...", 42: "x.x.x.x.x.x.x.x.", 49: "x..............."},
    ),
    "swing": Style(
        4, (110, 180), 0.16,
        (("walking", (32,)), ("comp", (0, 4, 26)), ("melody", (56, 57, 64, 65, 66, 71, 11))),
        {51: "x...x.x.x...x.x.", 44: "....x.......x...", 36: "x.......x......."},
    ),
    "waltz": Style(
        3, (110, 170), 0.0,
        (("root", (32, 43, 58)), ("oompah", (0, 21, 24, 48, 60)), ("melody", (21, 40, 71, 73))),
        {},
    ),
    "dance": Style(
        4, (115, 135), 0.0,
        (("offbeat", (38, 39)), ("arpeggio", (*LEADS, 90)), ("held", (50, 51, 89, 90, 95)), ("melody", LEADS)),
        {36: "x...x...x...x...", 39: "....x.......x...", 42: "..x...x...x...x."},
    ),
    "chamber": Style(
        4, (70, 120), 0.0,
        (("melody", (40, 68, 71, 73)), ("held", (41, 48, 60)), ("root", (42, 43, 70)), ("arpeggio", (6, 41, 45, 46))),
        {},
    ),
    "bossa": Style(
        4, (110, 145), 0.0,
        (("comp", (24, 26, 5)), ("walking", (32, 33)), ("melody", (65, 73, 11, 24))),
        {36: "x..xx..xx..xx..x", 75: "x..x..x...x..x..", 42: "x.x.x.x.x.x.x.x."},
    ),
}  # fmt: skip


def piece(rng: np.random.Generator, style_name: str) -> Score:
    """Compose 5 to 8 s of a style of STYLES: key, tempo, progression, instruments and melody are drawn."""
    style = STYLES[style_name]
    harmony = draw_harmony(rng)
    beat_s, seconds = 60.0 / float(rng.uniform(*style.tempo_bpm)), float(rng.uniform(5.0, 8.0))
    bars = int(np.ceil(seconds / (beat_s * style.beats)))
    parts = [Part(int(programs[int(rng.integers(len(programs)))])) for _, programs in style.roles]
    notes: list[Note] = []
    for index, (role, _) in enumerate(style.roles):
        if index and rng.random() < 0.15:
            continue  # not every piece has every part
        for at_beats, beats, degree, loudness in _ROLES[role](rng, harmony, bars, style.beats):
            late = style.swing if abs(at_beats % 1.0 - 0.5) < 1e-6 else 0.0
            notes.append(_note(rng, (at_beats + late) * beat_s, beats * beat_s, harmony.key(degree), loudness, index))
    if style.drums and rng.random() < 0.85:
        for key, grid in style.drums.items():
            steps = [step for step in range(bars * style.beats * 4) if grid[step % len(grid)] == "x"]
            for step in steps:
                late = style.swing if step % 4 == 2 else 0.0
                notes.append(_note(rng, (step / 4 + late) * beat_s, 0.2, key, 85, len(parts)))
    parts.append(Part(0, DRUM_BANK))
    return Score(tuple(parts), tuple(note for note in notes if note.start_s < seconds), seconds)


Played = tuple[float, float, int, int]  # start in beats, length in beats, degree, velocity
Role = Callable[[np.random.Generator, Harmony, int, int], list[Played]]  # generator, harmony, bars, beats in a bar


def _held(_: np.random.Generator, harmony: Harmony, bars: int, beats: int) -> list[Played]:
    return [(bar * beats, beats, degree + 7, 60) for bar in range(bars) for degree in harmony.chord(bar)]


def _rhythm(*hits: float) -> Role:
    """Play the chord at the given beats of each bar."""

    def chords(_: np.random.Generator, harmony: Harmony, bars: int, beats: int) -> list[Played]:
        return [
            (bar * beats + hit, 0.45, degree + 7, 68)
            for bar in range(bars)
            for hit in hits
            if hit < beats
            for degree in harmony.chord(bar)
        ]

    return chords


def _arpeggio(rng: np.random.Generator, harmony: Harmony, bars: int, beats: int) -> list[Played]:
    order = [int(place) for place in rng.permutation(4)]
    return [
        (bar * beats + half / 2, 0.6, (*harmony.chord(bar), harmony.chord(bar)[0] + 7)[order[half % 4]] + 7, 66)
        for bar in range(bars)
        for half in range(beats * 2)
    ]


def _root(_: np.random.Generator, harmony: Harmony, bars: int, beats: int) -> list[Played]:
    return [(bar * beats, beats * 0.9, harmony.chord(bar)[0], 80) for bar in range(bars)]


def _eighths(_: np.random.Generator, harmony: Harmony, bars: int, beats: int) -> list[Played]:
    return [
        (bar * beats + half / 2, 0.4, harmony.chord(bar)[0], 84) for bar in range(bars) for half in range(beats * 2)
    ]


def _walking(rng: np.random.Generator, harmony: Harmony, bars: int, beats: int) -> list[Played]:
    steps = [0, 2, 4, int(rng.integers(5, 7))]
    return [
        (bar * beats + one, 0.9, harmony.chord(bar)[0] + steps[one % 4], 82)
        for bar in range(bars)
        for one in range(beats)
    ]


def _melody(rng: np.random.Generator, harmony: Harmony, bars: int, beats: int) -> list[Played]:
    """Walk by small steps through the third octave, on a tone of the chord where a bar begins."""
    played: list[Played] = []
    at, degree = 0.0, 14 + int(rng.integers(5))
    while at < bars * beats:
        length = float(rng.choice((0.5, 0.5, 1.0, 1.0, 1.5, 2.0)))
        if at % beats == 0.0:
            tones = [tone + 14 for tone in harmony.chord(int(at // beats))]
            degree = min(tones, key=lambda tone: abs(tone - degree))
        else:
            degree = int(np.clip(degree + rng.integers(-2, 3), 11, 24))
        if rng.random() < 0.88:
            played.append((at, 0.92 * length, degree, 92))
        at += length
    return played


_ROLES: dict[str, Role] = {
    "held": _held,
    "strum": _rhythm(0.0, 1.0, 1.5, 2.5, 3.0, 3.5),
    "comp": _rhythm(0.5, 1.5, 3.0),
    "oompah": _rhythm(1.0, 2.0),
    "offbeat": lambda rng, harmony, bars, beats: [
        (at + 0.5, length * 0.5, degree, loudness)
        for at, length, degree, loudness in _walking(rng, harmony, bars, beats)
    ],
    "arpeggio": _arpeggio,
    "root": _root,
    "eighths": _eighths,
    "walking": _walking,
    "melody": _melody,
}


def _reflected(index: int, count: int) -> int:
    """Keep an index within a range of `count` by reflection at its ends."""
    index = abs(index) % (2 * count - 2)
    return min(index, 2 * count - 2 - index)


def _note(rng: np.random.Generator, start_s: float, seconds: float, key: int, velocity: int, part: int = 0) -> Note:
    """Make a note as somebody plays it: not quite in time, not quite as loud as meant."""
    start = max(0.0, start_s + float(rng.normal(0.0, 0.006)))
    return Note(start, seconds, int(np.clip(key, 0, 127)), int(np.clip(velocity + rng.integers(-10, 11), 1, 127)), part)

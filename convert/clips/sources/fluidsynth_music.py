"""Soundfonts of Debian -> instruments, music, bells, telephones and applause, composed here and played by FluidSynth.

Three soundfonts with samples of their own play everything: FluidR3 GM (MIT), TimGM6mb (GPL-2) and the bank of Csound
(public domain). Other free ones were made from FluidR3, so their sounds are already here. The group of a sound is its
soundfont and instrument; every piece of music is a group of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from convert.clips.packages.pins import pinned
from convert.clips.sources.fluidsynth_render import SAMPLE_RATE_HZ, render
from convert.clips.sources.fluidsynth_scores import STYLES, Part, Score, beat, bursts, phrase, piece, strikes
from convert.clips.sources.records import ClipJob, ClipSource, Package
from edge.types import FloatArray

PHRASES_OF_AN_INSTRUMENT = 2
PIECES_OF_A_STYLE = 10  # by each soundfont
CLIPS_OF_A_BELL = 8
TELEPHONES, APPLAUSES = 8, 4  # by each soundfont

Compose = Callable[[np.random.Generator], Score]


@dataclass(frozen=True, slots=True)
class Soundfont:
    """A soundfont in a Debian package."""

    name: str
    package: Package
    file: str  # its name in the package
    licence: str
    attribution: str
    without: tuple[str, ...] = ()  # sounds that are not like what they are called


@dataclass(frozen=True, slots=True)
class Instruments:
    """Programs that are played alike."""

    programs: tuple[int, ...]
    low: int  # MIDI numbers of the lowest and highest key
    high: int
    manners: tuple[str, ...]


SOUNDFONTS = (
    Soundfont(
        "fluidr3",
        pinned("debian", "fluid-soundfont-gm"),
        "FluidR3_GM.sf2",
        "MIT",
        "FluidR3 GM soundfont by Frank Wen",
    ),
    Soundfont(
        "timgm",
        pinned("debian", "timgm6mb-soundfont"),
        "TimGM6mb.sf2",
        "GPL-2.0-only",
        "TimGM6mb soundfont by Tim Brechbill and David Bolton",
        without=("ring", "applause"),  # a tick of 0.2 s; noise with a gap in its spectrum
    ),
    Soundfont(
        "gmbank",
        pinned("debian", "csound-soundfont"),
        "sf_GMbank.sf2",
        "LicenseRef-public-domain",
        "",
    ),
)

PLUCKED, BLOWN, STRUCK = (
    ("melody", "run", "arpeggio", "chords"),
    ("melody", "run", "held"),
    ("melody", "run", "arpeggio"),
)
INSTRUMENTS = (
    Instruments(tuple(range(8)), 36, 84, PLUCKED),  # pianos, harpsichord, clavinet
    Instruments((8, 9, 10, 11, 12, 13, 15), 60, 91, STRUCK),  # celesta to xylophone, dulcimer
    Instruments(tuple(range(16, 24)), 41, 84, ("melody", "run", "chords", "held")),  # organs, accordion, harmonica
    Instruments(tuple(range(24, 31)), 40, 76, PLUCKED),  # guitars
    Instruments(tuple(range(32, 40)), 28, 52, ("melody", "run", "repeat")),  # basses
    Instruments((40, 110), 55, 91, BLOWN),  # violin, fiddle
    Instruments((41,), 48, 80, BLOWN),  # viola
    Instruments((42,), 36, 68, BLOWN),  # cello
    Instruments((43,), 28, 55, BLOWN),  # double bass
    Instruments((45, 46), 43, 84, PLUCKED),  # plucked strings, harp
    Instruments((47,), 40, 57, ("repeat", "melody")),  # timpani
    Instruments((44, 48, 49, 50, 51), 40, 84, ("melody", "chords", "held")),  # string ensembles
    Instruments((56, 59), 55, 82, BLOWN),  # trumpets
    Instruments((57, 60, 61, 62, 63), 41, 72, BLOWN),  # trombone, horn, brass ensembles
    Instruments((58,), 28, 53, BLOWN),  # tuba
    Instruments((64, 65, 68, 69, 71, 111), 56, 86, BLOWN),  # high saxophones, oboes, clarinet, shanai
    Instruments((66, 67, 70), 38, 70, BLOWN),  # low saxophones, bassoon
    Instruments((72, 73, 74, 75, 77, 79), 62, 93, BLOWN),  # flutes
    Instruments(tuple(range(80, 88)), 48, 84, BLOWN),  # synthesizers
    Instruments((104, 105, 106, 107, 108), 48, 79, PLUCKED),  # sitar, banjo, shamisen, koto, kalimba
    Instruments((109,), 57, 76, BLOWN),  # bagpipe
    Instruments((113, 114), 60, 84, STRUCK),  # agogo, steel drums
    Instruments((115, 116, 117, 118), 45, 72, ("repeat", "melody")),  # wood block, taiko, drums
)
DRUMS = {  # keys of the drum kit
    "snare": (38, 40),
    "hihat": (42, 44, 46),
    "cymbal": (49, 51, 57, 59),
    "toms": (41, 43, 45, 47, 48, 50),
    "cowbell": (56,),
    "tambourine": (54,),
    "triangle": (80, 81),
    "bongo": (60, 61),
    "conga": (62, 63, 64),
    "timbale": (65, 66),
    "maracas": (69, 70),
    "guiro": (73, 74),
    "claves": (75, 76, 77),
    "kit": (36, 38, 42, 46, 49),
}
TUBULAR_BELLS, TINKLE_BELL, TELEPHONE, APPLAUSE = 14, 112, 124, 126


def jobs(packages: Mapping[str, Path]) -> list[ClipJob]:
    """List the clips of all soundfonts.

    Raises:
        ValueError: a package lacks its soundfont.
    """
    return [job for font in SOUNDFONTS for job in _jobs_of(font, _file_of(font, packages[font.package.name]))]


def play(compose: Compose, name: str, soundfont: Path) -> tuple[FloatArray, int]:
    """Compose by a generator that is seeded by the clip's name, and play.

    Returns:
        Samples (n,) and the sample rate in Hz.
    """
    return render(compose(np.random.default_rng(list(name.encode()))), soundfont), SAMPLE_RATE_HZ


def sounds() -> Iterator[tuple[str, str, int, Compose]]:
    """List what each soundfont plays: class, name within the class, number of clips, and how it is composed."""
    for family in INSTRUMENTS:
        for program in family.programs:
            compose = partial(phrase, part=Part(program), low=family.low, high=family.high, manners=family.manners)
            yield "instrument", f"{program:03d}", PHRASES_OF_AN_INSTRUMENT, compose
    for drum, keys in DRUMS.items():
        yield "instrument", drum, PHRASES_OF_AN_INSTRUMENT, partial(beat, keys=keys)
    for style in STYLES:
        yield "music", style, PIECES_OF_A_STYLE, partial(piece, style_name=style)
    tubular = partial(strikes, part=Part(TUBULAR_BELLS), keys=range(57, 77), gap_s=(0.5, 1.6))
    yield "bell", "tubular", CLIPS_OF_A_BELL, tubular
    tinkle = partial(strikes, part=Part(TINKLE_BELL), keys=range(60, 85), gap_s=(0.15, 0.8))
    yield "bell", "tinkle", CLIPS_OF_A_BELL, tinkle
    telephone = partial(bursts, part=Part(TELEPHONE), keys=range(55, 68), on_s=(0.8, 2.0), most=3)
    yield "telephone", "ring", TELEPHONES, telephone
    applause = partial(bursts, part=Part(APPLAUSE), keys=range(54, 67), on_s=(1.5, 4.5), most=1)
    yield "clapping", "applause", APPLAUSES, applause


def _jobs_of(font: Soundfont, file: Path) -> Iterator[ClipJob]:
    for class_name, sound, count, compose in sounds():
        if sound in font.without:
            continue
        for number in range(count):
            name = f"{font.name}-{sound}-{number:02d}"
            group = name if class_name == "music" else f"{font.name}-{sound}"
            make = partial(play, compose, f"{class_name}-{name}", file)
            yield ClipJob(name, class_name, group, font.licence, font.attribution, make)


def _file_of(font: Soundfont, folder: Path) -> Path:
    found = sorted(folder.rglob(font.file))
    if not found:
        raise ValueError(f"{folder}: got no {font.file}, wanted the soundfont of {font.package.name}")
    return found[0]


FLUIDSYNTH = ClipSource(
    "fluidsynth",
    tuple(font.package for font in SOUNDFONTS),
    jobs,
    licences=tuple(font.licence for font in SOUNDFONTS),
)

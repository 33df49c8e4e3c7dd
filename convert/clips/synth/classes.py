"""A class name and a random generator -> a synthesized mono clip (n,) at 24 kHz; a seed -> a whole clip library.

With these, a training set or a demo scene needs no recordings. Speech is spoken by espeak-ng, everything else is
computed here. The same state of the generator gives the same samples.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.io import wavfile

from convert.clips.synth import ambience as synth_ambience
from convert.clips.synth import music as synth_music
from convert.clips.synth import objects as synth_objects
from convert.clips.synth import speech as synth_speech
from convert.clips.synth import voice as synth_voice
from convert.clips.synth.tools import SAMPLE_RATE_HZ, Signal, decay, equalise, fade, length, noise, peak
from edge.files import write_atomically

_MAKERS: dict[str, Callable[[np.random.Generator], Signal]] = {
    "baby_cry": synth_voice.baby_cry,
    "cough_sneeze": synth_voice.cough_sneeze,
    "dog_bark": synth_voice.dog_bark,
    "domestic": synth_objects.domestic,
    "door": synth_objects.door,
    "footsteps": synth_objects.footsteps,
    "knock": synth_objects.knock,
    "laughter": synth_voice.laughter,
    "music": synth_music.music,
    "telephone": synth_objects.telephone,
    "water_tap": synth_objects.water_tap,
    "interferer": synth_ambience.interferer,
}
_SPEAKERS = {"female_speech": "female", "male_speech": "male"}
SYNTH_CLASSES: tuple[str, ...] = (*sorted({*_MAKERS, *_SPEAKERS} - {"interferer"}), "interferer")
"""The 13 classes in alphabetical order, then `interferer`: sounds without a label."""

SPLITS = ("train", "test")
SHORTEST_S, LONGEST_S, PEAK = 0.3, 8.0, 0.9
CSV_FIELDS = ("split", "file", "class", "group", "source", "licence", "seconds")


def synthesize(
    name: str, rng: np.random.Generator, split: str = "train", voice: str | None = None
) -> NDArray[np.float32]:
    """Synthesize one clip.

    Args:
        name: a class of `SYNTH_CLASSES`.
        rng: the source of randomness.
        split: "train" or "test": the set of voices that speech is drawn from. The two sets are disjoint.
        voice: the voice of speech, instead of a random one.

    Returns:
        Samples (n,) at 24 kHz, 0.3 to 8 s long, with a largest magnitude of 0.9.

    Raises:
        ValueError: the class or split is unknown.
        RuntimeError: the class is speech, and espeak-ng is not installed.
    """
    if name not in SYNTH_CLASSES:
        raise ValueError(f"got class {name!r}, wanted one of {', '.join(SYNTH_CLASSES)}")
    if split not in SPLITS:
        raise ValueError(f"got split {split!r}, wanted one of {', '.join(SPLITS)}")
    sex = _SPEAKERS.get(name)
    sound = synth_speech.speech(rng, sex, split, voice) if sex else _MAKERS[name](rng)
    sound = _recorded(rng, fade(sound[: length(LONGEST_S)], 0.001, 0.01))
    sound = np.pad(sound, (0, max(0, length(SHORTEST_S) - len(sound))))
    return peak(sound, PEAK).astype(np.float32)


def _recorded(rng: np.random.Generator, sound: Signal) -> Signal:
    """Add traces of a recording: a spectral tilt, a short diffuse tail (-14 to -26 dB), and noise (-50 to -70 dB)."""
    tail = rng.standard_normal(length(0.15)) * decay(length(0.15), rng.uniform(0.08, 0.25), 0.004)
    tail = equalise(tail, [(100, 0), (2000, 0), (10000, -9)]) / np.linalg.norm(tail)
    wet = signal.fftconvolve(sound, tail)[: len(sound)]
    colour = [(150.0, rng.uniform(-3, 3)), (9000.0, rng.uniform(-3, 3))]
    tilted = equalise(sound + 10 ** (rng.uniform(-26, -14) / 20) * wet, colour)
    floor = noise(rng, len(sound), [(50, 0), (500, rng.uniform(-12, -3)), (10000, rng.uniform(-20, -3))])
    return peak(tilted) + 10 ** (rng.uniform(-60, -40) / 20) * 0.3 * floor


def write_clip_library(folder: Path, per_class: int, seed: int = 0, test_per_class: int | None = None) -> None:
    """Write a clip library in the layout of `convert.clips.library`: wav files in 16 bit and `clips.csv`.

    Every clip has its own random stream, seeded by (seed, split, class, number), so a larger library contains the
    smaller ones. The group of speech is its voice, so that an event can have several sentences of one voice; every
    other clip is a group of its own.

    Args:
        folder: the folder to write to; it is created.
        per_class: number of training clips of each class.
        seed: the library follows from it.
        test_per_class: number of test clips of each class; by default a quarter of `per_class`.

    Raises:
        RuntimeError: espeak-ng is not installed.
    """
    counts = {"train": per_class, "test": max(1, per_class // 4) if test_per_class is None else test_per_class}
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for class_index, name in enumerate(SYNTH_CLASSES):
        (folder / name).mkdir(exist_ok=True)
        for split_index, split in enumerate(SPLITS):
            for number in range(counts[split]):
                rng = np.random.default_rng([seed, split_index, class_index, number])
                voices = synth_speech.VOICES[_SPEAKERS[name], split] if name in _SPEAKERS else ()
                voice = voices[number % len(voices)] if voices else None
                clip = synthesize(name, rng, split, voice)
                file = f"{name}/{split}_{number:04d}.wav"
                wavfile.write(folder / file, SAMPLE_RATE_HZ, np.round(clip * 32767).astype(np.int16))
                group, seconds = voice or f"{split}-{number:04d}", f"{len(clip) / SAMPLE_RATE_HZ:.2f}"
                rows.append((split, file, name, f"synth-{name}-{group}", "seld-edge synth", "CC0-1.0", seconds))
    content = StringIO(newline="")
    writer = csv.writer(content)
    writer.writerow(CSV_FIELDS)
    writer.writerows(rows)
    write_atomically(folder / "clips.csv", content.getvalue())

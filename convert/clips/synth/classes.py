"""A class name and a random generator -> a synthesized mono clip (n,) at 24 kHz.

With these, a training set or a demo scene needs no recordings. Speech is spoken by espeak-ng, everything else is
computed here. The same state of the generator gives the same samples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from convert.clips.synth import ambience as synth_ambience
from convert.clips.synth import music as synth_music
from convert.clips.synth import objects as synth_objects
from convert.clips.synth import speech as synth_speech
from convert.clips.synth import voice as synth_voice
from convert.clips.synth.tools import Signal, decay, equalise, fade, length, noise, peak

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
SPEAKERS = {"female_speech": "female", "male_speech": "male"}
SYNTH_CLASSES: tuple[str, ...] = (*sorted({*_MAKERS, *SPEAKERS} - {"interferer"}), "interferer")
"""The 13 classes in alphabetical order, then `interferer`: sounds without a label."""

SPLITS = ("train", "test")
SHORTEST_S, LONGEST_S, PEAK = 0.3, 8.0, 0.9


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
    sex = SPEAKERS.get(name)
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

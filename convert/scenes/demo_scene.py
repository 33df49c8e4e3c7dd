"""A seed -> the demo scene that ships with the package: 30 seconds of a living room in FOA, and its labels.

A telephone rings and is answered, music plays, somebody knocks, the dog barks, steps go to the door, two people talk,
and water runs. Every sound is synthesized (`convert.clips.synth.classes`, with voices and random streams of the test
split) and rendered in one room (`convert.scenes.rooms`). `python -m convert.scenes.demo_scene` writes the files again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import oaconvolve

from convert.clips.library import HOP_S, active_hops
from convert.clips.synth.classes import PEAK, SYNTH_CLASSES, synthesize
from convert.clips.synth.speech import speech
from convert.clips.synth.tools import SAMPLE_RATE_HZ, equalise, peak
from convert.scenes.events import JOINED_GAP_S
from convert.scenes.motion import STEP_S
from convert.scenes.rooms import (
    Room,
    diffuse_spectrum,
    early_response,
    image_sources,
    join_parts,
    late_response,
    make_room,
)
from convert.scenes.scene import ACTIVE_HOPS
from edge.geometry import SPEED_OF_SOUND_M_S, azimuth_elevation_deg, unit_vector
from edge.scoring.annotations import LABEL_FRAME_S, Label, write_annotations
from edge.types import FloatArray

CLASS_NAMES = SYNTH_CLASSES[:-1]  # without the interferer
DURATION_S = 30.0
DEMO_FOLDER = Path(__file__).parents[2] / "edge" / "demo"

_ROOM_M, _MICROPHONE_M, _RT60_S = (6.2, 4.8, 2.7), (2.9, 2.2, 1.2), 0.35
_AMBIENCE_DB = -62.0  # RMS of W
_RMS = 0.1  # of the active part of an event of level 0 dB, at 1 m


@dataclass(frozen=True, slots=True)
class Cue:
    """One event of the script. Sounds are drawn until one has a length within `length_s`, in seconds."""

    name: str
    start_s: float
    length_s: tuple[float, float]
    azimuth_deg: float
    elevation_deg: float
    distance_m: float = 1.6
    level_db: float = 0.0
    end_azimuth_deg: float | None = None  # a moving source ends there
    text: str | None = None  # what is said, for speech
    voice: str | None = None  # of espeak-ng, for speech


SCRIPT = (
    Cue("telephone", 0.6, (1.8, 2.6), 50, -5, 1.0, -2),
    Cue("female_speech", 3.5, (1.5, 3.4), 35, 10, 1.0, 1, text="Hello? Yes, I am at home. Come over!", voice="f3"),
    Cue("music", 6.6, (4.2, 5.2), -120, 5, 1.3, -2),
    Cue("knock", 10.0, (0.5, 1.4), 165, 0, 1.4, 0),
    Cue("dog_bark", 12.2, (0.9, 1.9), -60, -30, 1.1, 3),
    Cue("footsteps", 14.3, (2.2, 3.2), 40, -35, 1.2, 5, end_azimuth_deg=150),
    Cue("door", 17.6, (0.5, 1.2), 165, 0, 1.4, 3),
    Cue("male_speech", 19.0, (1.5, 3.2), 150, 12, 1.1, 1, text="Good evening! It smells lovely in here.", voice="m7"),
    Cue("female_speech", 20.6, (1.2, 3.0), 70, 10, 1.0, 1, text="So good to see you. Sit down, please.", voice="f3"),
    Cue("laughter", 23.4, (0.8, 1.6), 115, 5, 1.1, 0),
    Cue("water_tap", 25.3, (2.8, 3.8), -35, -15, 1.4, -2),
    Cue("male_speech", 26.5, (0.8, 2.4), 100, 0, 1.1, 2, text="Is there any coffee left?", voice="m7"),
)


def make_demo_scene(out_wav: Path, out_csv: Path, seed: int = 0) -> list[Label]:
    """Write the scene and its labels.

    Args:
        out_wav: the wav file: PCM16, FOA (W, Y, Z, X in ACN/SN3D), 24 kHz, 30 s.
        out_csv: the label file, in the DCASE format.
        seed: the scene follows from it.

    Returns:
        The labels. Class numbers follow `CLASS_NAMES`; the track is 0, or 1 while another event is active already.

    Raises:
        RuntimeError: espeak-ng is not installed.
    """
    room = make_room(_ROOM_M, _MICROPHONE_M, _RT60_S)
    n = round(DURATION_S * SAMPLE_RATE_HZ)
    rng = np.random.default_rng([seed, 1])
    mix = _ambience(n, rng)
    labels: list[Label] = []
    for number, cue in enumerate(SCRIPT):
        sound, active = _perform(cue, [seed, 1, CLASS_NAMES.index(cue.name), 10_000 + number])
        path_deg = _path_deg(cue, len(sound))
        image = _render(sound, room, cue, path_deg, rng)
        start = round(cue.start_s * SAMPLE_RATE_HZ)
        image = image[: n - start]
        mix[start : start + len(image)] += image
        labels += _labels(cue, active, path_deg, {label.frame for label in labels})
    mix = peak(mix, PEAK)
    soundfile.write(out_wav, mix, SAMPLE_RATE_HZ, subtype="PCM_16")
    write_annotations(out_csv, labels)
    return sorted(labels, key=lambda label: (label.frame, label.track))


def _perform(cue: Cue, seed: list[int]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return samples (n,) at the level of the cue, and the hops of 10 ms in which they are active."""
    rng = np.random.default_rng(seed)
    for _ in range(200):
        if cue.text:
            sound = peak(speech(rng, cue.name.partition("_")[0], "test", cue.voice, cue.text)).astype(np.float32)
        else:
            sound = synthesize(cue.name, rng, "test")
        active = active_hops(sound, SAMPLE_RATE_HZ)
        if cue.length_s[0] <= np.flatnonzero(active)[-1] * HOP_S <= cue.length_s[1]:
            break
    else:
        raise ValueError(f"got no {cue.name} of {cue.length_s} s in 200 trials, wanted one")
    hop = round(HOP_S * SAMPLE_RATE_HZ)
    rms = float(np.sqrt(np.mean(np.square(sound[np.repeat(active, hop)[: len(sound)]]))))
    for before, after in pairwise(np.flatnonzero(active)):
        if (after - before) * HOP_S <= JOINED_GAP_S:
            active[before:after] = True
    return sound * np.float32(_RMS / rms * 10 ** (cue.level_db / 20)), active


def _path_deg(cue: Cue, n: int) -> NDArray[np.float64]:
    """Return the azimuths of the event, `STEP_S` apart: (k,), or (1,) if it stands still."""
    if cue.end_azimuth_deg is None:
        return np.array([float(cue.azimuth_deg)])
    return np.linspace(cue.azimuth_deg, cue.end_azimuth_deg, int(n / SAMPLE_RATE_HZ / STEP_S) + 2)


def _render(
    sound: FloatArray, room: Room, cue: Cue, path_deg: NDArray[np.float64], rng: np.random.Generator
) -> FloatArray:
    """Render what the array picks up (n + reverberation, 4), without the delay of the direct sound."""
    positions_m = room.microphone_m + cue.distance_m * unit_vector(path_deg, cue.elevation_deg)
    skip = max(0, round(cue.distance_m / SPEED_OF_SOUND_M_S * SAMPLE_RATE_HZ) - 16)
    earlies = [early_response(room, images) for images in image_sources(room, positions_m)]
    late = late_response(room, earlies[0], rng)
    responses = [join_parts(early, late)[skip:] for early in earlies]
    out = np.zeros((len(sound) + len(responses[0]) - 1, 4), np.float32)
    centre = np.arange(len(sound)) / (STEP_S * SAMPLE_RATE_HZ)
    for index, response in enumerate(responses):
        window = np.clip(1 - np.abs(centre - index), 0, 1) if len(responses) > 1 else np.ones(len(sound))
        out += oaconvolve((sound * window)[:, None], response, axes=0).astype(np.float32)
    return out


def _ambience(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the quiet background noise of the room, from all directions: (n, 4)."""
    size = fft.next_fast_len(n, real=True)
    noise = fft.irfft(diffuse_spectrum(size, rng), size, axis=0)[:n]
    dark = [(30.0, 0.0), (200.0, -6.0), (1000.0, -16.0), (4000.0, -24.0), (11000.0, -30.0)]
    hush = np.stack([equalise(channel.astype(np.float64), dark) for channel in noise.T], axis=1)
    return hush * (10 ** (_AMBIENCE_DB / 20) / np.std(hush[:, 0]))


def _labels(cue: Cue, active: NDArray[np.bool_], path_deg: NDArray[np.float64], taken: set[int]) -> list[Label]:
    """Label each frame with enough active hops; the direction is that of the middle of the frame."""
    hops = np.zeros(round(DURATION_S / HOP_S), bool)
    onset = round(cue.start_s / HOP_S)
    stretch = active[: len(hops) - onset]
    hops[onset : onset + len(stretch)] = stretch
    frames = np.flatnonzero(hops.reshape(-1, round(LABEL_FRAME_S / HOP_S)).sum(axis=1) >= ACTIVE_HOPS)
    since_s = (frames + 0.5) * LABEL_FRAME_S - cue.start_s
    azimuths_deg = np.interp(since_s / STEP_S, np.arange(len(path_deg)), path_deg)
    azimuths_deg, _ = azimuth_elevation_deg(unit_vector(azimuths_deg, 0.0))
    track = int(bool(taken & set(frames.tolist())))
    index = CLASS_NAMES.index(cue.name)
    return [
        Label(int(frame), index, track, float(azimuth), float(cue.elevation_deg))
        for frame, azimuth in zip(frames, azimuths_deg, strict=True)
    ]


if __name__ == "__main__":
    DEMO_FOLDER.mkdir(exist_ok=True)
    make_demo_scene(DEMO_FOLDER / "scene.wav", DEMO_FOLDER / "scene.csv")

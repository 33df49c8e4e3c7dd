"""Notes and a soundfont -> mono samples (n,) at 24 kHz by FluidSynth.

The library is called through pyfluidsynth rather than the program `fluidsynth`: notes go in as they are, so that no
MIDI file has to be written.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from convert.clips.sources.fluidsynth_scores import Score
from edge.types import FloatArray

SAMPLE_RATE_HZ = 24_000
_OVERSAMPLING = 2  # a sample that is played higher would alias at 24 kHz
_BLOCK = 64  # FluidSynth begins notes at multiples of this many samples


def render(score: Score, soundfont: Path) -> FloatArray:
    """Play a score without reverberation and chorus, as the rooms of the scenes add theirs.

    Args:
        score: the notes.
        soundfont: an SF2 or SF3 file.

    Returns:
        Samples (n,), float32; the last 0.3 s fade out.

    Raises:
        RuntimeError: pyfluidsynth or the library libfluidsynth is not installed.
        ValueError: the soundfont cannot be read, or lacks a program of the score.
    """
    try:
        import fluidsynth
    except ImportError as error:  # the package raises it if the library is not there
        wanted = "pip install 'seld-edge[convert]'; apt-get install libfluidsynth3"
        raise RuntimeError(f"pyfluidsynth or libfluidsynth not found: {wanted}") from error
    settings = {"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.dynamic-sample-loading": 1}
    synth = fluidsynth.Synth(gain=1.0, samplerate=_OVERSAMPLING * SAMPLE_RATE_HZ, channels=16, **settings)
    try:
        font = synth.sfload(str(soundfont))
        if font < 0:
            raise ValueError(f"got {soundfont}, wanted a soundfont")
        for channel, part in enumerate(score.parts):
            if synth.program_select(channel, font, part.bank, part.program) != 0:
                raise ValueError(f"{soundfont}: got no program {part.program} in bank {part.bank}, wanted one")
        stereo = _play(synth, score)
    finally:
        synth.delete()
    mono = resample_poly(stereo.mean(axis=1) / 32768.0, 1, _OVERSAMPLING)
    tail = min(len(mono), round(0.3 * SAMPLE_RATE_HZ))
    mono[len(mono) - tail :] *= np.linspace(1.0, 0.0, tail)
    return mono.astype(np.float32)


def _play(synth: object, score: Score) -> FloatArray:
    """Switch notes on and off block by block; samples (n, 2) at the oversampled rate, in the units of 16 bits."""
    events = sorted(
        event
        for note in score.notes
        for event in (
            (_block(note.start_s), 1, note.part, note.key, note.velocity),
            (max(_block(note.start_s + note.seconds), _block(note.start_s) + 1), 0, note.part, note.key, 0),
        )
    )
    total = _block(score.seconds)
    blocks: list[FloatArray] = []
    done = 0
    for at, is_start, part, key, velocity in events:
        if at >= total:
            break
        if at > done:
            blocks.append(synth.get_samples((at - done) * _BLOCK))  # type: ignore[attr-defined]
            done = at
        if is_start:
            synth.noteon(part, key, velocity)  # type: ignore[attr-defined]
        else:
            synth.noteoff(part, key)  # type: ignore[attr-defined]
    blocks.append(synth.get_samples((total - done) * _BLOCK))  # type: ignore[attr-defined]
    return np.concatenate(blocks).reshape(-1, 2).astype(np.float64)


def _block(seconds: float) -> int:
    return round(seconds * _OVERSAMPLING * SAMPLE_RATE_HZ / _BLOCK)

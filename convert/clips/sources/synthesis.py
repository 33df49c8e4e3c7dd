"""The synthesis of `convert.clips.synth` -> a source of clips that needs no package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from convert.clips.sources.records import ClipJob, ClipSource
from convert.clips.synth.classes import SPEAKERS, SYNTH_CLASSES, synthesize
from convert.clips.synth.speech import VOICES
from convert.clips.synth.tools import SAMPLE_RATE_HZ
from edge.types import FloatArray

PER_CLASS = 75
_LICENCE = "CC0-1.0"


def synthesis_jobs(_folders: Mapping[str, Path]) -> Sequence[ClipJob]:
    """List the clips; speech needs espeak-ng.

    The group of speech is its voice, so that an event can have several sentences of one voice; every other clip is a
    group of its own.
    """
    jobs = []
    for index, name in enumerate(SYNTH_CLASSES):
        voices = [*VOICES[SPEAKERS[name], "train"], *VOICES[SPEAKERS[name], "test"]] if name in SPEAKERS else []
        for number in range(PER_CLASS):
            voice = voices[number % len(voices)] if voices else None
            group = f"{name}-{voice or f'{number:04d}'}"
            make = partial(_make, name, index, number, voice)
            jobs.append(ClipJob(f"{number:04d}", name, group, _LICENCE, "", make))
    return jobs


def _make(name: str, index: int, number: int, voice: str | None) -> tuple[FloatArray, int]:
    return synthesize(name, np.random.default_rng([0, index, number]), voice=voice), SAMPLE_RATE_HZ


SYNTHESIS = ClipSource("synth", (), synthesis_jobs, licences=(_LICENCE,))

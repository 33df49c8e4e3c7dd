"""The demo scene, hour after hour at full speed -> whether memory, descriptors or times grow, and lost samples."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.steps import demo_sound, exhaust, looped_blocks
from edge.arrays.profile import load_array
from edge.nets.bundle import Bundle
from edge.runtime.machine import open_descriptors, rss_mb
from edge.runtime.pipeline import build_pipeline, build_system
from edge.stage_clock import StageClock

LEAST_SAMPLES = 20
MOST_STEPS = 600  # between two samples: a minute of audio
SETTLING_SAMPLES = 2  # left out of the slopes, because caches and pools are still filling


@dataclass(frozen=True, slots=True)
class SoakSample:
    """What the process takes, and its step times, after a number of hours of audio."""

    hours: float
    rss_mb: float
    p50_ms: float  # of the steps since the previous sample
    p99_ms: float
    descriptors: int  # open at that time


@dataclass(frozen=True, slots=True)
class Soak:
    """The results of a soak. Hours are hours of audio."""

    hours: float
    wall_s: float
    steps: int
    lost_samples: int
    answers: int
    p50_ms: float  # median over the samples
    p99_ms: float
    rss_mb_per_hour: float
    p50_ms_per_hour: float
    p99_ms_per_hour: float
    least_descriptors: int  # over all samples
    most_descriptors: int
    descriptors_per_hour: float
    samples: tuple[SoakSample, ...]


def soak(bundle: Bundle, threads: int, hours: float) -> Soak:
    """Play the demo scene again and again, and sample what grows every minute of audio, or more often.

    Args:
        bundle: the model.
        threads: of the interpreter.
        hours: of audio.

    Raises:
        ValueError: the time is too short for `LEAST_SAMPLES` samples.
    """
    label_s = bundle.manifest.stft.label_s
    steps = round(hours * 3600.0 / label_s)
    every = min(steps // LEAST_SAMPLES, MOST_STEPS)
    if not every:
        raise ValueError(f"got a soak of {hours:g} hours, wanted at least {LEAST_SAMPLES * label_s / 3600.0:.2g}")
    system = build_system(bundle, threads, clock=StageClock(kept_steps=every))
    pipeline = build_pipeline(bundle, load_array("foa"), system)
    blocks = looped_blocks(demo_sound(bundle), bundle.manifest.stft.label_samples)
    samples: list[SoakSample] = []
    began = time.perf_counter()
    for number in range(1, steps // every + 1):
        for block in itertools.islice(blocks, every):
            exhaust(pipeline, block)
        step = pipeline.clock.step()
        hours_now, descriptors = number * every * label_s / 3600.0, open_descriptors() or 0
        samples.append(SoakSample(hours_now, rss_mb() or 0.0, step.p50_ms, step.p99_ms, descriptors))
    return Soak(
        hours=samples[-1].hours,
        wall_s=time.perf_counter() - began,
        steps=pipeline.clock.steps,
        lost_samples=pipeline.lost_samples,
        answers=pipeline.answers,
        p50_ms=float(np.median([sample.p50_ms for sample in samples])),
        p99_ms=float(np.median([sample.p99_ms for sample in samples])),
        rss_mb_per_hour=slope(samples, "rss_mb"),
        p50_ms_per_hour=slope(samples, "p50_ms"),
        p99_ms_per_hour=slope(samples, "p99_ms"),
        least_descriptors=min(sample.descriptors for sample in samples),
        most_descriptors=max(sample.descriptors for sample in samples),
        descriptors_per_hour=slope(samples, "descriptors"),
        samples=tuple(samples),
    )


def slope(samples: Sequence[SoakSample], name: str) -> float:
    """Return the growth of a field of the samples per hour of audio: the slope of a line, without the first samples."""
    settled = samples[SETTLING_SAMPLES:]
    line = np.polyfit([sample.hours for sample in settled], [getattr(sample, name) for sample in settled], 1)
    return float(line[0])

"""The demo scene, hour after hour at full speed -> whether memory or step times grow, and whether anything is lost."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.steps import demo_sound, exhaust, looped_blocks
from edge.arrays.profile import load_array
from edge.nets.bundle import Bundle
from edge.runtime.machine import rss_mb
from edge.runtime.pipeline import build_pipeline, build_system
from edge.stage_clock import StageClock

LEAST_SAMPLES = 20
MOST_STEPS = 600  # from sample to sample: a minute of sound
SETTLING_SAMPLES = 2  # in which caches and pools fill: left out of the slopes


@dataclass(frozen=True, slots=True)
class SoakSample:
    """How things stand after so many hours of sound."""

    hours: float
    rss_mb: float
    p50_ms: float  # of the steps since the sample before
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Soak:
    """What a soak came to. Hours are of sound."""

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
    samples: tuple[SoakSample, ...]


def soak(bundle: Bundle, threads: int, hours: float) -> Soak:
    """Play the demo scene for so many hours of sound; look at memory and times every minute of it, or more often.

    Raises ValueError if there is less than a step for each of the least samples.
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
        samples.append(SoakSample(number * every * label_s / 3600.0, rss_mb() or 0.0, step.p50_ms, step.p99_ms))
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
        samples=tuple(samples),
    )


def slope(samples: Sequence[SoakSample], name: str) -> float:
    """By how much an entry of the samples grows per hour of sound: a line fitted to all after the first few."""
    settled = samples[SETTLING_SAMPLES:]
    line = np.polyfit([sample.hours for sample in settled], [getattr(sample, name) for sample in settled], 1)
    return float(line[0])

"""The demo scene at the pace of a microphone -> how much of the processor it takes, and whether anything is lost."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

from bench.steps import demo_sound, exhaust, looped_blocks
from edge.array import load_array
from edge.bundle import Bundle
from edge.clock import Timing
from edge.microphone import QUEUE_S, CaptureQueue
from edge.pacing import paced
from edge.runtime import FOA_CHANNELS, build_pipeline, build_system


@dataclass(frozen=True, slots=True)
class Pace:
    """What a run in real time came to."""

    seconds: float  # of sound
    wall_s: float
    cpu_percent: float  # of one core, all threads together
    lost_samples: int
    step: Timing


def run_paced(bundle: Bundle, threads: int, seconds: float) -> Pace:
    """Play the demo scene in real time, for so many seconds (at least one step), through the microphone's queue."""
    stft = bundle.manifest.stft
    pipeline = build_pipeline(bundle, load_array("foa"), build_system(bundle, threads))
    steps = max(1, round(seconds / stft.label_s))
    sound = itertools.islice(looped_blocks(demo_sound(bundle), stft.label_samples), steps)
    queue = CaptureQueue("demo", FOA_CHANNELS, stft.sample_rate_hz, max(1, round(QUEUE_S / stft.label_s)))
    began_s, cpu_s = time.perf_counter(), time.process_time()
    for block in paced(sound, queue, stft.sample_rate_hz):
        exhaust(pipeline, block)
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    return Pace(steps * stft.label_s, wall_s, 100.0 * cpu_s / wall_s, pipeline.lost_samples, pipeline.clock.step())

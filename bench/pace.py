"""The demo scene at the pace of a microphone -> load of the processor, late steps and lost samples.

With busy processes beside it in the middle third: the decisions of the governor, and when full quality is back.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from bench.steps import demo_sound, exhaust, looped_blocks
from edge.arrays.profile import load_array
from edge.audio.microphone import QUEUE_S, CaptureQueue
from edge.audio.pacing import paced
from edge.frontend.maps import FOA_CHANNELS
from edge.nets.bundle import Bundle
from edge.runtime.budget import BudgetSettings
from edge.runtime.governor import Governor
from edge.runtime.pipeline import build_pipeline, build_system
from edge.stage_clock import StageClock, Timing

_BUSY = "while True: pass"


@dataclass(frozen=True, slots=True)
class LevelChange:
    """One decision of the governor."""

    at_s: float  # since the start of the run
    level: str


@dataclass(frozen=True, slots=True)
class Pace:
    """The results of a run in real time."""

    seconds: float  # of audio
    wall_s: float
    cpu_percent: float  # of one core, for all threads together
    lost_samples: int
    step: Timing
    late_steps: int  # that were not done within the budget after their audio was there
    most_late_ms: float
    changes: tuple[LevelChange, ...]
    busy: int  # number of busy processes
    busy_s: tuple[float, float]  # their start and end
    full_after_s: float | None  # time from their end until quality was full; None if it never was again


def run_paced(bundle: Bundle, threads: int, seconds: float, busy: int = 0, step_ms: float = 100.0) -> Pace:
    """Play the demo scene in real time through the queue of a microphone.

    Args:
        bundle: the model.
        threads: of the interpreter.
        seconds: of audio; at least one step is played.
        busy: number of busy processes that run in the middle third.
        step_ms: time budget of a step.
    """
    stft = bundle.manifest.stft
    system = build_system(bundle, threads, clock=StageClock(step_ms))
    steps = max(1, round(seconds / stft.label_s))
    sound = itertools.islice(looped_blocks(demo_sound(bundle), stft.label_samples), steps)
    queue = CaptureQueue("demo", FOA_CHANNELS, stft.sample_rate_hz, max(1, round(QUEUE_S / stft.label_s)))
    changes: list[LevelChange] = []

    def set_level(index: int) -> None:
        changes.append(LevelChange(time.perf_counter() - began_s, system.levels[index]))
        system.set_level(index)

    governor = Governor(BudgetSettings(step_ms=step_ms), system.levels, set_level, queue.age_s, stft.label_s)
    pipeline = build_pipeline(bundle, load_array("foa"), system, governor=governor)
    busy_from, busy_to = steps // 3, 2 * steps // 3
    busy_s = [0.0, 0.0]
    with ExitStack() as others:
        began_s, cpu_s = time.perf_counter(), time.process_time()
        for done, block in enumerate(paced(sound, queue, stft.sample_rate_hz)):
            if done == busy_from:
                busy_s[0] = time.perf_counter() - began_s
                for _ in range(busy):
                    process = others.enter_context(subprocess.Popen([sys.executable, "-c", _BUSY]))
                    others.callback(process.kill)
            elif done == busy_to:
                others.close()
                busy_s[1] = time.perf_counter() - began_s
            exhaust(pipeline, block)
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    stats = governor.stats()
    return Pace(
        seconds=steps * stft.label_s,
        wall_s=wall_s,
        cpu_percent=100.0 * cpu_s / wall_s,
        lost_samples=pipeline.lost_samples,
        step=pipeline.clock.step(),
        late_steps=stats.late_steps,
        most_late_ms=stats.most_late_ms,
        changes=tuple(changes),
        busy=busy,
        busy_s=(busy_s[0], busy_s[1]),
        full_after_s=_full_after_s(changes, system.levels[0], busy_s[1]),
    )


def _full_after_s(changes: list[LevelChange], best: str, busy_to_s: float) -> float | None:
    """Time from the end of the disturbance to the last change, if that led to the best level; 0 if it was earlier."""
    if not changes:
        return 0.0
    return max(0.0, changes[-1].at_s - busy_to_s) if changes[-1].level == best else None

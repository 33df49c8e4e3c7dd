"""A bundle and a sound -> how long the device's loop takes for it: per step of 100 ms, per stage, per net."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.nets import TimedNet, force_live
from bench.timing import timing
from edge.array import load_array
from edge.bundle import Bundle
from edge.capture import open_source
from edge.clock import StageClock, Timing
from edge.config import build
from edge.nets import Net
from edge.runtime import FOA_CHANNELS, Pipeline, build_pipeline, build_system
from edge.systems import coloc_window
from edge.systems.coloc_settings import ColocSettings
from edge.types import AudioBlock, FloatArray

QUIET_DBFS = -60.0
SETTLING_STEPS = 20  # after the first answer


@dataclass(frozen=True, slots=True)
class NetTimes:
    """Of one net."""

    call: Timing
    calls_per_step: float


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Of the loop from the array to the sinks."""

    step: Timing
    answer: Timing  # of the steps that gave an answer
    stages: Mapping[str, Timing]
    second: Timing  # of each second of audio
    nets: Mapping[str, NetTimes]
    real_time_factor: float  # time spent : time heard
    latency_s: float  # computing time aside


def time_steps(
    bundle: Bundle,
    threads: int,
    sound: FloatArray,
    seconds: int,
    *,
    live: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> StepTimes:
    """Run the loop on a sound (n, 4), again and again, as fast as it goes; what comes before it settles is left out.

    live: every slot is live in every frame, whatever there is to hear: the most that there can be to do.
    """
    nets = {name: TimedNet(net) for name, net in bundle.nets(threads).items()}
    slots = build(ColocSettings, {**bundle.manifest.settings, **(overrides or {})}, "system").max_overlap
    asked: Mapping[str, Net] = force_live(nets, bundle.manifest, slots) if live else nets
    system = build_system(bundle, threads, overrides, asked)
    pipeline = build_pipeline(bundle, load_array("foa"), system)
    stft = bundle.manifest.stft
    blocks = looped_blocks(sound, stft.label_samples)
    for block in itertools.islice(blocks, math.ceil(pipeline.latency_s / stft.label_s) + SETTLING_STEPS):
        exhaust(pipeline, block)
    steps_per_second = round(1.0 / stft.label_s)
    steps = seconds * steps_per_second
    clock = pipeline.clock = system.clock = StageClock(kept_steps=steps)
    for net in nets.values():
        net.times_s.clear()
    times_s = []
    for _ in range(seconds):
        began = time.perf_counter()
        for block in itertools.islice(blocks, steps_per_second):
            exhaust(pipeline, block)
        times_s.append(time.perf_counter() - began)
    return StepTimes(
        step=clock.step(),
        answer=clock.answer(),
        stages=clock.stages(),
        second=timing(times_s),
        nets={
            name: NetTimes(timing(net.times_s), len(net.times_s) / steps) for name, net in nets.items() if net.times_s
        },
        real_time_factor=sum(times_s) / (steps * stft.label_s),
        latency_s=pipeline.latency_s,
    )


def time_naive_window(bundle: Bundle, threads: int, sound: FloatArray, seconds: int) -> StepTimes | None:
    """The window mode of the same model, all slots live. `answer` is the step of a loop that computes a window in each.

    It answers every 200 ms rather than every 100 ms (windows have a middle of one or two label frames), and only the
    steps that answer are looked at. None: the bundle has no nets for windows.
    """
    if not set(coloc_window.NETS) <= bundle.flatbuffers.keys():
        return None
    hop_labels = 2 - int(bundle.manifest.settings.get("window_labels", 50)) % 2
    overrides = {"mode": "window", "hop_labels": hop_labels}
    return time_steps(bundle, threads, sound, seconds, live=True, overrides=overrides)


def exhaust(pipeline: Pipeline, block: AudioBlock) -> None:
    """Push a block and leave what comes out."""
    for _ in pipeline.push(block):
        pass


def looped_blocks(sound: FloatArray, block_samples: int) -> Iterator[AudioBlock]:
    """A sound (n, channels), again and again without a gap, in whole blocks. Raises ValueError if it has not one."""
    whole = len(sound) - len(sound) % block_samples
    if not whole:
        raise ValueError(f"got a sound of {len(sound)} samples, wanted at least {block_samples}")
    for start in itertools.count(0, block_samples):
        yield AudioBlock(sound[start % whole : start % whole + block_samples], start)


def demo_sound(bundle: Bundle) -> FloatArray:
    """The shipped scene (n, 4) at the rate of a bundle."""
    with open_source("demo", FOA_CHANNELS, bundle.manifest.stft.sample_rate_hz) as source:
        return np.concatenate([block.samples for block in source])


def quiet_sound(samples: int) -> FloatArray:
    """Noise of -60 dBFS (samples, 4)."""
    noise = np.random.default_rng(0).normal(0.0, 10.0 ** (QUIET_DBFS / 20.0), (samples, FOA_CHANNELS))
    return noise.astype(np.float32)

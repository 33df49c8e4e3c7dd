"""A bundle and a sound -> how long the device's loop takes: per step of 100 ms, per stage, per net."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.nets import TimedNet, force_live
from bench.timing import timing
from edge.arrays.profile import load_array
from edge.audio.sources import open_source
from edge.frontend.maps import FOA_CHANNELS
from edge.nets.bundle import Bundle
from edge.nets.net import Net
from edge.runtime.pipeline import Pipeline, build_pipeline, build_system
from edge.stage_clock import Timing
from edge.systems.coloc import window as coloc_window
from edge.types import AudioBlock, FloatArray

QUIET_DBFS = -60.0
SETTLING_STEPS = 20  # after the first answer
TURN_S = 5


@dataclass(frozen=True, slots=True)
class NetTimes:
    """The times of one net."""

    call: Timing
    calls_per_step: float


@dataclass(frozen=True, slots=True)
class StepTimes:
    """The times of the loop from the array to the sinks."""

    step: Timing
    answer: Timing  # of the steps that gave an answer
    stages: Mapping[str, Timing]
    second: Timing  # of each second of audio
    nets: Mapping[str, NetTimes]
    real_time_factor: float  # time spent divided by the length of the audio
    latency_s: float  # without computing time


class TimedLoop:
    """The loop on a sound that is repeated without end, as fast as possible."""

    def __init__(
        self,
        bundle: Bundle,
        threads: int,
        sound: FloatArray,
        *,
        live: bool = False,
        overrides: Mapping[str, Any] | None = None,
        nets: Mapping[str, Net] | None = None,
    ) -> None:
        """Build the loop and run it, untimed, until it has settled.

        Args:
            bundle: the model.
            threads: of the interpreter.
            sound: FOA (n, 4) at the rate of the model.
            live: whether every slot has a source in every frame, whatever there is to hear: the most possible work.
            overrides: settings of the system that replace those of the bundle.
            nets: replace those of the bundle, by name.
        """
        self._nets = {name: TimedNet(net) for name, net in (nets or bundle.nets(threads)).items()}
        slots = build_system(bundle, threads, overrides, self._nets).settings.max_overlap
        asked: Mapping[str, Net] = force_live(self._nets, bundle.manifest, slots) if live else self._nets
        self._pipeline = build_pipeline(bundle, load_array("foa"), build_system(bundle, threads, overrides, asked))
        stft = bundle.manifest.stft
        self._label_s, self._steps_per_second = stft.label_s, round(1.0 / stft.label_s)
        self._blocks = looped_blocks(sound, stft.label_samples)
        self._push(math.ceil(self._pipeline.latency_s / stft.label_s) + SETTLING_STEPS)
        self._pipeline.clock.forget()
        for net in self._nets.values():
            net.times_s.clear()
        self._times_s: list[float] = []

    def run(self, seconds: int) -> None:
        """Continue for a number of seconds of audio."""
        for _ in range(seconds):
            began = time.perf_counter()
            self._push(self._steps_per_second)
            self._times_s.append(time.perf_counter() - began)

    def times(self) -> StepTimes:
        """Return the times of all runs; those of steps and stages cover the last 10,000 steps at most."""
        clock, steps = self._pipeline.clock, len(self._times_s) * self._steps_per_second
        return StepTimes(
            step=clock.step(),
            answer=clock.answer(),
            stages=clock.stages(),
            second=timing(self._times_s),
            nets={
                name: NetTimes(timing(net.times_s), len(net.times_s) / steps)
                for name, net in self._nets.items()
                if net.times_s
            },
            real_time_factor=sum(self._times_s) / (steps * self._label_s),
            latency_s=self._pipeline.latency_s,
        )

    def _push(self, steps: int) -> None:
        for block in itertools.islice(self._blocks, steps):
            exhaust(self._pipeline, block)


def naive_window_loop(bundle: Bundle, threads: int, sound: FloatArray) -> TimedLoop | None:
    """Return a loop that computes a whole window for every answer, with a source in every slot.

    It answers every 200 ms rather than every 100 ms (the middle of a window is one or two label frames), and only the
    steps with an answer count: `StepTimes.answer` is the step of a loop that computes a window in each of them.

    Returns:
        The loop; None where the bundle has no nets for windows.
    """
    if not set(coloc_window.NETS) <= bundle.flatbuffers.keys():
        return None
    hop_labels = 2 - int(bundle.manifest.settings.get("window_labels", 50)) % 2
    return TimedLoop(bundle, threads, sound, live=True, overrides={"mode": "window", "hop_labels": hop_labels})


def take_turns(runs: Iterable[Callable[[int], object]], seconds: int) -> None:
    """Run all for a number of seconds of audio each, in short turns, so that a change of the clock rate meets all."""
    runs = list(runs)
    for begun in range(0, seconds, TURN_S):
        for run in runs:
            run(min(TURN_S, seconds - begun))


def exhaust(pipeline: Pipeline, block: AudioBlock) -> None:
    """Push a block and discard the results."""
    for _ in pipeline.push(block):
        pass


def looped_blocks(sound: FloatArray, block_samples: int) -> Iterator[AudioBlock]:
    """Repeat a sound (n, channels) without end and without a gap, in whole blocks.

    Raises:
        ValueError: the sound is shorter than a block.
    """
    whole = len(sound) - len(sound) % block_samples
    if not whole:
        raise ValueError(f"got a sound of {len(sound)} samples, wanted at least {block_samples}")
    for start in itertools.count(0, block_samples):
        yield AudioBlock(sound[start % whole : start % whole + block_samples], start)


def demo_sound(bundle: Bundle) -> FloatArray:
    """Return the shipped scene (n, 4) at the rate of a bundle."""
    with open_source("demo", FOA_CHANNELS, bundle.manifest.stft.sample_rate_hz) as source:
        return np.concatenate([block.samples for block in source])


def quiet_sound(samples: int) -> FloatArray:
    """Return noise of -60 dBFS (samples, 4)."""
    noise = np.random.default_rng(0).normal(0.0, 10.0 ** (QUIET_DBFS / 20.0), (samples, FOA_CHANNELS))
    return noise.astype(np.float32)

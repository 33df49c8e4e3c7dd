"""How long the stages of a pipeline took, on a clock that is made up, and who is told."""

from types import SimpleNamespace

import numpy as np
import pytest

from edge.runtime.budget import BudgetSettings
from edge.runtime.governor import Governor
from edge.runtime.pipeline import Pipeline, run
from edge.stage_clock import StageClock, Timing
from edge.types import AudioBlock, Event, Spectra, TrackFrames
from tests.edge.scenes import Memory


class Slow:
    """Encoder, STFT, system and decoder in one, each of which takes its time: an answer and an event per label frame.

    Per sample the encoder takes 1 us; per label frame of 2400 samples the STFT takes 3 ms, features 5 ms, nets 7 ms,
    the rest of the system 1 ms, the decoder 2 ms; every second label frame gives no answer.
    """

    latency_s = 0.0
    levels = ("all", "less")

    def __init__(self, heard=0):
        self.now_ns = 0
        self.heard = heard  # samples
        self.levels_set = []

    def spend(self, ms):
        self.now_ns += round(ms * 1e6)

    def __call__(self, block):
        self.spend(len(block.samples) / 1000)
        return block

    def push(self, item):
        return self.groups(item) if isinstance(item, AudioBlock) else self.events(item)

    def groups(self, block):
        self.heard += len(block.samples)
        while self.heard >= 2400:
            self.heard -= 2400
            self.spend(3)
            yield Spectra(None, 0)

    def events(self, tracks):
        self.spend(2)
        yield Event("x", 0.0, 1.0, 0.0, 0.0, 1.0)

    def step(self, spectra):
        self.spend(5)
        self.clock.lap("features")
        if self.clock.steps % 2 == 0:
            self.spend(7)
            self.clock.lap("nets")
            self.spend(1)
            yield TrackFrames(None, None, 0)

    def finish(self):
        return iter(())

    reset = finish

    def set_level(self, index):
        self.levels_set.append(index)

    def pipeline(self, budget_ms=100.0, governor=None):
        self.clock = StageClock(budget_ms, now_ns=lambda: self.now_ns)
        return Pipeline(self, self, self, self, governor=governor)


class Lazy(Memory):
    """A sink that takes 4 ms."""

    def __init__(self, slow):
        super().__init__()
        self.slow = slow

    def emit(self, item):
        super().emit(item)
        self.slow.spend(4)


def blocks_of(size, count, slow, wait_ms=50):
    """Blocks to wait for."""
    for start in range(0, size * count, size):
        slow.spend(wait_ms)
        yield AudioBlock(np.zeros((size, 4), np.float32), start)


@pytest.mark.parametrize("size", [240, 2400, 24_000])
def test_every_stage_is_timed_in_its_step(size):
    """Whether a block holds a tenth of a step, one or ten: and nobody is charged for the wait."""
    slow = Slow()
    pipeline = slow.pipeline()
    run(blocks_of(size, 48_000 // size, slow), pipeline, [Lazy(slow)])
    clock = pipeline.clock
    assert slow.clock is clock and (clock.steps, pipeline.answers) == (20, 10)
    times_ms = {"array": 2.4, "stft": 3, "features": 5, "nets": 7, "system": 1, "decode": 2, "sinks": 4}
    assert list(clock.stages()) == ["array", "stft", "features", "nets", "system", "decode", "sinks"]
    for name, timing in clock.stages().items():
        steps = 20 if name in ("array", "stft", "features") else 10
        assert timing == Timing(steps, *[pytest.approx(times_ms[name])] * 4), name
    assert clock.answer() == Timing(10, *[pytest.approx(24.4)] * 4)
    assert (clock.step().steps, clock.step().max_ms) == (20, pytest.approx(24.4))


def test_work_between_two_steps_is_that_of_the_second():
    slow = Slow()
    pipeline = slow.pipeline()
    run(blocks_of(1600, 6, slow), pipeline, [Lazy(slow)])  # steps end in the second, third, fifth and sixth block
    assert pipeline.clock.steps == 4
    assert pipeline.clock.stages()["array"].max_ms == pytest.approx(3.2)
    assert pipeline.clock.stages()["array"].p50_ms == pytest.approx(2.4)


def test_steps_over_the_budget_are_missed_and_the_governor_is_told():
    slow = Slow()
    told_ms = []
    pipeline = slow.pipeline(budget_ms=20.0, governor=SimpleNamespace(step=told_ms.append))
    run(blocks_of(2400, 6, slow), pipeline, [Lazy(slow)])
    assert told_ms == pytest.approx([24.4, 10.4] * 3)
    assert pipeline.clock.missed == 3


def test_a_governor_sets_the_level_of_the_system():
    slow = Slow()
    governor = Governor(BudgetSettings(step_ms=15.0, misses=2), slow.levels, slow.set_level)
    pipeline = slow.pipeline(governor=governor)
    run(blocks_of(2400, 6, slow), pipeline, [Lazy(slow)])
    assert slow.levels_set == [1]


def test_a_step_that_is_not_completed_does_not_count():
    slow = Slow()
    pipeline = slow.pipeline()
    run(blocks_of(2000, 2, slow), pipeline, [])  # 1600 samples are left: their array time is nobody's
    pipeline.reset()
    slow.heard = 0
    run(blocks_of(2400, 1, slow), pipeline, [])
    assert pipeline.clock.steps == 2
    assert pipeline.clock.stages()["array"] == Timing(2, *[pytest.approx(ms) for ms in (3.2, 3.92, 3.984, 4.0)])
    list(pipeline.push(AudioBlock(np.zeros((1000, 4), np.float32), 2400)))
    pipeline.reset()
    slow.heard = 0
    run(blocks_of(2400, 1, slow), pipeline, [])
    assert pipeline.clock.stages()["array"].p50_ms == pytest.approx(2.4)

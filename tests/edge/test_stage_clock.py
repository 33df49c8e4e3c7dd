import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.stage_clock import StageClock, Timing

MS = 1_000_000


class Watch:
    """A clock that goes on only when it is told to."""

    def __init__(self):
        self.ns = 123

    def __call__(self):
        return self.ns

    def spend(self, ms):
        self.ns += round(ms * MS)


@pytest.fixture
def watch():
    return Watch()


def run_step(clock, watch, *laps, answered=False):
    clock.begin()
    for stage, ms in laps:
        watch.spend(ms)
        clock.lap(stage)
    return clock.end(answered)


def test_time_since_the_last_lap_goes_to_the_stage(watch):
    clock = StageClock(now_ns=watch)
    assert run_step(clock, watch, ("stft", 3), ("nets", 5), ("stft", 4)) == 12.0
    assert clock.stages() == {"stft": Timing(1, 7.0, 7.0, 7.0, 7.0), "nets": Timing(1, 5.0, 5.0, 5.0, 5.0)}
    assert clock.step() == Timing(1, 12.0, 12.0, 12.0, 12.0)


def test_a_step_goes_on_after_a_wait_that_is_nobodys(watch):
    clock = StageClock(now_ns=watch)
    for ms in (3, 4):
        watch.spend(1000)  # between steps, and between the parts of this one
        clock.begin()
        watch.spend(ms)
        clock.lap("array")
    assert clock.end() == 7.0
    assert clock.stages()["array"] == clock.step() == Timing(1, 7.0, 7.0, 7.0, 7.0)


def test_the_step_under_way_is_not_read_and_can_be_dropped(watch):
    clock = StageClock(now_ns=watch)
    run_step(clock, watch, ("nets", 1), answered=True)
    clock.begin()
    watch.spend(50)
    clock.lap("nets")
    assert clock.step().max_ms == clock.stages()["nets"].max_ms == 1.0
    clock.drop()
    assert run_step(clock, watch, ("nets", 2)) == 2.0
    assert (clock.steps, clock.stages()["nets"].max_ms, clock.answer().max_ms) == (2, 2.0, 1.0)


def test_what_was_measured_can_be_forgotten(watch):
    clock = StageClock(now_ns=watch, budget_ms=2.0)
    run_step(clock, watch, ("nets", 3), answered=True)
    clock.forget()
    assert (clock.steps, clock.missed, clock.stages()) == (0, 0, {})
    assert clock.step().steps == clock.answer().steps == 0
    run_step(clock, watch, ("stft", 1))
    assert clock.stages() == {"stft": Timing(1, 1.0, 1.0, 1.0, 1.0)}


def test_steps_over_the_budget_are_counted(watch):
    clock = StageClock(budget_ms=10.0, now_ns=watch)
    for ms in (9, 10, 10.5, 1000):
        run_step(clock, watch, ("nets", ms / 2), ("sinks", ms / 2))
    assert (clock.steps, clock.missed) == (4, 2)


def test_only_steps_with_an_answer_are_those_of_an_answer(watch):
    clock = StageClock(now_ns=watch)
    for ms in range(1, 11):
        run_step(clock, watch, ("nets", ms), answered=ms % 5 == 0)
    assert clock.answer() == Timing(2, 7.5, 9.75, 9.95, 10.0)
    assert clock.step().steps == 10


def test_a_stage_is_timed_in_the_steps_that_it_took_part_in(watch):
    clock = StageClock(now_ns=watch)
    for ms in range(1, 7):
        run_step(clock, watch, ("stft", 1), *([("nets", ms)] if ms % 3 == 0 else []))
    assert clock.stages()["nets"] == Timing(2, 4.5, 5.85, 5.97, 6.0)
    assert clock.stages()["stft"].steps == 6


def test_nothing_measured_is_no_time():
    clock = StageClock()
    assert clock.step() == clock.answer() == Timing(0, 0.0, 0.0, 0.0, 0.0)
    assert clock.stages() == {}


STEPS = st.lists(
    st.tuples(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 300)), max_size=6), st.booleans()), max_size=40
)


@given(STEPS, st.integers(1, 12))
def test_readings_are_those_of_the_last_steps(steps, kept_steps):
    """Whatever is lapped when, against the plain lists of all times."""
    watch = Watch()
    clock = StageClock(100.0, kept_steps, watch)
    rows = []
    for laps, answered in steps:
        spent_ms = run_step(clock, watch, *laps, answered=answered)
        rows.append({stage: sum(ms for name, ms in laps if name == stage) for stage in "abc"})
        rows[-1]["step"] = sum(ms for _, ms in laps)
        rows[-1]["answer"] = rows[-1]["step"] * answered
        assert spent_ms == rows[-1]["step"]

    def wanted(name):
        times = [row[name] for row in rows[-kept_steps:] if row[name]]
        return (len(times), *(np.percentile(times, [50, 95, 99, 100]) if times else [0.0] * 4))

    def got(timing):
        return pytest.approx((timing.steps, timing.p50_ms, timing.p95_ms, timing.p99_ms, timing.max_ms))

    assert wanted("step") == got(clock.step())
    assert wanted("answer") == got(clock.answer())
    assert {name: wanted(name) for name in clock.stages()} == {name: got(t) for name, t in clock.stages().items()}
    assert set(clock.stages()) == {stage for laps, _ in steps for stage, _ in laps}
    assert (clock.steps, clock.missed) == (len(steps), sum(row["step"] > 100 for row in rows))


def test_nothing_grows_while_it_runs():
    clock = StageClock(kept_steps=100)

    def run(steps):
        for _ in range(steps):
            clock.begin()
            for stage in ("stft", "nets", "decode"):
                clock.lap(stage)
            clock.end(True)

    run(300)
    tracemalloc.start()
    try:
        run(300)
        before, _ = tracemalloc.get_traced_memory()
        run(3000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert abs(after - before) < 1000 and clock.steps == 3600 and clock.step().steps == 100

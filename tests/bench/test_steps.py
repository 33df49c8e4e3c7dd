import itertools
from dataclasses import replace

import numpy as np
import pytest

from bench.steps import TURN_S, TimedLoop, looped_blocks, naive_window_loop, quiet_sound, take_turns
from edge.nets.bundle import load_bundle
from edge.systems.coloc import streaming as coloc_streaming
from edge.systems.coloc import window as coloc_window


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return load_bundle(str(tiny_bundle))


def timed(bundle, sound, seconds, **options):
    loop = TimedLoop(bundle, 1, sound, **options)
    loop.run(seconds)
    return loop.times()


def test_blocks_loop_without_a_gap():
    sound = np.arange(7.0, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    blocks = list(itertools.islice(looped_blocks(sound, 3), 5))
    assert [block.start for block in blocks] == [0, 3, 6, 9, 12]
    assert [block.samples[0, 0] for block in blocks] == [0, 3, 0, 3, 0]  # the last sample makes no whole block
    assert all(block.samples.shape == (3, 4) and not block.lost for block in blocks)


def test_a_sound_too_short_to_loop_is_refused():
    with pytest.raises(ValueError, match="got a sound of 2 samples, wanted at least 3"):
        next(looped_blocks(np.zeros((2, 4), np.float32), 3))


def test_quiet_is_60_db_below_full_scale():
    assert 20 * np.log10(np.std(quiet_sound(24_000))) == pytest.approx(-60.0, abs=0.1)


@pytest.mark.parametrize(("mode", "nets"), [("window", coloc_window.NETS), ("streaming", coloc_streaming.NETS)])
def test_the_loop_is_timed_by_step_stage_and_net(bundle, mode, nets):
    times = timed(bundle, quiet_sound(24_000), 2, live=True, overrides={"mode": mode})
    assert times.step.steps == 20 and times.second.steps == 2
    assert {"stft", "features", "localizer", "classifier", "decode"} <= set(times.stages)
    assert set(times.nets) == set(nets)
    assert times.latency_s > 0.0 and times.real_time_factor > 0.0


def test_streaming_answers_in_every_step_and_asks_every_net_for_every_slot(bundle):
    times = timed(bundle, quiet_sound(24_000), 2, live=True, overrides={"mode": "streaming"})
    assert times.answer.steps == times.step.steps == 20
    assert all(times.nets[f"{stage}_recurrence"].calls_per_step == 2 for stage in ("localizer", "classifier"))


def test_in_silence_there_is_less_to_do(bundle):
    silence = np.zeros((24_000, 4), np.float32)
    live, silent = (timed(bundle, silence, 2, live=live) for live in (True, False))
    assert sum(net.calls_per_step for net in silent.nets.values()) < sum(
        net.calls_per_step for net in live.nets.values()
    )


def test_settings_can_be_others(bundle):
    one, two = (
        timed(bundle, quiet_sound(24_000), 1, live=True, overrides={"mode": "window", "max_overlap": slots})
        for slots in (1, 2)
    )
    assert two.nets["localizer"].calls_per_step == 2 * one.nets["localizer"].calls_per_step


def test_a_bundle_without_nets_for_windows_has_no_naive_loop(bundle):
    assert naive_window_loop(replace(bundle, flatbuffers={}), 1, quiet_sound(24_000)) is None


def test_the_naive_loop_computes_a_window_for_every_answer(bundle):
    loop = naive_window_loop(bundle, 1, quiet_sound(24_000))
    assert loop is not None
    loop.run(2)
    naive = loop.times()
    assert naive.answer.steps == 10  # windows have a middle of two label frames
    assert naive.nets["localizer"].calls_per_step == 2 * 0.5  # for two slots


def test_loops_run_in_turn():
    turns = []
    take_turns([lambda seconds: turns.append(("a", seconds)), lambda seconds: turns.append(("b", seconds))], TURN_S + 2)
    assert turns == [("a", TURN_S), ("b", TURN_S), ("a", 2), ("b", 2)]


def test_more_runs_are_added_to_those_before(bundle):
    loop = TimedLoop(bundle, 1, quiet_sound(24_000))
    loop.run(1)
    loop.run(2)
    assert (loop.times().second.steps, loop.times().step.steps) == (3, 30)

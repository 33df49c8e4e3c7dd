import logging
from dataclasses import replace

import numpy as np
import pytest

from edge.arrays.profile import load_array
from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import Stft
from edge.nets.bundle import load_bundle
from edge.runtime.interruption import Interruption
from edge.runtime.pipeline import build_pipeline, build_system, run
from edge.stage_clock import StageClock
from edge.types import AudioBlock, Event, FrameRow
from tests.edge.scenes import Memory


def test_every_sink_gets_everything_in_order(pipeline, sounds, cut):
    first, second = Memory(), Memory()
    run(cut(sounds, 2400), pipeline, [first, second])
    assert first.items == second.items
    assert first.events() == [("low", 1.0, 2.0), ("high", 3.0, 4.0)]
    assert first.frames() == [*range(10, 20), *range(30, 40)]


def test_what_is_open_at_the_end_is_closed(pipeline, sounds, cut):
    sink = Memory()
    run(cut(sounds[: int(3.55 * 24000)], 2400), pipeline, [sink])
    assert sink.events() == [("low", 1.0, 2.0), ("high", 3.0, 3.6)]  # the label frame under way is completed
    assert sink.frames()[-6:] == list(range(30, 36))


def test_results_come_while_the_stream_goes_on(pipeline, sounds, cut):
    """Within the latency of the system, the delay of the decoder and the time that smoothing needs to fade."""
    sink, heard_s = Memory(), []

    class Clock(Memory):
        def emit(self, item):
            if isinstance(item, Event):
                heard_s.append(now_s)

    def blocks():
        nonlocal now_s
        for block in cut(sounds, 2400):
            now_s = (block.start + 2400) / 24000
            yield block

    now_s = 0.0
    run(blocks(), pipeline, [sink, Clock()])
    for (_, _, offset_s), at_s in zip(sink.events(), heard_s, strict=True):
        assert offset_s < at_s <= offset_s + pipeline.latency_s + 0.5


@pytest.mark.parametrize("size", [1000, 10_000])
def test_a_gap_ends_what_is_open_and_is_told(pipeline, sounds, cut, caplog, size):
    """Samples from 1.5 s to 3.25 s are lost."""
    early, late = cut(sounds[:36_000], size), cut(sounds[78_000:], size, start=78_000)
    late[0] = AudioBlock(late[0].samples, 78_000, lost=42_000)
    sink = Memory()
    with caplog.at_level(logging.WARNING):
        run([*early, *late], pipeline, [sink])
    assert sink.events() == [("low", 1.0, 1.5), ("high", 3.3, 4.0)]
    assert sink.frames() == [*range(10, 15), *range(33, 40)]
    assert pipeline.lost_samples == 42_000
    assert [record.getMessage() for record in caplog.records] == ["42000 samples lost before sample 78000"]


def test_a_source_that_stops_is_answered_at_once(pipeline, sounds, cut):
    """After 1.54 s it tells only how much is missing, and later more: whatever becomes of it, nothing waits."""
    told = [item for block in cut(sounds[:36_960], 2400) for item in pipeline.push(block)]
    assert not any(isinstance(item, Event | FrameRow) for item in told)
    items = list(pipeline.push(AudioBlock(np.zeros((0, 4), np.float32), 108_960, lost=72_000)))
    assert [(i.name, i.offset_s) for i in items if isinstance(i, Event)] == [("low", pytest.approx(1.6))]
    late = cut(sounds[70_800:], 2400, start=238_800)
    late[0] = AudioBlock(late[0].samples, late[0].start, lost=129_840)
    items = [item for block in late for item in pipeline.push(block)] + list(pipeline.finish())
    assert [round(i.onset_s, 6) for i in items if isinstance(i, Event)] == [10.0]
    assert pipeline.lost_samples == 72_000 + 129_840


def test_what_waits_in_the_filters_of_an_array_is_answered_too(tiny_bundle, sounds, cut):
    bundle = load_bundle(str(tiny_bundle))
    array = load_array("em32_tetra")
    pipeline = build_pipeline(bundle, array, build_system(bundle, array=array))
    for block in (*cut(sounds[:36_960], 1000), AudioBlock(np.zeros((0, 4), np.float32), 108_960, lost=72_000)):
        told = list(pipeline.push(block))
        assert block.lost or not any(isinstance(item, Event | FrameRow) for item in told)
    assert pipeline.clock.steps == 16


def test_the_real_stages_take_time_too(pipeline, sounds, cut):
    run(cut(sounds, 1000), pipeline, [Memory()])
    clock = pipeline.clock
    assert {"array", "stft", "features", "localizer", "classifier", "decode", "sinks"} <= set(clock.stages())
    assert clock.steps == 50 and pipeline.answers == 50 // 2
    assert clock.answer().steps == 50 // 2 - 2  # every 2 label frames; the last two come from `finish`
    assert 0.0 < clock.step().p50_ms <= clock.step().max_ms <= sum(timing.max_ms for timing in clock.stages().values())


class Listener:
    """A system that keeps what it is given."""

    latency_s = 0.0

    def __init__(self, array):
        self.array, self.clock = array, StageClock()
        self.heard = []

    def step(self, spectra):
        self.heard.append(spectra)
        return iter(())

    def finish(self):
        return iter(())


@pytest.mark.parametrize("array", ["foa", "em32_tetra"])
def test_a_system_is_given_the_microphones_if_its_features_want_them(tiny_bundle, sounds, cut, array):
    heard = {}
    bundle = load_bundle(str(tiny_bundle))
    for kind, channels in (("logmel_iv", 4), ("two_step", 8)):
        system = Listener(load_array(array))
        wanting = replace(bundle, manifest=replace(bundle.manifest, features=FeatureSettings(kind)))
        run(cut(sounds[:30_000], 700), build_pipeline(wanting, load_array(array), system), [])
        assert [spectra.start for spectra in system.heard] == list(range(0, 65, 5))
        heard[channels] = np.concatenate([spectra.bins for spectra in system.heard])
        assert heard[channels].shape == (65, channels, 513)
    np.testing.assert_allclose(heard[8][:, :4], heard[4], atol=1e-4)
    wanted = sounds[:30_000, :1]
    if array == "foa":  # the first cardioid looks front left up; the first capsule comes nearly as the device gave it
        wanted = 0.5 * (wanted + sounds[:30_000, 1:].sum(axis=1, keepdims=True) / np.sqrt(3))
    stft = Stft(load_bundle(str(tiny_bundle)).manifest.stft, 1)
    alone = [*stft.push(AudioBlock(wanted.astype(np.float32), 0)), *stft.finish()]
    alone = np.concatenate([spectra.bins for spectra in alone])[:, 0]
    assert np.linalg.norm(heard[8][:, 4] - alone) < (1e-4 if array == "foa" else 0.1) * np.linalg.norm(alone)


def test_latency_is_that_of_the_system(pipeline):
    assert pipeline.latency_s == pytest.approx(0.6)


def test_an_error_of_a_sink_or_source_is_not_swallowed(pipeline, sounds, cut):
    class Full(Memory):
        def emit(self, item):
            raise OSError("full")

    with pytest.raises(OSError, match=r"^full$"):
        run(cut(sounds, 2400), pipeline, [Full()])

    def broken():
        yield from cut(sounds[:2400], 2400)
        raise ValueError("NaN")

    with pytest.raises(ValueError, match=r"^NaN$"), Interruption() as interruption:
        run(interruption.until_stopped(broken()), pipeline, [Memory()])

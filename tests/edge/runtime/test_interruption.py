"""What a signal ends, and what it leaves alone."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from edge.runtime.interruption import Interruption
from edge.runtime.pipeline import run
from edge.types import AudioBlock, FrameRow
from tests.edge.scenes import Memory

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_breaks_into_the_wait_for_samples(pipeline, sounds, cut, number):
    """After 1.7 s of sound the source hangs for ever: the event that is open comes out all the same."""
    read_end, write_end = os.pipe()

    def hanging():
        yield from cut(sounds[: int(1.7 * 24000)], 2400)
        threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
        os.read(read_end, 1)
        raise AssertionError("nothing is ever written")

    sink = Memory()
    before = [signal.getsignal(each) for each in SIGNALS]
    with Interruption() as interruption:
        began = time.monotonic()
        run(interruption.until_stopped(hanging()), pipeline, [sink])
        assert time.monotonic() - began < 300  # and not for ever
    os.close(read_end)
    os.close(write_end)
    assert sink.events() == [("low", 1.0, 1.7)]
    assert sink.frames() == list(range(10, 17))
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_a_step_lets_it_finish(pipeline, sounds, cut, number):
    """The signal comes while a sink is at work: its block is finished, no further one is taken."""
    taken = []

    class Interrupting(Memory):
        def emit(self, item):
            super().emit(item)
            if isinstance(item, FrameRow) and len(self.frames()) == 1:
                os.kill(os.getpid(), number)

    def counted():
        for block in cut(sounds, 2400):
            taken.append(block.start)
            yield block

    sink = Interrupting()
    with Interruption() as interruption:
        run(interruption.until_stopped(counted()), pipeline, [sink])
    heard_labels = len(taken)
    assert 10 < heard_labels < 30
    assert sink.events() == [("low", 1.0, min(2.0, heard_labels / 10))]
    assert sink.frames() == list(range(10, min(20, heard_labels)))


def test_a_signal_before_the_first_block_ends_the_stream_at_once(pipeline):
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert list(interruption.until_stopped([AudioBlock(np.zeros((1, 4), np.float32), 0)])) == []


def test_a_second_signal_does_no_harm(pipeline, sounds, cut):
    sink = Memory()

    def twice():
        yield from cut(sounds[:40_000], 2400)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the wait was not broken into")

    with Interruption() as interruption:
        blocks = interruption.until_stopped(twice())
        for block in blocks:
            for item in pipeline.push(block):
                sink.emit(item)
        os.kill(os.getpid(), signal.SIGTERM)
        for item in pipeline.finish():
            sink.emit(item)
    assert sink.events() == [("low", 1.0, 1.7)]


def test_handlers_are_given_back_after_an_error():
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(ValueError, match=r"^inside$"), Interruption():
        assert [signal.getsignal(each) for each in SIGNALS] != before
        raise ValueError("inside")
    assert [signal.getsignal(each) for each in SIGNALS] == before

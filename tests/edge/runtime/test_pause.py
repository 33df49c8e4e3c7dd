"""A run that is paused hears nothing and goes on; signals and others pause and resume it."""

import signal

import numpy as np
from numpy.testing import assert_array_equal

from edge.runtime.pause import Pause
from edge.runtime.pipeline import run
from tests.edge.scenes import Memory


def test_signals_pause_and_resume(caplog):
    before = signal.getsignal(signal.SIGUSR1)
    with Pause() as pause:
        states = []
        for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGUSR2):
            signal.raise_signal(number)
            states.append(pause.paused)
    assert states == [True, True, False] and caplog.messages == ["paused: nothing is heard", "resumed"]
    assert signal.getsignal(signal.SIGUSR1) is before


def test_blocks_are_silent_while_paused(sounds, cut):
    pause, seen = Pause(), []
    for block in pause.over(cut(sounds, 2400)):
        seen.append(block.samples)
        pause.set(3 <= len(seen) < 6)
    assert_array_equal(np.concatenate(seen), np.where(np.arange(len(sounds))[:, None] // 2400 // 3 == 1, 0.0, sounds))


def test_nothing_is_heard_in_a_pause_and_what_sounded_has_ended(pipeline, sounds, cut):
    """The low sound lasts from 1 to 2 s, the high one begins at 3 s; the pause is from 1.5 s to 2.8 s."""
    pause, sink = Pause(), Memory()

    def blocks():
        for number, block in enumerate(cut(sounds, 2400)):
            pause.set(15 <= number < 28)
            yield block

    run(pause.over(blocks()), pipeline, [sink])
    (low, onset_s, offset_s), (high, late_s, _) = sink.events()
    assert (low, high) == ("low", "high") and onset_s == 1.0 and 1.4 < offset_s < 1.9 and 2.9 < late_s < 3.3

import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge.audio.capture_queue import CaptureQueue, SourceError


def samples(n, value=0.0, channels=2):
    return np.full((n, channels), value, np.float32)


def taken(capture, count):
    blocks = capture.blocks(deadline_s=0.05)
    return [next(blocks) for _ in range(count)]


def test_buffers_arrive_in_order():
    capture = CaptureQueue("mic", 2, 16000, max_buffers=4)
    for value in (1, 2, 3):
        capture.put(samples(10, value).tobytes())
    blocks = taken(capture, 3)
    assert [(b.start, b.lost) for b in blocks] == [(0, 0), (10, 0), (20, 0)]
    assert_array_equal(np.concatenate([b.samples for b in blocks])[:, 1], np.repeat([1, 2, 3], 10))


def test_samples_dropped_by_a_full_queue_are_reported_with_the_next_block():
    capture = CaptureQueue("mic", 2, 16000, max_buffers=2)
    blocks = capture.blocks(deadline_s=0.05)
    for n in (10, 10, 11, 12):
        capture.put(samples(n).tobytes())
    assert [next(blocks).start, next(blocks).start] == [0, 10]
    capture.put(samples(10, 5).tobytes())
    capture.put(samples(10, 6).tobytes())
    after, then = next(blocks), next(blocks)
    assert (after.start, after.lost, after.samples[0, 0]) == (43, 23, 5)
    assert (then.start, then.lost) == (53, 0)


def test_samples_lost_by_the_device_are_counted_by_the_clock():
    now_s = iter([0.0, 0.1, 0.75, 0.85, 0.86])
    capture = CaptureQueue("mic", 2, 1000, max_buffers=9, clock=lambda: next(now_s))
    for overflowed in (True, False, True, False, True):
        capture.put(samples(100).tobytes(), overflowed)
    blocks = taken(capture, 5)
    assert [b.lost for b in blocks] == [0, 0, 550, 0, 1]  # the stream cannot lose before it began; a loss is never 0
    assert [b.start for b in blocks] == [0, 100, 750, 850, 951]


def test_late_buffer_does_not_hide_the_loss():
    """A callback is held up for 0.9 s with a buffer in hand; the next one comes 0.1 s later and tells of the loss."""
    now_s = iter([0.1, 0.2, 1.2, 1.3, 1.4])
    capture = CaptureQueue("mic", 2, 1000, max_buffers=9, clock=lambda: next(now_s))
    for overflowed in (False, False, False, True, False):
        capture.put(samples(100).tobytes(), overflowed)
    assert [(b.start, b.lost) for b in taken(capture, 5)][2:] == [(200, 0), (1200, 900), (1300, 0)]


def test_excess_loss_of_a_late_buffer_is_subtracted_from_the_next_loss():
    """The first buffer after a loss of 0.5 s comes 0.3 s late, those after it in time; then 1 s is lost."""
    now_s = iter([0.1, 0.2, 1.1, 1.1, 1.1, 1.1, 1.2, 2.3, 2.4])
    capture = CaptureQueue("mic", 2, 1000, max_buffers=9, clock=lambda: next(now_s))
    for overflowed in (False, False, True, False, False, False, False, True, False):
        capture.put(samples(100).tobytes(), overflowed)
    blocks = taken(capture, 9)
    assert [b.lost for b in blocks] == [0, 0, 800, 0, 0, 0, 0, 700, 0]
    assert blocks[-1].start == 2300


def test_both_losses_add_up():
    now_s = iter([0.0, 0.1, 0.4, 0.5])
    capture = CaptureQueue("mic", 2, 1000, max_buffers=1, clock=lambda: next(now_s))
    blocks = capture.blocks(deadline_s=0.05)
    capture.put(samples(100).tobytes())
    capture.put(samples(100).tobytes())
    capture.put(samples(100).tobytes(), overflowed=True)
    assert next(blocks).start == 0
    capture.put(samples(100).tobytes())
    block = next(blocks)
    assert (block.start, block.lost) == (500, 400)


def test_age_of_a_buffer_counts_from_when_it_was_recorded():
    now_s = iter([10.0, 10.2, 10.5, 10.7])
    capture = CaptureQueue("mic", 2, 1000, max_buffers=9, clock=lambda: next(now_s))
    capture.put(samples(100).tobytes())
    capture.put(samples(100).tobytes())
    capture.put(samples(100).tobytes(), at_s=9.0)
    assert capture.waiting == 3
    for age_s in (0.5, 0.5):  # at 10.5 and 10.7
        capture.take()
        assert capture.age_s() == pytest.approx(age_s)
    assert capture.waiting == 1


def test_rest_reports_what_was_lost_after_it():
    capture = CaptureQueue("mic", 2, 1000, max_buffers=2)
    for n in (10, 10, 11, 12):
        capture.put(samples(n).tobytes())
    assert [(b.start, b.lost, len(b.samples)) for b in capture.rest()] == [(0, 0, 10), (10, 0, 10), (43, 23, 0)]
    assert list(capture.rest()) == []


def test_gap_is_reported_when_it_begins_and_when_it_ends():
    now_s = iter([0.1, 0.2, 3.2, 3.3, 3.4, 10.0])
    capture = CaptureQueue("mic", 2, 1000, max_buffers=9, clock=lambda: next(now_s))
    capture.put(samples(100).tobytes())
    capture.put(samples(100, 1).tobytes())
    assert [(b.start, b.lost, len(b.samples)) for b in capture.gap()] == [(0, 0, 100), (100, 0, 100), (3200, 3000, 0)]
    assert capture.age_s() == pytest.approx(0.1)
    capture.put(samples(100, 2).tobytes(), overflowed=True)
    block = capture.take()
    assert (block.start, block.lost, block.samples[0, 0]) == (9900, 6700, 2)


def test_no_progress_is_an_error_and_empty_buffers_are_no_progress():
    capture = CaptureQueue("mic4", 2, 16000, max_buffers=2)
    capture.put(b"")
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"^microphone 'mic4' stopped delivering: no samples for 0\.05 s$"):
        taken(capture, 1)
    assert 0.04 < time.monotonic() - began < 60

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edge.audio.microphone import CaptureQueue
from edge.audio.pacing import paced
from edge.types import AudioBlock

RATE_HZ = 1000


class Time:
    """A clock that advances only by sleep and work."""

    def __init__(self, now_s=77.0):
        self.now_s = now_s
        self.slept_s = []

    def __call__(self):
        return self.now_s

    def sleep(self, seconds):
        assert seconds > 0
        self.slept_s.append(seconds)
        self.now_s += seconds


def played(blocks, time, max_buffers=20):
    capture = CaptureQueue("a.wav", 1, RATE_HZ, max_buffers, time)
    return paced(blocks, capture, RATE_HZ, time, time.sleep), capture


def ramp(count, size=100):
    """Blocks whose samples are consecutive numbers."""
    samples = np.arange(count * size, dtype=np.float32)[:, None]
    return [AudioBlock(samples[at : at + size], at) for at in range(0, len(samples), size)]


def test_blocks_arrive_when_their_last_sample_would_have_been_recorded():
    time = Time()
    began_s = time.now_s
    blocks, capture = played(ramp(50), time)
    for number, block in enumerate(blocks):
        assert (block.start, block.lost) == (100 * number, 0)
        assert_array_equal(block.samples[:, 0], np.arange(100 * number, 100 * number + 100))
        assert time.now_s == pytest.approx(began_s + 0.1 * (number + 1), abs=1e-9)
        assert capture.age_s() == pytest.approx(0.0, abs=1e-9)
        time.now_s += 0.03 + 0.001 * number  # work, of different length: due times do not drift by it
    assert number == 49
    assert time.slept_s[1] == pytest.approx(0.07)


def test_time_counts_from_the_first_request():
    time = Time()
    blocks, _ = played(ramp(2), time)
    time.now_s = 500.0
    next(blocks)
    assert time.now_s == pytest.approx(500.1)


def test_late_reader_finds_the_blocks_in_the_queue():
    time = Time()
    blocks, capture = played(ramp(30), time)
    next(blocks)
    time.now_s += 1.05  # ten more came meanwhile
    ages_s = []
    for number in range(1, 11):
        assert next(blocks).start == 100 * number
        ages_s.append(capture.age_s())
    assert len(time.slept_s) == 1
    assert ages_s == pytest.approx(np.arange(0.95, 0.0, -0.1))
    assert next(blocks).start == 1100 and len(time.slept_s) == 2
    assert time.now_s == pytest.approx(77.0 + 1.2)


def test_samples_beyond_the_queue_are_lost_and_reported():
    time = Time()
    blocks, capture = played(ramp(20), time, max_buffers=3)
    next(blocks)
    time.now_s += 0.75  # seven came: three are kept
    kept = [next(blocks) for _ in range(4)]
    assert [(block.start, block.lost) for block in kept] == [(100, 0), (200, 0), (300, 0), (800, 400)]
    assert_array_equal(kept[3].samples[:, 0], np.arange(800, 900))
    assert capture.age_s() == pytest.approx(0.0, abs=1e-9)


def test_loss_at_the_end_is_reported():
    time = Time()
    blocks, _ = played(ramp(10), time, max_buffers=3)
    next(blocks)
    time.now_s += 100.0
    rest = list(blocks)
    assert [(block.start, block.lost, len(block.samples)) for block in rest] == [
        (100, 0, 100),
        (200, 0, 100),
        (300, 0, 100),
        (1000, 600, 0),
    ]


@pytest.mark.parametrize("late_s", [0.0, 50.0])
def test_error_of_the_file_is_raised_after_the_blocks_before_it(late_s):
    def broken():
        yield from ramp(5)
        raise ValueError("NaN")

    time, heard = Time(), []
    blocks, _ = played(broken(), time)
    with pytest.raises(ValueError, match="NaN"):
        for block in blocks:
            heard.append(block.start)
            time.now_s += late_s
    assert heard == [0, 100, 200, 300, 400]


@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=40),
    work_s=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=10),
    max_buffers=st.integers(1, 5),
)
def test_every_sample_is_delivered_or_counted(sizes, work_s, max_buffers):
    """No sample is early, for all lengths of blocks and all delays of the reader."""
    samples = np.arange(sum(sizes), dtype=np.float32)[:, None]
    starts = np.cumsum([0, *sizes[:-1]])
    time = Time()
    blocks, _ = played(
        [AudioBlock(samples[at : at + size], int(at)) for at, size in zip(starts, sizes, strict=True)],
        time,
        max_buffers,
    )
    end = given_blocks = 0
    for number, block in enumerate(blocks):
        assert block.start == end + block.lost
        end = block.start + len(block.samples)
        assert_array_equal(block.samples[:, 0], np.arange(block.start, end))
        assert time.now_s >= 77.0 + end / RATE_HZ - 1e-9
        time.now_s += work_s[number % len(work_s)]
        given_blocks += len(block.samples) > 0
    assert end == sum(sizes) and given_blocks >= min(len(sizes), max_buffers)

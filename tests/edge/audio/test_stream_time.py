from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edge.audio.stream_time import StreamTime
from edge.types import AudioBlock

RATE_HZ = 24000
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


class World:
    """A right monotonic clock, a wall clock that may be set, and blocks of 100 ms from a device."""

    def __init__(self, ppm=0.0, waiting_s=lambda number: 0.0):
        self.monotonic_s, self.ahead = 1000.0, timedelta(0)
        self.recorded_s = 0.0
        self.rate_hz, self.waiting_s = RATE_HZ * (1.0 + ppm * 1e-6), waiting_s
        self.when = StreamTime(
            RATE_HZ,
            lambda: self.monotonic_s - self.recorded_s,
            lambda: self.monotonic_s,
            lambda: self.true_time(self.monotonic_s) + self.ahead,
        )

    def true_time(self, monotonic_s):
        return NOON + timedelta(seconds=monotonic_s - 1000.0)

    def heard(self, first, last):
        """Blocks by number, each taken with the delay that `waiting_s` gives."""
        began_s = 1000.0
        for number in range(first, last):
            self.recorded_s = began_s + (number + 1) * 2400 / self.rate_hz
            self.monotonic_s = max(self.monotonic_s, self.recorded_s + self.waiting_s(number))
            yield AudioBlock(np.zeros((2400, 4), np.float32), number * 2400)

    def hears(self, first, last):
        for _ in self.when.followed(self.heard(first, last)):
            pass

    def error_s(self, onset_s, true_s=None):
        """Error of the time of an onset, relative to the clock as it is set now."""
        told = self.when(onset_s)
        return (told - NOON - self.ahead).total_seconds() - (onset_s if true_s is None else true_s)


def test_moment_has_the_time_of_its_recording():
    world = World()
    world.hears(0, 20)
    assert world.error_s(1.3) == pytest.approx(0.0, abs=1e-5)
    assert world.when(np.float32(0.0)) == NOON


def test_late_blocks_do_not_matter():
    world = World(waiting_s=lambda number: 0.05 + 0.4 * (number % 7))
    world.hears(0, 30)
    assert world.error_s(2.0) == pytest.approx(0.0, abs=1e-5)


def test_clock_that_is_set_after_the_start_counts():
    """A Pi gets the time from the network some time after the start: events after that have the right time."""
    world = World()
    world.ahead = timedelta(days=-200)
    world.hears(0, 20)
    assert world.error_s(1.0) == pytest.approx(0.0, abs=1e-5)
    world.ahead = timedelta(0)
    world.hears(20, 21)
    assert world.when(1.0) == NOON + timedelta(seconds=1)


def test_all_sinks_get_the_same_time_of_an_event():
    """However long after each other they ask: two readings of the clock would differ by a millisecond now and then."""
    world = World()
    world.hears(0, 20)
    told = world.when(1.3)
    world.monotonic_s += 0.0007
    world.ahead += timedelta(microseconds=300)
    assert world.when(1.3) == told
    assert world.when(1.4) == told + timedelta(seconds=0.1, microseconds=300)
    world.hears(20, 21)
    assert world.when(1.3) == told + timedelta(microseconds=300)


@pytest.mark.parametrize("ppm", [-100.0, 100.0])
def test_sound_card_whose_clock_drifts_does_not_move_events(ppm):
    """Samples alone would be 0.36 s off after an hour, and 8.6 s after a day."""
    world = World(ppm)
    world.hears(0, 36_000)
    heard_s = 3590.0  # by samples
    true_s = heard_s * RATE_HZ / world.rate_hz
    assert abs(true_s - heard_s) > 0.3
    assert world.error_s(heard_s, true_s) == pytest.approx(0.0, abs=2e-3)


def test_without_age_a_block_counts_as_recorded_when_it_is_taken():
    now_s = 50.1  # the first block is there
    when = StreamTime(RATE_HZ, None, lambda: now_s, lambda: NOON)  # NOON is when it is asked
    blocks = (AudioBlock(np.zeros((2400, 4), np.float32), number * 2400) for number in range(10))
    for number, _ in enumerate(when.followed(blocks)):
        now_s = 50.0 + 0.1 * (number + 2) + 0.04 * (number % 3)  # when the next one comes, most of them late
    assert NOON - when(1.0) == timedelta(seconds=now_s - 51.0)


def test_before_the_first_block_times_count_from_the_start():
    when = StreamTime(RATE_HZ, None, lambda: 7.0, lambda: NOON)
    assert when(0.0) == NOON

"""Windows of label frames, and work on them that is spread over label frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.systems.windower import StepSchedule, Windower, doubled_hops

SILENCE = -1


def windows_of(windower, labels):
    return [window for label in labels for window in windower.push(label)]


@given(st.integers(1, 12), st.data(), st.integers(0, 50), st.integers(0, 40))
def test_each_label_frame_is_answered_once_with_all_the_context_there_is(window_labels, data, first, length):
    hop_labels = data.draw(st.integers(1, window_labels))
    windower = Windower(SILENCE, window_labels, hop_labels)
    windower.restart(first)
    stream = range(first, first + length)
    windows = [*windows_of(windower, stream), *windower.finish()]
    assert [label for window in windows for label in window.labels[window.part]] == list(stream)
    for window in windows:
        assert window.labels[window.part][0] == window.start
        begin = window.start - window.part.start
        wanted = range(begin, begin + window_labels)
        assert window.labels == [label if label in stream else SILENCE for label in wanted]


@given(st.integers(1, 12), st.data())
def test_no_label_frame_waits_longer_than_the_delay(window_labels, data):
    windower = Windower(SILENCE, window_labels, data.draw(st.integers(1, window_labels)))
    waits = [label + 1 - window.start for label in range(60) for window in windower.push(label)]
    assert max(waits) == windower.delay_labels


@given(st.integers(1, 9), st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20)), max_size=8))
def test_a_change_of_hop_loses_nothing_and_repeats_nothing(hop_labels, changes):
    windower, answered, label = Windower(SILENCE, 9, hop_labels), [], 0
    for hop, count in changes:
        windower.set_hop(hop)
        windows = windows_of(windower, range(label, label + count))
        label += count
        answered += [each for window in windows for each in window.labels[window.part]]
    answered += [each for window in windower.finish() for each in window.labels[window.part]]
    assert answered == list(range(label))


def test_after_a_restart_there_is_silence_before_the_stream():
    windower = Windower(SILENCE, 4, 2)
    windows_of(windower, range(10))
    windower.restart(20)
    (window,) = windows_of(windower, [20, 21, 22])
    assert (window.labels, window.part, window.start) == ([SILENCE, 20, 21, 22], slice(1, 3), 20)


def test_hops_are_doubled_up_to_the_window():
    assert doubled_hops(10, 50) == [10, 20, 40, 50]
    assert doubled_hops(50, 50) == [50]
    assert doubled_hops(3, 4) == [3, 4]


def work(name, steps, log):
    for step in range(steps - 1):
        log.append((name, step))
        yield
    log.append((name, steps - 1))
    return name


def test_each_piece_of_work_goes_on_by_one_step_at_a_time():
    schedule, log = StepSchedule(), []
    schedule.begin(work("a", 3, log))
    assert log == []  # nothing is done before it is its turn
    assert schedule.advance() == [] and log == [("a", 0)]
    schedule.begin(work("b", 2, log))
    assert schedule.advance() == [] and log[1:] == [("a", 1), ("b", 0)]
    assert schedule.advance() == ["a", "b"] and log[3:] == [("a", 2), ("b", 1)]
    assert schedule.advance() == [] and len(log) == 5


def test_finish_does_all_steps_that_are_left():
    schedule, log = StepSchedule(), []
    for name, steps in (("a", 2), ("b", 4), ("c", 1)):
        schedule.begin(work(name, steps, log))
    assert list(schedule.finish()) == ["c", "a", "b"]
    assert list(schedule.finish()) == []


def test_work_that_is_cleared_is_not_done():
    schedule, log = StepSchedule(), []
    schedule.begin(work("a", 2, log))
    schedule.clear()
    assert schedule.advance() == list(schedule.finish()) == log == []


def test_an_error_in_a_step_is_not_swallowed():
    def broken():
        yield
        raise ValueError("a net failed")

    schedule = StepSchedule()
    schedule.begin(broken())
    assert schedule.advance() == []
    with pytest.raises(ValueError, match=r"^a net failed$"):
        schedule.advance()

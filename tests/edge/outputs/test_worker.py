import threading
import time

import pytest

from edge.outputs.worker import Worker, turn_s


def eventually(condition):
    end_s = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.01)


def test_turns_are_taken_at_intervals_and_when_woken():
    turns = []
    regular, woken = Worker("a", lambda: turns.append("regular"), 0.01), Worker("b", lambda: turns.append("woken"), 600)
    eventually(lambda: len(turns) >= 3)
    assert "woken" not in turns
    woken.wake()
    eventually(lambda: "woken" in turns)
    assert regular.close() and woken.close() and regular.alive and woken.alive


def test_no_error_ends_the_thread(caplog):
    errors = [ValueError("a"), ValueError("a"), OSError(5, "b"), MemoryError(), None, ValueError("a"), None]
    turns = iter(errors)
    done = threading.Event()

    def turn():
        if (error := next(turns, done)) is done:
            done.set()
        elif error is not None:
            raise error

    worker = Worker("mqtt", turn, 0.01)
    assert done.wait(60.0) and worker.alive and worker.close()
    assert caplog.messages == [
        "mqtt: failed and is tried again: ValueError: a",
        "mqtt: failed and is tried again: OSError: [Errno 5] b",
        "mqtt: failed and is tried again: MemoryError: ",
        "mqtt: works again",
        "mqtt: failed and is tried again: ValueError: a",
        "mqtt: works again",
    ]


def test_a_thread_that_ends_in_spite_of_it_is_dead(monkeypatch):
    monkeypatch.setattr("threading.excepthook", lambda args: None)

    def turn():
        raise SystemExit

    worker = Worker("mqtt", turn, 0.01)
    eventually(lambda: not worker.alive)
    assert worker.close()


def test_closing_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr("edge.outputs.worker.END_S", 0.1)
    hanging = threading.Event()
    worker = Worker("mqtt", lambda: hanging.wait(60.0), 0.01)
    time.sleep(0.1)
    assert not worker.close()
    hanging.set()


@pytest.mark.parametrize("sync_s", [0.1, 1.0, 5.0, 6.0, 7.3, 3600.0])
def test_turns_divide_the_time_between_two_flushes(sync_s):
    assert turn_s(sync_s) <= 5.0 and sync_s / turn_s(sync_s) == pytest.approx(round(sync_s / turn_s(sync_s)))


def test_without_a_time_between_two_flushes_what_waits_is_tried_again_all_the_same():
    assert turn_s(0.0) == 5.0

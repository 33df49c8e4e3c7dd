"""What systemd is told, and settings that change in flight."""

import os
import socket
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from edge.events.decoder import Decoder, DecodeSettings
from edge.runtime.budget import BudgetSettings
from edge.runtime.governor import Governor
from edge.runtime.supervision import notify, supervised, thread_errors_logged
from edge.types import AudioBlock, Event, TrackFrames


@pytest.fixture(params=["path", "abstract"])
def told(request, tmp_path, monkeypatch):
    """What systemd would have received so far."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@seld-edge-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name if name[0] == "/" else "\0" + name[1:])
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)

        def received():
            states = []
            while True:
                try:
                    states.append(systemd.recv(4096).decode())
                except BlockingIOError:
                    return states

        yield received


SOUND = AudioBlock(np.zeros((1, 4), np.float32), 0)
WAITING = AudioBlock(np.zeros((0, 4), np.float32), 0)
LOSS = AudioBlock(np.zeros((0, 4), np.float32), 100, 100)


class Loop:
    """A pipeline whose steps and answers the test moves, and a clock that it turns."""

    def __init__(self):
        self.clock = SimpleNamespace(steps=0)
        self.answers = 0
        self.now_s = 100.0
        self.dead = []

    def run(self, doings, after=list, block=SOUND):
        blocks = supervised(
            [block] * len(doings), self, lambda: "3 events, 0 samples lost", lambda: self.now_s, lambda: self.dead
        )
        for _, doing in zip(blocks, doings, strict=True):
            steps, answers, seconds = doing
            self.clock.steps += steps
            self.answers += answers
            self.now_s += seconds
            after()


def test_ready_comes_with_the_first_answer_and_life_with_steps(told):
    Loop().run([(0, 0, 1), (1, 0, 1), (1, 1, 1)])
    assert told() == [
        "WATCHDOG=1",
        "READY=1",
        "WATCHDOG=1",
        "STATUS=3 events, 0 samples lost",
        "STOPPING=1",
    ]


def test_time_alone_is_no_sign_of_life(told):
    """Blocks that bring no label frame further, for an hour: of samples, or of losses."""
    for block in (SOUND, LOSS):
        Loop().run([(1, 1, 1)] + [(0, 0, 60)] * 60, block=block)
        assert told().count("WATCHDOG=1") == 1


def test_a_source_that_waits_for_its_device_is_ready_and_alive(told):
    """Each of its attempts to open the device gives a block, so the service is not restarted because of it."""
    states = []
    Loop().run([(0, 0, 3)] * 20, lambda: states.extend(told()), WAITING)
    assert states[:3] == ["READY=1", "WATCHDOG=1", "STATUS=waiting for the microphone; 3 events, 0 samples lost"]
    assert states.count("READY=1") == 1 and states.count("WATCHDOG=1") >= 18


def test_a_dead_worker_is_no_sign_of_life(told, caplog):
    loop, seconds = Loop(), []

    def after():
        seconds.append(told().count("WATCHDOG=1"))
        loop.dead = ["mqtt:"] if 3 <= len(seconds) < 6 else []

    loop.run([(1, 1, 1)] * 9, after)
    assert seconds == [0, 1, 1, 0, 0, 0, 1, 1, 1]  # what a block says is seen with the next one
    assert [record.getMessage() for record in caplog.records] == ["does not work: mqtt:"]


def test_no_descriptor_left_for_the_message(told, monkeypatch, caplog):
    def no_socket(*args):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as starved:
        starved.setattr(socket, "socket", no_socket)
        assert not notify("READY=1")
    assert notify("READY=1") and told() == ["READY=1"]
    assert "cannot send 'READY=1' to systemd: Too many open files" in caplog.text


def test_an_error_in_a_thread_is_one_line(caplog, capfd):
    def fail():
        raise RuntimeError("no such counter")

    before = threading.excepthook
    with thread_errors_logged():
        thread = threading.Thread(target=fail, name="mqtt")
        thread.start()
        thread.join()
    assert caplog.messages == ["mqtt ended by an error: RuntimeError: no such counter"]
    assert capfd.readouterr().err == "" and threading.excepthook is before


def test_systemd_is_not_told_more_than_it_needs(told):
    states = []
    Loop().run([(1, 1, 0.1)] * 250, lambda: states.extend(told()))  # 25 s; systemd reads as it goes
    assert 20 <= states.count("WATCHDOG=1") <= 26
    assert states.count("READY=1") == 1 and 2 <= sum(state.startswith("STATUS=") for state in states) <= 4


def test_stopping_is_told_when_the_loop_fails_too(told):
    blocks = supervised(iter([SOUND, SOUND]), Loop(), str)
    next(blocks)
    with pytest.raises(RuntimeError):
        blocks.throw(RuntimeError)
    assert told() == ["STOPPING=1"]


def test_without_systemd_nothing_happens(monkeypatch, caplog):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    assert caplog.text == ""


def test_ready_is_told_again_until_it_was_told(told, monkeypatch):
    name = os.environ["NOTIFY_SOCKET"]
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    Loop().run([(1, 1, 1), (1, 1, 1)], lambda: monkeypatch.setenv("NOTIFY_SOCKET", name))
    assert "READY=1" in told()


def test_a_systemd_that_is_gone_does_not_stop_the_loop(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    notify("READY=1")
    assert "cannot send 'READY=1' to systemd: No such file or directory" in caplog.text


def test_a_decoder_goes_on_by_other_thresholds():
    """An event that is on stays on; one that would have begun does not."""
    decoder = Decoder(DecodeSettings(on=0.5, off=0.3, smoothing=0.0), ["a", "b"], 0.1)
    front = np.tile(np.array([1, 0, 0], np.float32), (8, 1, 1))

    def heard(activity, start):
        return TrackFrames(np.tile(np.array(activity, np.float32), (8, 1, 1)), front, start)

    items = [*decoder.push(heard([0.6, 0.0], 0))]
    decoder.change(DecodeSettings(on=0.9, off=0.3, smoothing=0.0))
    items += [*decoder.push(heard([0.6, 0.0], 8)), *decoder.push(heard([0.0, 0.6], 16)), *decoder.finish()]
    events = [item for item in items if isinstance(item, Event)]
    assert [(event.name, event.onset_s, event.offset_s) for event in events] == [("a", 0.0, pytest.approx(1.6))]


def test_a_governor_goes_on_by_another_budget():
    levels = []
    governor = Governor(BudgetSettings(step_ms=100.0), ["fine", "coarse"], levels.append)
    for _ in range(30):
        governor.step(60.0)
    assert levels == []
    governor.change(BudgetSettings(step_ms=50.0, window_steps=10, misses=3))
    for _ in range(3):
        governor.step(60.0)
    assert levels == [1]
    assert governor.stats().late_steps == 3

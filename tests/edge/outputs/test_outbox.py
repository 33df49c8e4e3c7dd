import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.outputs import outbox as outbox_module
from edge.outputs.line_file import SinkError
from edge.outputs.outbox import MAX_SEGMENTS, Outbox
from edge.outputs.outbox_lines import Entry
from tests.edge.disk import full_disk
from tests.edge.outputs.outbox_files import segments, texts


def crash(outbox):
    """Close the files of an outbox as the end of its process would."""
    for fd in (*outbox._ended_fds, outbox._done_fd, *([] if outbox._tail is None else [outbox._tail.fd])):
        os.close(fd)


def test_lines_wait_in_order_until_they_are_acknowledged(tmp_path):
    outbox = Outbox(tmp_path / "a" / "outbox", 10**6)
    assert [outbox.append(text) for text in ("one", "", "drei ü", "four")] == [1, 2, 3, 4]
    assert outbox.pending(0, 2) == [Entry(1, "one"), Entry(2, "")]
    assert outbox.pending(2, 10) == [Entry(3, "drei ü"), Entry(4, "four")]
    outbox.acknowledge(1)
    assert (texts(outbox), outbox.acknowledged, outbox.waiting) == (["", "drei ü", "four"], 1, 3)
    outbox.acknowledge(4)
    outbox.acknowledge(2)  # late
    assert (texts(outbox), outbox.acknowledged, outbox.waiting) == ([], 4, 0)
    outbox.close()


def test_another_process_continues(tmp_path):
    outbox = Outbox(tmp_path, 10**6)
    for number in range(5):
        outbox.append(str(number))
    outbox.acknowledge(2)
    outbox.close()
    outbox = Outbox(tmp_path, 10**6)
    assert outbox.append("5") == 6
    assert texts(outbox) == ["2", "3", "4", "5"]
    outbox.acknowledge(6)
    outbox.close()
    outbox = Outbox(tmp_path, 10**6)
    assert (texts(outbox), outbox.append("6")) == ([], 7)
    outbox.close()


def test_the_oldest_lines_are_dropped_and_counted(tmp_path, caplog):
    outbox = Outbox(tmp_path, 16_000)
    for number in range(2000):
        outbox.append(f"line {number}")
    left = texts(outbox)
    assert left == [f"line {number}" for number in range(2000 - len(left), 2000)]
    assert outbox.dropped == 2000 - len(left) > 0
    assert len(segments(tmp_path)) == MAX_SEGMENTS and sum(path.stat().st_size for path in segments(tmp_path)) <= 16_000
    assert "full, dropped the oldest" in caplog.text
    outbox.acknowledge(2000)
    assert len(segments(tmp_path)) == 1
    outbox.close()


def test_acknowledged_lines_are_not_counted_as_dropped(tmp_path):
    outbox = Outbox(tmp_path, 16_000)
    for number in range(1, 2001):
        outbox.append(f"line {number}")
        outbox.acknowledge(number - 10)
    assert (outbox.dropped, len(texts(outbox)), outbox.waiting) == (0, 10, 10)
    outbox.close()


def test_one_process_at_a_time(tmp_path):
    outbox = Outbox(tmp_path, 10**6)
    with pytest.raises(SinkError, match=rf"^outbox {tmp_path}: in use by another process$"):
        Outbox(tmp_path, 10**6)
    outbox.close()
    Outbox(tmp_path, 10**6).close()


def test_unusable_folders(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"^outbox .*/file: File exists$"):
        Outbox(tmp_path / "file", 10**6)
    with pytest.raises(SinkError, match=r"^outbox .*/file/a: Not a directory$"):
        Outbox(tmp_path / "file" / "a", 10**6)


def test_several_lines_are_refused(tmp_path):
    outbox = Outbox(tmp_path, 10**6)
    with pytest.raises(ValueError, match=r"^got 'a\\nb', wanted one line$"):
        outbox.append("a\nb")
    outbox.close()


def test_a_full_disk_is_logged_once_however_much_is_acknowledged(tmp_path, caplog):
    outbox = Outbox(tmp_path, 10**6)
    outbox.append("one")
    with full_disk(segments(tmp_path)[0].stat().st_size):
        for number in range(2, 6):
            outbox.append(str(number))
            outbox.acknowledge(number)
        assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["lines wait in memory"]
    outbox.append("six")
    outbox.close()
    assert caplog.records[-1].getMessage().endswith("written again") and len(caplog.records) == 2


def test_a_full_disk(tmp_path, caplog):
    """Lines wait in memory in order, and are written when there is room."""
    outbox = Outbox(tmp_path, 10**6)
    for text in ("one", "two"):
        outbox.append(text)
    with full_disk(segments(tmp_path)[0].stat().st_size + 5):
        for text in ("three", "four"):
            outbox.append(text)
        assert texts(outbox) == ["one", "two", "three", "four"]
        outbox.acknowledge(3)
        assert texts(outbox) == ["four"]
    outbox.append("five")
    outbox.close()
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "lines wait in memory",
        "can be written again",
    ]
    outbox = Outbox(tmp_path, 10**6)
    assert texts(outbox) == ["four", "five"]
    outbox.close()


def test_a_disk_that_stays_full(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(outbox_module, "MAX_LINES_IN_MEMORY", 3)
    outbox = Outbox(tmp_path, 10**6)
    with full_disk():
        for number in range(8):
            outbox.append(str(number))
        assert (texts(outbox), outbox.dropped) == (["5", "6", "7"], 5)
        outbox.close()
    assert "3 lines could not be written and are lost" in caplog.text


def test_a_segment_that_cannot_be_read_is_reported_once(tmp_path, caplog):
    outbox = Outbox(tmp_path, 16 * 30)
    for number in range(5):
        outbox.append(f"line {number}")
    segments(tmp_path)[1].unlink()
    for _ in range(3):
        assert texts(outbox) == ["line 0", "line 2", "line 3", "line 4"]
        outbox._position = outbox_module._Position()
    (record,) = caplog.records
    assert record.getMessage() == f"outbox {tmp_path}: segment 2 is not readable: No such file or directory"
    assert outbox.dropped == 1
    outbox.close()


def test_a_killed_process_loses_no_line_that_was_appended(tmp_path):
    code = f"""
import itertools
from pathlib import Path
from edge.outputs.outbox import Outbox
outbox = Outbox(Path({str(tmp_path)!r}), 10**6)
for number in itertools.count(1):
    print(outbox.append(f"line {{number}}"), flush=True)
    if number % 7 == 0:
        outbox.acknowledge(number - 3)
"""
    appended = 0
    for lines in (5, 50, 500):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
            for _ in range(lines):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().splitlines()
        last = int(rest[-1]) if rest else appended + lines
        outbox = Outbox(tmp_path, 10**6)
        assert outbox.acknowledged + outbox.waiting in (last, last + 1)  # it may have been killed before it printed
        assert [entry.number for entry in outbox.pending(0, 10**6)][-3:] == list(range(outbox._next - 3, outbox._next))
        appended = outbox.acknowledged + outbox.waiting
        outbox.close()


def test_threads_may_append_while_another_sends(tmp_path):
    outbox, got = Outbox(tmp_path, 10**6), []

    def append(name):
        for number in range(300):
            outbox.append(f"{name} {number}")

    writers = [threading.Thread(target=append, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    while len(got) < 600:
        got += outbox.pending(got[-1].number if got else 0, 50)
        if got:
            outbox.acknowledge(got[-1].number)
            outbox.sync()
    assert [entry.number for entry in got] == list(range(1, 601))
    for name in "ab":
        assert [entry.text for entry in got if entry.text[0] == name] == [f"{name} {number}" for number in range(300)]
    outbox.close()


@pytest.mark.parametrize("junk", [b"\0" * 50, b"00000000 \n", b"half a li", b"\xff\n\xff", b"12345678 9 text\n"])
def test_lines_torn_by_a_power_cut_are_skipped_and_reported(tmp_path, junk, caplog):
    outbox = Outbox(tmp_path, 10**6)
    outbox.append("one")
    outbox.close()
    with segments(tmp_path)[0].open("ab") as file:
        file.write(junk)
    outbox = Outbox(tmp_path, 10**6)
    assert "torn by a power cut" in caplog.text
    assert outbox.append("two") == 2
    crash(outbox)
    outbox = Outbox(tmp_path, 10**6)
    assert outbox.pending(0, 10) == [Entry(1, "one"), Entry(2, "two")]
    outbox.close()


@pytest.mark.parametrize("content", [b"", b"\0" * 30, b"1", b"00000000000000000009 00000000\n", b"\xff" * 30])
def test_all_lines_are_sent_again_if_the_record_is_unreadable(tmp_path, content):
    outbox = Outbox(tmp_path, 10**6)
    for text in ("one", "two"):
        outbox.append(text)
    outbox.acknowledge(1)
    outbox.close()
    (tmp_path / "acknowledged").write_bytes(content)
    outbox = Outbox(tmp_path, 10**6)
    assert (texts(outbox), outbox.append("three")) == (["one", "two"], 3)
    outbox.close()


def test_other_files_are_left_alone(tmp_path):
    for name in ("5.log", "notes.txt", "x.log", "\u0665" * 20 + ".log"):
        (tmp_path / name).write_text("mine")
    outbox = Outbox(tmp_path, 10**6)
    outbox.append("one")
    outbox.acknowledge(1)
    outbox.close()
    assert (tmp_path / "5.log").read_text() == "mine" and texts(Outbox(tmp_path, 10**6)) == []


STEPS = st.lists(
    st.tuples(st.just("append"), st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=30))
    | st.tuples(st.just("acknowledge"), st.integers(0, 12))
    | st.tuples(st.just("read"), st.integers(0, 5))
    | st.tuples(st.just("close") | st.just("crash") | st.just("fill"), st.integers(0, 0))
    | st.tuples(st.just("power cut"), st.integers(0, 60)),
    max_size=60,
)


@given(steps=STEPS, max_bytes=st.sampled_from([200, 2000, 10**6]))
def test_any_history_keeps_order_and_loses_only_what_was_dropped(tmp_path_factory, steps, max_bytes):
    """The outbox agrees with a list. A power cut removes bytes at the end, so only unsynced lines may be lost."""
    folder = tmp_path_factory.mktemp("outbox")
    outbox, waiting, dropped, done, sent = Outbox(folder, max_bytes), [], 0, 0, 0
    for step, value in steps:
        match step:
            case "append" | "fill":
                for text in [value] if step == "append" else [f"line {n}" for n in range(20)]:
                    waiting.append(Entry(outbox.append(text), text))
            case "acknowledge":
                done = min(done + value, outbox.acknowledged + outbox.waiting)
                outbox.acknowledge(done)
                waiting = [entry for entry in waiting if entry.number > done]
                sent = max(sent, done)
            case "read":
                found = outbox.pending(sent, value)
                assert found == [entry for entry in waiting if entry.number > sent][:value]
                sent = found[-1].number if found else sent
            case _:
                dropped, sent = 0, done
                if step == "close":
                    outbox.close()
                else:
                    crash(outbox)
                if step == "power cut" and (paths := segments(folder)):
                    size = paths[-1].stat().st_size
                    os.truncate(paths[-1], max(0, size - value))
                outbox = Outbox(folder, max_bytes)
                if step == "power cut":
                    left = outbox.pending(0, 10**6)
                    assert left == waiting[: len(left)]
                    assert sum(len(entry.text.encode()) + 10 for entry in waiting[len(left) + 1 :]) <= value
                    waiting = left
        waiting, dropped = waiting[outbox.dropped - dropped :], outbox.dropped
        assert outbox.pending(0, 10**6) == waiting
        assert all(a.number < b.number for a, b in pairwise(waiting))
    crash(outbox)

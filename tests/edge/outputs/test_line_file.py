"""Files of lines on disks that fail, after power cuts, and under the hands of other programs."""

import errno
import json
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.outputs import line_file
from edge.outputs.appended_file import MAX_LINES_IN_MEMORY, AppendedFile, duplicates, flush
from edge.outputs.line_file import LineFileSettings, SinkError
from edge.outputs.sinks import SinkSettings, open_sink
from edge.types import Event
from tests.edge.disk import full_disk, open_files


def live(path, **settings):
    return open_sink(f"jsonl:{path}", lambda onset_s: datetime.now(UTC), SinkSettings(LineFileSettings(**settings)))


def bell(number):
    return Event("bell", float(number), number + 0.5, 30.0, -20.0, 0.9)


def numbers(path):
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [int(json.loads(line)["onset_s"]) for line in text.splitlines()]


def eventually(condition):
    end_s = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.01)


def fail_with(number):
    def fail(*args, **options):
        raise OSError(number, os.strerror(number))

    return fail


# The end of a file after a power cut


def test_any_cut_of_the_last_lines_is_mended(tmp_path):
    """A file is cut at every byte, and NUL bytes follow; the next line begins a line, and no whole one is lost."""
    path = tmp_path / "a.jsonl"
    sink = live(path)
    for number in range(3):
        sink.emit(bell(number))
    sink.close()
    content = path.read_bytes()
    ends = [len(b"".join(content.splitlines(keepends=True)[:count])) for count in range(4)]
    for kept in range(len(content) + 1):
        for nuls in (0, 1, 70_000) if kept in (*ends, len(content) - 1, len(content) - 5) else (kept % 3,):
            path.write_bytes(content[:kept] + b"\0" * nuls)
            sink = live(path)
            sink.emit(bell(9))
            sink.close()
            whole = sum(kept >= end - 1 for end in ends[1:])  # a line that lacks its end alone is not torn
            assert numbers(path) == [*range(whole), 9]


def test_a_cut_is_logged(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b\0\0')
    live(path).close()
    assert caplog.messages == [f"sink jsonl:{path}: cut off 5 bytes of a torn line"]
    assert path.read_bytes() == b'{"a": 1}\n'


@pytest.mark.parametrize("content", [b"", b'{"a": 1}\n', b"no JSON at all\n"])
def test_whole_lines_are_left_alone(tmp_path, caplog, content):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    live(path).close()
    assert path.read_bytes() == content and caplog.messages == []


def test_a_long_line_of_another_program_is_kept(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * 2_000_000)
    sink = live(path)
    sink.emit(bell(1))
    sink.close()
    first, second = path.read_bytes().splitlines()
    assert first == b"x" * 2_000_000 and json.loads(second)["onset_s"] == 1.0


@given(
    lines=st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=4),
    cut=st.integers(0, 60),
    nuls=st.integers(0, 5),
)
def test_the_next_line_is_whole_after_any_content(tmp_path_factory, lines, cut, nuls):
    path = tmp_path_factory.mktemp("a") / "a.jsonl"
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(content[: max(0, len(content) - cut)] + b"\0" * nuls)
    sink = live(path)
    sink.emit(bell(7))
    sink.close()
    assert json.loads(path.read_bytes().rpartition(b'{"class"')[2].join([b'{"class"', b""]))["onset_s"] == 7.0
    assert path.read_bytes().count(b"\n") >= 1


# Flushes


@pytest.mark.parametrize("sync_s", [0.0, 0.05])
def test_lines_are_flushed_in_time_and_once(tmp_path, monkeypatch, sync_s):
    flushed, size = [], lambda fd: os.fstat(fd).st_size
    path = tmp_path / "a.jsonl"
    monkeypatch.setattr(
        os, "fdatasync", lambda fd: flushed.append((str(Path(f"/proc/self/fd/{fd}").readlink()), size(fd)))
    )
    sink = live(path, sync_s=sync_s)
    sink.emit(bell(0))
    eventually(lambda: (str(path), path.stat().st_size) in flushed)
    assert str(tmp_path) in [name for name, _ in flushed]  # the folder, as the file is new
    count = len(flushed)
    time.sleep(0.3)
    assert len(flushed) == count  # nothing new
    sink.emit(bell(1))
    eventually(lambda: flushed[-1] == (str(path), path.stat().st_size))
    assert len(flushed) == count + 1
    sink.close()


def test_many_lines_share_a_flush(tmp_path, monkeypatch):
    flushes = []
    monkeypatch.setattr(os, "fdatasync", flushes.append)
    sink = live(tmp_path / "a.jsonl", sync_s=3600.0)
    for number in range(100):
        sink.emit(bell(number))
    assert flushes == []
    sink.close()
    assert len(flushes) == 2  # the file and its folder


def test_a_slow_disk_does_not_hold_up_the_loop(tmp_path, monkeypatch):
    flushing, slow_disk = threading.Event(), threading.Event()

    def fdatasync(_fd):
        flushing.set()
        slow_disk.wait(60.0)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    sink = live(tmp_path / "a.jsonl", sync_s=0.0)
    sink.emit(bell(0))
    assert flushing.wait(20.0)
    for number in range(1, 20):
        sink.emit(bell(number))
    assert numbers(tmp_path / "a.jsonl") == list(range(20)) and not slow_disk.is_set()
    slow_disk.set()
    sink.close()


def test_a_flush_that_fails_is_tried_again(tmp_path, monkeypatch, caplog):
    failures, flushed = [errno.EIO] * 3, []

    def fdatasync(fd):
        if failures:
            fail_with(failures.pop())()
        flushed.append(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    sink = live(tmp_path / "a.jsonl", sync_s=0.05)
    sink.emit(bell(0))
    eventually(lambda: len(flushed) == 3)  # the folder with the second failure, and both
    sink.close()
    assert caplog.messages == [
        f"sink jsonl:{tmp_path}/a.jsonl: Input/output error: a power cut would lose the last lines"
    ]


def test_a_run_of_a_file_has_no_thread_and_no_flush(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fdatasync", fail_with(errno.EIO))
    before = set(threading.enumerate())
    sink = open_sink(f"jsonl:{tmp_path}/a.jsonl")
    sink.emit(bell(0))
    assert before.issuperset(threading.enumerate()) and sink.alive
    sink.close()


def test_duplicates_are_closed_if_there_are_too_many(tmp_path, monkeypatch):
    with (tmp_path / "a").open("w") as file:
        with pytest.raises(FileNotFoundError):
            duplicates([file.fileno()] * 3, tmp_path / "none")
        fds = duplicates([file.fileno()], tmp_path)
        with monkeypatch.context() as broken, pytest.raises(OSError, match="Input/output"):
            broken.setattr(os, "fdatasync", fail_with(errno.EIO))
            flush(fds)
    assert open_files(tmp_path) == 0


# Files that are moved or removed


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_a_file_that_another_program_moves_is_begun_anew(tmp_path, caplog, how, is_live):
    path, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    sink = live(path) if is_live else open_sink(f"jsonl:{path}")
    sink.emit(bell(0))
    match how:
        case "removed":
            path.unlink()
        case "moved":
            path.rename(other)
        case "replaced":
            other.write_text("")
            other.rename(path)
    sink.emit(bell(1))
    sink.emit(bell(2))
    sink.close()
    assert numbers(path) == [1, 2] and (how != "moved" or numbers(other) == [0])
    assert caplog.messages == [f"sink jsonl:{path}: the file was moved or removed, and is begun anew"]


def test_a_folder_that_is_removed_and_comes_back(tmp_path, caplog):
    folder = tmp_path / "stick"
    folder.mkdir()
    sink = live(folder / "a.jsonl", sync_s=0.05)
    sink.emit(bell(0))
    folder.rename(tmp_path / "away")
    for number in (1, 2, 3):
        sink.emit(bell(number))
    (tmp_path / "away").rename(folder)
    eventually(lambda: numbers(folder / "a.jsonl") == [0, 1, 2, 3])  # without another event
    sink.close()
    assert sink.dropped == 0


# Disks that cannot be written


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EMFILE])
def test_a_start_without_a_disk(tmp_path, monkeypatch, caplog, number):
    """Lines wait in memory; when the disk can be written, they are, without another event."""
    path = tmp_path / "a.jsonl"
    with monkeypatch.context() as broken:
        broken.setattr(line_file, "open_to_append", fail_with(number))
        with pytest.raises(SinkError, match=os.strerror(number)):
            open_sink(f"jsonl:{path}")
        sink = live(path, sync_s=0.05)
        for each in range(5):
            sink.emit(bell(each))
        assert sink.dropped == 0 and not path.exists()
    eventually(lambda: path.exists() and len(numbers(path)) == 5)
    sink.emit(bell(5))
    sink.close()
    assert numbers(path) == [0, 1, 2, 3, 4, 5]
    assert caplog.messages == [
        f"sink jsonl:{path}: {os.strerror(number)}: lines wait in memory",
        f"sink jsonl:{path}: can be written again, 0 lines dropped so far",
    ]


def test_a_path_that_cannot_exist_is_an_error_in_a_live_run_too(tmp_path):
    with pytest.raises(SinkError, match=r"No such file or directory$"):
        live(tmp_path / "no" / "a.jsonl")


def test_memory_is_bounded_and_drops_are_counted(tmp_path, monkeypatch, caplog):
    path = tmp_path / "a.jsonl"
    sink = live(path, sync_s=3600.0)
    with full_disk():
        for number in range(MAX_LINES_IN_MEMORY + 7):
            sink.emit(bell(number))
        assert sink.dropped == 7
    sink.emit(bell(MAX_LINES_IN_MEMORY + 7))
    assert numbers(path) == list(range(7, MAX_LINES_IN_MEMORY + 8))
    with full_disk():
        sink.emit(bell(0))
        sink.close()
    assert sink.dropped == 8
    assert caplog.messages[-1] == f"sink jsonl:{path}: 1 lines could not be written and are lost"


def test_part_of_a_line_that_cannot_be_removed_at_once(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    sink = live(path, sync_s=3600.0)
    sink.emit(bell(0))
    with monkeypatch.context() as broken, full_disk(path.stat().st_size + 20):
        broken.setattr(os, "ftruncate", fail_with(errno.EROFS))
        sink.emit(bell(1))
        sink.emit(bell(2))
        assert path.read_bytes().count(b'{"class') == 2
    sink.emit(bell(3))
    sink.close()
    assert numbers(path) == [0, 1, 2, 3]


def test_part_of_a_line_in_a_pipe_cannot_be_removed():
    read_end, write_end = os.pipe()
    file = AppendedFile(write_end)
    os.set_blocking(write_end, False)
    with pytest.raises(BlockingIOError):
        file.append(b"x" * 1_000_000)
    assert file._partial_bytes == 0
    os.close(read_end)
    os.close(write_end)

"""The outbox on disks that are full, read-only or failing, at the start and later."""

import errno
import os
from pathlib import Path

import pytest

from edge.outputs import outbox as outbox_module
from edge.outputs.outbox import Outbox
from edge.outputs.outbox_lines import Entry
from tests.edge.disk import full_disk, open_files
from tests.edge.outputs.outbox_files import segments, texts


def failing(number):
    def fail(*args, **options):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("call", ["open", "pwrite"])
def test_a_start_without_a_disk(tmp_path, monkeypatch, caplog, number, call):
    """Lines wait in memory, and get their numbers after those of earlier runs as soon as the folder can be opened."""
    outbox = Outbox(tmp_path, 10**6)
    outbox.append("early")
    outbox.close()
    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing(number))
        outbox = Outbox(tmp_path, 10**6)
        assert [outbox.append(text) for text in ("one", "two")] == [0, 0]
        outbox.sync()
        assert (outbox.pending(0, 10), outbox.waiting, outbox.dropped) == ([], 2, 0)
        outbox.acknowledge(1)
    outbox.sync()
    assert outbox.pending(0, 10) == [Entry(1, "early"), Entry(2, "one"), Entry(3, "two")]
    assert outbox.append("three") == 4
    outbox.close()
    assert caplog.messages == [
        f"outbox {tmp_path}: {os.strerror(number)}: lines wait in memory",
        f"outbox {tmp_path}: can be written again",
    ]


def test_a_disk_that_never_comes(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(outbox_module, "MAX_LINES_IN_MEMORY", 3)
    monkeypatch.setattr(os, "open", failing(errno.EROFS))
    outbox = Outbox(tmp_path, 10**6)
    for number in range(5):
        outbox.append(str(number))
    assert (outbox.dropped, outbox.waiting) == (2, 3)
    outbox.close()
    assert outbox.dropped == 5 and "3 lines could not be written and are lost" in caplog.text


def test_too_few_descriptors_at_the_start_cut_off_nothing(tmp_path, monkeypatch):
    """A segment that cannot be read is not an empty one."""
    outbox = Outbox(tmp_path, 10**6)
    for text in ("one", "two"):
        outbox.append(text)
    outbox.close()
    with monkeypatch.context() as broken:
        broken.setattr(Path, "open", failing(errno.EMFILE))
        outbox = Outbox(tmp_path, 10**6)
        assert outbox.pending(0, 10) == [] and open_files(tmp_path) == 0
    outbox.sync()
    assert texts(outbox) == ["one", "two"]
    outbox.close()


def test_a_segment_on_a_bad_sector_is_given_up_in_the_end(tmp_path, monkeypatch, caplog):
    """It is not cut off, new numbers do not repeat its own, and its lines are counted where their number is known."""
    outbox = Outbox(tmp_path, 16 * 30)
    for number in range(4):
        outbox.append(f"line {number}")
    outbox.close()
    bad, size, opened = segments(tmp_path)[-1], segments(tmp_path)[-1].stat().st_size, Path.open

    def faulty(path, *args, **options):
        if path == bad:
            failing(errno.EIO)()
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", faulty)
    outbox = Outbox(tmp_path, 16 * 30)
    assert outbox.append("new") == 0
    outbox.sync()
    assert outbox.pending(0, 10) == []
    monkeypatch.setattr(outbox_module, "GIVE_UP_S", 0.0)
    outbox.sync()
    found = outbox.pending(0, 10)
    assert [entry.text for entry in found] == ["line 0", "line 1", "line 2", "new"] and found[-1].number > 4
    assert bad.stat().st_size == size and caplog.text.count("is not readable") == 1
    outbox.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
def test_later_lines_do_not_overtake_those_that_cannot_be_read_now(tmp_path, monkeypatch, number):
    """A lack of resources says nothing about a segment; a bad sector holds up what follows for a while."""
    outbox = Outbox(tmp_path, 16 * 30)
    for each in range(5):
        outbox.append(f"line {each}")
    opened = Path.open
    with monkeypatch.context() as broken:
        broken.setattr(
            Path, "open", lambda path, *args: failing(number)() if path.name.endswith("1.log") else opened(path, *args)
        )
        assert texts(outbox) == []
        broken.setattr(outbox_module, "GIVE_UP_S", 0.0)
        assert len(texts(outbox)) == (0 if number == errno.EMFILE else 4)
    assert outbox.dropped == (0 if number == errno.EMFILE else 1)
    if number == errno.EMFILE:
        assert texts(outbox) == [f"line {each}" for each in range(5)]
    outbox.close()


def test_part_of_a_line_that_cannot_be_removed_at_once(tmp_path, monkeypatch):
    outbox = Outbox(tmp_path, 10**6)
    outbox.append("one")
    with monkeypatch.context() as broken, full_disk(segments(tmp_path)[0].stat().st_size + 5):
        broken.setattr(os, "ftruncate", failing(errno.EROFS))
        for text in ("two", "three"):
            outbox.append(text)
    outbox.append("four")
    outbox.close()
    outbox = Outbox(tmp_path, 10**6)
    assert texts(outbox) == ["one", "two", "three", "four"]
    outbox.close()


CALLS = ("open", "write", "pwrite", "ftruncate", "fdatasync", "dup", "unlink")


class Faults:
    """Lets calls of the operating system fail: `failing` of them, from call number `first` on."""

    def __init__(self, monkeypatch, first, failing):
        self.seen = 0
        for name in CALLS:
            target = Path if name == "unlink" else os
            monkeypatch.setattr(target, name, self._faulty(getattr(target, name), first, failing))

    def _faulty(self, call, first, failing):
        def faulty(*args, **options):
            self.seen += 1
            if first <= self.seen < first + failing:
                raise OSError(30, "Read-only file system")
            return call(*args, **options)

        return faulty


def history(outbox):
    """Do a bit of everything, 24 lines long. Returns the last number that was acknowledged."""
    acknowledged = 0
    for number in range(1, 25):
        assert outbox.append(f"line {number}") == number
        if number % 4 == 0:
            outbox.sync()
        if number % 5 == 0:
            acknowledged = number - 3
            outbox.acknowledge(acknowledged)
        assert outbox.pending(0, 100) == [Entry(n, f"line {n}") for n in range(acknowledged + 1, number + 1)]
    return acknowledged


@pytest.mark.parametrize("failing", [1, 4, 10**6])
def test_no_fault_of_the_disk_is_raised_or_loses_a_line(tmp_path, failing):
    """Every call of the operating system fails once, alone or with those that follow it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        outbox, faults = Outbox(tmp_path / "none", 16 * 60), Faults(monkeypatch, 10**6, 0)
        history(outbox)
    outbox.close()
    assert faults.seen > 50
    for first in range(1, faults.seen + 1, 1 if failing == 1 else 3):
        outbox = Outbox(tmp_path / str(first), 16 * 60)
        with pytest.MonkeyPatch.context() as monkeypatch:
            Faults(monkeypatch, first, failing)
            acknowledged = history(outbox)
        assert outbox.append("line 25") == 25 and outbox.dropped == 0
        outbox.close()
        outbox = Outbox(tmp_path / str(first), 16 * 60)
        assert outbox.pending(0, 100) == [Entry(n, f"line {n}") for n in range(acknowledged + 1, 26)]
        outbox.close()


def test_faults_leave_no_file_open(tmp_path, monkeypatch):
    outbox = Outbox(tmp_path, 16 * 60)
    with monkeypatch.context() as broken:
        Faults(broken, 3, 10**6)
        for number in range(100):
            outbox.append(str(number))
            outbox.sync()
        assert open_files(tmp_path) <= 3
    outbox.close()
    assert open_files(tmp_path) == 0


def test_a_flush_that_fails_is_tried_again(tmp_path, monkeypatch, caplog):
    outbox = Outbox(tmp_path, 10**6)
    outbox.append("one")
    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", lambda fd: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        outbox.sync()
        outbox.sync()
    assert [record.getMessage() for record in caplog.records] == [
        f"outbox {tmp_path}: Input/output error: a power cut would lose the last events"
    ]
    flushed = []
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    outbox.sync()
    assert flushed
    outbox.sync()
    assert len(flushed) == 2  # the tail and the folder, once
    outbox.close()

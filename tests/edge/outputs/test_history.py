"""The sink `history:`: what it stores, when, and what it does while the disk fails or holds nonsense."""

import os
import random
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from edge.outputs import history as history_module
from edge.outputs.history import MAX_IN_MEMORY, HistorySink
from edge.outputs.history_reader import open_history
from edge.outputs.history_settings import HistorySettings
from edge.outputs.history_store import is_damaged, open_store
from edge.outputs.line_file import SinkError
from edge.outputs.sinks import SinkSettings, open_sink
from edge.types import Event, FrameRow

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at_noon(onset_s):
    return NOON + timedelta(seconds=onset_s)


def bell(number):
    return Event("bell", float(number), number + 0.5, 30.126, -20.0, 0.91239)


def opened(path, when=at_noon, working=False, **settings):
    """A sink. Unless its worker is to be working, turns are taken by the test."""
    sink = HistorySink(HistorySettings(str(path), **{"sync_s": 3600.0} | settings), when)
    if when is not None and not working:
        assert sink._worker.close()
    return sink


def store(sink):
    sink._sync_due_s = 0.0
    sink._work()


def numbers(path):
    with open_history(path) as history:
        return [round(event.onset_s) for event in history.events()]


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.name == history_module.__name__]


def wait_until(condition, most_s=60.0):
    end_s = time.monotonic() + most_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.01)
    assert condition()


def test_events_of_a_live_run(tmp_path):
    sink = open_sink("history:", at_noon, SinkSettings(history=HistorySettings(str(tmp_path / "h.db"))))
    sink.emit(bell(1))
    sink.emit(FrameRow(0, 3, 0, 30, -20))
    sink.emit(Event("door", 2.0, 2.5, -90.0, None, 0.5))
    sink.close()
    sink.close()
    with open_history(tmp_path / "h.db") as history:
        first, second = history.events()
    assert first.time_s == NOON.timestamp() + 1 and (first.onset_s, first.offset_s) == (1.0, 1.5)
    assert (first.name, first.azimuth_deg, first.elevation_deg, first.score) == ("bell", 30.13, -20.0, 0.912)
    assert (second.elevation_deg, second.sector, second.clip) == (None, "", "")
    assert sink.dropped == 0 and sink.alive


def test_events_of_a_file_get_the_time_at_which_they_are_stored(tmp_path):
    began_s = time.time()
    sink = opened(tmp_path / "h.db", when=None)
    sink.emit(bell(1))
    sink.close()
    with open_history(tmp_path / "h.db") as history:
        (event,) = history.events()
    assert began_s - 1 < event.time_s < time.time() + 1


def test_a_long_file_loses_nothing(tmp_path):
    sink = opened(tmp_path / "h.db", when=None)
    for number in range(3 * MAX_IN_MEMORY + 5):
        sink.emit(bell(number))
    sink.close()
    assert sink.dropped == 0 and numbers(tmp_path / "h.db") == list(range(3 * MAX_IN_MEMORY + 5))


def test_the_worker_commits_at_its_interval(tmp_path):
    sink = opened(tmp_path / "h.db", working=True, sync_s=0.05)
    for number in range(3):
        sink.emit(bell(number))
        wait_until(lambda number=number: numbers(tmp_path / "h.db")[-1:] == [number])
    sink.close()


def test_a_run_goes_on_where_the_last_one_ended(tmp_path):
    for number in range(3):
        sink = opened(tmp_path / "h.db")
        sink.emit(bell(number))
        sink.close()
    assert numbers(tmp_path / "h.db") == [0, 1, 2]


def test_a_clip_is_attached_to_its_event(tmp_path):
    sink = opened(tmp_path / "h.db")
    for number in range(3):
        sink.emit(bell(number))
    sink.attach(bell(1), "a.flac")
    sink.attach(bell(9), "of an event that was dropped.flac")
    store(sink)
    sink.attach(bell(0), "b.flac")
    sink.close()
    with open_history(tmp_path / "h.db") as history:
        assert [event.clip for event in history.events()] == ["b.flac", "a.flac", ""]


def test_a_commit_is_flushed_to_the_disk(tmp_path):
    sink = opened(tmp_path / "h.db")
    assert sink._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert sink._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    sink.close()


class Refusing:
    """A connection whose disk is full as long as it is told so."""

    full = True

    def __init__(self, path):
        self._connection = open_store(path)

    def execute(self, sql, *values):
        if Refusing.full and sql == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return self._connection.execute(sql, *values)

    def __getattr__(self, name):
        return getattr(self._connection, name)


def test_events_wait_in_memory_while_the_disk_is_full(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(history_module, "open_store", Refusing)
    monkeypatch.setattr(Refusing, "full", True)
    sink = opened(tmp_path / "h.db")
    for number in range(MAX_IN_MEMORY + 5):
        sink.emit(bell(number))
        if number in (3, 7):
            store(sink)
    assert sink.alive and sink.dropped == 5 and numbers(tmp_path / "h.db") == []
    monkeypatch.setattr(Refusing, "full", False)
    sink.close()
    assert numbers(tmp_path / "h.db") == list(range(5, MAX_IN_MEMORY + 5))
    assert said(caplog) == [
        f"sink history: {tmp_path / 'h.db'}: database or disk is full: events wait in memory",
        "sink history: can be written again, 5 events dropped so far",
    ]


def test_what_is_lost_at_the_end_is_counted(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(history_module, "open_store", Refusing)
    monkeypatch.setattr(Refusing, "full", True)
    sink = opened(tmp_path / "h.db")
    sink.emit(bell(0))
    sink.close()
    assert sink.dropped == 1 and said(caplog)[-1] == "sink history: 1 events could not be written and are lost"


def test_a_run_of_a_file_ends_with_the_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(history_module, "open_store", Refusing)
    monkeypatch.setattr(Refusing, "full", True)
    sink = opened(tmp_path / "h.db", when=None)
    with pytest.raises(SinkError, match=r"^sink history: .*h\.db: database or disk is full$"):
        for number in range(MAX_IN_MEMORY):
            sink.emit(bell(number))
    assert number == MAX_IN_MEMORY - 1


def test_a_disk_that_cannot_be_written_at_the_start_is_waited_for(tmp_path, monkeypatch, caplog):
    def read_only(*args):
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(history_module, "_touch", read_only)
    with pytest.raises(SinkError, match=r"h\.db: Read-only file system$"):
        opened(tmp_path / "h.db", when=None)
    sink = opened(tmp_path / "h.db")
    sink.emit(bell(0))
    sink.close()
    assert numbers(tmp_path / "h.db") == [0] and sink.dropped == 0
    assert said(caplog)[0].endswith("Read-only file system: events wait in memory")


def test_a_path_that_cannot_exist_is_refused(tmp_path):
    with pytest.raises(SinkError, match=r"^sink history: .*/no/h\.db: No such file or directory$"):
        opened(tmp_path / "no" / "h.db")
    with pytest.raises(SinkError, match=r"Is a directory$"):
        opened(tmp_path)
    (tmp_path / "other.db").write_bytes(b"")
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE accounts (money REAL)")
    other.close()
    with pytest.raises(SinkError, match=r"^sink history: .*got a database of another program"):
        opened(tmp_path / "other.db")


def damage(path, first, count):
    with path.open("r+b") as file:
        file.seek(first)
        file.write(random.Random(first).randbytes(count))


def filled(path, count=400):
    sink = opened(path)
    for number in range(count):
        sink.emit(bell(number))
    sink.close()


@pytest.mark.parametrize("damaged", [(0, 100), (4096, 4096), (4096 * 9, 4096)])
def test_a_damaged_database_is_set_aside(tmp_path, caplog, damaged):
    path = tmp_path / "h.db"
    filled(path)
    damage(path, *damaged)
    content = path.read_bytes()
    sink = opened(path)
    sink.emit(bell(1000))
    sink.close()
    assert numbers(path) == [1000] and sink.dropped == 0
    (aside,) = tmp_path.glob("h.db.damaged-*")
    assert aside.read_bytes() == content
    (line,) = said(caplog)
    assert line.startswith(f"sink history: {path} is damaged (") and aside.name in line


def test_a_database_that_is_damaged_while_it_is_used_is_set_aside(tmp_path, caplog):
    path = tmp_path / "h.db"
    filled(path)
    sink = opened(path)
    store(sink)
    damage(path, 4096, path.stat().st_size - 4096)
    sink._disconnect()  # and what it had in its memory
    sink.emit(bell(1000))
    store(sink)
    sink.close()
    assert numbers(path) == [1000] and any("is damaged" in line for line in said(caplog))


def test_damaged_text_that_a_message_quotes_is_damage(tmp_path, caplog):
    """Python fails to decode SQLite's message: it raises a UnicodeDecodeError."""
    path = tmp_path / "h.db"
    filled(path)
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"\x9aREATE TABLE"))
    with pytest.raises(ValueError, match=r"h\.db: not readable as a history: "):
        numbers(path)
    sink = opened(path)
    sink.emit(bell(1000))
    store(sink)
    sink.close()
    assert numbers(path) == [1000] and any("is damaged" in line for line in said(caplog))


def test_a_database_that_was_removed_is_begun_anew(tmp_path, caplog):
    path = tmp_path / "h.db"
    sink = opened(path)
    sink.emit(bell(0))
    store(sink)
    for each in tmp_path.iterdir():
        each.unlink()
    sink.emit(bell(1))
    store(sink)
    sink.close()
    assert numbers(path) == [1] and said(caplog) == [f"sink history: {path} was moved or removed, and is begun anew"]


def test_a_disk_error_is_no_damage():
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert not is_damaged(full) and not is_damaged(sqlite3.OperationalError("no code"))


def test_old_events_are_deleted(tmp_path):
    path = tmp_path / "h.db"
    sink = opened(path, when=lambda onset_s: datetime.now(UTC) - timedelta(days=2.0 if onset_s < 5 else 0.5), days=1.0)
    for number in range(10):
        sink.emit(bell(number))
    store(sink)
    sink.close()
    assert numbers(path) == list(range(5, 10))


def test_a_hanging_disk_holds_up_nobody(tmp_path, monkeypatch, caplog):
    """`emit` returns, and `close` gives up after its time."""
    hanging, released = threading.Event(), threading.Event()

    class Hanging(Refusing):
        def execute(self, sql, *values):
            if sql == "COMMIT":
                hanging.set()
                assert released.wait(60)
            return self._connection.execute(sql, *values)

    monkeypatch.setattr(history_module, "open_store", Hanging)
    monkeypatch.setattr("edge.outputs.worker.END_S", 0.2)
    sink = opened(tmp_path / "h.db", working=True, sync_s=0.0)
    sink.emit(bell(0))
    assert hanging.wait(60)
    for number in range(1, 2 * MAX_IN_MEMORY + 1):
        sink.emit(bell(number))
    assert sink.dropped == MAX_IN_MEMORY and len(sink._rows) == MAX_IN_MEMORY
    sink.close()
    released.set()
    assert said(caplog)[-1] == "sink history: the disk does not answer; the last events may be lost"


@pytest.mark.parametrize(
    "wrong", [{"database": ""}, {"sync_s": -1.0}, {"days": 0.001}, {"max_mb": 0.1}, {"max_mb": float("1e7")}]
)
def test_invalid_settings(wrong):
    with pytest.raises(ValueError, match=r"^got \w+ .*, wanted "):
        HistorySettings(**wrong)

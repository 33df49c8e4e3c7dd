"""The database of a history: counts, versions, retention, and who may read it."""

import os
import random
import shutil
import sqlite3
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.outputs import history_store
from edge.outputs.history_reader import StoredEvent, Wanted, open_history
from edge.outputs.history_store import DAY_S, MIGRATIONS, ROSE_BINS, Row, insert, open_store, prune, used_bytes

FIRST_S = 1.7e9


def row(time_s, name="bell", azimuth_deg=30.0, sector="", clip=""):
    return Row(time_s, name, time_s - FIRST_S, time_s - FIRST_S + 0.5, azimuth_deg, -20.0, 0.9, sector, clip)


def stored(path, rows):
    connection = open_store(path)
    insert(connection, rows)
    return connection


def spread(count, apart_s=1800.0):
    dice = random.Random(1)
    return [
        row(
            FIRST_S + apart_s * (n + dice.random()),
            dice.choice(["bell", "dog", "door"]),
            dice.choice([-180.0, -0.01, 0.0, 9.99, 10.0, 180.0, round(dice.uniform(-180, 180), 2)]),
            dice.choice(["", "window"]),
        )
        for n in range(count)
    ]


def matches(each, wanted):
    return (
        (wanted.since_s is None or each.time_s >= wanted.since_s)
        and (wanted.until_s is None or each.time_s < wanted.until_s)
        and wanted.name in (None, each.name)
        and wanted.sector in (None, each.sector)
    )


def test_an_event_comes_back_as_it_was(tmp_path):
    flat = Row(FIRST_S + 9, "door", 9.0, 9.5, -179.0, None, 0.5, "window", "a.flac")
    loud = Row(FIRST_S + 10, "unknown", 10.0, 11.0, 5.0, 0.0, 0.4, level_db=-31.5)
    stored(tmp_path / "h.db", [flat, row(FIRST_S + 1), loud]).close()
    with open_history(tmp_path / "h.db") as history:
        assert list(history.events()) == [
            StoredEvent(2, FIRST_S + 1, "bell", 1.0, 1.5, 30.0, -20.0, 0.9, "", "", None),
            StoredEvent(1, FIRST_S + 9, "door", 9.0, 9.5, -179.0, None, 0.5, "window", "a.flac", None),
            StoredEvent(3, FIRST_S + 10, "unknown", 10.0, 11.0, 5.0, 0.0, 0.4, "", "", -31.5),
        ]


def test_a_history_of_the_first_version_is_read_and_then_taken_over(tmp_path, monkeypatch):
    """Its events have no level."""
    with monkeypatch.context() as before:
        before.setattr(history_store, "MIGRATIONS", MIGRATIONS[:1])
        connection = open_store(tmp_path / "h.db")
    connection.execute(
        "INSERT INTO events (time_s, class, onset_s, offset_s, azimuth_deg, elevation_deg, score, sector, clip)"
        " VALUES (?, 'bell', 1.0, 1.5, 30.0, -20.0, 0.9, '', '')",
        (FIRST_S + 1,),
    )
    connection.close()
    old = StoredEvent(1, FIRST_S + 1, "bell", 1.0, 1.5, 30.0, -20.0, 0.9, "", "", None)
    with open_history(tmp_path / "h.db") as history:
        assert list(history.events()) == [old]
    stored(tmp_path / "h.db", [row(FIRST_S + 2)._replace(level_db=-3.0)]).close()
    with open_history(tmp_path / "h.db") as history:
        assert [event.level_db for event in history.events()] == [None, -3.0]


ROWS = spread(300)
MOMENTS = st.one_of(
    st.none(),
    st.floats(FIRST_S - DAY_S, FIRST_S + 8 * DAY_S),
    st.integers(0, 8).map(lambda days: (FIRST_S // DAY_S + days) * DAY_S),
    st.sampled_from([each.time_s for each in ROWS]),
)


@pytest.fixture(scope="module")
def spread_history(tmp_path_factory):
    path = tmp_path_factory.mktemp("history") / "h.db"
    stored(path, ROWS).close()
    return path


@settings(max_examples=60)
@given(
    wanted=st.builds(
        Wanted, MOMENTS, MOMENTS, st.sampled_from([None, "bell", "none"]), st.sampled_from([None, "", "window"])
    ),
    limit=st.sampled_from([None, 1, 7, 1000]),
)
def test_queries_give_what_a_loop_gives(spread_history, wanted, limit):
    found = [each for each in sorted(ROWS) if matches(each, wanted)]
    roses = defaultdict(lambda: [0] * ROSE_BINS)
    for each in found:
        roses[each.name][int(each.azimuth_deg % 360 // 10)] += 1
    since_s = None if wanted.since_s is None else wanted.since_s // 3600 * 3600
    until_s = None if wanted.until_s is None else -(-wanted.until_s // 3600) * 3600
    whole_hours = Wanted(since_s, until_s, wanted.name, wanted.sector)
    hours = Counter((each.time_s // 3600 * 3600, each.name) for each in ROWS if matches(each, whole_hours))
    with open_history(spread_history) as history:
        assert [each.time_s for each in history.events(wanted, limit)] == [
            each.time_s for each in (found if limit is None else found[-limit:])
        ]
        assert history.rose(wanted) == roses
        assert history.per_hour(wanted) == [(hour, name, count) for (hour, name), count in sorted(hours.items())]
        if wanted.since_s is None and wanted.until_s is None:
            assert history.totals(wanted) == Counter(each.name for each in found)


def test_events_of_one_moment_are_all_listed(tmp_path, monkeypatch):
    """And one that is stored twice is there once."""
    monkeypatch.setattr("edge.outputs.history_reader._CHUNK", 3)
    stored(tmp_path / "h.db", [row(FIRST_S, azimuth_deg=float(n)) for n in range(10)] * 2).close()
    with open_history(tmp_path / "h.db") as history:
        assert [event.id for event in history.events()] == list(range(1, 11))
        assert [event.id for event in history.events(limit=4)] == [7, 8, 9, 10]


def test_counts_follow_deleted_events(tmp_path):
    connection = stored(tmp_path / "h.db", ROWS)
    connection.execute("DELETE FROM events WHERE id % 2 = 0")
    with open_history(tmp_path / "h.db") as history:
        assert history.totals() == Counter(each.name for each in ROWS[::2])
        assert sum(map(sum, history.rose().values())) == len(ROWS[::2])
    connection.execute("DELETE FROM events")
    assert connection.execute("SELECT count(*) FROM days").fetchone() == (0,)
    connection.close()


def test_old_events_are_deleted(tmp_path):
    connection = stored(tmp_path / "h.db", ROWS)
    assert not prune(connection, ROWS[100].time_s, 10**9)
    with open_history(tmp_path / "h.db") as history:
        assert [event.time_s for event in history.events()] == [each.time_s for each in ROWS[100:]]
    connection.close()


def test_the_oldest_events_make_room(tmp_path):
    """The file itself becomes smaller, too."""
    path = tmp_path / "h.db"
    connection = stored(path, spread(6000, 60.0))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before, most = path.stat().st_size, used_bytes(connection) // 2
    assert prune(connection, 0.0, most)  # a part of it in each call
    for _ in range(10):
        prune(connection, 0.0, most)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert used_bytes(connection) <= most and path.stat().st_size < 0.7 * before
    with open_history(path) as history:
        times = [event.time_s for event in history.events()]
    assert 1000 < len(times) < 5001 and times == [each.time_s for each in spread(6000, 60.0)[-len(times) :]]
    connection.close()


def test_a_new_version_takes_over_the_events(tmp_path, monkeypatch):
    path = tmp_path / "h.db"
    stored(path, [row(FIRST_S)]).close()
    newer = (*MIGRATIONS, "ALTER TABLE events ADD COLUMN note TEXT NOT NULL DEFAULT 'none';")
    monkeypatch.setattr(history_store, "MIGRATIONS", newer)
    connection = open_store(path)
    assert connection.execute("SELECT class, note FROM events").fetchall() == [("bell", "none")]
    assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)
    connection.close()
    monkeypatch.undo()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"h\.db: got a history of version {len(newer)}, wanted at most"):
        open_store(path)
    with pytest.raises(ValueError, match="got a history of version"), open_history(path):
        pass
    assert path.read_bytes() == before


def test_a_migration_that_fails_leaves_the_version_before(tmp_path, monkeypatch):
    path = tmp_path / "h.db"
    stored(path, [row(FIRST_S)]).close()
    broken = (*MIGRATIONS, "ALTER TABLE events ADD COLUMN note TEXT; SELECT no_such_function();")
    monkeypatch.setattr(history_store, "MIGRATIONS", broken)
    with pytest.raises(sqlite3.OperationalError):
        open_store(path)
    monkeypatch.undo()
    connection = open_store(path)
    assert "note" not in [column[1] for column in connection.execute("PRAGMA table_info(events)")]
    connection.close()


def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE accounts (money REAL)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"other\.db: got a database of another program"):
        open_store(path)
    with pytest.raises(ValueError, match="of another program"), open_history(path):
        pass
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["other.db"]


@pytest.mark.parametrize("content", [None, b"", b"no database, but a text\n" * 100])
def test_what_is_no_history_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "h.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path}: [^\n]*$"), open_history(path):
        pass
    assert content is None or path.read_bytes() == content


def read_as_nobody(path):
    """Number of events that another user finds; in a child process, as nobody may not even import what lies here."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            with open_history(path) as history:
                found = str(len(list(history.events())))
        except BaseException as error:
            found = repr(error)
        os.write(write_end, found.encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        found = answer.read()
    os.waitpid(pid, 0)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_who_may_only_read():
    """While a service writes, and after it has closed the database and removed what lies beside it."""
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        path = folder / "h.db"
        connection = stored(path, [row(FIRST_S)])
        assert path.with_name("h.db-wal").stat().st_size  # the event is in the log only
        assert read_as_nobody(path) == "1"
        insert(connection, [row(FIRST_S + 1)])
        assert read_as_nobody(path) == "2"
        connection.close()
        assert [each.name for each in folder.iterdir()] == ["h.db"]
        assert read_as_nobody(path) == "2"
        assert [each.name for each in folder.iterdir()] == ["h.db"]
        path.chmod(0o600)
        assert "not readable as a history: unable to open database file" in read_as_nobody(path)
    finally:
        shutil.rmtree(folder)

import pytest

from edge.outputs.history_store import Row, insert, open_store
from edge.page.recent import Query, Recent
from edge.page.stored import Stored
from tests.edge.page.served import RECORD

DAY_S = 86400.0
NOON_S = 20_000 * DAY_S + 12 * 3600.0


def row(name, time_s, azimuth_deg=30.0, clip=""):
    return Row(time_s, name, time_s - NOON_S, time_s - NOON_S + 1.5, azimuth_deg, 10.0, 0.9, "door", clip)


@pytest.fixture
def recent():
    return Recent(lambda: NOON_S + 100.0)


@pytest.fixture
def stored(tmp_path, recent):
    connection = open_store(tmp_path / "history.db")
    with connection:
        insert(
            connection,
            [row("bell", NOON_S), row("speech", NOON_S + 3600.0, -95.0), row("bell", NOON_S + 10.0, clip="b.flac")],
        )
    connection.close()
    (tmp_path / "b.flac").write_bytes(b"fLaC")
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "b.flac").write_bytes(b"fLaC")
    (tmp_path / "clips" / "link.flac").symlink_to(tmp_path / "secret")
    return Stored(tmp_path / "history.db", tmp_path / "clips", recent)


def told(records):
    return [(record["class"], record["at_s"] - NOON_S) for record in records]


def test_the_latest_come_first(stored):
    assert told(stored.events(Query())) == [("speech", 3600.0), ("bell", 10.0), ("bell", 0.0)]
    assert told(stored.events(Query("bell", limit=1))) == [("bell", 10.0)]
    assert [record["clip"] for record in stored.events(Query("bell"))] == ["b.flac", None]


def test_a_sound_without_a_class_has_its_level(tmp_path, recent):
    connection = open_store(tmp_path / "history.db")
    insert(connection, [row("bell", NOON_S), row("unknown", NOON_S + 1.0)._replace(level_db=-42.0)])
    connection.close()
    records = Stored(tmp_path / "history.db", None, recent).events(Query())
    assert [record.get("level_db", "none") for record in records] == [-42.0, "none"]


def test_what_is_not_stored_yet_is_among_them_once(stored, recent):
    recent.add(RECORD | {"class": "bell", "onset_s": 10.0, "azimuth_deg": 30.0})  # is stored
    recent.add(RECORD | {"class": "bell", "onset_s": 98.0})
    assert told(stored.events(Query("bell"))) == [("bell", 100.0), ("bell", 10.0), ("bell", 0.0)]


def test_counts(stored):
    counts = stored.counts(Query(since_s=20_000 * DAY_S, until_s=20_001 * DAY_S))
    assert counts.hours == {"bell": [0] * 12 + [2] + [0] * 11, "speech": [0] * 13 + [1] + [0] * 10}
    assert counts.rose == {"bell": [0, 0, 0, 2] + [0] * 32, "speech": [0] * 26 + [1] + [0] * 9}


@pytest.mark.parametrize("name", ["../b.flac", "../secret", "link.flac", "", ".", "..", "/etc/passwd", "none.flac"])
def test_only_files_of_the_folder_are_clips(stored, name):
    assert stored.clip(name) is None and stored.clip("b.flac").name == "b.flac"


def test_without_a_database_this_run_is_shown(tmp_path, recent, caplog):
    recent.add(RECORD)
    stored = Stored(tmp_path / "history.db", None, recent)
    assert told(stored.events(Query())) == [("bell", 100.0)] and stored.counts(Query()).rose.keys() == {"bell"}
    assert "got no history there" in caplog.text

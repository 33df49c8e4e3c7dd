"""`seld-edge events`: what is listed, in which format, and of which database."""

import csv
import json
import re
import time
from datetime import datetime

import pytest

from edge.commands.moments import moment_s
from edge.outputs.history_store import Row, insert, open_store
from edge.scoring.annotations import read_annotations
from tests.edge.command_line import refused


@pytest.fixture
def now_s():
    """The time of the test: the options count from it, and the machine may be slow."""
    return round(time.time()) + 0.25


@pytest.fixture
def database(tmp_path, now_s):
    """Four events, the last a minute ago."""
    path = tmp_path / "h.db"
    connection = open_store(path)
    insert(
        connection,
        [
            Row(now_s - 7200, "door", 10.0, 11.0, -90.0, -20.4, 0.8, "street"),
            Row(now_s - 1800, "telephone", 5410.0, 5410.3, 46.68, None, 0.961, "", "a.flac"),
            Row(now_s - 1799.9, "door", 5410.1, 5410.3, 10.0, 0.0, 0.5),
            Row(now_s - 60, "door", 7150.0, 7152.0, 180.0, 5.0, 0.7, "street", level_db=0.0),
        ],
    )
    connection.close()
    return path


def listed(answer):
    code, out, err = answer
    assert (code, err) == (0, "")
    return out.splitlines()


def test_a_table(seld, database):
    lines = listed(seld("events", "--database", database))
    assert len(lines) == 5 and lines[0].split()[:4] == ["time", "class", "seconds", "azimuth"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.250  door +1\.0 +-90 +-20  0\.80  street", lines[1])
    assert lines[2].endswith("  a.flac") and "None" not in lines[2] and lines[4].endswith("  street, 0 dB")


def test_filters(seld, database, now_s):
    def count(*options):
        return len(listed(seld("events", "--database", database, "--format", "json", *options)))

    assert count() == 4 and count("--class", "door") == 3 and count("--class", "none") == 0
    assert count("--sector", "street") == 2 and count("--limit", "3") == 3
    assert count("--since", "1h") == 3 and count("--since", "1h", "--until", "10m") == 2
    assert count("--since", datetime.fromtimestamp(now_s - 70).isoformat()) == 1


def test_csv_and_json_have_the_same_fields(seld, database, now_s):
    rows = list(csv.DictReader(listed(seld("events", "--database", database, "--format", "csv"))))
    records = [json.loads(line) for line in listed(seld("events", "--database", database, "--format", "json"))]
    assert [row["clip"] for row in rows] == ["", "a.flac", "", ""]
    assert rows[1]["elevation_deg"] == "" and records[1]["elevation_deg"] is None
    assert [float(row["onset_s"]) for row in rows] == [record["onset_s"] for record in records]
    assert list(records[2]) == ["class", "onset_s", "offset_s", "azimuth_deg", "elevation_deg", "score", "time"]
    assert records[1]["clip"] == "a.flac" and records[0]["sector"] == "street"
    assert [row["level_db"] for row in rows] == ["", "", "", "0.0"] and records[3]["level_db"] == 0.0
    assert datetime.fromisoformat(records[3]["time"]).timestamp() == now_s - 60


def test_json_lines_can_be_imported_into_another_history(seld, database, tmp_path):
    text = "\n".join(listed(seld("events", "--database", database, "--format", "json"))) + "\n"
    (tmp_path / "a.jsonl").write_text(text)
    for added in (4, 0):
        (said,) = listed(seld("events", "--import", tmp_path / "a.jsonl", "--database", tmp_path / "other.db"))
        assert said.startswith(f"{tmp_path / 'other.db'}: {added} events added, {4 - added} known already")
    assert "\n".join(listed(seld("events", "--database", tmp_path / "other.db", "--format", "json"))) + "\n" == re.sub(
        r', "clip": "a\.flac"', "", text
    )


def test_label_frames(seld, database, now_s, tmp_path):
    lines = listed(seld("events", "--database", database, "--since", "1h", "--until", "5m", "--format", "dcase"))
    (tmp_path / "a.csv").write_text("\n".join(lines))
    labels = read_annotations(tmp_path / "a.csv", 13)
    first = labels[0].frame
    assert [(each.frame - first, each.class_index, each.azimuth_deg, each.elevation_deg) for each in labels] == [
        (0, 11, 47.0, 0.0), (1, 4, 10.0, 0.0), (1, 11, 47.0, 0.0), (2, 4, 10.0, 0.0), (2, 11, 47.0, 0.0),
    ]  # fmt: skip
    assert abs(first - 18000 + 10 * (time.time() - now_s)) <= 600  # half an hour after --since
    assert len({each.track for each in labels}) == 2
    lines = listed(seld("events", "--database", database, "--format", "dcase"))
    assert lines[0].startswith("0,4,") and lines == sorted(lines, key=lambda line: int(line.split(",")[0]))


def test_an_event_of_an_unknown_class_has_no_number(seld, database, tiny_bundle):
    refused(
        seld("events", "--database", database, "--format", "dcase", "--model", tiny_bundle),
        "got class 'door', wanted one of low, high",
    )


def test_the_database_of_the_settings(seld, database, tmp_path, monkeypatch):
    (tmp_path / "a.toml").write_text(f'[history]\ndatabase = "{database}"\n')
    assert len(listed(seld("events", "--config", tmp_path / "a.toml"))) == 5
    monkeypatch.chdir(tmp_path)
    refused(seld("events", "--since", "1h"), r"/var/lib/seld-edge/history\.db: got no history there")
    database.rename(tmp_path / "history.db")
    assert len(listed(seld("events"))) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--since", "yesterday"], "got --since 'yesterday', wanted 90s, 30m, 1h, 7d or a time"),
        (["--until", "1y"], "got --until '1y'"),
        (["--limit", "0"], "got --limit 0, wanted at least 1"),
        (["--format", "dcase", "--model", "none"], "got no such bundle"),
        (["--import", "none.jsonl"], "none.jsonl: No such file"),
    ],
)
def test_options_that_make_no_sense(seld, database, options, message):
    refused(seld("events", "--database", database, *options), message)


def test_moments():
    assert moment_s("--since", "1.5h", 1e6) == 1e6 - 5400
    assert moment_s("--since", "2026-05-01T12:00:00Z", 0.0) == 1777636800
    assert moment_s("--since", "2026-05-01", 0.0) == datetime(2026, 5, 1).timestamp()

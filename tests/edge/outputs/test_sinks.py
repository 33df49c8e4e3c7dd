import json
import logging
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from edge.outputs.line_file import LineFileSettings, SinkError
from edge.outputs.sinks import WANTED, SinkSettings, open_sink
from edge.types import Event, EventUpdate, FrameRow
from tests.edge.disk import full_disk

BELL = Event("bell", 1.23456, 2.5, 30.126, -20.0, 0.91239)
ROWS = [FrameRow(0, 3, 0, 30, -20), FrameRow(0, 1, 1, -179, 5), FrameRow(7, 3, 0, 31, -20)]


def at_noon(onset_s):
    return datetime(2024, 5, 1, 12, tzinfo=UTC)


def records(path):
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_json_line_of_a_file(tmp_path):
    sink = open_sink(f"jsonl:{tmp_path}/a.jsonl")
    sink.emit(BELL)
    for row in ROWS:
        sink.emit(row)
    assert records(tmp_path / "a.jsonl") == [  # before close: every line is out at once
        {
            "class": "bell",
            "onset_s": 1.235,
            "offset_s": 2.5,
            "azimuth_deg": 30.13,
            "elevation_deg": -20.0,
            "score": 0.912,
            "time": None,
            "id": 0,
            "phase": "end",
            "sector": None,
        }
    ]
    sink.close()
    sink.close()


def test_json_line_of_a_live_source(tmp_path):
    started = datetime(2024, 5, 1, 23, 59, 59, 500_000, tzinfo=timezone(timedelta(hours=2)))
    sink = open_sink(f"jsonl:{tmp_path}/a.jsonl", lambda onset_s: started + timedelta(seconds=onset_s))
    sink.emit(BELL)
    record = records(tmp_path / "a.jsonl")[0]
    assert record["time"] == "2024-05-01T22:00:00.734Z"
    assert datetime.fromisoformat(record["time"]).tzinfo is not None


def test_updates_of_events_where_they_are_wanted(tmp_path):
    items = [EventUpdate("begin", BELL), EventUpdate("update", BELL), BELL, EventUpdate("discarded", BELL), ROWS[0]]
    for events, phases in (("ended", ["end"]), ("all", ["begin", "update", "end", "discarded"])):
        sink = open_sink(f"jsonl:{tmp_path}/{events}", None, SinkSettings(LineFileSettings(events=events)))
        for item in items:
            sink.emit(item)
        sink.close()
        assert [record["phase"] for record in records(tmp_path / events)] == phases
    assert len({frozenset({**record, "phase": ""}.items()) for record in records(tmp_path / "all")}) == 1
    with pytest.raises(ValueError, match=r"^got events 'begun', wanted ended or all$"):
        LineFileSettings(events="begun")


def test_a_flat_array_gives_no_elevation(tmp_path):
    sink = open_sink(f"jsonl:{tmp_path}/a.jsonl")
    sink.emit(Event("bell", 1.0, 2.0, 30.0, None, 0.5))
    assert records(tmp_path / "a.jsonl")[0]["elevation_deg"] is None


def test_numpy_values_and_names_of_any_kind(tmp_path):
    half = np.float32(0.5)
    sink = open_sink(f"jsonl:{tmp_path}/a.jsonl", at_noon)
    sink.emit(Event('Tür "auf"\n', half, half, np.float32(-0.0001), half, half))
    text = (tmp_path / "a.jsonl").read_text()
    assert records(tmp_path / "a.jsonl")[0]["class"] == 'Tür "auf"\n'
    assert '"azimuth_deg": 0.0,' in text and "Tür" in text


@pytest.mark.parametrize("when", [None, at_noon])
def test_no_run_truncates_an_event_file(tmp_path, when):
    for expected in (1, 2, 3):
        sink = open_sink(f"jsonl:{tmp_path}/a.jsonl", when)
        sink.emit(BELL)
        sink.close()
        assert len(records(tmp_path / "a.jsonl")) == expected


@pytest.mark.parametrize("when", [None, at_noon])
def test_a_csv_file_with_content_is_put_aside(tmp_path, when):
    for frame in (1, 2, 3):
        sink = open_sink(f"dcase:{tmp_path}/a.csv", when)
        sink.emit(FrameRow(frame, 0, 0, 0, 0))
        sink.close()
    open_sink(f"dcase:{tmp_path}/a.csv", when).close()
    open_sink(f"dcase:{tmp_path}/a.csv", when).close()  # an empty one is not worth keeping
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"a.csv": "", "a.csv.1": "3,0,0,0,0\n", "a.csv.2": "2,0,0,0,0\n", "a.csv.3": "1,0,0,0,0\n"}


@pytest.mark.parametrize("kind", ["jsonl", "dcase"])
def test_a_file_is_replaced_where_that_is_asked_for(tmp_path, kind):
    for _ in range(2):
        sink = open_sink(f"{kind}:{tmp_path}/a", replace=True)
        sink.emit(BELL)
        sink.emit(ROWS[0])
        sink.close()
    assert len((tmp_path / "a").read_text().splitlines()) == 1 and len(list(tmp_path.iterdir())) == 1


def test_stdout(capfd):
    print("before")
    sink = open_sink("jsonl:-")
    sink.emit(BELL)
    sink.close()
    print("after")
    sys.stdout.flush()
    first, line, last = capfd.readouterr().out.splitlines()
    assert (first, json.loads(line)["class"], last) == ("before", "bell", "after")


def test_dcase_csv(tmp_path):
    sink = open_sink(f"dcase:{tmp_path}/a.csv")
    sink.emit(BELL)
    for row in ROWS[:2]:
        sink.emit(row)
    for row in ROWS[2:]:
        sink.emit(row)
    sink.close()
    assert (tmp_path / "a.csv").read_text() == "0,3,0,30,-20\n0,1,1,-179,5\n7,3,0,31,-20\n"


def test_null():
    sink = open_sink("null")
    sink.emit(BELL)
    for row in ROWS:
        sink.emit(row)
    sink.close()


@pytest.mark.parametrize(
    "spec", ["", "jsonl", "jsonl:", "dcase:", "csv:a", "null:a", "a.jsonl", "mqtt", "mqtt:a", "lines:"]
)
def test_unknown_sinks(spec):
    with pytest.raises(ValueError, match=f"^sink: got '{spec}', wanted {re.escape(WANTED)}$"):
        open_sink(spec)


def test_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(SinkError, match=r"^sink dcase:.*/no/a\.csv: No such file or directory$"):
        open_sink(f"dcase:{tmp_path}/no/a.csv")


def test_full_device():
    sink = open_sink("jsonl:/dev/full")
    with pytest.raises(SinkError, match=r"^sink jsonl:/dev/full: No space left on device$"):
        sink.emit(BELL)
    sink.close()


def test_a_line_cut_by_a_full_disk_is_removed(tmp_path):
    path = tmp_path / "a.jsonl"
    sink = open_sink(f"jsonl:{path}")
    sink.emit(BELL)
    sink.emit(BELL)
    line_bytes = path.stat().st_size // 2
    for _ in range(2):
        failure = pytest.raises(SinkError, match=r"^sink jsonl:.*a\.jsonl: File too large$")
        with failure, full_disk(3 * line_bytes - 1):
            sink.emit(BELL)
        assert len(records(path)) == 2
    with full_disk(3 * line_bytes):
        sink.emit(BELL)
    sink.close()
    assert len(records(path)) == 3


def test_rows_written_before_the_cut_stay(tmp_path):
    path = tmp_path / "a.csv"
    sink = open_sink(f"dcase:{path}")
    with pytest.raises(SinkError), full_disk(20):
        for row in ROWS:
            sink.emit(row)
    assert path.read_text() == "0,3,0,30,-20\n"


IMPORTS = "from edge.outputs.sinks import *; from edge.types import Event; import resource; from datetime import *\n"


def run_stdout(code, stdout):
    command = [sys.executable, "-c", IMPORTS + code]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=300, check=False)


EMIT = "e = Event('bell', 1, 2, 3, 4, 0.5)\ns = open_sink('jsonl:-')\ns.emit(e)\n"


def test_redirected_stdout_on_a_full_disk(tmp_path):
    path = tmp_path / "out.jsonl"
    with path.open("w") as out:
        done = run_stdout(EMIT + "resource.setrlimit(resource.RLIMIT_FSIZE, (150, -1))\ns.emit(e)", out)
        print("later", file=out)
    assert "SinkError: sink jsonl:-: File too large" in done.stderr
    bell, later = path.read_text().splitlines()
    assert json.loads(bell)["class"] == "bell" and later == "later"


def test_pipe_without_a_reader():
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = run_stdout(EMIT, write_end)
    os.close(write_end)
    assert done.stderr.strip().splitlines()[-1] == "edge.outputs.line_file.SinkError: sink jsonl:-: Broken pipe"


def test_killed_process_leaves_whole_lines(tmp_path):
    path = tmp_path / "out.jsonl"
    code = f"e = Event('bell', 1, 2, 3, 4, 0.5)\ns = open_sink('jsonl:{path}')\nfor _ in range(9): s.emit(e)\n"
    run_stdout(code + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", subprocess.DEVNULL)
    assert len(records(path)) == 9


@pytest.mark.parametrize("kind", ["jsonl", "dcase"])
def test_a_live_run_survives_a_full_disk(tmp_path, kind, caplog):
    """Lines wait in memory and are written when there is room, in order; there are no cut lines."""
    path = tmp_path / "a"
    sink = open_sink(f"{kind}:{path}", at_noon)

    def emit(number):
        sink.emit(Event("bell", float(number), 2.5, 30.0, -20.0, 0.9))
        sink.emit(FrameRow(number, 3, 0, 30, -20))

    emit(0)
    line = path.read_text()
    with full_disk(2 * len(line) - 1), caplog.at_level(logging.WARNING):
        for number in range(1, 4):
            emit(number)
    assert path.read_text() == line
    emit(4)
    emit(5)
    sink.close()
    lines = path.read_text().splitlines()
    numbers = [int(line.split(",")[0]) if kind == "dcase" else json.loads(line)["onset_s"] for line in lines]
    assert (sink.dropped, numbers) == (0, [0, 1, 2, 3, 4, 5])
    assert [record.getMessage() for record in caplog.records] == [
        f"sink {kind}:{path}: File too large: lines wait in memory",
        f"sink {kind}:{path}: can be written again, 0 lines dropped so far",
    ]


def test_a_live_run_ends_with_its_reader():
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = run_stdout(EMIT.replace("'jsonl:-')", "'jsonl:-', lambda onset_s: datetime.now(UTC))"), write_end)
    os.close(write_end)
    assert done.stderr.strip().splitlines()[-1] == "edge.outputs.line_file.SinkError: sink jsonl:-: Broken pipe"


def rotating(path, lines, keep=2):
    """A sink whose file is rotated when it holds a number of lines of BELL."""
    open_sink(f"jsonl:{path}").emit(BELL)
    rotation = LineFileSettings(max(0.001, lines * path.stat().st_size / 1e6), keep)
    path.unlink()
    return open_sink(f"jsonl:{path}", None, SinkSettings(rotation))


def test_files_are_rotated(tmp_path):
    sink = rotating(tmp_path / "a.jsonl", 10)
    for number in range(35):
        sink.emit(Event("bell", 1.23456 + number, 2.5, 30.126, -20.0, 0.91239))
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.1", "a.jsonl.2"]
    kept = [
        round(record["onset_s"] - 1.235) for name in (".2", ".1", "") for record in records(tmp_path / f"a.jsonl{name}")
    ]
    assert kept == list(range(35 - len(kept), 35)) and 20 < len(kept) <= 30


def test_a_failed_rotation_is_tried_again(tmp_path, caplog):
    (tmp_path / "a.jsonl.new").mkdir()
    sink = rotating(tmp_path / "a.jsonl", 10)
    for _ in range(25):
        sink.emit(BELL)
    assert len(records(tmp_path / "a.jsonl")) == 25
    (tmp_path / "a.jsonl.new").rmdir()
    for _ in range(15):
        sink.emit(BELL)
    assert [len(records(tmp_path / f"a.jsonl{name}")) for name in (".2", ".1", "")] == [25, 10, 5]
    assert [record.getMessage() for record in caplog.records] == [
        f"sink jsonl:{tmp_path}/a.jsonl: cannot rotate the file, it keeps growing: Is a directory",
        f"sink jsonl:{tmp_path}/a.jsonl: the file was rotated again",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((-1.0, 5), r"got max_mb -1\.0, wanted 0 or 0\.001 to 1000000"),
        ((1e-6, 5), r"got max_mb 1e-06, wanted 0 or"),
        ((1.0, 0), "got keep 0, wanted 1 to 1000"),
        ((1.0, 1, -0.1), r"got sync_s -0\.1, wanted 0 to 3600"),
    ],
)
def test_invalid_rotation(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        LineFileSettings(*settings)

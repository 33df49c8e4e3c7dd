import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from edge.sinks import SinkError, open_sink
from edge.types import Event, FrameRow

BELL = Event("bell", 1.23456, 2.5, 30.126, -20.0, 0.91239)
ROWS = [FrameRow(0, 3, 0, 30, -20), FrameRow(0, 1, 1, -179, 5), FrameRow(7, 3, 0, 31, -20)]


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
        }
    ]
    sink.close()
    sink.close()


def test_json_line_of_a_live_source(tmp_path):
    started = datetime(2024, 5, 1, 23, 59, 59, 500_000, tzinfo=timezone(timedelta(hours=2)))
    sink = open_sink(f"jsonl:{tmp_path}/a.jsonl", started)
    sink.emit(BELL)
    record = records(tmp_path / "a.jsonl")[0]
    assert record["time"] == "2024-05-01T22:00:00.734Z"
    assert datetime.fromisoformat(record["time"]).tzinfo is not None


def test_numpy_values_and_names_of_any_kind(tmp_path):
    half = np.float32(0.5)
    sink = open_sink(f"jsonl:{tmp_path}/a.jsonl", datetime.now(UTC))
    sink.emit(Event('Tür "auf"\n', half, half, np.float32(-0.0001), half, half))
    text = (tmp_path / "a.jsonl").read_text()
    assert records(tmp_path / "a.jsonl")[0]["class"] == 'Tür "auf"\n'
    assert '"azimuth_deg": 0.0,' in text and "Tür" in text


def test_live_runs_append_and_files_begin_anew(tmp_path):
    for started_at, expected in ((None, 1), (None, 1), (datetime.now(UTC), 2), (datetime.now(UTC), 3), (None, 1)):
        sink = open_sink(f"jsonl:{tmp_path}/a.jsonl", started_at)
        sink.emit(BELL)
        sink.close()
        assert len(records(tmp_path / "a.jsonl")) == expected


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


@pytest.mark.parametrize("spec", ["", "jsonl", "jsonl:", "dcase:", "csv:a", "null:a", "a.jsonl"])
def test_unknown_sinks(spec):
    with pytest.raises(ValueError, match=r"sink: got '.*', wanted jsonl:-, jsonl:FILE, dcase:FILE or null"):
        open_sink(spec)


def test_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(SinkError, match=r"^sink dcase:.*/no/a\.csv: No such file or directory$"):
        open_sink(f"dcase:{tmp_path}/no/a.csv")


def test_full_device():
    sink = open_sink("jsonl:/dev/full")
    with pytest.raises(SinkError, match=r"^sink jsonl:/dev/full: No space left on device$"):
        sink.emit(BELL)
    sink.close()


@contextmanager
def file_limit(size):
    """How large a file may grow meanwhile, pytest's own log too: a write across the limit is short, the next fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_line_cut_by_a_full_disk_is_taken_back(tmp_path):
    path = tmp_path / "a.jsonl"
    sink = open_sink(f"jsonl:{path}")
    sink.emit(BELL)
    sink.emit(BELL)
    line_bytes = path.stat().st_size // 2
    for _ in range(2):
        failure = pytest.raises(SinkError, match=r"^sink jsonl:.*a\.jsonl: File too large$")
        with failure, file_limit(3 * line_bytes - 1):
            sink.emit(BELL)
        assert len(records(path)) == 2
    with file_limit(3 * line_bytes):
        sink.emit(BELL)
    sink.close()
    assert len(records(path)) == 3


def test_rows_written_before_the_cut_stay(tmp_path):
    path = tmp_path / "a.csv"
    sink = open_sink(f"dcase:{path}")
    with pytest.raises(SinkError), file_limit(20):
        for row in ROWS:
            sink.emit(row)
    assert path.read_text() == "0,3,0,30,-20\n"


def run_stdout(code, stdout):
    command = [sys.executable, "-c", "from edge.sinks import *; from edge.types import Event; import resource\n" + code]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=30, check=False)


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
    assert done.stderr.strip().splitlines()[-1] == "edge.sinks.SinkError: sink jsonl:-: Broken pipe"


def test_killed_process_leaves_whole_lines(tmp_path):
    path = tmp_path / "out.jsonl"
    code = f"e = Event('bell', 1, 2, 3, 4, 0.5)\ns = open_sink('jsonl:{path}')\nfor _ in range(9): s.emit(e)\n"
    run_stdout(code + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", subprocess.DEVNULL)
    assert len(records(path)) == 9

"""Old JSON lines -> a history: each event once, and bad lines are named."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.outputs.history_import import Imported, import_lines
from edge.outputs.history_reader import open_history
from edge.outputs.sinks import SinkSettings, open_sink
from edge.types import Event
from tests.edge.outputs.test_history import HistorySettings, at_noon, bell

LINE = {
    "class": "bell", "onset_s": 1.0, "offset_s": 1.5, "azimuth_deg": 30.0, "elevation_deg": None, "score": 0.9,
    "time": "2026-05-01T12:00:01.000Z",
}  # fmt: skip


def written(path, *records, end="\n"):
    path.write_text("".join(json.dumps(record) + "\n" for record in records)[: None if end else -1])
    return path


def onsets(database):
    with open_history(database) as history:
        return [event.onset_s for event in history.events()]


def test_what_the_sink_wrote_is_read_once(tmp_path):
    sink = open_sink(f"jsonl:{tmp_path}/a.jsonl", at_noon)
    for number in range(5):
        sink.emit(bell(number))
    sink.emit(Event("door", 7.0, 8.0, -180.0, None, 0.5))
    sink.close()
    assert import_lines(tmp_path / "a.jsonl", tmp_path / "h.db") == Imported(6, 0, 0, 0)
    assert import_lines(tmp_path / "a.jsonl", tmp_path / "h.db") == Imported(0, 6, 0, 0)
    assert onsets(tmp_path / "h.db") == [0, 1, 2, 3, 4, 7]


def test_events_that_the_history_sink_stored_itself_are_known(tmp_path):
    """Both sinks ask the clock, one a little later."""
    sinks = SinkSettings(history=HistorySettings(str(tmp_path / "h.db")))
    lines, stored = (
        open_sink(f"jsonl:{tmp_path}/a.jsonl", at_noon),
        open_sink("history:", lambda s: at_noon(s + 0.3), sinks),
    )
    for number in range(3):
        lines.emit(bell(number))
        stored.emit(bell(number))
    lines.close()
    stored.close()
    assert import_lines(tmp_path / "a.jsonl", tmp_path / "h.db") == Imported(0, 3, 0, 0)


def test_a_run_that_began_anew_at_the_same_onset_is_another_event(tmp_path):
    later = LINE | {"time": "2026-05-01T12:00:09Z"}
    assert import_lines(written(tmp_path / "a.jsonl", LINE, later), tmp_path / "h.db").added == 2


def test_lines_that_tell_no_finished_event_at_some_time_are_counted(tmp_path):
    lines = [LINE, LINE | {"time": None}, LINE | {"phase": "begin", "onset_s": 9.0}, LINE | {"phase": "end", "id": 3}]
    assert import_lines(written(tmp_path / "a.jsonl", *lines), tmp_path / "h.db") == Imported(1, 1, 1, 1)


def test_a_sector_is_taken_over(tmp_path):
    import_lines(written(tmp_path / "a.jsonl", LINE | {"sector": "window"}), tmp_path / "h.db")
    with open_history(tmp_path / "h.db") as history:
        assert [event.sector for event in history.events()] == ["window"]


def test_a_torn_last_line_is_left_out(tmp_path):
    path = written(tmp_path / "a.jsonl", LINE)
    path.write_bytes(path.read_bytes() + b'{"class": "be')
    assert import_lines(path, tmp_path / "h.db").added == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{\n", r"line 2: got no JSON, wanted an event"),
        (b"[1]\n", r"line 2: got list, wanted an object"),
        (json.dumps(LINE | {"class": ""}).encode() + b"\n", r"line 2: got class '', wanted a name"),
        (b'{"class": "\\ud800", "time": "2026-05-01T12:00:01Z"}\n', r"line 2: got class .*, wanted a name"),
        (json.dumps(LINE | {"azimuth_deg": 181}).encode() + b"\n", r"line 2: got azimuth_deg 181, wanted a number of"),
        (json.dumps(LINE | {"score": True}).encode() + b"\n", r"line 2: got score True, wanted a number"),
        (json.dumps(LINE | {"onset_s": float("nan")}).encode() + b"\n", r"line 2: got onset_s nan, wanted a number"),
        (json.dumps(LINE | {"time": "2026-05-01T12:00:01"}).encode() + b"\n", r"line 2: got time .* with its zone"),
        (json.dumps(LINE | {"time": "noon"}).encode() + b"\n", r"line 2: got time 'noon', wanted one of ISO 8601"),
        (b" " * 70000 + b"\n", r"line 2: got more than 65536 bytes"),
    ],
)
def test_a_bad_line_is_named_and_those_before_it_are_kept(tmp_path, line, message):
    path = written(tmp_path / "a.jsonl", LINE)
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(ValueError, match=rf"^{path}: {message}"):
        import_lines(path, tmp_path / "h.db")
    assert onsets(tmp_path / "h.db") == [1.0]


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(ValueError, match=r"^.*no\.jsonl: No such file or directory$"):
        import_lines(tmp_path / "no.jsonl", tmp_path / "h.db")
    with pytest.raises(ValueError, match=r"h\.db: not usable as a history: unable to open database file$"):
        import_lines(written(tmp_path / "a.jsonl", LINE), tmp_path / "no" / "h.db")


@settings(max_examples=30)
@given(st.lists(st.one_of(st.binary(max_size=40), st.just(json.dumps(LINE).encode())), max_size=4))
def test_whatever_the_lines_are_the_error_is_one_line(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("lines")
    (folder / "a.jsonl").write_bytes(b"\n".join(lines))
    try:
        import_lines(folder / "a.jsonl", folder / "h.db")
    except ValueError as error:
        assert "\n" not in str(error)

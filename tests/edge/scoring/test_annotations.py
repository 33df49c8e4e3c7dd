"""DCASE csv files: what is read, what is written, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.scoring.annotations import Label, read_annotations, write_annotations

CLASSES = 13
SAME_FOLDER = settings(max_examples=60)


def _read(folder: Path, text: str, classes: int = CLASSES) -> list[Label]:
    path = folder / "mix.csv"
    path.write_text(text)
    return read_annotations(path, classes)


def test_five_columns(tmp_path: Path) -> None:
    labels = _read(tmp_path, "0,2,0,98,-8\n\n12, 11, 2, -172.5, 34\n")
    assert labels == [Label(0, 2, 0, 98.0, -8.0), Label(12, 11, 2, -172.5, 34.0)]


def test_six_columns(tmp_path: Path) -> None:
    assert _read(tmp_path, "0,2,0,98,-8,150\r\n") == [Label(0, 2, 0, 98.0, -8.0, 150.0)]


def test_empty_file_is_silence(tmp_path: Path) -> None:
    assert _read(tmp_path, "") == []


@pytest.mark.parametrize(
    "header", ["frame,class,track,azimuth,elevation", "\ufeffFrame,Class,a,b,c", '# "frame number"']
)
def test_header_is_skipped(tmp_path: Path, header: str) -> None:
    path = tmp_path / "mix.csv"
    path.write_text(f"{header}\n0,1,0,30,-20\n", encoding="utf-8")
    assert read_annotations(path, CLASSES) == [Label(0, 1, 0, 30.0, -20.0)]


@pytest.mark.parametrize(
    ("line", "got", "wanted"),
    [
        ("5,13,0,0,0", "class '13'", "0 to 12"),
        ("5,-1,0,0,0", "class '-1'", "0 to 12"),
        ("-1,1,0,0,0", "frame '-1'", "0 to"),
        ("99999999999,1,0,0,0", "frame '99999999999'", "0 to"),
        ("1.5,1,0,0,0", "frame '1.5'", "whole number"),
        ("1_0,1,0,0,0", "frame '1_0'", "whole number"),
        ("5,1,0,0", "4 columns", "5: frame,class"),
        ("5,1,0,0,0,100", "6 columns", "5: frame,class"),
        ("5,1,0,nan,0", "azimuth 'nan'", "finite"),
        ("5,1,0,0,inf", "elevation 'inf'", "from -90 to 90"),
        ("5,1,0,0,91", "elevation '91'", "from -90 to 90"),
        ("5,1,0,400,0", "azimuth '400'", "from -360 to 360"),
        ("5,1,0,east,0", "azimuth 'east'", "a number"),
        ("5,1,,0,0", "track ''", "whole number"),
        ("frame,class,track,azimuth,elevation", "frame 'frame'", "whole number"),
    ],
)
def test_refused_with_file_and_line(tmp_path: Path, line: str, got: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=r"mix\.csv, line 3: got ") as caught:
        _read(tmp_path, f"0,1,0,0,0\n\n{line}\n")
    assert got in str(caught.value)
    assert wanted in str(caught.value).split("wanted ")[1]


def test_first_line_with_wrong_columns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 1: got 3 columns, wanted 5 or 6: frame,"):
        _read(tmp_path, "1,2,3\n")


def test_negative_distance(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got distance '-1', wanted"):
        _read(tmp_path, "1,2,3,4,5,-1\n")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"/none\.csv: No such file or directory$"):
        read_annotations(tmp_path / "none.csv", CLASSES)


def test_written_whole_and_sorted(tmp_path: Path) -> None:
    path = tmp_path / "mix.csv"
    write_annotations(path, [Label(3, 1, 0, 179.6, -0.3, 80.0), Label(0, 2, 1, -29.5, 12.4)])
    assert path.read_text() == "0,2,1,-30,12\n3,1,0,180,0\n"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "mix.csv"
    write_annotations(path, [Label(0, 1, 0, 30.0, 0.0)])
    with pytest.raises(ValueError, match="NaN"):
        write_annotations(path, [Label(0, 1, 0, float("nan"), 0.0)])
    assert path.read_text() == "0,1,0,30,0\n"
    assert list(tmp_path.iterdir()) == [path]


def _labels(distance: st.SearchStrategy[float | None]) -> st.SearchStrategy[list[Label]]:
    whole = st.integers
    azimuth, elevation = whole(-180, 180).map(float), whole(-90, 90).map(float)
    label = st.builds(Label, whole(0, 10**6), whole(0, CLASSES - 1), whole(0, 9), azimuth, elevation, distance)
    return st.lists(label, max_size=20)


@SAME_FOLDER
@given(labels=st.one_of(_labels(st.none()), _labels(st.integers(0, 1000).map(float))))
def test_round_trip(tmp_path: Path, labels: list[Label]) -> None:
    path = tmp_path / "mix.csv"
    write_annotations(path, labels)
    assert read_annotations(path, CLASSES) == sorted(labels, key=lambda label: label.frame)


@SAME_FOLDER
@given(content=st.one_of(st.binary(max_size=200), st.text("0123456789.,-+einf_ \n\r\x00", max_size=80).map(str.encode)))
def test_wild_input_gives_labels_or_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wild.csv"
    path.write_bytes(content)
    try:
        labels = read_annotations(path, CLASSES)
    except ValueError as error:
        assert str(error).startswith(f"{path}, line ")
    else:
        assert all(0 <= label.class_index < CLASSES and abs(label.elevation_deg) <= 90 for label in labels)


def test_the_publishers_example_of_distances(tmp_path: Path) -> None:
    """README of STARSS23 (zenodo.org/record/7880637): six columns, and what its example describes, in cm.

    "[frame number (int)], [active class index (int)], [source number index (int)], [azimuth (int)], [elevation (int)],
    [distance (int)]"; "in frame 10-11, an event of class male speech (class 1) belonging to one actor (source 1) is
    active at location (-50 deg, 30 deg, 180cm). However, at frame 11 a second instance of the same class appears
    simultaneously at a different direction (10 deg, -20 deg, 243cm) belonging to another actor (source 2)".
    """
    text = "10,     1,  1,  -50,  30, 180\n11,     1,  1,  -50,  30, 180\n11,     1,  2,   10, -20, 243\n"
    labels = _read(tmp_path, text)
    assert labels[0] == Label(10, 1, 1, -50.0, 30.0, 180.0)
    assert labels[2] == Label(11, 1, 2, 10.0, -20.0, 243.0)
    write_annotations(tmp_path / "mix.csv", labels)
    assert (tmp_path / "mix.csv").read_text() == "10,1,1,-50,30,180\n11,1,1,-50,30,180\n11,1,2,10,-20,243\n"
    assert read_annotations(tmp_path / "mix.csv", CLASSES) == labels

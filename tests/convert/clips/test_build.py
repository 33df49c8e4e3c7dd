"""Sources become a library: the same twice, resumed, without duplicates, and with whatever cannot be had left out."""

import csv
import hashlib
import shutil
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convert.cli import main
from convert.clips import build
from convert.clips.build import build_library
from convert.clips.library import load_clip_library
from convert.clips.sources import registry
from convert.clips.sources.records import ClipJob, ClipSource
from convert.clips.splits import split_of
from tests.convert.clips.tiny_packages import DEP5, write_deb, write_tgz

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb not found")
RATE_HZ = 8000


def tone(pitch_hz, level=0.5, seconds=0.4):
    samples = level * np.sin(2 * np.pi * pitch_hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
    return np.pad(samples, 800).astype(np.float32), RATE_HZ


def job(name, pitch_hz, class_name="bell", group=None, licence="MIT", **changes):
    return ClipJob(name, class_name, group or name, licence, "Ann", lambda: tone(pitch_hz, **changes))


def source(name, *jobs, packages=(), version=""):
    return ClipSource(name, packages, lambda folders: jobs, version=version)


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".sources" not in path.parts
    }


def rows(folder):
    with (folder / "clips.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_library_has_tables_and_files_that_can_be_loaded(tmp_path):
    jobs = [job(f"ding{number}", 300 + 10 * number, group=f"thing{number // 2}") for number in range(40)]
    clips, left_out = build_library([source("tiny", *jobs)], tmp_path)
    assert len(clips) == 40 and not left_out
    library = load_clip_library(tmp_path)
    assert library.class_names == ("bell",) and {clip.licence for clip in library.clips} == {"MIT"}
    assert {clip.split for clip in library.clips} == {"train", "test"}
    for clip in library.clips:
        samples, rate_hz = soundfile.read(clip.path)
        assert rate_hz == RATE_HZ and np.max(np.abs(samples)) == pytest.approx(build.PEAK, abs=1e-3)
        assert clip.seconds == pytest.approx(0.4, abs=0.03)  # silence is cut off
    assert (tmp_path / "attribution.csv").read_text() == "source,licence,attribution\ntiny,MIT,Ann\n"
    for line in (tmp_path / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ", 1)
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    (row,) = load_clip_library(tmp_path).sources()
    assert row == {"source": "tiny", "licence": "MIT", "clips": 40, "attribution": "Ann"}
    listed = {line.split("  ", 1)[1] for line in (tmp_path / "SHA256SUMS").read_text().splitlines()}
    assert listed == {*(row["file"] for row in rows(tmp_path)), "clips.csv", "attribution.csv"}


def test_a_group_is_in_one_split(tmp_path):
    jobs = [job(f"{number}", 300 + number, group=f"thing{number % 20}") for number in range(60)]
    build_library([source("tiny", *jobs)], tmp_path)
    splits = {}
    for row in rows(tmp_path):
        splits.setdefault(row["group"], set()).add(row["split"])
    assert all(len(each) == 1 for each in splits.values()) and {*map(min, splits.values())} == {"train", "test"}
    assert 0.17 < np.mean([split_of(f"group{number}") == "test" for number in range(2000)]) < 0.23


def test_twice_gives_the_same_bytes_whatever_the_order_of_jobs(tmp_path):
    jobs = [job(f"ding{number}", 300 + number) for number in range(5)]
    build_library([source("tiny", *jobs)], tmp_path / "a")
    build_library([source("tiny", *reversed(jobs))], tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_build_that_was_stopped_goes_on(tmp_path):
    made = []

    def make(pitch_hz):
        made.append(pitch_hz)
        if pitch_hz == 302 and len(made) == 3:
            raise KeyboardInterrupt
        return tone(pitch_hz)

    jobs = [ClipJob(f"{p}", "bell", f"{p}", "MIT", "", lambda p=p: make(p)) for p in (300, 301, 302, 303)]
    with pytest.raises(KeyboardInterrupt):
        build_library([source("tiny", *jobs)], tmp_path / "a")
    build_library([source("tiny", *jobs)], tmp_path / "a")
    assert made == [300, 301, 302, 302, 303]
    build_library([source("tiny", *jobs)], tmp_path / "a")
    assert len(made) == 5  # nothing to do
    build_library([source("tiny", *jobs)], tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_what_a_killed_build_had_unpacked_is_removed(tmp_path):
    (tmp_path / ".unpacked-1" / "usr").mkdir(parents=True)
    build_library([source("tiny", job("a", 300))], tmp_path)
    assert not (tmp_path / ".unpacked-1").exists()


def test_a_killed_process_is_no_fault_of_its_source(tmp_path):
    def jobs(folders):
        raise BrokenProcessPool

    with pytest.raises(BrokenProcessPool):
        build_library([ClipSource("tiny", (), jobs), source("next", job("a", 300))], tmp_path)


def test_another_version_of_a_source_is_made_anew(tmp_path):
    build_library([source("tiny", job("old", 300), job("both", 310))], tmp_path)
    build_library([source("tiny", job("both", 320), version="2")], tmp_path)
    assert [row["file"] for row in rows(tmp_path)] == ["bell/tiny/both.flac"]
    assert not (tmp_path / "bell/tiny/old.flac").exists()


def test_equal_sounds_are_kept_once_even_if_they_differ_in_level(tmp_path):
    first = source("first", job("a", 300), job("b", 400))
    second = source("second", job("c", 400, level=0.25), job("d", 500))
    clips, _ = build_library([first, second], tmp_path)
    assert [clip.file for clip in clips] == ["bell/first/a.flac", "bell/first/b.flac", "bell/second/d.flac"]
    assert not (tmp_path / "bell/second/c.flac").exists()


def test_sources_that_are_built_one_after_the_other_are_one_library(tmp_path):
    build_library([source("first", job("a", 300))], tmp_path)
    build_library([source("second", job("b", 400))], tmp_path)
    assert {row["source"] for row in rows(tmp_path)} == {"first", "second"}


def test_clips_without_a_free_licence_or_sound_are_dropped_and_counted(tmp_path, caplog):
    silent = ClipJob("silent", "bell", "s", "MIT", "", lambda: (np.zeros(800, np.float32), RATE_HZ))
    short = ClipJob("short", "bell", "s", "MIT", "", lambda: (np.ones(80, np.float32) - np.eye(1, 80)[0], RATE_HZ))
    closed = [job(f"nc{number}", 300 + number, licence="CC-BY-NC-4.0") for number in range(2)]
    clips, _ = build_library([source("tiny", job("a", 300), silent, short, *closed)], tmp_path)
    assert [clip.file for clip in clips] == ["bell/tiny/a.flac"]
    assert "tiny: 2 clips are left out: licence CC-BY-NC-4.0" in caplog.text
    assert "tiny: 1 clips are left out: silent" in caplog.text
    assert "shorter than 0.05 s" in caplog.text


@needs_dpkg
def test_sources_that_cannot_be_had_are_named_and_the_rest_goes_on(tmp_path):
    folder = tmp_path / "packages"
    folder.mkdir()
    members = {"usr/share/doc/tiny/copyright": DEP5.encode()}
    good = write_deb(folder, "tiny", members)
    changed = replace(write_deb(folder, "changed", members), sha256="0" * 64)
    missing = replace(good, name="missing")
    silent = write_deb(folder, "silent", {"usr/a": b"a"})
    sources = [
        source("changed", job("a", 300), packages=(changed,)),
        source("missing", job("b", 400), packages=(missing,)),
        source("silent", job("c", 500), packages=(silent,)),
        source("tiny", job("d", 600), packages=(good,)),
    ]
    clips, left_out = build_library(sources, tmp_path / "out", folder)
    assert [clip.source for clip in clips] == ["tiny"]
    assert "wanted " + "0" * 64 in left_out["changed"]
    assert "missing 1.0-1 is not in" in left_out["missing"]
    assert "no licence text" in left_out["silent"]
    assert (tmp_path / "out/licences/tiny.txt").read_text() == DEP5
    assert not list((tmp_path / "out").glob(".unpacked*"))


def test_the_licence_of_an_npm_package_is_kept(tmp_path):
    (tmp_path / "packages").mkdir()
    package = write_tgz(tmp_path / "packages", "@some/tiny", {"package/LICENSE": b"MIT licence"})
    build_library([source("tiny", job("a", 300), packages=(package,))], tmp_path / "out", tmp_path / "packages")
    assert "MIT licence" in (tmp_path / "out/licences/some-tiny.txt").read_text()


def test_nothing_at_all_is_an_error_that_gives_the_reasons(tmp_path):
    package = replace(write_tgz(tmp_path, "tiny", {}), version="2.0.0")
    with pytest.raises(ValueError, match=r"got no clip of any source, wanted some; tiny: tiny 2\.0\.0 is not in"):
        build_library([source("tiny", packages=(package,))], tmp_path / "out", tmp_path)


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ((job("a", 300), job("a", 400)), "got 1 names of clips twice, such as bell/tiny/a.flac"),
        ((job("a", 300, class_name="cat"),), "got class 'cat', wanted one of baby_cry"),
    ],
)
def test_faults_of_a_source_are_named(tmp_path, jobs, message):
    with pytest.raises(ValueError, match=message):
        build_library([source("tiny", *jobs)], tmp_path)


@pytest.fixture
def tiny_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {name: source(name, job(f"{name}{n}", 300 + n)) for n, name in enumerate(("first", "second"))}
    monkeypatch.setattr(registry, "all_sources", lambda: sources)


def test_the_command_prints_the_table(tmp_path: Path, tiny_sources: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clips", "--out", str(tmp_path), "--jobs", "1", "--sources", "first,second"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| class | train: clips |") and lines[-1].startswith("| all | ")
    assert lines[2].startswith("| bell | ") and lines[2].endswith(" | 2 | MIT (2) |")


def test_the_command_lists_sources_packages_and_licences(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clips", "--list", "--sources", "lugaru-data,synth"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "lugaru-data: debian lugaru-data 1.2-6; CC-BY-SA-3.0",
        "synth: computed here; CC0-1.0",
    ]


def test_unwanted_clips_are_in_no_table(tmp_path):
    tiny = source("tiny", job("ding", 300), job("dong", 400))
    clips, _ = build_library([tiny], tmp_path, unwanted={"bell/tiny/ding.flac"})
    assert [clip.file for clip in clips] == [row["file"] for row in rows(tmp_path)] == ["bell/tiny/dong.flac"]
    assert "ding" not in (tmp_path / "SHA256SUMS").read_text()
    clips, _ = build_library([tiny], tmp_path)
    assert len(clips) == 2


def test_a_source_whose_program_is_missing_is_left_out(tmp_path):
    def missing(folders):
        raise RuntimeError("espeak-ng not found")

    clips, left_out = build_library([source("tiny", job("ding", 300)), ClipSource("spoken", (), missing)], tmp_path)
    assert len(clips) == 1 and left_out == {"spoken": "espeak-ng not found"}

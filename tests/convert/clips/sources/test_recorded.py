"""Tables of recorded sounds: the shipped ones are sound, and a table becomes the clips that it says."""

import re
import shutil

import numpy as np
import pytest

from convert.clips.build import CLASSES
from convert.clips.licences import is_allowed
from convert.clips.packages.pins import read_pins
from convert.clips.packages.unpack import unpack_package
from convert.clips.sources import recorded
from convert.clips.sources.recorded import SPEECH, read_tables, source_of
from convert.clips.sources.registry import all_sources, choose_sources
from tests.convert.clips.tiny_packages import DEP5, sound, write_deb

SHIPPED = read_tables(recorded._TABLES)
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb not found")
TABLE = """
[[package]]
kind = "debian"
name = "tiny"
root = "usr/share/tiny"
upstream = "data"
licences = ["GPL-2.0-or-later"]

[[package.sounds]]
class = "bell"
match = 'bells/.*\\.wav'

[[package.sounds]]
class = "music"
match = '(?:closed|open)/song\\.ogg'
longest_s = 2.0
pieces = 2
"""


@pytest.mark.parametrize("package", SHIPPED, ids=lambda package: package.name)
def test_shipped_tables_name_allowed_licences_and_known_classes(package):
    assert package.licences and all(map(is_allowed, package.licences))
    assert (package.kind, package.name) in read_pins()
    assert {sounds.class_name for sounds in package.sounds} <= {*CLASSES, SPEECH}
    if package.phrase:
        assert len(package.licences) == 1 and package.attribution


def test_pins_are_versions_with_hashes_and_each_is_used():
    for package in read_pins().values():
        assert re.fullmatch(r"[0-9a-f]{64}", package.sha256) and package.version, package
    used = {package for source in all_sources().values() for package in source.packages}
    assert used >= set(read_pins().values())


def test_names_of_sources_are_checked():
    assert [source.name for source in choose_sources(["synth", "lugaru-data"])] == ["lugaru-data", "synth"]
    with pytest.raises(ValueError, match="unknown sources nothing, wanted some of"):
        choose_sources(["nothing"])


def source(tmp_path, monkeypatch, table, members):
    package = write_deb(tmp_path, "tiny", members)
    unpack_package(tmp_path / "tiny_1.0-1_all.deb", tmp_path / "tiny")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/a.toml").write_text(table)
    monkeypatch.setattr(recorded, "pinned", lambda kind, name: package)
    return source_of(read_tables(tmp_path / "tables")[0])


MEMBERS = {
    "usr/share/doc/tiny/copyright": DEP5.encode(),
    "usr/share/tiny/bells/ding 1.wav": sound(),
    "usr/share/tiny/bells/ding 2.wav": sound(500),
    "usr/share/tiny/bells/gong.wav": sound(200),
    "usr/share/tiny/bells/readme.txt": b"",
    "usr/share/tiny/open/song.ogg": sound(seconds=5, form="OGG"),
    "usr/share/tiny/closed/song.ogg": sound(seconds=1, form="OGG"),
}


@needs_dpkg
def test_a_table_becomes_clips_with_groups_licences_and_holders(tmp_path, monkeypatch):
    jobs = source(tmp_path, monkeypatch, TABLE, MEMBERS).jobs({"tiny": tmp_path / "tiny"})
    assert [(job.class_name, job.name, job.group, job.licence, job.attribution) for job in jobs] == [
        ("bell", "bells_ding_1", "ding", "GPL-2.0-or-later", "2001 Ann Author"),
        ("bell", "bells_ding_2", "ding", "GPL-2.0-or-later", "2001 Ann Author"),
        ("bell", "bells_gong", "gong", "GPL-2.0-or-later", "2001 Ann Author"),
        ("music", "closed_song", "song", "CC-BY-NC-4.0 of data/closed/song.ogg", "2002 Bob Buyer"),
        ("music", "open_song-0", "song", "GPL-2.0-or-later", "2001 Ann Author"),
        ("music", "open_song-1", "song", "GPL-2.0-or-later", "2001 Ann Author"),
    ]
    samples, rate_hz = jobs[-1].make()
    assert (len(samples), rate_hz) == (48000, 24000)


@needs_dpkg
def test_files_that_differ_only_in_their_suffix_become_two_clips(tmp_path, monkeypatch):
    members = {**MEMBERS, "usr/share/tiny/bells/gong.ogg": sound(250, form="OGG")}
    jobs = source(tmp_path, monkeypatch, TABLE.replace("\\.wav", "\\..*"), members).jobs({"tiny": tmp_path / "tiny"})
    assert {job.name for job in jobs} >= {"bells_gong", "bells_gong_wav"}


@needs_dpkg
def test_a_table_that_matches_nothing_is_an_error(tmp_path, monkeypatch):
    members = {name: data for name, data in MEMBERS.items() if "bells" not in name}
    with pytest.raises(ValueError, match="tiny: got no file that matches 'bells"):
        source(tmp_path, monkeypatch, TABLE, members).jobs({"tiny": tmp_path / "tiny"})


@needs_dpkg
def test_a_licence_text_that_lost_its_phrase_is_an_error(tmp_path, monkeypatch):
    table = TABLE.replace("licences", 'phrase = "under the MIT licence"\nattribution = "Ann"\nlicences')
    with pytest.raises(ValueError, match="without 'under the MIT licence'"):
        source(tmp_path, monkeypatch, table, MEMBERS).jobs({"tiny": tmp_path / "tiny"})


@needs_dpkg
def test_sex_is_told_by_pitch_and_only_where_it_is_clear(tmp_path, monkeypatch):
    table = TABLE[: TABLE.index("[[package.sounds]]")] + (
        "[[package.sounds]]\nclass = 'speech'\nmatch = '(\\w+)/.*\\.wav'\ngroup = '\\1'\n"
    )
    rng = np.random.default_rng(0)
    members = {"usr/share/doc/tiny/copyright": DEP5.encode()}
    for name, pitch_hz in (("low", 110), ("middle", 165), ("high", 220), ("squeak", 350)):
        for number in range(2):
            members[f"usr/share/tiny/{name}/{number}.wav"] = sound(pitch_hz * rng.uniform(0.99, 1.01), 1.0)
    jobs = source(tmp_path, monkeypatch, table, members).jobs({"tiny": tmp_path / "tiny"})
    assert {(job.group, job.class_name) for job in jobs} == {("low", "male_speech"), ("high", "female_speech")}


@pytest.mark.parametrize(
    ("old", "new"), [("licences", "license"), ("bells/", "(bells/"), ("root =", "roof ="), ("class =", "kind =")]
)
def test_a_bad_table_is_an_error_that_names_the_file(tmp_path, old, new):
    (tmp_path / "a.toml").write_text(TABLE.replace(old, new))
    with pytest.raises(ValueError, match=r"a\.toml: got a bad table of tiny"):
        read_tables(tmp_path)


def test_every_source_says_its_licences_and_all_are_allowed():
    for source in all_sources().values():
        assert source.licences and all(map(is_allowed, source.licences)), source.name

"""Files below a prefix: where they are, and how they are replaced."""

import json
import os
from pathlib import Path

import pytest

from edge.device.backup import FOLDER, Backups
from edge.device.prefix_files import read_file, real_path, replace_file

FILE = Path("etc/a.conf")


@pytest.fixture
def prefix(tmp_path):
    (tmp_path / "root/etc").mkdir(parents=True)
    return tmp_path / "root"


def test_a_new_file_gets_its_folders_and_is_readable_by_all(prefix):
    replace_file(prefix, Path("a/b/c"), b"text")
    assert read_file(prefix, Path("a/b/c")) == b"text"
    assert (prefix / "a/b/c").stat().st_mode & 0o777 == 0o644
    replace_file(prefix, Path("a/b/c"), None)
    replace_file(prefix, Path("a/b/c"), None)
    assert read_file(prefix, Path("a/b/c")) is None


def test_an_old_file_keeps_its_permissions_unless_another_is_to_be_copied(prefix):
    for name, mode in (("a.conf", 0o640), ("other", 0o600)):
        (prefix / "etc" / name).write_bytes(b"old")
        (prefix / "etc" / name).chmod(mode)
    replace_file(prefix, FILE, b"new")
    assert (prefix / FILE).stat().st_mode & 0o777 == 0o640
    replace_file(prefix, FILE, b"new", like=prefix / "etc/other")
    assert (prefix / FILE).stat().st_mode & 0o777 == 0o600


def test_a_planted_temporary_file_is_not_written_through(prefix, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    planted = prefix / "etc/.a.conf.part"
    planted.symlink_to(victim)
    replace_file(prefix, FILE, b"new")
    assert (victim.read_bytes(), read_file(prefix, FILE), planted.is_symlink()) == (b"untouched", b"new", False)


def test_a_temporary_file_planted_in_between_is_an_error(prefix, tmp_path, monkeypatch):
    victim, planted = tmp_path / "victim", prefix / "etc/.a.conf.part"
    victim.write_bytes(b"untouched")

    with monkeypatch.context() as quick:
        quick.setattr("edge.device.prefix_files._unlink", lambda name, folder: planted.symlink_to(victim))
        with pytest.raises(FileExistsError):
            replace_file(prefix, FILE, b"new")
    assert victim.read_bytes() == b"untouched" and read_file(prefix, FILE) is None


DEEP = Path("a/b/c/d.conf")


@pytest.mark.parametrize("part", ["a", "a/b", "a/b/c", "a/b/c/d.conf"])
@pytest.mark.parametrize("target", ["{outside}", "../../../../../../../../{outside}", "/etc"])
@pytest.mark.parametrize("content", [b"new", None])
def test_no_link_in_any_place_leads_out_of_the_prefix(prefix, tmp_path, part, target, content):
    outside = tmp_path / "outside"
    (outside / "b/c").mkdir(parents=True)
    (outside / "d.conf").write_bytes(b"untouched")
    (prefix / part).parent.mkdir(parents=True, exist_ok=True)
    (prefix / part).symlink_to(target.format(outside=outside))
    before = sorted(outside.rglob("*"))
    with pytest.raises(ValueError, match="got a link to "):
        replace_file(prefix, DEEP, content)
    assert sorted(outside.rglob("*")) == before and (outside / "d.conf").read_bytes() == b"untouched"


@pytest.mark.parametrize("part", ["a", "a/b", "a/b/c"])
@pytest.mark.parametrize("content", [b"new", None])
def test_a_folder_that_becomes_a_link_in_between_is_not_followed(prefix, tmp_path, monkeypatch, part, content):
    """Whoever may write to a folder below the prefix swaps it after the links were resolved."""
    outside = tmp_path / "outside"
    for folder in (outside, outside / "c", outside / "b/c"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "d.conf").write_bytes(b"untouched")
    (prefix / "a/b/c").mkdir(parents=True)
    (prefix / DEEP).write_bytes(b"old")

    def swapped(prefix, path):
        real = real_path(prefix, path)
        (prefix / part).rename(tmp_path / "taken")
        (prefix / part).symlink_to(outside)
        return real

    monkeypatch.setattr("edge.device.prefix_files.real_path", swapped)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels of symbolic links"):
        replace_file(prefix, DEEP, content)
    contents = {path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    assert contents == {b"untouched"} and len(list(outside.rglob("*"))) == 6


def test_a_hard_link_keeps_its_content_and_owner(prefix, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    victim.chmod(0o640)
    os.link(victim, prefix / FILE)
    os.link(victim, prefix / "etc/.a.conf.part")
    replace_file(prefix, FILE, b"new")
    assert (victim.read_bytes(), victim.stat().st_mode & 0o777, victim.stat().st_nlink) == (b"untouched", 0o640, 1)
    assert read_file(prefix, FILE) == b"new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owners_are_not_given_through_a_link(prefix, tmp_path, monkeypatch):
    """The temporary file becomes a link after it was opened: its descriptor gets the owner, not the target."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (prefix / FILE).write_bytes(b"old")
    os.chown(prefix / FILE, 1234, 1235)
    fstat = os.fstat

    def planted(fd):
        status = fstat(fd)
        part = prefix / "etc/.a.conf.part"
        if part.exists():
            part.unlink()
            part.symlink_to(victim)
        return status

    monkeypatch.setattr("edge.device.prefix_files.os.fstat", planted)
    replace_file(prefix, FILE, b"new")
    assert victim.read_bytes() == b"untouched" and victim.stat().st_uid == 0


def test_backups_do_not_leave_the_prefix(prefix, tmp_path):
    """Neither by a link in place of their folder nor by what a planted index names."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (prefix / "var/backups").mkdir(parents=True)
    (prefix / FOLDER).symlink_to(outside)
    (prefix / FILE).write_bytes(b"old")
    with pytest.raises(ValueError, match="got a link to "):
        Backups(prefix).change({FILE: b"new"})
    assert list(outside.iterdir()) == [] and outside.stat().st_mode & 0o777 == 0o755
    (prefix / FOLDER).unlink()
    (prefix / FOLDER).mkdir()
    kept = {"before": None, "after": None, "disturbed": False, "made": []}
    for files in ({"../outside/a": kept}, {"/etc/passwd": kept}, {"etc/a": kept | {"made": ["../outside"]}}):
        (prefix / FOLDER / "index.json").write_text(json.dumps({"made": [], "files": files}))
        with pytest.raises(ValueError, match=r"index\.json: got something else, wanted the index of"):
            Backups(prefix)


def test_a_failed_write_leaves_the_old_file(prefix, monkeypatch):
    (prefix / FILE).write_bytes(b"old")

    def full(_fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(prefix, FILE, b"new")
    assert [path.name for path in (prefix / "etc").iterdir()] == ["a.conf"] and read_file(prefix, FILE) == b"old"


def test_links_are_followed_below_the_prefix_and_to_files_only(prefix):
    (prefix / "etc/real.conf").write_bytes(b"old")
    (prefix / FILE).symlink_to("real.conf")
    replace_file(prefix, FILE, b"new")
    assert (prefix / FILE).is_symlink() and (prefix / "etc/real.conf").read_bytes() == b"new"
    refused = {"/etc/passwd": "got a link to /etc/passwd, wanted it below", "a.conf": "got links in a circle"}
    for target, message in (refused | {".": "which is not a regular file, wanted one"}).items():
        (prefix / FILE).unlink()
        (prefix / FILE).symlink_to(target)
        with pytest.raises(ValueError, match=message):
            replace_file(prefix, FILE, b"new")


def test_a_masked_unit_is_refused_and_the_null_device_stays():
    with pytest.raises(ValueError, match=r"^/dev/null: got /dev/null, which is not a regular file, wanted one$"):
        real_path(Path("/"), Path("dev/null"))

"""Files below a prefix: where they are, and how they are replaced."""

import os
from pathlib import Path

import pytest

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
    unlink = Path.unlink

    def plant(path, missing_ok=False):
        unlink(path, missing_ok)
        planted.symlink_to(victim)

    with monkeypatch.context() as quick:
        quick.setattr(Path, "unlink", plant)
        with pytest.raises(FileExistsError):
            replace_file(prefix, FILE, b"new")
    assert victim.read_bytes() == b"untouched" and read_file(prefix, FILE) is None


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

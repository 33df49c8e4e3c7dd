"""Packages are unpacked, and none of their members leaves the folder."""

import io
import shutil
import tarfile

import pytest

from convert.clips.packages.unpack import unpack_package
from tests.convert.clips.tiny_packages import tar_of, write_deb, write_tgz, write_wheel

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb not found")
KINDS = {
    "deb": pytest.param(write_deb, "*.deb", marks=needs_dpkg),
    "tgz": pytest.param(write_tgz, "*.tgz"),
    "whl": pytest.param(write_wheel, "*.whl"),
}


@pytest.mark.parametrize(("write", "pattern"), KINDS.values(), ids=KINDS)
def test_members_come_out(tmp_path, write, pattern):
    write(tmp_path, "tiny", {"package/sounds/a b.wav": b"abc"})
    unpack_package(next(tmp_path.glob(pattern)), tmp_path / "out")
    assert (tmp_path / "out/package/sounds/a b.wav").read_bytes() == b"abc"


@pytest.mark.parametrize("member", ["../escaped", "a/../../escaped"])
@pytest.mark.parametrize(("write", "pattern"), KINDS.values(), ids=KINDS)
def test_a_member_that_leads_outside_is_refused(tmp_path, write, pattern, member):
    write(tmp_path, "tiny", {member: b"evil"})
    with pytest.raises(ValueError, match="tiny"):
        unpack_package(next(tmp_path.glob(pattern)), tmp_path / "in" / "out")
    assert not list(tmp_path.rglob("escaped"))


def test_a_link_that_leads_outside_is_refused(tmp_path):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        link = tarfile.TarInfo("package/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../.."
        archive.addfile(link)
    (tmp_path / "tiny-1.0.0.tgz").write_bytes(content.getvalue())
    with pytest.raises(ValueError, match="tiny"):
        unpack_package(tmp_path / "tiny-1.0.0.tgz", tmp_path / "out")


@pytest.mark.parametrize("name", ["a_1_all.deb", "a-1.tgz", "a-1-py3-none-any.whl"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, name):
    (tmp_path / name).write_bytes(tar_of({"a": b"a" * 1000})[:60])
    with pytest.raises(ValueError, match=name):
        unpack_package(tmp_path / name, tmp_path / "out")

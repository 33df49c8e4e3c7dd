import errno
import os
import resource
import stat

import pytest

from edge.files import is_temporary, wait_readable, write_atomically
from tests.edge.disk import full_disk


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("content", ["one\r\ntwo\n", "ä\n".encode(), ""])
@pytest.mark.parametrize("sync", [False, True])
def test_content_is_written_as_it_is(tmp_path, content, sync):
    path = tmp_path / "a.csv"
    write_atomically(path, content, sync=sync)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stays_if_the_disk_is_full(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with full_disk(), pytest.raises(OSError, match="File too large"):
        write_atomically(path, "new" * 10_000)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "a", "new")


def test_a_reader_that_opened_the_old_file_keeps_it(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with path.open() as reader:
        write_atomically(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize(("mode", "wanted"), [(None, 0o640), (0o604, 0o604)])
def test_permissions_of_a_new_file(tmp_path, mode, wanted):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", "new", mode=mode)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a") == wanted


def test_an_existing_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o620)
    write_atomically(path, "new", mode=0o644)
    assert mode_of(path) == 0o620


def test_permissions_of_another_file(tmp_path):
    path, model = tmp_path / "a", tmp_path / "model"
    path.write_text("old")
    model.write_text("")
    model.chmod(0o751)
    write_atomically(path, "new", like=model)
    assert (path.read_text(), mode_of(path)) == ("new", 0o751)


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path):
    """What a local user may plant in a folder that root writes to."""
    victim, path = tmp_path / "victim", tmp_path / "a"
    victim.write_text("precious")
    victim.chmod(0o640)
    (tmp_path / ".a.part").symlink_to(victim)
    write_atomically(path, "new", mode=0o604)
    assert (path.read_text(), victim.read_text(), mode_of(victim)) == ("new", "precious", 0o640)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "victim"]


def test_a_stale_temporary_file_is_replaced(tmp_path):
    stale = tmp_path / ".a.part"
    stale.write_text("old and longer")
    stale.chmod(0o666)
    other = tmp_path / "other"
    os.link(stale, other)
    write_atomically(tmp_path / "a", "new", mode=0o600)
    assert ((tmp_path / "a").read_text(), other.read_text()) == ("new", "old and longer")
    assert mode_of(tmp_path / "a") == 0o600 and not stale.exists()


def test_a_folder_in_place_of_the_temporary_file_is_an_error(tmp_path):
    (tmp_path / ".a.part").mkdir()
    with pytest.raises(OSError, match=r"directory|permitted"):
        write_atomically(tmp_path / "a", "new")


@pytest.mark.parametrize(
    ("number", "temporary"), [(errno.ENOSPC, True), (errno.EROFS, True), (errno.ENOENT, False), (errno.EACCES, False)]
)
def test_errors_that_may_go_away_by_themselves(number, temporary):
    assert is_temporary(OSError(number, os.strerror(number))) is temporary


def test_a_pipe_is_waited_for_whatever_the_number_of_its_descriptor():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] < 1500:
        pytest.skip(f"at most {limits[1]} descriptors are allowed")
    reader, writer = os.pipe()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(1500, limits[0]), limits[1]))
    try:
        with os.fdopen(os.dup2(reader, 1499), "rb") as high, os.fdopen(writer, "wb", buffering=0) as other:
            assert not wait_readable(high, 0.0)
            other.write(b"x")
            assert wait_readable(high, None) and high.read(1) == b"x"
            other.close()
            assert wait_readable(high, None) and high.read() == b""
    finally:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

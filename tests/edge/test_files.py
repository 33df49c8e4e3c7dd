import os
import stat

import pytest

from edge.files import write_atomically
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

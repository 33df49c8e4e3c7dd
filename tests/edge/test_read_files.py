"""Files of others: pipes, devices, and files too large to be read."""

import os
import re

import pytest

from edge.arrays.profile import load_array
from edge.audio.wav import read_wav_header
from edge.cli import main
from edge.files import open_regular, read_bounded, read_bounded_text
from edge.nets.bundle import load_bundle
from edge.run_settings import read_settings
from edge.scoring.annotations import read_annotations
from tests.edge.disk import open_files


def test_a_regular_file_is_read_up_to_the_bound(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: got 5 bytes, wanted at most 4$"):
        read_bounded(path, 4)
    with pytest.raises(ValueError, match=r"/none: No such file or directory$"):
        read_bounded(tmp_path / "none", 4)


def test_text_has_line_feeds_and_is_utf_8(tmp_path):
    path = tmp_path / "a"
    path.write_bytes("ä\r\nb\rc\n".encode())
    assert read_bounded_text(path, 99) == "ä\nb\nc\n"
    path.write_bytes(b"a\xff")
    with pytest.raises(ValueError, match=r"/a: got byte 0xff at 1, wanted UTF-8$"):
        read_bounded_text(path, 99)


def fifo(path):
    os.mkfifo(path)


def zeros(path):
    path.symlink_to("/dev/zero")


def sparse(path):
    path.touch()
    os.truncate(path, 2**40)


def folder(path):
    path.mkdir()


KINDS = (fifo, zeros, sparse, folder)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize(
    "read", [read_settings, lambda path: load_array(str(path)), lambda path: read_annotations(path, 3), read_wav_header]
)
def test_readers_refuse_in_one_line_what_cannot_be_read(tmp_path, make, read):
    path = tmp_path / "a.toml"
    make(path)
    message = r"not a regular file|bytes, wanted at most|not a wav file"
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: [^\n]*({message})[^\n]*$"):
        read(path)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", ["manifest.json", "statistics.npy", "localizer.tflite"])
def test_bundles_refuse_in_one_line_what_cannot_be_read(tmp_path, tiny_bundle, make, name):
    for path in tiny_bundle.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).unlink()
    make(tmp_path / name)
    with pytest.raises(ValueError, match=r"^[^\n]*(not a regular file|bytes, wanted at most|no such bundle)[^\n]*$"):
        load_bundle(str(tmp_path))


@pytest.mark.parametrize("make", KINDS)
def test_commands_refuse_settings_that_cannot_be_read(tmp_path, capfd, make):
    """The settings are also read before numpy is loaded, for its number of threads."""
    make(tmp_path / "a.toml")
    assert main(["run", "--source", "a.wav", "--config", str(tmp_path / "a.toml")]) == 2
    assert re.fullmatch(r"seld-edge: [^\n]*a\.toml: [^\n]*\n", capfd.readouterr().err)


def test_a_sparse_wav_file_has_no_data(tmp_path):
    """Zeros after the first header are chunks without a name and without content, millions of them."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVE")
    os.truncate(path, 2**30)
    with pytest.raises(ValueError, match=r"a\.wav: not a wav file: got 1000 chunks, wanted one with the data"):
        read_wav_header(path)


def test_a_closed_descriptor_of_what_is_refused(tmp_path):
    fifo(tmp_path / "a")
    for _ in range(3):
        with pytest.raises(ValueError, match="not a regular file"):
            open_regular(tmp_path / "a")
    assert open_files(tmp_path) == 0

"""A Raspberry Pi in a folder, and `seld-edge apply` on it."""

import pytest

from edge.arrays.profile import load_array
from edge.device.apply import apply
from edge.device.board import load_board
from edge.device.install import SETTINGS_PATH
from edge.device.system_files import ASOUND_PATH, BOOT_PATH, system_files


@pytest.fixture
def quick_disk(monkeypatch):
    """Files are not flushed."""
    monkeypatch.setattr("edge.device.prefix_files.os.fsync", lambda number: None)


@pytest.fixture
def pi(tmp_path, quick_disk):
    """The files of a Raspberry Pi with texts of others: not all of them are UTF-8 or end with a line end."""
    texts = {
        "proc/device-tree/model": b"Raspberry Pi 4 Model B Rev 1.4\0",
        BOOT_PATH: b"# caf\xe9\r\ndtparam=audio=on\r\n[pi4]\narm_boost=1",
        ASOUND_PATH: b"pcm.mine { type null }\n",
        SETTINGS_PATH: b'array = "foa" # for now\nsinks = ["null"]\n\n[mqtt]\nhost = "broker"\n',
    }
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text)
    (tmp_path / SETTINGS_PATH).chmod(0o640)
    return tmp_path


@pytest.fixture
def apply_to(pi):
    def run(array="respeaker_usb4", board="4", write=True):
        apply(system_files(load_board(board), load_array(array), array), pi, write)

    return run

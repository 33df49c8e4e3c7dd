"""`seld-edge listen`: the beam toward a direction, as raw samples."""

import os
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge.arrays.profile import load_array
from edge.audio.wav import read_wav, to_pcm16
from edge.frontend.beam_stream import Listener
from edge.geometry import unit_vector
from tests.edge.command_line import refused


def test_a_file_is_heard_from_a_direction(seld, wav, tmp_path, caplog):
    code, out, _ = seld("listen", "--source", wav, "--azimuth", "30", "--elevation", "-20", "--out", tmp_path / "a.raw")
    assert (code, out) == (0, "")
    said = "toward azimuth 30, elevation -20; 16-bit little-endian, one channel, 24000 Hz, to"
    assert caplog.records[-1].getMessage().endswith(f"{said} {tmp_path}/a.raw")
    samples, _ = read_wav(wav)
    beam = np.frombuffer((tmp_path / "a.raw").read_bytes(), "<i2")
    assert_array_equal(
        beam, to_pcm16(Listener(load_array("foa"), 24000).heard(samples, unit_vector(30.0, -20.0)))[:, 0]
    )
    low, high = beam[24000:48000].astype(float), beam[72000:96000].astype(float)
    seld("listen", "--source", wav, "--azimuth", "-120", "--elevation", "40", "--out", tmp_path / "b.raw")
    other = np.frombuffer((tmp_path / "b.raw").read_bytes(), "<i2").astype(float)
    assert other[24000:48000].std() < 0.75 * low.std() and other[72000:96000].std() > 1.3 * high.std()


def test_the_end_after_some_seconds_and_a_pipe(seld, wav, tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    code, out, _ = seld("listen", "--source", wav, "--azimuth", "30", "--seconds", "1.5", "--out", pipe)
    reader.join(60)
    assert (code, out) == (0, "") and len(got[0]) == 2 * 36000


def test_settings_say_what_is_heard(seld, wav, tmp_path):
    (tmp_path / "a.toml").write_text(f'source = "{wav}"\n')
    code, _, _ = seld("listen", "--config", tmp_path / "a.toml", "--azimuth", "0", "--out", tmp_path / "a.raw")
    assert code == 0 and len((tmp_path / "a.raw").read_bytes()) == 2 * 120000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--azimuth", "400"], "got direction 400,0, wanted an azimuth of -360 to 360"),
        (["--azimuth", "0", "--elevation", "nan"], "got direction 0,nan"),
        (["--azimuth", "0", "--seconds", "0"], "got --seconds 0, wanted more than 0"),
        (["--azimuth", "0", "--out", "/no/such/folder/a"], "No such file or directory"),
    ],
)
def test_what_makes_no_sense(seld, wav, options, message):
    refused(seld("listen", "--source", wav, *options), message)


def test_a_sector_of_a_room_in_which_the_array_is_turned(seld, wav, tmp_path):
    """The middle of the sector, 120 degrees in the room, is at 30 degrees of an array that is turned by 90 degrees."""
    (tmp_path / "a.toml").write_text(
        f'source = "{wav}"\n[mount]\nyaw_deg = 90\n[[sector]]\nname = "door"\nazimuth_deg = [110, 130]\n'
    )
    words = ["listen", "--config", tmp_path / "a.toml"]
    assert seld(*words, "--sector", "door", "--out", tmp_path / "a.raw")[0] == 0
    assert seld("listen", "--source", wav, "--azimuth", "30", "--out", tmp_path / "b.raw")[0] == 0
    sector, direction = (
        np.frombuffer((tmp_path / name).read_bytes(), "<i2").astype(int) for name in ("a.raw", "b.raw")
    )
    assert np.abs(sector - direction).max() <= 1
    refused(seld(*words, "--sector", "window"), "got --sector 'window', wanted one of door")

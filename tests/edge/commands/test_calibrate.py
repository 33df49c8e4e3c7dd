"""`seld-edge calibrate` with recordings: it shows, it writes, and it refuses."""

import tomllib

import pytest

from edge.arrays.profile import load_array, shipped_arrays
from edge.audio.wav import write_wav
from edge.run_settings import read_settings
from tests.edge.command_line import refused
from tests.edge.device.clap_scenes import clapping
from tests.edge.device.test_check import RATE_HZ


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Options for claps around an array that is turned by 30 degrees and has channels 1 and 2 swapped."""
    folder = tmp_path_factory.mktemp("claps")
    words = []
    for azimuth_deg in (0, 90, 180, -90):
        path = folder / f"{azimuth_deg}.wav"
        sound = clapping(
            load_array("seeed_4mic"), azimuth_deg, yaw_deg=30, order=(0, 2, 1, 3), gains_db=(3, 0, -2, -1), count=3
        )
        write_wav(path, sound, RATE_HZ)
        words += ["--recording", path, "--azimuth", azimuth_deg]
    return words


def test_it_shows_a_difference_and_writes_with_write(seld, recordings, tmp_path, caplog):
    config = tmp_path / "config.toml"
    config.write_text('array = "seeed_4mic" # mine\nsinks = ["null"]\n')
    words = ("calibrate", "--array", "seeed_4mic", "--config", config, *recordings)
    code, out, _ = seld(*words)
    assert code == 0 and "nothing is written yet" in caplog.text
    assert "the left (90 degrees): 3 claps, 0 degrees off\n" in out
    assert "+yaw_deg = 30." in out and "+channel_map = " in out and "more fits give the same directions" in out
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"] and "mount" not in config.read_text()

    code, _, _ = seld(*words, "--write")
    assert code == 0
    assert abs(read_settings(config).mount.yaw_deg - 30) < 2 and "# mine" in config.read_text()
    written = load_array(read_settings(config).array)
    assert written.channel_map == (0, 2, 1, 3) and max(written.capsule_gain_db) > 2.5
    shipped = tomllib.loads(shipped_arrays()["seeed_4mic"].read_text())
    text = (tmp_path / "seeed_4mic.toml").read_text()
    changes = {"channel_map": [0, 2, 1, 3], "capsule_gain_db": list(written.capsule_gain_db)}
    assert tomllib.loads(text) == shipped | changes and text.startswith("# ReSpeaker 4-Mic Array")

    before = config.read_text(), (tmp_path / "seeed_4mic.toml").read_text()
    code, _, _ = seld("calibrate", "--array", tmp_path / "seeed_4mic.toml", *words[3:], "--write")
    assert code == 0 and "nothing to change" in caplog.text, "the fit of the new profile is the new profile"
    assert (config.read_text(), (tmp_path / "seeed_4mic.toml").read_text()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--recording", "a.wav"), "got 1 --recording and 0 --azimuth, wanted one for each"),
        (("--recording", "a.wav", "--azimuth", "left"), "got direction 'left', wanted AZIMUTH"),
        (("--recording", "nowhere.wav", "--azimuth", "0"), "nowhere.wav: not readable"),
        (("--directions", "1"), "got directions 1, wanted 2 to 24"),
        (("--profile", "mine.txt", "--directions", "1"), "got profile mine.txt, wanted a .toml file"),
    ],
)
def test_bad_options(seld, words, message):
    refused(seld("calibrate", "--array", "foa", *words), message)


def test_ctrl_c_at_the_prompt_ends_it_without_a_traceback(seld, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("edge.device.check.record", interrupted)
    code, out, err = seld("calibrate", "--array", "foa")
    assert (code, err) == (130, "") and "clap three times from the front" in out


def test_a_fit_that_is_not_sure_is_not_written(seld, recordings, tmp_path, caplog):
    """Claps from front and back alone do not tell left from right."""
    front, back = recordings[:4], recordings[8:12]
    words = ("calibrate", "--array", "seeed_4mic", "--config", tmp_path / "a.toml", "--write", *front, *back)
    code, out, _ = seld(*words)
    assert code == 1 and "not sure: clap from more directions" in caplog.text and "give other directions" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mount = 3", "a.toml: mount: got 3, wanted a table"),
        ("[mount]\npitch_deg = 10.0", "a.toml: got pitch_deg 10 in [mount], wanted 0"),
        ("sinks = [", "a.toml: not valid TOML"),
    ],
)
def test_settings_that_cannot_be_edited(seld, recordings, tmp_path, text, message):
    (tmp_path / "a.toml").write_text(text)
    code, _, err = seld("calibrate", "--array", "seeed_4mic", "--config", tmp_path / "a.toml", "--write", *recordings)
    assert code == 2 and len(err.splitlines()) == 1
    assert message in err
    assert (tmp_path / "a.toml").read_text() == text

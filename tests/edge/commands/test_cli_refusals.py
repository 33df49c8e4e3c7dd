"""What commands refuse, each in one line."""

import io
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import wavfile

from edge.audio.wav import write_wav
from edge.cli import main
from tests.edge.command_line import LOW, events, is_about, refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("two channels", r"a\.wav: got 2 channels, wanted 4"),
        ("truncated", r"a\.wav: truncated: got \d+ bytes of samples, wanted 80000"),
        ("no samples", r"a\.wav: no samples"),
        ("nothing", r"a\.wav: empty file"),
        ("text", r"a\.wav: not a wav file"),
        ("missing", r"a\.wav: not readable: No such file or directory"),
        ("folder", r"a\.wav: not a regular file"),
        ("nan", r"a\.wav: sample 77 of channel 2 is nan"),
        ("infinity", r"a\.wav: sample 77 of channel 2 is -?inf"),
        ("8 bit", r"a\.wav: unsupported encoding"),
        ("slow", r"a\.wav: got a sample rate of 100 Hz, wanted 4000 to 192000"),
    ],
)
@pytest.mark.parametrize("command", ["run", "file"])
def test_wav_files_that_cannot_be_used(seld, tmp_path, content, message, command):
    path = tmp_path / "a.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, (10_000, 4)).astype(np.float32)
    broken = noise.copy()
    broken[77, 2] = -np.inf if content == "infinity" else np.nan
    write_wav(path, noise, 24000)
    match content:
        case "two channels":
            write_wav(path, noise[:, :2], 24000)
        case "truncated":
            path.write_bytes(path.read_bytes()[:-9])
        case "no samples":
            write_wav(path, noise[:0], 24000)
        case "nothing" | "text":
            path.write_bytes(b"" if content == "nothing" else b"these are no samples")
        case "missing" | "folder":
            path.unlink()
            if content == "folder":
                path.mkdir()
        case "nan" | "infinity":
            wavfile.write(path, 24000, broken)
        case "8 bit":
            wavfile.write(path, 24000, np.zeros((100, 4), np.uint8))
        case "slow":
            write_wav(path, noise, 100)
    args = ("run", "--source", path) if command == "run" else ("file", path, "--out", tmp_path / "out")
    refused(seld(*args), message)


def test_what_was_found_before_a_bad_sample_is_kept(seld, tmp_path, sounds):
    broken = sounds.copy()
    broken[90_000, 0] = np.nan
    wavfile.write(tmp_path / "a.wav", 24000, broken)
    code, out, err = seld("run", "--source", tmp_path / "a.wav")
    assert (code, err) == (2, f"seld-edge: {tmp_path}/a.wav: sample 90000 of channel 0 is nan\n")
    is_about(events(out), LOW)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--model", "coloc-giant"), "model 'coloc-giant': got no such bundle"),
        (("--model", "/nowhere"), "model '/nowhere': got no such bundle"),
        (("--array", "zylia"), "array 'zylia': got no such profile, wanted .*foa, foa_fuma"),
        (("--array", "none.toml"), "none.toml: No such file"),
        (("--sink", "mqtt"), "sink: got 'mqtt', wanted jsonl:-"),
        (("--sink", "lines:tcp:x"), "sink: got 'lines:tcp:x', wanted lines:unix:PATH, lines:tcp:PORT or"),
        (("--sink", "lines:unix:/nowhere/a"), "sink lines:unix:/nowhere/a: No such file"),
        (("--sink", "jsonl:/nowhere/a.jsonl"), "sink jsonl:/nowhere/a.jsonl: No such file"),
        (("--sink", "dcase:/"), "sink dcase:/: Is a directory"),
        (("--threads", "0"), "got threads 0, wanted 1 to 64"),
        (("--config", "/nowhere/a.toml"), "/nowhere/a.toml: No such file"),
        (("--source", "nowhere.wav"), "nowhere.wav: not readable: No such file"),
        (("--source", ""), "not a regular file"),
        (("--stats", "/nowhere/a.json"), "stats: /nowhere/a.json: No such file"),
    ],
)
def test_options_that_name_nothing(seld, wav, args, message, tiny_bundle):
    model = None if args[0] == "--model" else tiny_bundle
    refused(seld("run", "--source", wav, *args, model=model), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sauce = 'demo'", "a.toml: got unknown key 'sauce', wanted one of model, source"),
        ("[microphone]\ngain = 1", "a.toml: microphone: got unknown key 'gain'"),
        ("[decode]\nonn = 1", "a.toml: decode: got unknown key 'onn'"),
        ("[system]\noverlap = 1", "a.toml: system: got unknown key 'overlap'"),
        ("[system]\nmax_overlap = 7", "a.toml: system: got max_overlap 7, wanted 1, 2 or 3"),
        ("[decode]\non = 0.1", "a.toml: decode: got on 0.1 and off 0.3"),
        ("threads = 'two'", "a.toml: threads: got 'two', wanted int"),
        ("blas_threads = 0", "a.toml: got blas_threads 0, wanted 1 to 64"),
        ("blas_threads = 'x'", "a.toml: blas_threads: got 'x', wanted int"),
        ("[budget]\nmisses = 0", "a.toml: budget: got misses 0 and window_steps 20"),
        ("threads = = 2", "a.toml: not valid TOML"),
        ("[stdin]\nsample_type = 'mp3'", "a.toml: stdin: raw samples: got type 'mp3'"),
    ],
)
def test_configs_that_make_no_sense(seld, wav, tmp_path, text, message, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    (tmp_path / "a.toml").write_text(text)
    refused(seld("run", "--source", wav, "--config", tmp_path / "a.toml"), message)


@pytest.mark.parametrize("spoilt", ["localizer.tflite", "statistics.npy", "manifest.json"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_bundles_that_are_spoilt(seld, wav, tmp_path, tiny_bundle, spoilt, how):
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    if how == "missing":
        (folder / spoilt).unlink()
        message = "got no such bundle" if spoilt == "manifest.json" else f"{spoilt}: No such file or directory"
    else:
        content = (folder / spoilt).read_bytes()
        (folder / spoilt).write_bytes(bytes([content[0] ^ 1]) + content[1:])
        message = "not valid JSON" if spoilt == "manifest.json" else f"{spoilt}: got sha256 .* the file was changed"
    for command in (("run", "--source", wav), ("file", wav, "--out", tmp_path), ("demo",)):
        refused(seld(*command, model=folder), message)


PYAUDIO = """
class PyAudio:
    def get_device_count(self):
        return 1

    def get_device_info_by_index(self, index):
        return {"index": 0, "name": "ReSpeaker", "maxInputChannels": 4, "defaultSampleRate": 24000.0}

    def get_default_input_device_info(self):
        raise OSError("no default input device")
"""


def test_devices_that_are_not_there(seld, tmp_path, monkeypatch):
    (tmp_path / "a.toml").write_text('[microphone]\ndevice = "Zylia"\n')
    mic = ("run", "--source", "mic", "--config", tmp_path / "a.toml")
    monkeypatch.syspath_prepend(tmp_path)  # where the process that records finds it too
    (tmp_path / "pyaudio.py").write_text(PYAUDIO)
    refused(seld(*mic), r"microphone: no device 'Zylia', there is: 0 'ReSpeaker' \(4 channels\)")
    refused(seld("run", "--source", "mic"), "microphone: no default device, there is: 0 'ReSpeaker'")
    wanted = "microphone: no device 'ReSpeaker 4 Mic Array', there is: 0 'ReSpeaker'"  # the one that the array names
    refused(seld("run", "--source", "mic", "--array", "respeaker_usb4"), wanted)
    refused(seld("check", "--array", "respeaker_usb4"), wanted)
    (tmp_path / "pyaudio.py").write_text("raise ModuleNotFoundError")
    refused(seld(*mic), "PyAudio is not installed")


def test_a_failure_that_may_pass_is_not_that_of_settings(seld, tmp_path, monkeypatch):
    """The service is started again after exit code 1, but not after 2."""
    program = (
        "import json, sys; print(json.dumps({'name': 'mic4', 'sample_rate_hz': 24000}), flush=True); sys.stdin.read()"
    )
    monkeypatch.setattr("edge.audio.microphone.RECORDER", (sys.executable, "-c", program))
    code, out, err = seld("run", "--source", "mic", "--sink", f"lines:unix:{tmp_path}/none/a")
    assert (code, out) == (
        1,
        "",
    ) and err == f"seld-edge: sink lines:unix:{tmp_path}/none/a: No such file or directory\n"
    monkeypatch.setattr("edge.audio.microphone.RECORDER", (sys.executable, "-c", ""))
    code, out, err = seld("run", "--source", "mic")
    assert (code, err) == (1, "seld-edge: microphone 'default': cannot be opened: the recorder process has ended\n")


def test_mqtt_without_its_package_leaves_no_folder(seld, wav, tmp_path, monkeypatch):
    (tmp_path / "a.toml").write_text(f'[mqtt]\noutbox = "{tmp_path}/outbox"\n')
    monkeypatch.setitem(sys.modules, "paho.mqtt", None)
    words = ("run", "--source", wav, "--sink", "mqtt:", "--config", tmp_path / "a.toml")
    refused(seld(*words), "paho-mqtt is not installed: pip install paho-mqtt")
    assert not (tmp_path / "outbox").exists()


def test_a_run_without_a_source_does_not_play_the_demo(seld, tmp_path):
    """Such as a settings file that lost its line: the demo would pass for what the device hears."""
    refused(seld("run"), "got no --source, wanted mic, - or a file; `seld-edge demo` plays the demo")
    (tmp_path / "a.toml").write_text(f'sinks = ["jsonl:{tmp_path}/a.jsonl"]\n')
    wanted = r'a\.toml: got no source, wanted one, such as a line `source = "mic"` above all tables, or --source'
    refused(seld("run", "--config", tmp_path / "a.toml"), wanted)
    assert not (tmp_path / "a.jsonl").exists()


def test_stdin_that_makes_no_sense(seld, tmp_path, monkeypatch):
    def stdin(content):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    stdin(b"")
    refused(seld("run", "--source", "-"), "stdin: no samples")
    stdin(b"RIFF" + bytes(9000))
    refused(seld("run", "--source", "-"), "stdin: got a wav file, wanted raw samples: name the file, or use `-t raw`")
    (tmp_path / "a.toml").write_text("[stdin]\nchannels = 6\n")
    refused(seld("run", "--source", "-", "--config", tmp_path / "a.toml"), "stdin: got 6 channels, wanted 4")
    monkeypatch.setattr(sys, "stdin", None)
    refused(seld("run", "--source", "-"), "stdin: closed")


def test_outputs_of_file_that_cannot_be(seld, wav, tmp_path):
    (tmp_path / "occupied").write_text("a file")
    refused(seld("file", wav, "--out", tmp_path / "occupied"), "occupied")
    (tmp_path / "sub").mkdir()
    shutil.copy(wav, tmp_path / "sub" / "scene.wav")
    refused(
        seld("file", wav, tmp_path / "sub" / "scene.wav", "--out", tmp_path / "out"),
        r"scene\.wav, .*/sub/scene\.wav, wanted different names",
    )
    assert not (tmp_path / "out").exists()


def test_a_class_that_the_model_does_not_know(seld):
    """The labels of the shipped scene have more classes than the tiny bundle."""
    refused(seld("demo"), r"scene\.csv, line \d+: got class '\d+', wanted 0 to 1")


def test_a_full_disk(seld, wav, tmp_path):
    """What another sink got before stays, in whole lines."""
    sinks = ("--sink", f"jsonl:{tmp_path}/a.jsonl", "--sink", "jsonl:/dev/full")
    refused(seld("run", "--source", wav, *sinks), "sink jsonl:/dev/full: No space left on device")
    is_about(events((tmp_path / "a.jsonl").read_text()), LOW)
    refused(seld("run", "--source", wav, "--sink", "dcase:/dev/full"), "sink dcase:/dev/full: No space left on device")


@pytest.mark.parametrize("args", [(), ("listen",), ("run", "--loud"), ("file", "a.wav")])
def test_commands_that_are_none(args, capfd):
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert stopped.value.code == 2
    assert "usage: seld-edge" in capfd.readouterr().err

import io
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import wavfile

from edge.annotations import read_annotations
from edge.array import load_array
from edge.bundle import shipped_bundles
from edge.cli import main
from edge.geometry import unit_vector
from edge.microphone import CaptureQueue
from edge.pacing import paced
from edge.wav import write_wav

LOW = {"class": "low", "onset_s": 1.0, "offset_s": 2.0}
HIGH = {"class": "high", "onset_s": 3.0, "offset_s": 4.0}
SELD_EDGE = [sys.executable, "-c", "import sys; from edge.cli import main; sys.exit(main())"]


@pytest.fixture
def wav(tmp_path, sounds):
    path = tmp_path / "scene.wav"
    write_wav(path, sounds, 24000)
    return path


@pytest.fixture
def seld(capfd, tiny_bundle):
    """Run a command with the tiny bundle, unless another is named; returns exit code, stdout and stderr."""

    def run(*args, model=tiny_bundle):
        words = [str(arg) for arg in args]
        if model is not None and words[0] in ("run", "file", "demo"):
            words += ["--model", str(model)]
        code = main(words)
        out, err = capfd.readouterr()
        return code, out, err

    return run


def refused(answer, message):
    """Exit code 2, one line on stderr, nothing on stdout."""
    code, out, err = answer
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"seld-edge: [^\n]*{message}[^\n]*\n", err), err


def events(text):
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def is_about(got, *wanted):
    """Events with these entries, from the directions of the scene."""
    assert [{key: event[key] for key in each} for event, each in zip(got, wanted, strict=True)] == list(wanted)
    for event in got:
        azimuth_deg, elevation_deg = {"low": (30, -20), "high": (-120, 40)}[event["class"]]
        assert abs(event["azimuth_deg"] - azimuth_deg) < 2.5 and abs(event["elevation_deg"] - elevation_deg) < 2.5


# What works


def test_run_prints_events_as_json_lines(seld, wav):
    code, out, err = seld("run", "--source", wav)
    assert (code, err) == (0, "")
    is_about(events(out), LOW, HIGH)
    assert [event["time"] for event in events(out)] == [None, None]


def test_run_writes_to_several_sinks(seld, wav, tmp_path):
    sinks = ("--sink", f"dcase:{tmp_path}/a.csv", "--sink", f"jsonl:{tmp_path}/a.jsonl", "--sink", "null")
    assert seld("run", "--source", wav, *sinks) == (0, "", "")
    is_about(events((tmp_path / "a.jsonl").read_text()), LOW, HIGH)
    labels = read_annotations(tmp_path / "a.csv", 2)
    assert [(label.frame, label.class_index) for label in labels] == [(n, 0) for n in range(10, 20)] + [
        (n, 1) for n in range(30, 40)
    ]


def test_file_writes_csv_and_json_lines_for_each_wav(seld, wav, tmp_path, sounds):
    write_wav(tmp_path / "late.wav", sounds[60_000:], 24000)
    out = tmp_path / "new" / "out"
    assert seld("file", wav, tmp_path / "late.wav", "--out", out) == (0, "", "")
    assert sorted(path.name for path in out.iterdir()) == ["late.csv", "late.jsonl", "scene.csv", "scene.jsonl"]
    is_about(events((out / "scene.jsonl").read_text()), LOW, HIGH)
    is_about(events((out / "late.jsonl").read_text()), HIGH | {"onset_s": 0.5, "offset_s": 1.5})
    assert [label.frame for label in read_annotations(out / "late.csv", 2)] == list(range(5, 15))
    assert re.fullmatch(r"(\d+,[01],\d+,-?\d+,-?\d+\n)+", (out / "scene.csv").read_text())


def test_files_do_not_hear_each_other(seld, wav, tmp_path, sounds):
    write_wav(tmp_path / "cut.wav", sounds[:40_000], 24000)
    seld("file", tmp_path / "cut.wav", wav, "--out", tmp_path / "both")
    seld("file", wav, "--out", tmp_path / "alone")
    for name in ("scene.csv", "scene.jsonl"):
        both, alone = ((tmp_path / folder / name).read_text() for folder in ("both", "alone"))
        assert both == alone and len(alone.splitlines()) >= 2


def test_the_array_profile_is_used(seld, tmp_path, sounds):
    w, y, z, x = sounds.T
    write_wav(tmp_path / "fuma.wav", np.stack([w * np.sqrt(0.5), x, y, z], axis=1).astype(np.float32), 24000)
    code, out, _ = seld("run", "--source", tmp_path / "fuma.wav", "--array", "foa_fuma")
    assert code == 0
    is_about(events(out), LOW, HIGH)


def test_another_sample_rate_is_resampled(seld, tmp_path, sounds):
    wavfile.write(tmp_path / "48k.wav", 48000, np.repeat(sounds, 2, axis=0))
    code, out, _ = seld("run", "--source", tmp_path / "48k.wav")
    assert code == 0
    is_about(events(out), LOW, HIGH)


def test_the_config_is_used_and_the_command_line_wins(seld, wav, tmp_path):
    config = tmp_path / "a.toml"
    config.write_text(
        f'source = "nowhere.wav"\nsinks = ["jsonl:{tmp_path}/a.jsonl"]\nthreads = 2\n'
        "[decode]\nmin_duration_labels = 11\n"
    )
    assert seld("run", "--config", config, "--source", wav) == (0, "", "")
    assert (tmp_path / "a.jsonl").read_text() == ""  # both sounds are 10 label frames long
    config.write_text(f'source = "{wav}"\n[system]\nmax_overlap = 1\n')
    code, out, _ = seld("run", "--config", config)
    assert code == 0
    is_about(events(out), LOW, HIGH)


def test_raw_samples_on_stdin(seld, tmp_path, sounds, monkeypatch):
    (tmp_path / "a.toml").write_text('[stdin]\nsample_type = "f32le"\n')
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(sounds.astype("<f4").tobytes())))
    code, out, err = seld("run", "--source", "-", "--config", tmp_path / "a.toml")
    assert (code, err) == (0, "")
    is_about(events(out), LOW, HIGH)
    assert all(event["time"].endswith("Z") for event in events(out))  # heard live


def test_stats_are_written_in_the_end(seld, wav, tmp_path, caplog):
    """Of a file as fast as it can: there is no deadline, so nothing is watched."""
    assert seld("run", "--source", wav, "--sink", "null", "--stats", tmp_path / "a.json") == (0, "", "")
    stats = json.loads((tmp_path / "a.json").read_text())
    assert (stats["steps"], stats["answers"], stats["lost_samples"], stats["governor"]) == (50, 25, 0, None)
    assert stats["missed_steps"] <= 50
    assert {"array", "stft", "features", "localizer", "decode"} <= stats["stages"].keys()
    for timing in (stats["step"], stats["answer"], *stats["stages"].values()):
        assert 0 < timing["steps"] <= 50
        assert 0.0 < timing["p50_ms"] <= timing["p95_ms"] <= timing["p99_ms"] <= timing["max_ms"]
    (tmp_path / "a.toml").write_text(f'stats = "{tmp_path}/b.json"\n[budget]\nstep_ms = 0.001\ngovernor = true')
    with_config = ("--config", tmp_path / "a.toml")
    assert seld("run", "--source", wav, "--sink", "null", *with_config)[0] == 0
    assert "quality goes down from '2 tracks' to '1 track'" in caplog.text
    stats = json.loads((tmp_path / "b.json").read_text())
    assert stats["missed_steps"] == stats["governor"]["late_steps"] == 50
    assert stats["governor"]["changes"] >= 1 and stats["governor"]["level"] != "2 tracks"
    assert sum(stats["governor"]["seconds_at"].values()) == pytest.approx(5.0)


def test_stats_are_written_when_it_goes_wrong_too(seld, tmp_path, sounds):
    broken = sounds.copy()
    broken[90_000, 0] = np.nan
    wavfile.write(tmp_path / "a.wav", 24000, broken)
    stats = ("--sink", "null", "--stats", tmp_path / "a.json")
    refused(seld("run", "--source", tmp_path / "a.wav", *stats), "sample 90000 of channel 0 is nan")
    assert json.loads((tmp_path / "a.json").read_text())["steps"] == 90_000 // 2400


def test_a_file_in_real_time(seld, wav, tmp_path, monkeypatch):
    """It takes as long as it is, on a clock that is made up; the deadlines are watched."""

    def sleep(seconds):
        nonlocal now_s
        now_s += seconds

    now_s = 0.0
    monkeypatch.setattr("edge.capture.paced", partial(paced, clock=lambda: now_s, sleep=sleep))
    monkeypatch.setattr("edge.capture.CaptureQueue", partial(CaptureQueue, clock=lambda: now_s))
    code, out, err = seld("run", "--source", wav, "--realtime", "--stats", tmp_path / "a.json")
    assert (code, err) == (0, "")
    is_about(events(out), LOW, HIGH)
    assert now_s == pytest.approx(5.0)
    governor = json.loads((tmp_path / "a.json").read_text())["governor"]
    assert (governor["late_steps"], governor["most_late_ms"]) == (0, pytest.approx(0.0, abs=1e-6))
    assert (governor["changes"], governor["level"]) == (0, "2 tracks")


@pytest.mark.parametrize("governor", ["", "governor = false"])
def test_the_governor_can_be_told_only_to_watch(seld, tmp_path, sounds, governor, caplog):
    """A pipe is real time. Every step is too late, whatever is done about it."""
    config = f'[stdin]\nsample_type = "f32le"\n[budget]\nstep_ms = 0.001\n{governor}'
    (tmp_path / "a.toml").write_text(config)
    read_end, write_end = os.pipe()

    def write():
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(sounds.astype("<f4").tobytes())

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(read_end, "rb") as stdin, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
        options = ("--config", tmp_path / "a.toml", "--sink", "null", "--stats", tmp_path / "a.json")
        assert seld("run", "--source", "-", *options)[0] == 0
    writer.join()
    stats = json.loads((tmp_path / "a.json").read_text())["governor"]
    assert stats["late_steps"] == 50
    if governor:
        assert (stats["changes"], stats["level"], caplog.text) == (0, "2 tracks", "")
    else:
        assert stats["changes"] >= 1 and "quality goes down" in caplog.text


def test_metrics_and_events_for_local_programs(seld, wav, tmp_path):
    """What Prometheus would see in the end; a socket that nobody listened to."""
    (tmp_path / "a.toml").write_text(f'[prometheus]\ntextfile = "{tmp_path}/a.prom"\n[jsonl]\nmax_mb = 0.001')
    sinks = ("--sink", f"jsonl:{tmp_path}/a.jsonl", "--sink", f"lines:unix:{tmp_path}/events")
    assert seld("run", "--source", wav, "--config", tmp_path / "a.toml", *sinks) == (0, "", "")
    metrics = (tmp_path / "a.prom").read_text()
    assert "seld_edge_steps_total 50\n" in metrics and 'seld_edge_events_total{class="low"} 1\n' in metrics
    assert f'seld_edge_dropped_total{{sink="lines:unix:{tmp_path}/events"}} 0\n' in metrics
    assert 'seld_edge_stage_seconds{stage="stft",quantile="0.95"}' in metrics
    assert not (tmp_path / "events").exists()


def test_what_a_run_came_to_is_logged(seld, wav, tmp_path, caplog):
    (tmp_path / "a.toml").write_text("metrics_minutes = 0.03")
    with caplog.at_level(logging.INFO):
        seld("run", "--source", wav, "--config", tmp_path / "a.toml", "--sink", "null")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith(f"listening to {wav} with ")
    metrics, rest = lines[1:3], lines[3:]
    assert [line.split(" steps")[0] for line in metrics] == ["metrics: 18", "metrics: 36"]
    assert re.match(r"50 steps, \d+ over the budget; 25 answers; 0 samples lost; step p50 \d+\.\d\d, p95", rest[0])
    assert [line.split(":")[0] for line in rest[1:4]] == ["array", "stft", "features"]
    caplog.clear()
    (tmp_path / "a.toml").write_text("metrics_minutes = 0")
    with caplog.at_level(logging.INFO):
        seld("run", "--source", wav, "--config", tmp_path / "a.toml", "--sink", "null")
    assert len(caplog.records) == len(lines) - 2


def test_models_lists_what_is_shipped(seld, monkeypatch, tiny_bundle):
    monkeypatch.setattr("edge.commands.shipped_bundles", lambda: {"tiny": tiny_bundle})
    code, out, err = seld("models")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"tiny: coloc, int8, \d+ kB, arrays foa; 2 classes: low, high\n", out)


def fake_pyaudio(*names):
    infos = [
        {"index": n, "name": name, "maxInputChannels": 4, "defaultSampleRate": 24000.0} for n, name in enumerate(names)
    ]

    def default():
        raise OSError("no default input device")

    audio = SimpleNamespace(
        get_device_count=lambda: len(infos),
        get_device_info_by_index=lambda index: infos[index],
        get_default_input_device_info=default,
        is_format_supported=lambda *args, **kwargs: True,
        terminate=lambda: None,
    )
    return SimpleNamespace(PyAudio=lambda: audio, paFloat32=1, paInputOverflow=2, paContinue=0)


def test_devices(seld, monkeypatch):
    rates = "4 channels, 16000, 24000, 44100, 48000 Hz"
    monkeypatch.setitem(sys.modules, "pyaudio", fake_pyaudio("mic4"))
    assert seld("devices") == (0, f"0: mic4, {rates}\n", "")
    monkeypatch.setitem(sys.modules, "pyaudio", fake_pyaudio("seeed-4mic-voicecard: ac10x (hw:1,0)"))
    assert seld("devices") == (0, f"0: seeed-4mic-voicecard: ac10x (hw:1,0), {rates}, array seeed_4mic\n", "")
    monkeypatch.setitem(sys.modules, "pyaudio", fake_pyaudio("ReSpeaker 4 Mic Array (UAC1.0): USB Audio (hw:2,0)"))
    code, out, err = seld("devices")
    assert (code, err) == (0, "") and out.endswith(f"{rates}, array respeaker_usb4, but it wants 6 channels\n")
    monkeypatch.setitem(sys.modules, "pyaudio", fake_pyaudio())
    assert seld("devices") == (0, "", "no capture device with 4 channels or more\n")
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    refused(seld("devices"), "PyAudio is not installed")


@pytest.mark.skipif(not shipped_bundles(), reason="no bundle is shipped yet")
def test_demo_with_the_shipped_bundle(seld, tmp_path):
    code, out, err = seld("demo", "--out", tmp_path, model=None)
    assert (code, err) == (0, "")
    score = re.search(r"F20 ([\d.]+)", out)
    assert score and float(score[1]) >= 0.6
    assert "real-time factor" in out and "p95" in out
    assert len(events((tmp_path / "scene.jsonl").read_text())) >= 5
    assert read_annotations(tmp_path / "scene.csv", 13)


def test_a_flat_array_says_nothing_about_height(seld, tmp_path, sounds, caplog):
    profile, hz = load_array("respeaker_usb4"), np.fft.rfftfreq(len(sounds), 1 / 24000)
    delivered = np.zeros((len(sounds), 6), np.float32)
    for direction, part in ((unit_vector(30, -20), slice(0, 60_000)), (unit_vector(-120, 40), slice(60_000, None))):
        heard = np.zeros(len(sounds))
        heard[part] = sounds[part, 0]
        early_s = np.array(profile.capsule_position_m) @ direction / 343
        delivered[:, 1:5] += np.fft.irfft(np.fft.rfft(heard) * np.exp(2j * np.pi * hz * early_s[:, None]), axis=1).T
    wavfile.write(tmp_path / "a.wav", 24000, delivered)
    args = ("run", "--source", tmp_path / "a.wav", "--array", "respeaker_usb4", "--sink", "jsonl:-")
    code, out, err = seld(*args, "--sink", f"dcase:{tmp_path}/a.csv")
    assert (code, err) == (0, "")
    assert "was trained for foa: array respeaker_usb4 is flat and sounds otherwise, " in caplog.text
    assert {event["elevation_deg"] for event in events(out)} == {None}
    assert any(abs(event["azimuth_deg"] + 120) < 5 for event in events(out))
    assert {label.elevation_deg for label in read_annotations(tmp_path / "a.csv", 2)} == {0.0}


# What is refused


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
        (("--stats", "/nowhere/a.json"), "sink stats:/nowhere/a.json: No such file"),
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
        ("[system]\noverlap = 1", "system: got unknown key 'overlap'"),
        ("[system]\nmax_overlap = 7", "system: got max_overlap 7, wanted 1, 2 or 3"),
        ("[decode]\non = 0.1", "decode: got on 0.1 and off 0.3"),
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


def test_stdin_that_makes_no_sense(seld, tmp_path, monkeypatch):
    def stdin(content):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    stdin(b"")
    refused(seld("run", "--source", "-"), "stdin: no samples")
    (tmp_path / "a.toml").write_text('[stdin]\nsample_type = "f32le"\n')
    stdin(np.full(4000, np.nan, "<f4").tobytes())
    refused(seld("run", "--source", "-", "--config", tmp_path / "a.toml"), "stdin: sample 0 of channel 0 is nan")
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
        seld("file", wav, tmp_path / "sub" / "scene.wav", "--out", tmp_path / "out"), r"several files named scene\.wav"
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


# As a process of its own: what only shows there


def test_one_line_is_all_that_a_process_says(tmp_path, tiny_bundle, wav):
    """No notes of the interpreter, no traceback, no warnings at exit."""
    (tmp_path / "a.wav").write_bytes(wav.read_bytes()[:-1])
    args = ["run", "--source", str(tmp_path / "a.wav"), "--model", str(tiny_bundle)]
    done = subprocess.run([*SELD_EDGE, *args], capture_output=True, text=True, timeout=120)
    refused((done.returncode, done.stdout, done.stderr), r"a\.wav: truncated")


def threads_of(tmp_path, settings, environment):
    """What numpy's BLAS is told in a process of its own, and how many threads there are once numpy is there."""
    (tmp_path / "a.toml").write_text(settings)
    code = """
import os, sys, edge.cli
assert "numpy" not in sys.modules
edge.cli.main(["run", "--config", sys.argv[1], "--source", "nowhere.wav"])
import numpy
numpy.ones((500, 500)) @ numpy.ones((500, 500))
print(os.environ["OPENBLAS_NUM_THREADS"], len(os.listdir("/proc/self/task")))
"""
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.toml")],
        capture_output=True,
        text=True,
        timeout=120,
        env=clean | environment,
    )
    told, threads = done.stdout.split()
    return told, int(threads)


def test_the_blas_of_numpy_has_the_threads_that_it_is_given(tmp_path):
    told, alone = threads_of(tmp_path, "", {})
    assert told == "1"
    told, together = threads_of(tmp_path, "blas_threads = 2", {})
    assert told == "2" and (together > alone or len(os.sched_getaffinity(0)) == 1)
    assert threads_of(tmp_path, "blas_threads = 1", {"OPENBLAS_NUM_THREADS": "2"}) == ("1", alone)
    assert threads_of(tmp_path, "", {"OPENBLAS_NUM_THREADS": "2"})[0] == "2"
    assert threads_of(tmp_path, "blas_threads = = 2", {}) == ("1", alone)


def test_the_version_names_the_runtime(capfd):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert re.fullmatch(r"seld-edge \d+\.\d+\.\d+ \((ai-edge-litert|tflite-runtime)\)\n", capfd.readouterr().out)


@pytest.mark.parametrize("command", ["run", "models"])
def test_a_closed_pipe(tiny_bundle, wav, tmp_path, command):
    """The reader is gone before the first event. A file beside the pipe keeps its whole lines."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    sinks = ["--sink", f"jsonl:{tmp_path}/a.jsonl", "--sink", "jsonl:-"]
    args = ["run", "--source", str(wav), "--model", str(tiny_bundle), *sinks]
    if command == "models":
        args = ["models"]
    code = f"""
import sys, pathlib, edge.cli, edge.commands
edge.commands.shipped_bundles = lambda: {{"tiny": pathlib.Path({str(tiny_bundle)!r})}}
sys.exit(edge.cli.main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, *args], stdout=write_end, stderr=subprocess.PIPE, text=True
    ) as child:
        os.close(write_end)
        _, err = child.communicate(timeout=120)
    wanted = "sink jsonl:-: Broken pipe" if command == "run" else "stdout: the reader has closed the pipe"
    refused((child.returncode, "", err), wanted)
    if command == "run":
        is_about(events((tmp_path / "a.jsonl").read_text()), LOW)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_what_is_open_and_ends_well(tiny_bundle, sounds, tmp_path, number):
    """Live from stdin, which stays open: a first sound, then a second that lasts when the signal comes."""
    args = [
        "run",
        "--source",
        "-",
        "--model",
        str(tiny_bundle),
        "--sink",
        "jsonl:-",
        "--sink",
        f"dcase:{tmp_path}/a.csv",
    ]
    pcm = np.clip(np.rint(sounds[: int(3.9 * 24000)] * 32768), -32768, 32767).astype("<i2").tobytes()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*SELD_EDGE, *args], **pipes) as child:
        child.stdin.write(pcm)  # returns when all but what the pipe holds, a third of a second, has been read
        child.stdin.flush()
        first = child.stdout.readline()
        child.send_signal(number)
        rest = child.stdout.read()
        err = child.stderr.read()
        assert (child.wait(timeout=120), err) == (0, b"")
    low, high = events((first + rest).decode())
    is_about([low], LOW)
    assert (high["class"], high["onset_s"]) == ("high", 3.0) and 3.4 <= high["offset_s"] <= 3.9
    labels = read_annotations(tmp_path / "a.csv", 2)
    assert len(labels) == 10 + round(high["offset_s"] * 10) - 30


def test_what_systemd_is_told_of_a_process(tiny_bundle, sounds, tmp_path):
    """Ready after the first answer, alive with the steps; settings read anew between; stopping in the end."""
    (tmp_path / "a.toml").write_text('source = "-"\nsinks = ["null"]\n')
    pcm = np.clip(np.rint(sounds * 32768), -32768, 32767).astype("<i2").tobytes()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        args = ["run", "--config", str(tmp_path / "a.toml"), "--model", str(tiny_bundle)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen([*SELD_EDGE, *args], **pipes, env=environment) as child:
            child.stdin.write(pcm)
            child.stdin.flush()
            told = [systemd.recv(4096).decode()]
            while not told[-1].startswith("STATUS="):
                told.append(systemd.recv(4096).decode())
            (tmp_path / "a.toml").write_text('source = "-"\nsinks = ["jsonl:-"]\n[decode]\non = 0.6\n')
            child.send_signal(signal.SIGHUP)
            child.stdin.write(pcm[:9600])
            child.stdin.close()
            err = child.stderr.read().decode()
            assert (child.wait(timeout=60), child.stdout.read()) == (0, b"")
        told.append(systemd.recv(4096).decode())
        while told[-1] == "WATCHDOG=1":
            told.append(systemd.recv(4096).decode())
    assert told[0] == "WATCHDOG=1" and told.count("READY=1") == 1 and told[-1] == "STOPPING=1"
    assert re.fullmatch(r"STATUS=\d events, 0 samples lost, 2 tracks", next(s for s in told if s.startswith("STATUS")))
    assert "settings read anew: changed decode.on\n" in err and "a restart is needed for sinks\n" in err

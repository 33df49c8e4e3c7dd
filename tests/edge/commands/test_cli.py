"""What commands do."""

import io
import json
import logging
import os
import re
import shutil
import sys
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import wavfile

from edge.arrays.profile import load_array, shipped_arrays
from edge.audio.microphone import CaptureQueue
from edge.audio.pacing import paced
from edge.audio.wav import write_wav
from edge.geometry import unit_vector
from edge.nets.bundle import shipped_bundles
from edge.scoring.annotations import read_annotations
from tests.edge.command_line import HIGH, LOW, events, is_about, refused
from tests.edge.nets.bundles import changed
from tests.edge.plane_waves import heard_by_omnis


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


def test_file_replaces_what_it_wrote_before(seld, wav, tmp_path):
    seld("file", wav, "--out", tmp_path / "out")
    once = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    seld("file", wav, "--out", tmp_path / "out")
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == once


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


def test_bad_samples_on_stdin_are_replaced_and_counted(seld, tmp_path, sounds, monkeypatch, caplog):
    """They are in the first sound: it is found as it is, and the rest too."""
    broken = sounds.astype("<f4")
    broken[30_000, 0], broken[30_001, 1], broken[30_002, 2] = np.nan, np.inf, 1e20
    (tmp_path / "a.toml").write_text(f'[stdin]\nsample_type = "f32le"\n[prometheus]\ntextfile = "{tmp_path}/a.prom"\n')
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(broken.tobytes())))
    options = ("--config", tmp_path / "a.toml", "--stats", tmp_path / "a.json")
    code, out, err = seld("run", "--source", "-", *options)
    assert (code, err) == (0, "")
    is_about(events(out), LOW, HIGH)
    assert json.loads((tmp_path / "a.json").read_text())["repaired_samples"] == 3
    assert "seld_edge_repaired_samples_total 3.0\n" in (tmp_path / "a.prom").read_text()
    assert "stdin: sample 30000 of channel 0 is nan: such samples are replaced" in caplog.text


def test_a_channel_that_dies_while_running_is_named(seld, tmp_path, sounds, monkeypatch, caplog):
    broken = sounds.astype("<f4")
    broken[24_000:, 3] = 0.0
    settings = '[stdin]\nsample_type = "f32le"\n[microphone]\nchannel_fault_s = 1\n'
    (tmp_path / "a.toml").write_text(f'{settings}[prometheus]\ntextfile = "{tmp_path}/a.prom"\n')
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(broken.tobytes())))
    options = ("--config", tmp_path / "a.toml", "--stats", tmp_path / "a.json")
    assert seld("run", "--source", "-", *options)[0] == 0
    assert json.loads((tmp_path / "a.json").read_text())["faulty_channels"] == {"3": "silent"}
    assert 'seld_edge_faulty_channel{channel="3",fault="silent"} 1.0\n' in (tmp_path / "a.prom").read_text()
    assert "stdin: channel 3 is silent for 1 s while others work" in caplog.text


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
    monkeypatch.setattr("edge.audio.sources.paced", partial(paced, clock=lambda: now_s, sleep=sleep))
    monkeypatch.setattr("edge.audio.sources.CaptureQueue", partial(CaptureQueue, clock=lambda: now_s))
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
        assert (stats["changes"], stats["level"]) == (0, "2 tracks")
        assert [record.name for record in caplog.records] == ["edge.commands.introduction"]
    else:
        assert stats["changes"] >= 1 and "quality goes down" in caplog.text


def test_metrics_and_events_for_local_programs(seld, wav, tmp_path):
    """What Prometheus would see in the end; a socket that nobody listened to."""
    (tmp_path / "a.toml").write_text(f'[prometheus]\ntextfile = "{tmp_path}/a.prom"\n[jsonl]\nmax_mb = 0.001')
    sinks = ("--sink", f"jsonl:{tmp_path}/a.jsonl", "--sink", f"lines:unix:{tmp_path}/events")
    assert seld("run", "--source", wav, "--config", tmp_path / "a.toml", *sinks) == (0, "", "")
    metrics = (tmp_path / "a.prom").read_text()
    assert "seld_edge_steps_total 50.0\n" in metrics and 'seld_edge_events_total{class="low"} 1.0\n' in metrics
    assert f'seld_edge_sink_dropped_items_total{{sink="lines:unix:{tmp_path}/events"}} 0.0\n' in metrics
    assert 'seld_edge_stage_duration_seconds{quantile="0.95",stage="stft"}' in metrics
    assert not (tmp_path / "events").exists()


def test_what_a_run_came_to_is_logged(seld, wav, tmp_path, caplog):
    (tmp_path / "a.toml").write_text("metrics_minutes = 0.03")
    with caplog.at_level(logging.INFO):
        seld("run", "--source", wav, "--config", tmp_path / "a.toml", "--sink", "null")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith(f"listening to {wav}: 4 channels at 24000 Hz, array foa; model tiny, 2 classes, ")
    metrics, rest = lines[1:3], lines[3:]
    assert [line.split(" steps")[0] for line in metrics] == ["metrics: 18", "metrics: 36"]
    assert re.match(r"50 steps, \d+ over the budget; 25 answers; 0 samples lost; step p50 \d+\.\d\d, p95", rest[0])
    assert [line.split(":")[0] for line in rest[1:5]] == ["array", "stft", "loudness", "features"]
    caplog.clear()
    (tmp_path / "a.toml").write_text("metrics_minutes = 0")
    with caplog.at_level(logging.INFO):
        seld("run", "--source", wav, "--config", tmp_path / "a.toml", "--sink", "null")
    assert len(caplog.records) == len(lines) - 2


@pytest.mark.parametrize(
    ("words", "source", "outputs"),
    [
        (("run", "--source", "{wav}", "--sink", "null", "--sink", "dcase:{out}"), "{wav}", "null, dcase:{out}"),
        (("file", "{wav}", "--out", "{out}"), "{wav}", "{out}/scene.csv, {out}/scene.jsonl"),
    ],
)
def test_a_command_says_what_it_listens_to(seld, wav, tmp_path, words, source, outputs, caplog):
    names = {"wav": wav, "out": tmp_path / "a"}
    assert seld(*(word.format(**names) for word in words))[0] == 0
    introductions = [record.getMessage() for record in caplog.records if record.name == "edge.commands.introduction"]
    assert introductions == [
        f"listening to {source.format(**names)}: 4 channels at 24000 Hz, array foa; "
        f"model tiny, 2 classes, answers within 0.6 s; events to {outputs.format(**names)}"
    ]


def test_models_lists_what_is_shipped(seld, monkeypatch, tiny_bundle):
    monkeypatch.setattr("edge.nets.bundle.shipped_bundles", lambda: {"tiny": tiny_bundle})
    code, out, err = seld("models")
    assert (code, err) == (0, "")
    listed, *arrays = out.splitlines()
    assert re.fullmatch(r"tiny: coloc, int8, \d+ kB, arrays foa; 2 classes: low, high", listed)
    assert {"array foa: tiny", "array foa_fuma: tiny", "array xvf3800: none was trained for it"} <= set(arrays)
    assert len(arrays) == len(shipped_arrays())


@pytest.fixture
def shipped_flat(monkeypatch, tmp_path, tiny_bundle):
    """The tiny bundle takes the place of the usual one, and there is another one for flat arrays."""
    flat = shutil.copytree(tiny_bundle, tmp_path / "flat")
    changed(flat, name="tiny-flat", arrays=["respeaker_usb4", "planar"])
    shipped = {"a-flat": flat, "coloc-edge": tiny_bundle, "z-flat": flat}
    monkeypatch.setattr("edge.nets.bundle.shipped_bundles", lambda: shipped)


@pytest.fixture
def silence(tmp_path):
    """A file of a microphone array with six channels."""
    wavfile.write(tmp_path / "silence.wav", 16000, np.zeros((16000, 6), np.int16))
    return tmp_path / "silence.wav"


@pytest.mark.parametrize("array", ["respeaker_usb4", "xvf3800"])
def test_a_run_takes_the_model_that_was_trained_for_the_array(seld, shipped_flat, silence, caplog, array):
    for command in (("run", "--sink", "null", "--source", silence), ("file", silence, "--out", silence.parent)):
        caplog.clear()
        assert seld(*command, "--array", array, model=None) == (0, "", "")
        said = f"array {array}: using a-flat instead of coloc-edge, as it was trained for respeaker_usb4, planar"
        assert said in caplog.messages
        assert "model tiny-flat" in caplog.text and "sounds different" not in caplog.text


def test_a_named_model_is_taken_whatever_the_array(seld, shipped_flat, silence, caplog):
    run = ("run", "--sink", "null", "--source", silence, "--array", "xvf3800")
    assert seld(*run, model="coloc-edge") == (0, "", "")
    assert "instead of" not in caplog.text
    assert "finds fewer sources, and less accurately; for such arrays there is --model a-flat or z-flat" in caplog.text


def test_the_usual_model_is_taken_where_it_fits_or_none_does(seld, shipped_flat, wav, caplog):
    assert seld("run", "--source", wav, "--sink", "null", model=None) == (0, "", "")
    assert "model tiny, 2 classes" in caplog.text and "instead of" not in caplog.text
    assert seld("run", "--source", wav, "--sink", "null", "--array", "open_tetra", model=None) == (0, "", "")
    assert "instead of" not in caplog.text and "open_tetra sounds different, so it finds fewer" in caplog.text


def test_an_unchecked_bundle_says_so_in_the_list_and_in_a_run(seld, wav, tmp_path, monkeypatch, tiny_bundle, caplog):
    folder = shutil.copytree(tiny_bundle, tmp_path / "unchecked")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "unchecked": True}))
    monkeypatch.setattr("edge.nets.bundle.shipped_bundles", lambda: {"tiny": folder})
    assert seld("models")[1].startswith("tiny: coloc, int8, unchecked, ")
    assert seld("run", "--source", wav, "--sink", "null", model=folder)[0] == 0
    assert "model tiny (unchecked), 2 classes" in caplog.text
    assert f"{folder}: this bundle is unchecked" in caplog.text


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
    assert seld("devices") == (0, "", "no capture device found\n")
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
    profile = load_array("respeaker_usb4")
    delivered = np.zeros((len(sounds), 6), np.float32)
    for direction, part in ((unit_vector(30, -20), slice(0, 60_000)), (unit_vector(-120, 40), slice(60_000, None))):
        heard = np.zeros(len(sounds))
        heard[part] = sounds[part, 0]
        delivered[:, 1:5] += heard_by_omnis(heard, profile.capsule_position_m, direction, 24000)
    wavfile.write(tmp_path / "a.wav", 24000, delivered)
    args = ("run", "--source", tmp_path / "a.wav", "--array", "respeaker_usb4", "--sink", "jsonl:-")
    code, out, err = seld(*args, "--sink", f"dcase:{tmp_path}/a.csv")
    assert (code, err) == (0, "")
    assert "was trained for foa: array respeaker_usb4 is flat and sounds different, " in caplog.text
    assert {event["elevation_deg"] for event in events(out)} == {None}
    assert any(abs(event["azimuth_deg"] + 120) < 5 for event in events(out))
    assert {label.elevation_deg for label in read_annotations(tmp_path / "a.csv", 2)} == {0.0}

"""The library: the events of the command, whatever the blocks; refusals of one line; the life of a model."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge
from edge.arrays.profile import load_array
from edge.audio.resample import Resampler
from edge.audio.wav import read_wav, write_wav
from edge.cli import main
from edge.events.records import event_line
from tests.paths import DEMO, ROOT

RATE_HZ = 24000


def heard(model, samples, size=10**9, rows=False):
    """Events (and rows) of a whole stream in blocks of one size."""
    items = [item for at in range(0, len(samples), size) for item in model.push(samples[at : at + size], rows=rows)]
    return items + model.finish(rows=rows)


@pytest.fixture
def model(tiny_bundle):
    with edge.open_model(str(tiny_bundle), sample_rate_hz=RATE_HZ) as opened:
        yield opened


# Events


@pytest.fixture(scope="module")
def demo_lines(tmp_path_factory):
    """Lines that `seld-edge file` writes about the demo scene, with the shipped model."""
    folder = tmp_path_factory.mktemp("file")
    assert main(["file", str(DEMO / "scene.wav"), "--out", str(folder)]) == 0
    return (folder / "scene.jsonl").read_text().splitlines(), (folder / "scene.csv").read_text().splitlines()


@pytest.mark.parametrize(
    "size", [10**9, 4096, 480, pytest.param(7, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.long)]
)
def test_demo_scene_gives_the_events_of_the_command(demo_lines, size):
    samples, rate_hz = read_wav(DEMO / "scene.wav")
    with edge.open_model(array="foa", sample_rate_hz=rate_hz) as model:
        items = heard(model, samples, size, rows=True)
    rows = [item for item in items if isinstance(item, edge.FrameRow)]
    lines, csv = demo_lines
    assert [event_line(item, None) for item in items if isinstance(item, edge.Event)] == lines and len(lines) > 5
    fields = [(r.frame, r.class_index, r.track, r.azimuth_deg, r.elevation_deg) for r in rows]
    assert [",".join(map(str, each)) for each in fields] == csv and len(csv) > 50


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 48000])
def test_blocks_do_not_matter(tiny_bundle, sounds, tmp_path, rate_hz, block_samples):
    """Resampling is the device's too."""
    resampler = Resampler(RATE_HZ, rate_hz, 4)
    write_wav(tmp_path / "a.wav", np.concatenate([resampler.push(sounds), resampler.finish()]), rate_hz)
    assert main(["file", str(tmp_path / "a.wav"), "--out", str(tmp_path), "--model", str(tiny_bundle)]) == 0
    samples, _ = read_wav(tmp_path / "a.wav")
    size = block_samples if rate_hz == RATE_HZ else 2 * block_samples
    with edge.open_model(str(tiny_bundle), sample_rate_hz=rate_hz) as model:
        lines = [event_line(event, None) for event in heard(model, samples, size)]
    assert lines == (tmp_path / "a.jsonl").read_text().splitlines()
    assert [line.split('"')[3] for line in lines] == ["low", "high"]


def test_memory_layout_and_precision_of_a_block_do_not_matter(model, sounds):
    wanted = heard(model, sounds)
    wide = np.zeros((len(sounds), 8))
    wide[:, ::2] = sounds
    for block in (np.asfortranarray(sounds), wide[:, ::2], sounds.astype(np.float64), sounds[::-1].copy()[::-1]):
        assert heard(model, block) == wanted


def test_block_is_not_kept(model, sounds):
    wanted, scratch, events = heard(model, sounds), np.empty((480, 4), np.float32), []
    for at in range(0, len(sounds), 480):
        scratch[:] = sounds[at : at + 480]
        events += model.push(scratch)
    assert events + model.finish() == wanted


def test_lost_samples_keep_the_times_of_what_follows(tiny_bundle, sounds):
    """The low sound ends at 2 s, the high one begins at 3 s; 0.5 s between them are lost."""
    for rate_hz in (RATE_HZ, 48000):
        resampler = Resampler(RATE_HZ, rate_hz, 4)
        samples = np.concatenate([resampler.push(sounds), resampler.finish()])
        before, after = samples[: round(2.2 * rate_hz)], samples[round(2.7 * rate_hz) :]
        with edge.open_model(str(tiny_bundle), sample_rate_hz=rate_hz) as model:
            events = model.push(before) + model.push(after, lost_samples=round(0.5 * rate_hz)) + model.finish()
        assert [(event.name, event.onset_s) for event in events] == [("low", 1.0), ("high", pytest.approx(3.0))]


@pytest.mark.parametrize(("name", "rate_hz"), [("tiny", RATE_HZ), ("coloc-edge", RATE_HZ), ("tiny", 48000)])
def test_nothing_is_decided_later_than_the_latency(tiny_bundle, sounds, name, rate_hz):
    resampler, size = Resampler(RATE_HZ, rate_hz, 4), rate_hz // 100
    samples = np.concatenate([resampler.push(sounds), resampler.finish()])
    latest_s, count = {edge.Event: 0.0, edge.FrameRow: 0.0}, 0
    name = str(tiny_bundle) if name == "tiny" else name
    with edge.open_model(name, sample_rate_hz=rate_hz, decode={"on": 0.05, "off": 0.01}) as model:
        for at in range(0, len(samples), size):
            for item in model.push(samples[at : at + size], rows=True):
                began_s = item.offset_s if isinstance(item, edge.Event) else item.frame * 0.1
                latest_s[type(item)] = max(latest_s[type(item)], (at + size) / rate_hz - began_s)
                count += 1
        most_s = model.latency_s + size / rate_hz + 1e-9
    assert count > 10
    assert latest_s[edge.Event] <= most_s
    assert most_s - 0.2 < latest_s[edge.FrameRow] <= most_s


# Refusals


WANTED = r"wanted float32 of shape \(samples, 4\) with full scale 1"
REFUSED = {
    "transposed": (lambda x: x.T, rf"got shape \(4, 2400\), {WANTED}: transpose it, block\.T"),
    "two channels": (lambda x: x[:, :2], rf"got shape \(2400, 2\), {WANTED}"),
    "one dimension": (lambda x: x[:, 0], rf"got shape \(2400,\), {WANTED}"),
    "three dimensions": (lambda x: x[None], rf"got shape \(1, 2400, 4\), {WANTED}"),
    "no samples": (lambda x: x[:0], rf"got no samples, {WANTED}"),
    "int16": (lambda x: x.astype(np.int16), rf"got int16, {WANTED}: block\.astype\(numpy\.float32\) / 32768"),
    "int32": (lambda x: x.astype(np.int32), rf"got int32, {WANTED}: block\.astype\(numpy\.float32\) / 2147483648"),
    "bool": (lambda x: x > 0, rf"got bool, {WANTED}"),
    "complex": (lambda x: x.astype(np.complex64), rf"got complex64, {WANTED}"),
    "a list": (lambda x: x.tolist(), rf"got list, {WANTED}: numpy\.asarray\(block, numpy\.float32\)"),
    "nothing": (lambda x: None, rf"got NoneType, {WANTED}: numpy\.asarray\(block, numpy\.float32\)"),
    "NaN": (lambda x: np.where(x == x[7, 2], np.nan, x), r"sample 2407 of channel 2 is nan"),
    "infinite": (lambda x: np.where(x == x[7, 2], -np.inf, x), r"sample 2407 of channel 2 is -inf"),
    "too large": (lambda x: x.astype(np.float64) * 1e300, r"sample 2400 of channel 0 is inf"),
    "scale of int16": (lambda x: x * 32768, rf"got a peak of [\d.e+]+, {WANTED}: divide it by 32768 if it was int16"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_wrong_blocks_are_refused_and_leave_the_stream_as_it_was(model, sounds, what):
    spoil, message = REFUSED[what]
    wanted = heard(model, sounds)
    events = model.push(sounds[:2400])
    block = np.random.default_rng(0).uniform(0.1, 1.0, (2400, 4)).astype(np.float32)
    with pytest.raises(ValueError, match=rf"^block: {message}$") as caught:
        model.push(spoil(block))
    assert "\n" not in str(caught.value)
    assert events + model.push(sounds[2400:]) + model.finish() == wanted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate_hz": 3999}, "got a sample rate of 3999 Hz, wanted 4000 to 192000"),
        ({"sample_rate_hz": 200_000}, "got a sample rate of 200000 Hz, wanted 4000 to 192000"),
        ({"sample_rate_hz": 44100.5}, r"got sample_rate_hz 44100\.5, wanted a whole number"),
        ({"sample_rate_hz": float("nan")}, "got sample_rate_hz nan, wanted a whole number"),
        ({"sample_rate_hz": "48000"}, "got sample_rate_hz '48000', wanted a whole number"),
        ({"name": "coloc-edgy"}, "model 'coloc-edgy': got no such bundle, wanted .*coloc-edge.* or a folder"),
        ({"array": "zylia"}, r"array 'zylia': got no such profile, wanted .*foa.* or a \.toml file"),
        ({"threads": 0}, "got threads 0, wanted 1 to 64"),
        ({"decode": {"on": 2.0}}, r"decode: got on 2\.0 and off 0\.3, wanted 0 < off <= on < 1"),
        ({"decode": {"onn": 0.5}}, "decode: got unknown key 'onn', wanted one of on, off, .*"),
        ({"system": {"modus": 1}}, ".*got unknown key 'modus', wanted one of .*"),
    ],
)
def test_models_that_cannot_be_opened(tiny_bundle, options, message):
    options = {"name": str(tiny_bundle), "sample_rate_hz": RATE_HZ} | options
    with pytest.raises(ValueError, match=rf"^{message}$"):
        edge.open_model(**options)


def test_sample_rate_has_to_be_stated(tiny_bundle):
    with pytest.raises(TypeError, match="sample_rate_hz"):
        edge.open_model(str(tiny_bundle))


@pytest.mark.parametrize("lost", [-1, 0.5])
def test_lost_samples_that_make_no_sense(model, sounds, lost):
    with pytest.raises(ValueError, match=rf"^got lost_samples {lost}, wanted "):
        model.push(sounds, lost_samples=lost)


# Life of a model


def test_what_a_model_says_of_itself(tiny_bundle):
    with edge.open_model(str(tiny_bundle), array="respeaker_usb4", sample_rate_hz=np.int64(16000)) as model:
        assert isinstance(model, edge.Model)
        assert model.class_names == ("low", "high") and model.array == load_array("respeaker_usb4")
        assert (model.channels, model.sample_rate_hz) == (6, 16000)
        assert model.push(np.zeros((160, 6), np.float32)) == []
    with edge.open_model(str(tiny_bundle), array=load_array("foa"), sample_rate_hz=48000.0) as model:
        assert (model.channels, model.sample_rate_hz, type(model.sample_rate_hz)) == (4, 48000, int)


def test_array_that_the_model_was_not_trained_for_is_warned_of(tiny_bundle, caplog):
    edge.open_model(str(tiny_bundle), sample_rate_hz=RATE_HZ).close()
    assert caplog.text == ""
    edge.open_model(str(tiny_bundle), array="seeed_4mic", sample_rate_hz=RATE_HZ).close()
    assert "was trained for foa and will find less with array seeed_4mic" in caplog.text


def test_finish_and_reset_begin_a_stream_at_zero(tiny_bundle, sounds):
    with edge.open_model(str(tiny_bundle), sample_rate_hz=48000) as model:
        wanted = heard(model, sounds)
        assert wanted and heard(model, sounds) == wanted
        model.push(sounds[:77777])
        model.reset()
        assert heard(model, sounds, 4801) == wanted
        assert model.finish() == []


def test_finish_ends_what_still_sounds(model, sounds):
    assert model.push(sounds[: round(1.7 * RATE_HZ)]) == []
    (event,) = model.finish()
    assert (event.name, event.onset_s) == ("low", 1.0) and 1.6 < event.offset_s < 1.9


def test_rows_come_on_request_only(model, sounds):
    assert all(isinstance(item, edge.Event) for item in heard(model, sounds))
    assert any(isinstance(item, edge.FrameRow) for item in heard(model, sounds, rows=True))


def test_closed_model_refuses(model, sounds):
    model.push(sounds[:480])
    model.close()
    model.close()
    for call in (lambda: model.push(sounds), model.finish, model.reset):
        with pytest.raises(ValueError, match=r"^model '.*': closed, wanted an open one$"):
            call()


# The package


def test_import_is_light_and_leaves_the_environment_alone():
    code = """
import os, sys
before = dict(os.environ)
import edge
assert "numpy" not in sys.modules and dict(os.environ) == before
assert {"open_model", "Model", "Event", "FrameRow", "__version__"} <= set(dir(edge))
edge.open_model
assert "edge.api" in sys.modules and dict(os.environ) == before
"""
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean, capture_output=True, text=True, timeout=600
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match=r"^module 'edge' has no attribute 'open_modell'$"):
        _ = edge.open_modell


def test_types_are_declared():
    assert (Path(edge.__file__).parent / "py.typed").is_file()

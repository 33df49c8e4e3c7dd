"""Clips: which sounds are kept, what is in the files, and what happens while the disk has no room."""

import logging
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.testing import assert_allclose

from edge.arrays.profile import load_array
from edge.audio.audio_file import open_audio_file
from edge.audio.tap import tapped
from edge.outputs import clip_folder, clips
from edge.outputs.clip_folder import ClipFolder
from edge.outputs.clip_settings import ClipSettings, is_speech
from edge.outputs.clips import EVENTS_WAITING, WAITING, Clips, HeardBy, ring_s
from edge.outputs.line_file import SinkError
from edge.outputs.worker import Worker
from edge.types import AudioBlock, Event, FrameRow

RATE_HZ = 24000
BLOCK = 2400
NAMES = ("bell", "dog_bark", "female_speech", "male_speech")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DELAY_S = 1.0


def at_noon(onset_s):
    return NOON + timedelta(seconds=onset_s)


def opened(folder, when=at_noon, kept=None, rotation=None, **settings):
    given = ClipSettings(str(folder), **{"pre_s": 0.5, "post_s": 0.5, "longest_s": 3.0, "reserve_mb": 0.0} | settings)
    return Clips(given, HeardBy(load_array("foa"), RATE_HZ, NAMES, DELAY_S, rotation), when, kept)


def foa(seconds, plane_wave, azimuth_deg=90.0):
    """A tone whose amplitude rises by 0.01 a second, from one direction."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return plane_wave(np.sin(2 * np.pi * 500 * t) * 0.01 * (1 + np.floor(t)), azimuth_deg, 0.0)


def event(onset_s=2.0, offset_s=3.0, name="bell", azimuth_deg=90.0):
    return Event(name, onset_s, offset_s, azimuth_deg, 0.0, 0.9)


def run(sink, samples, events, rows=(), start=0):
    """The loop: events are told DELAY_S after their end, rows after their label frame."""
    told, rows = sorted(events, key=lambda each: each.offset_s), list(rows)
    for at in range(0, len(samples), BLOCK):
        sink.hear(AudioBlock(samples[at : at + BLOCK], start + at))
        now_s = (start + at + BLOCK) / RATE_HZ
        while rows and (rows[0].frame + 1) * 0.1 + DELAY_S <= now_s:
            sink.emit(rows.pop(0))
        while told and told[0].offset_s + DELAY_S <= now_s:
            sink.emit(told.pop(0))
    for each in [*rows, *told]:
        sink.emit(each)
    sink.close()


def speech(first, count, class_index=2):
    return [FrameRow(frame, class_index, 0, 0, 0) for frame in range(first, first + count)]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def content(path):
    file = open_audio_file(path)
    return np.concatenate(list(file.blocks(1 << 16))), file.sample_rate_hz


def test_an_event_becomes_a_flac(tmp_path, plane_wave):
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    kept = []
    samples = foa(8, plane_wave)
    run(opened(tmp_path / "clips", kept=lambda *each: kept.append(each)), samples, [event()])
    assert names(tmp_path / "clips") == ["20260501T120002000Z-bell-+090.flac"]
    assert kept == [(event(), "20260501T120002000Z-bell-+090.flac")]
    beam, rate_hz = content(tmp_path / "clips" / kept[0][1])
    assert rate_hz == RATE_HZ and beam.shape == (2 * RATE_HZ, 1)  # half a second before and after
    inside = slice(1000, -1000)
    assert_allclose(beam[inside, 0], samples[round(1.5 * RATE_HZ) :][: len(beam)][inside, 0], atol=1e-3)


def test_the_beam_looks_toward_the_event(tmp_path, plane_wave):
    samples = foa(8, plane_wave, azimuth_deg=-90.0)
    run(opened(tmp_path), samples, [event(2.0, 3.0, azimuth_deg=-90.0), event(4.0, 5.0, azimuth_deg=90.0)])
    at_it, behind = (np.std(content(path)[0]) for path in sorted(tmp_path.iterdir()))
    assert 0.3 < behind / (at_it * 5 / 3) < 0.6  # a subcardioid, and the tone has become louder


def test_an_array_that_is_turned_is_turned_back(tmp_path, plane_wave):
    """An event at 90 degrees in the room is at 0 degrees of an array whose front looks there."""
    turned = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    run(opened(tmp_path, rotation=turned), foa(8, plane_wave, azimuth_deg=0.0), [event()])
    beam, _ = content(tmp_path / names(tmp_path)[0])
    assert np.abs(beam).max() == pytest.approx(0.04, rel=0.02)


def test_the_channels_are_kept_if_asked_for(tmp_path, plane_wave):
    samples = foa(8, plane_wave)
    run(opened(tmp_path, channels=True), samples, [event()])
    beam, channels = names(tmp_path)
    assert beam.replace("-+090.", "-+090.channels.") == channels or ".channels." in beam
    raw, _ = content(tmp_path / next(name for name in names(tmp_path) if ".channels." in name))
    assert_allclose(raw, samples[round(1.5 * RATE_HZ) :][: len(raw)], atol=1 / 32768)


def test_without_soundfile_it_is_a_wav_and_that_is_said(tmp_path, plane_wave, monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    run(opened(tmp_path), foa(8, plane_wave), [event()])
    assert names(tmp_path) == ["20260501T120002000Z-bell-+090.wav"]
    assert content(tmp_path / names(tmp_path)[0])[0].shape == (2 * RATE_HZ, 1)
    assert "written as wav, not as FLAC" in caplog.text


def test_a_file_waits_for_its_clips(tmp_path, plane_wave):
    count = 3 * WAITING
    sink = opened(tmp_path, when=None)
    run(sink, foa(2 * count + 4, plane_wave), [event(1.0 + 2 * n, 1.5 + 2 * n) for n in range(count)])
    assert len(names(tmp_path)) == count and sink.dropped == 0 and sink.alive


def test_of_a_long_event_the_end_is_kept(tmp_path, plane_wave):
    run(opened(tmp_path), foa(24, plane_wave), [event(2.0, 20.0)])
    beam, _ = content(tmp_path / names(tmp_path)[0])
    assert len(beam) == round(3.5 * RATE_HZ) and np.abs(beam).max() == pytest.approx(0.21, abs=0.005)


def test_the_ring_has_a_bound(tmp_path, plane_wave):
    sink = opened(tmp_path)
    samples = foa(1, plane_wave)
    for second in range(30):
        sink.hear(AudioBlock(samples, second * RATE_HZ))
    held = sum(len(block.samples) for block in sink._blocks)
    assert held <= (ring_s(sink._settings, DELAY_S) + 1) * RATE_HZ
    sink.close()


def test_samples_that_were_lost_are_silence(tmp_path, plane_wave):
    sink, samples = opened(tmp_path), foa(4, plane_wave)
    sink.hear(AudioBlock(samples[: 2 * RATE_HZ], 0))
    sink.hear(AudioBlock(np.empty((0, 4), np.float32), 2 * RATE_HZ))
    run(sink, samples, [event(1.5, 3.0)], start=round(2.4 * RATE_HZ))
    beam, _ = content(tmp_path / names(tmp_path)[0])
    assert len(beam) == round(2.5 * RATE_HZ)
    assert np.abs(beam[round(1.1 * RATE_HZ) : round(1.3 * RATE_HZ)]).max() == 0.0


def test_speech_is_kept_only_if_it_is_asked_for_by_name(tmp_path, plane_wave):
    events = [event(name=name) for name in NAMES]
    run(opened(tmp_path / "a"), foa(8, plane_wave), events)
    assert [name.split("-")[1] for name in names(tmp_path / "a")] == ["bell", "dog_bark"]
    run(opened(tmp_path / "b", keep=1000, with_speech=True), foa(8, plane_wave), events)
    assert [name.split("-")[1] for name in names(tmp_path / "b")] == ["bell", "dog_bark"]
    run(opened(tmp_path / "c", classes={"male_speech": 5, "bell": 0}), foa(8, plane_wave), events)
    assert [name.split("-")[1] for name in names(tmp_path / "c")] == ["dog_bark", "male_speech"]


@pytest.mark.parametrize(("first", "count", "wanted"), [(0, 15, 1), (0, 16, 0), (24, 2, 0), (34, 1, 0), (35, 5, 1)])
def test_no_clip_of_another_class_has_speech_in_it(tmp_path, plane_wave, first, count, wanted):
    """The clip is from 1.5 to 3.5 s: label frames 15 to 34."""
    run(opened(tmp_path), foa(8, plane_wave), [event()], speech(first, count))
    assert len(names(tmp_path)) == wanted
    run(opened(tmp_path / "asked", classes={"female_speech": 1}), foa(8, plane_wave), [event()], speech(first, count))
    run(opened(tmp_path / "anyway", with_speech=True), foa(8, plane_wave), [event()], speech(first, count))
    assert len(names(tmp_path / "asked")) == len(names(tmp_path / "anyway")) == 1


@pytest.mark.parametrize("name", ["female_speech", "Male speech", "Child_Speech", "voice", "Conversation", "singing"])
def test_classes_of_speech(name):
    assert is_speech(name) and not is_speech("bell")
    assert ClipSettings(keep=9).kept(name) == 0 and ClipSettings(classes={name: 3}).kept(name) == 3


def written(folder, settings, taken, name="bell", seconds=0.1):
    return folder.write(
        event(name=name),
        NOON + timedelta(hours=taken),
        np.zeros((round(seconds * RATE_HZ), 1), np.float32),
        None,
        RATE_HZ,
    )


def test_the_oldest_clips_make_room(tmp_path):
    (tmp_path / "my notes.flac").write_bytes(b"x" * 2_000_000)
    settings = ClipSettings(str(tmp_path), keep=3, classes={"dog_bark": 1}, days=0.5)
    folder = ClipFolder(tmp_path, settings, NAMES)
    made = [written(folder, settings, hour) for hour in range(4)]
    dogs = [written(folder, settings, hour, "dog_bark") for hour in (4, 5)]
    assert names(tmp_path) == sorted([*made[1:], dogs[1], "my notes.flac"])
    last = written(folder, settings, 14.5)  # more than half a day after the first three
    assert names(tmp_path) == sorted([made[3], dogs[1], last, "my notes.flac"])


def test_the_size_has_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_folder, "_soundfile", lambda: None)
    settings = ClipSettings(str(tmp_path), max_mb=1.0)
    folder = ClipFolder(tmp_path, settings, NAMES)
    made = [written(folder, settings, hour, seconds=5.0) for hour in range(8)]  # 240 kB each
    assert names(tmp_path) == sorted(made[-4:])


def test_two_clips_of_one_moment(tmp_path):
    settings = ClipSettings(str(tmp_path))
    folder = ClipFolder(tmp_path, settings, NAMES)
    assert len({written(folder, settings, 0) for _ in range(3)}) == len(names(tmp_path)) == 3


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".20260501T120002000Z-bell-+090.flac.part").write_bytes(b"half")
    ClipFolder(tmp_path, ClipSettings(str(tmp_path)), NAMES)
    assert names(tmp_path) == []


def test_nothing_is_written_into_the_reserve(tmp_path, plane_wave, caplog):
    sink = opened(tmp_path, reserve_mb=1e6)
    run(sink, foa(12, plane_wave), [event(), event(5.0, 6.0)])
    assert names(tmp_path) == [] and sink.dropped == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"clips: {tmp_path}: less than 1e+06 MB are free on the disk: clips are dropped"
    ]


def test_a_full_disk_costs_its_clips_only(tmp_path, plane_wave, monkeypatch, caplog):
    real, left = clip_folder.write_atomically, [2]

    def full(path, *args, **options):
        if left[0]:
            left[0] -= 1
            raise OSError(28, "No space left on device")
        real(path, *args, **options)

    monkeypatch.setattr(clip_folder, "write_atomically", full)
    sink = opened(tmp_path)
    run(sink, foa(16, plane_wave), [event(), event(5.0, 6.0), event(8.0, 9.0)])
    assert len(names(tmp_path)) == 1 and sink.dropped == 2 and sink.alive
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"clips: {tmp_path}: No space left on device: clips are dropped",
        "clips: can be written again, 2 dropped so far",
    ]


def test_a_folder_that_is_removed_is_made_again(tmp_path, plane_wave):
    sink = opened(tmp_path / "clips")
    (tmp_path / "clips").rmdir()
    run(sink, foa(12, plane_wave), [event(), event(5.0, 6.0)])
    assert len(names(tmp_path / "clips")) == 1 and sink.dropped == 1


def test_a_hanging_disk_holds_up_nobody(tmp_path, plane_wave, monkeypatch, caplog):
    hanging, released = threading.Event(), threading.Event()

    def hang(*args, **options):
        hanging.set()
        assert released.wait(60)

    class StartedWorker(Worker):
        def wake(self):  # the loop goes on once the disk hangs, however busy the machine is
            super().wake()
            assert hanging.wait(60)

    monkeypatch.setattr(clip_folder, "write_atomically", hang)
    monkeypatch.setattr("edge.outputs.worker.END_S", 0.2)
    monkeypatch.setattr(clips, "Worker", StartedWorker)
    sink = opened(tmp_path)
    count = WAITING + 3
    run(sink, foa(4 * count + 8, plane_wave), [event(2.0 + 4 * n, 3.0 + 4 * n) for n in range(count)])
    assert sink.dropped == 3 and len(sink._clips) == WAITING
    assert "the disk does not answer" in caplog.text
    released.set()


def test_events_that_wait_have_a_bound(tmp_path):
    sink = opened(tmp_path)
    for _ in range(EVENTS_WAITING + 2):
        sink.emit(event())
    assert sink.dropped == 2
    sink.close()  # nothing was heard: there is no sound to keep
    assert names(tmp_path) == []


def test_what_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^clips: classes: got 'bel', wanted one of bell, dog_bark"):
        opened(tmp_path, classes={"bel": 1})
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SinkError, match=r"^clips: .*file: File exists$"):
        opened(tmp_path / "file")
    for wrong in ({"folder": ""}, {"pre_s": 31.0}, {"keep": -1}, {"days": 0.001}, {"classes": {"bell": 1.5}}):
        with pytest.raises(ValueError, match=r"^got .*, wanted "):
            ClipSettings(**wrong)


def test_taps_hear_the_blocks_and_change_nothing():
    class Ear:
        def __init__(self):
            self.blocks = []

        def hear(self, block):
            self.blocks.append(block)

    blocks, ear = [AudioBlock(np.zeros((n, 4), np.float32), n) for n in range(3)], Ear()
    assert all(got is given for got, given in zip(tapped(blocks, [ear]), blocks, strict=True))
    assert all(got is given for got, given in zip(ear.blocks, blocks, strict=True))
    assert list(tapped(iter([]), [])) == []
    given = iter(blocks)
    assert tapped(given, []) is given  # nothing is in the way
    assert clips.WAITING == WAITING

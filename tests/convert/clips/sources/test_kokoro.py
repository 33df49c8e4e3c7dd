"""Speech by Kokoro: the table of clips; where its packages are, the same samples twice and the pitch of the sex."""

import os
import pickle
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from convert.clips.sources.kokoro import (
    CLIPS_OF_A_SPEAKER,
    KOKORO,
    NAME,
    UNCLEAR,
    VOICES,
    jobs,
    speak,
    speakers,
    utterance,
)
from convert.clips.splits import split_of

PACKAGES = os.environ.get("SELD_EDGE_UNPACKED_CLIPS", "")  # a folder with the unpacked packages, each under its name
SOMEWHERE = {package.name: Path("/nowhere") / package.name for package in KOKORO.packages}


def test_there_are_enough_speakers_and_clips_of_each_sex():
    table = jobs(SOMEWHERE)
    for name in ("female_speech", "male_speech"):
        clips = [job for job in table if job.class_name == name]
        assert len(clips) >= 250
        assert len({job.group for job in clips}) >= 60
    assert {job.licence for job in table} == {"Apache-2.0"}


def test_names_are_unique_and_the_table_is_the_same_twice():
    first, again = jobs(SOMEWHERE), jobs(SOMEWHERE)
    assert len({(job.class_name, job.name) for job in first}) == len(first)
    assert pickle.dumps(first) == pickle.dumps(again)


def test_every_speaker_comes_once_before_anyone_comes_twice():
    groups = [job.group for job in jobs(SOMEWHERE)]
    everybody = len(speakers())
    assert len(set(groups[:everybody])) == everybody
    assert set(Counter(groups).values()) == {CLIPS_OF_A_SPEAKER}


def test_every_voice_speaks_and_the_sex_is_that_of_the_voice():
    assert {speaker.voices[0] for speaker in speakers() if len(speaker.voices) == 1} == set(VOICES) - UNCLEAR
    for speaker in speakers():
        assert {name[1] for name in speaker.voices} == {speaker.sex[0]}
        assert not UNCLEAR.intersection(speaker.voices)


def test_no_voice_of_a_test_speaker_is_heard_in_training():
    heard = {"train": set(), "test": set()}
    for speaker in speakers():
        heard[split_of(f"{NAME}/{speaker.name}")] |= set(speaker.voices)
    assert heard["test"] and not heard["train"] & heard["test"]


def test_all_moods_and_languages_occur_and_hardly_a_text_twice():
    said = [utterance(speaker, number) for speaker in speakers() for number in range(CLIPS_OF_A_SPEAKER)]
    assert len({one.language for one in said}) == 9
    assert len({one.text.mood for one in said}) == 5
    assert len({one.text.text for one in said}) > 0.85 * len(said)
    assert all(0.8 < one.speed < 1.25 for one in said)


@pytest.mark.long
@pytest.mark.skipif(not PACKAGES, reason="set SELD_EDGE_UNPACKED_CLIPS to a folder with the unpacked packages")
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng not found: apt-get install espeak-ng")
def test_speech_is_the_same_twice_and_has_the_pitch_of_the_sex():
    pytest.importorskip("onnxruntime")
    folders = {package.name: Path(PACKAGES) / package.name for package in KOKORO.packages}
    pitches_hz = {}
    for name in ("af_heart", "am_michael"):
        said = utterance(next(speaker for speaker in speakers() if speaker.name == name), 0)
        samples, rate_hz = speak(said, folders)
        np.testing.assert_array_equal(samples, speak(said, folders)[0])
        assert 0.8 < len(samples) / rate_hz < 7.0
        assert 0.05 < np.max(np.abs(samples)) < 2.0
        pitches_hz[name] = _median_pitch_hz(samples, rate_hz)
    assert 80 < pitches_hz["am_michael"] < 150 < pitches_hz["af_heart"] < 300


def _median_pitch_hz(samples: np.ndarray, rate_hz: int) -> float:
    """Median over loud frames of 40 ms of the lag where the autocorrelation is largest, from 70 to 350 Hz."""
    frame = rate_hz // 25
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[:: frame // 2]
    loud = frames[(energy := np.square(frames).sum(axis=1)) > 0.1 * energy.max()]
    correlation = np.fft.irfft(np.abs(np.fft.rfft(loud * np.hanning(frame), 2 * frame)) ** 2)
    shortest = rate_hz // 350
    return float(np.median(rate_hz / (shortest + correlation[:, shortest : rate_hz // 70].argmax(axis=1))))

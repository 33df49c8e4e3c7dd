"""Synthesized clips and the demo scene: finite, in range, deterministic, and from where the labels say."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convert.clips.synth import speech as synth_speech
from convert.clips.synth.classes import SYNTH_CLASSES, synthesize
from convert.clips.synth.tools import SAMPLE_RATE_HZ, bandpass
from edge.geometry import angle_between_deg, unit_vector
from edge.scoring.annotations import read_annotations
from tests.paths import DEMO

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng not found: apt-get install espeak-ng"
)
SPOKEN = ("female_speech", "male_speech")
EVERY_CLASS = [pytest.param(name, marks=needs_espeak if name in SPOKEN else ()) for name in SYNTH_CLASSES]


@pytest.mark.parametrize("name", EVERY_CLASS)
def test_clips_are_finite_audible_and_in_range(name):
    for seed in range(12):
        clip = synthesize(name, np.random.default_rng(seed), ("train", "test")[seed % 2])
        assert clip.dtype == np.float32 and clip.ndim == 1
        assert 0.3 * SAMPLE_RATE_HZ <= len(clip) <= 8.0 * SAMPLE_RATE_HZ
        assert np.isfinite(clip).all()
        assert np.max(np.abs(clip)) == pytest.approx(0.9, abs=1e-3)
        assert np.sqrt(np.mean(clip**2)) > 0.005
        assert abs(np.mean(clip)) < 0.02


@pytest.mark.parametrize("name", EVERY_CLASS)
def test_the_same_seed_gives_the_same_samples_and_another_does_not(name):
    first, again, other = (synthesize(name, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_classes_are_the_alphabetical_thirteen_and_the_interferer():
    assert len(SYNTH_CLASSES) == 14 and SYNTH_CLASSES[-1] == "interferer"
    assert list(SYNTH_CLASSES[:-1]) == sorted(SYNTH_CLASSES[:-1])


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="got class 'cat'"):
        synthesize("cat", np.random.default_rng(0))
    with pytest.raises(ValueError, match="got split 'dev'"):
        synthesize("knock", np.random.default_rng(0), "dev")


def test_a_missing_espeak_is_an_error(monkeypatch):
    monkeypatch.setattr(synth_speech.shutil, "which", lambda _: None)
    with pytest.raises(RuntimeError, match="apt-get install espeak-ng"):
        synthesize("male_speech", np.random.default_rng(0))


def test_voices_of_the_splits_are_disjoint():
    for sex in ("female", "male"):
        assert not set(synth_speech.VOICES[sex, "train"]) & set(synth_speech.VOICES[sex, "test"])


@needs_espeak
def test_pitch_of_the_sexes_differs():
    def median_pitch_hz(name):
        pitches = []
        for seed in range(8):
            low = bandpass(synthesize(name, np.random.default_rng(seed)).astype(np.float64), 60, 900)
            spectrum = np.abs(np.fft.rfft(low * np.hanning(len(low)), 2 * len(low))) ** 2
            correlation = np.fft.irfft(spectrum)
            lags = np.arange(SAMPLE_RATE_HZ // 400, SAMPLE_RATE_HZ // 70)
            pitches.append(SAMPLE_RATE_HZ / lags[np.argmax(correlation[lags])])
        return np.median(pitches)

    assert median_pitch_hz("male_speech") < 165 < median_pitch_hz("female_speech")


def direction_of(samples: np.ndarray) -> np.ndarray:
    """Intensity vector of FOA samples (n, 4) over 200-8000 Hz; bins that look like one plane wave count most."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, 480, axis=0)[::120] * np.hanning(480)
    w, y, z, x = np.fft.rfft(windows)[..., 4:160].transpose(1, 0, 2)
    intensity = np.real(np.conj(w) * np.stack([x, y, z]))  # (3, frames, bins)
    energy = (np.abs(np.stack([w, x, y, z])) ** 2).sum(axis=0) + 1e-15
    strength = np.linalg.norm(intensity, axis=0) + 1e-15
    weight = (2 * strength / energy) ** 8 * np.sqrt(energy)
    return (intensity / strength * weight).sum(axis=(1, 2))


def check_scene(wav: Path, table: Path) -> None:
    samples, rate_hz = soundfile.read(wav)
    labels = read_annotations(table, 13)
    assert rate_hz == SAMPLE_RATE_HZ and samples.shape == (30 * rate_hz, 4)
    assert soundfile.info(wav).subtype == "PCM_16"
    assert 0.5 < np.max(np.abs(samples)) < 0.95
    assert len({label.class_index for label in labels}) >= 9
    frames = [label.frame for label in labels]
    assert max(frames) < 300 and max(frames.count(frame) for frame in set(frames)) == 2

    hop = rate_hz // 10
    errors_deg, mirrored_deg = [], []
    for label in labels:
        if frames.count(label.frame) == 1:
            found = direction_of(samples[label.frame * hop : (label.frame + 1) * hop])
            errors_deg.append(angle_between_deg(found, unit_vector(label.azimuth_deg, label.elevation_deg)))
            mirrored_deg.append(angle_between_deg(found, unit_vector(-label.azimuth_deg, label.elevation_deg)))
    assert len(errors_deg) > 80
    assert np.median(errors_deg) < 10.0 < 45.0 < np.median(mirrored_deg)
    silent = sorted(set(range(300)) - set(frames))
    loudness = np.sqrt(np.mean(samples[:, 0].reshape(300, hop) ** 2, axis=1))
    assert np.median(loudness[silent]) < 0.2 * np.median(loudness[sorted(set(frames))])


def test_shipped_demo_scene_agrees_with_its_labels():
    folder = DEMO
    check_scene(folder / "scene.wav", folder / "scene.csv")


@needs_espeak
def test_demo_scene_is_made_again_from_its_seed(tmp_path):
    pytest.importorskip("pyroomacoustics")
    from convert.scenes.demo_scene import make_demo_scene

    first = make_demo_scene(tmp_path / "a.wav", tmp_path / "a.csv", seed=1)
    again = make_demo_scene(tmp_path / "b.wav", tmp_path / "b.csv", seed=1)
    assert first == again
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    check_scene(tmp_path / "a.wav", tmp_path / "a.csv")

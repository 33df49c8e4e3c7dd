"""An ALSA device of our own that fails as real ones do (tests/fakemic/fakemic.c), and what it hears."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge.audio.resample import Resampler
from tests.edge.audio.fake_device import COUNTED, SCENE_S
from tests.paths import ROOT


@pytest.fixture(scope="session")
def plugin(tmp_path_factory):
    """The device as a plug-in of alsa-lib's."""
    pytest.importorskip("pyaudio", reason="needs PyAudio")
    if not shutil.which("gcc") or not Path("/usr/include/alsa/pcm_external.h").exists():
        pytest.skip("needs gcc and libasound2-dev")
    built = tmp_path_factory.mktemp("fakemic") / "fakemic.so"
    source = ROOT / "tests" / "fakemic" / "fakemic.c"
    command = [
        "gcc",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O2",
        "-shared",
        "-fPIC",
        "-DPIC",
        "-o",
        built,
        source,
        "-lasound",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return built


@pytest.fixture(scope="session")
def recordings(tmp_path_factory, sounds):
    """What devices hear: a count of frames, and the scene of the other tests at 48 kHz, both without end."""
    folder = tmp_path_factory.mktemp("heard")
    number = np.arange(COUNTED)
    noise = np.random.default_rng(0).integers(-(2**15), 2**15, (COUNTED, 2))
    counted = np.column_stack([number % 1024, number // 1024, noise]).astype("<i2")
    counted.tofile(folder / "counted.raw")
    resampler = Resampler(24000, 48000, 4)
    scene = np.concatenate([resampler.push(sounds), resampler.finish()])[: round(SCENE_S * 48000)]
    np.rint(scene * 32768).astype("<i2").tofile(folder / "scene.raw")
    return folder

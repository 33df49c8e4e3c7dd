"""Fixtures that several tests of the device share."""

import pytest

from edge.audio.wav import write_wav
from edge.cli import main
from tests.edge import coloc_scene


@pytest.fixture(scope="session")
def scene_of():
    """The class of scenes of CoLoC: `scene_of("mixed")` makes one."""
    return coloc_scene.Scene


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

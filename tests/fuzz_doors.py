"""The doors of the device, which take the wild input of fuzz.py.

They run in a folder that holds copies of the tiny bundle, two wav files, and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np

from edge.arrays.encoder import foa_encoder
from edge.arrays.profile import load_array
from edge.audio.live_check import MOST_PEAK
from edge.audio.sources import RawFormat, open_source
from edge.audio.wav import read_wav
from edge.cli import main as seld_edge
from edge.device.board import load_board
from edge.device.system_files import BOARD_PATH, system_files
from edge.nets.bundle import MANIFEST, STATISTICS, load_bundle
from edge.run_settings import read_settings
from edge.runtime.pipeline import build_pipeline, build_system
from edge.scoring.annotations import read_annotations
from edge.types import AudioBlock

TINY = Path(__file__).parent / "golden" / "tiny-bundle"
STATISTICS_HASH = json.loads((TINY / MANIFEST).read_text())["statistics_sha256"]
TINY_HASHES = {
    (TINY / net["file"]).read_bytes(): net["sha256"]
    for net in json.loads((TINY / MANIFEST).read_text())["nets"].values()
}


class Broken(AssertionError):  # noqa: N818
    """A door did something else than to accept a case or to refuse it in one line."""


def written(name: str, content: bytes) -> Path:
    """Write a file with this content. Returns its path."""
    path = Path(name)
    path.write_bytes(content)
    return path


def settings_file(content: bytes) -> None:
    """Read a file of settings."""
    read_settings(written("a.toml", content))


def array_file(content: bytes) -> None:
    """Read an array profile and pass a little silence through its encoder."""
    profile = load_array(str(written("a.toml", content)))
    encode = foa_encoder(profile)
    if profile.channels <= 64:
        encode(AudioBlock(np.zeros((1000, profile.channels), np.float32), 0))


def bundle(case: tuple[bytes, bytes | None]) -> None:
    """Load a bundle with a wild manifest, and wild feature statistics if there are any, and pass silence through it."""
    manifest, statistics = case
    folder = Path("wild")
    written("wild/" + MANIFEST, manifest)
    shutil.copyfile(TINY / STATISTICS, folder / STATISTICS)
    if statistics is not None:
        written("wild/" + STATISTICS, statistics)
        with mock.patch("edge.nets.bundle._digest", lambda content: TINY_HASHES.get(content, STATISTICS_HASH)):
            loaded = load_bundle("wild")
    else:
        loaded = load_bundle("wild")
    pipeline = build_pipeline(loaded, load_array("foa"), build_system(loaded))
    list(pipeline.push(AudioBlock(np.zeros((5000, 4), np.float32), 0)))


def wav_file(content: bytes) -> None:
    """Read a wav file as a whole, and as a source at the model's rate."""
    path = str(written("a.wav", content))
    with contextlib.suppress(ValueError):
        read_wav(path)
    with open_source(path, 4, 24000) as source:
        for _ in source:
            pass


def raw_samples(case: tuple[RawFormat, bytes]) -> None:
    """Read raw samples from a pipe of any length."""
    raw, content = case
    with open_source("-", raw.channels, 24000, raw=raw, stdin=io.BytesIO(content)) as source:
        for _ in source:
            pass


def live_samples(values: Sequence[float]) -> None:
    """Hear float32 values in turn as a live source; nothing that it delivers may end the run."""
    samples = np.resize(np.array(values, np.float32), (6000, 4))
    raw = RawFormat("f32le", 24000, 4)
    with open_source("-", 4, 24000, raw=raw, stdin=io.BytesIO(samples.tobytes())) as source:
        heard = np.concatenate([block.samples for block in source])
    usable = np.abs(samples) <= MOST_PEAK
    if not (np.isfinite(heard).all() and np.array_equal(heard[usable], samples[usable])):
        raise Broken("samples that were good have changed, or bad ones have passed")
    loaded = load_bundle("tiny")
    pipeline = build_pipeline(loaded, load_array("foa"), build_system(loaded))
    list(pipeline.push(AudioBlock(heard, 0)))


def board_file(content: bytes) -> None:
    """Read a board profile, and see that it cannot add a line to the unit of systemd."""
    board = load_board(str(written("a.toml", content)))
    edits = {file.path: file.edit(None) for file in system_files(board, load_array("foa"), "foa")}
    lines = (edits[BOARD_PATH] or "").splitlines()
    keys = [line.partition("=")[0] for line in lines if not line.startswith("#")]
    if keys != ["[Service]", "CPUAffinity", "ExecStartPre"] or "%" in "".join(lines):
        raise Broken("\n".join(lines))


TEXT_READERS: Mapping[str, Callable[[str], object]] = {
    "settings": lambda path: read_settings(Path(path)),
    "array": load_array,
    "board": load_board,
    "labels": lambda path: read_annotations(path, 13),
}


def odd_file(case: tuple[str, str]) -> None:
    """Read something that is no file as if it were one. It must be refused in time and without much memory."""
    kind, reader = case
    folder = Path("odd")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(TINY, folder)
    of_bundle = {"manifest": MANIFEST, "statistics": STATISTICS, "net": "localizer.tflite"}
    names = of_bundle | {"wav": "a.wav", "flac": "a.flac"}
    path = folder / names.get(reader, "a.toml")
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind in ("zeros", "null", "loop"):
        path.symlink_to({"zeros": "/dev/zero", "null": "/dev/null", "loop": path.name}[kind])
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        path.write_bytes(b"RIFF\0\0\0\0WAVE" if reader == "wav" else b"")
        os.truncate(path, 2**35)
    began_s = time.monotonic()
    try:
        if reader in of_bundle:
            load_bundle(str(folder))
        elif reader in ("wav", "flac"):
            open_source(str(path), 4, 24000).close()
        else:
            TEXT_READERS[reader](str(path))
    finally:
        if time.monotonic() - began_s > 30:
            raise Broken("it took too long")
    raise Broken("it was accepted")


def csv_file(content: bytes) -> None:
    """Read DCASE labels."""
    read_annotations(written("a.csv", content), 13)


def command(case: tuple[Sequence[str], bytes, bytes]) -> None:
    """Run a command line in this process, with settings in a.toml and samples on stdin.

    Raises:
        ValueError: The command refused its input, in one line.
        Broken: It did something else than to succeed or to refuse in one line.
    """
    words, config, stdin = case
    written("a.toml", config)
    code, out, err = answered(words, stdin)
    problem = None
    said = [line for line in err.splitlines() if not re.match(r"(WARNING|ERROR): |INFO: listening to ", line)]
    if "Traceback" in err or "Exception" in err:
        problem = "a traceback"
    elif code == 2 and not (len(said) == 1 and said[0].startswith("seld-edge: ")) and "usage: " not in err:
        problem = "exit code 2 without one line"
    elif code == 0 and said:
        problem = "success, but something was said"
    elif code not in (0, 1, 2) or (code == 1 and "check" not in words):
        problem = f"exit code {code}"
    if problem:
        raise Broken(f"{problem}\nseld-edge {list(words)}\nstdout: {out[-2000:]}\nstderr: {err[-4000:]}")
    if code == 2:
        raise ValueError("refused")


def answered(words: Sequence[str], stdin: bytes) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command. Libraries that write to the file descriptors are included."""
    logging.root.handlers.clear()
    uncaught: list[str] = []
    with (
        mock.patch("sys.stdin", SimpleNamespace(buffer=io.BytesIO(stdin))),
        mock.patch("threading.excepthook", lambda args: uncaught.append(f"Exception in a thread: {args}")),
        mock.patch.dict(os.environ),
        taken(1) as out,
        taken(2) as err,
    ):
        try:
            code = seld_edge(words)
        except SystemExit as error:
            code = int(error.code or 0) if not isinstance(error.code, str) else 1
        sys.stdout.flush()
        sys.stderr.flush()
    logging.root.handlers[:] = [logging.NullHandler()]
    return code, out.getvalue().decode(errors="replace"), err.getvalue().decode(errors="replace") + "".join(uncaught)


@contextlib.contextmanager
def taken(fd: int) -> Iterator[io.BytesIO]:
    """Collect what is written to a file descriptor (1 or 2)."""
    stream, got, kept = (sys.stdout, sys.stderr)[fd - 1], io.BytesIO(), os.dup(fd)
    stream.flush()
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), fd)
        try:
            yield got
        finally:
            os.dup2(kept, fd)
            os.close(kept)
            file.seek(0)
            got.write(file.read())

"""Wild input at the doors of the device -> how many cases were tried; anything but success or one clear line fails.

    python -m tests.fuzz --minutes 10

Most cases are almost right: valid documents of which little is changed, as a slip of a hand or a bad card would. Every
round goes through all doors; a door that failed is told with the smallest case that Hypothesis found, and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import re
import resource
import shutil
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Any, get_args, get_origin, get_type_hints
from unittest import mock

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

from edge.annotations import read_annotations
from edge.array import ArrayProfile, foa_encoder, load_array, shipped_arrays
from edge.bundle import MANIFEST, STATISTICS, load_bundle
from edge.capture import RAW_TYPES, RawFormat, open_source
from edge.cli import main as seld_edge
from edge.config import RunSettings, read_settings, read_toml
from edge.decode import DecodeSettings
from edge.runtime import build_pipeline, build_system
from edge.systems.coloc_settings import ColocSettings
from edge.types import AudioBlock
from edge.wav import read_wav, write_wav

TINY = Path(__file__).parent / "golden" / "tiny-bundle"
EXAMPLES = 40  # of a door in a round
MOST_BYTES = 8 * 2**30  # of addresses: more is a MemoryError, and a failure

Strategy = st.SearchStrategy[Any]
Made = Callable[[Any], object]


class Broken(AssertionError):  # noqa: N818
    """A door did something else than to let in or to refuse in one line."""


@dataclass(frozen=True)
class Door:
    """What goes in, and the way in. `enter` may raise ValueError or OSError of one line."""

    cases: Strategy
    enter: Callable[[Any], object]


# Values

WORDS = [
    *(
        "",
        " ",
        "a",
        "demo",
        "mic",
        "-",
        "null",
        "jsonl:-",
        "jsonl:e.jsonl",
        "jsonl:",
        "jsonl:.",
        "dcase:e.csv",
        "mqtt:",
    ),
    *("lines:unix:s", "lines:tcp:70000", "lines:tcp:8123", "lines:tcp:x", "short.wav", "none.wav", "a.prom", "a.toml"),
    *("foa", "em32_tetra", "respeaker_usb4", "coloc-edge", "tiny", "s16le", "f32le", "localhost", "127.0.0.1", "::1"),
    *("a b", "a" * 300, "a\nb", "ä", "\x7f", "%s", "{}", "nan", "1e9", "true", "streaming", "window", "x/#", "+", ".."),
]
TEXT = st.sampled_from(WORDS) | st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12)
SAFE_TEXT = TEXT.filter(lambda text: "/" not in text)  # as a path it stays where the fuzzing goes on
WHOLE = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 4, 8, 65, 1883, 24000, 65536, 2**31, 10**30]) | st.integers(-9, 99)
REAL = st.sampled_from([0.0, 1e-9, 0.5, 1.0, -1.0, 1e9, 1e300, float("nan"), float("inf")]) | st.floats()
SCALAR = SAFE_TEXT | WHOLE | REAL | st.booleans()
WILD = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAFE_TEXT, inner, max_size=2))


def of_type(kind: Any) -> Strategy:
    """Values of an annotated type, sensible or not."""
    if is_dataclass(kind):
        return table_of(kind)
    if get_origin(kind) is UnionType:
        return of_type(get_args(kind)[0])
    if get_origin(kind) is tuple:
        return st.lists(of_type(get_args(kind)[0]), max_size=5)
    if get_origin(kind) is not None:  # overrides of what the bundle says
        return table_of(DecodeSettings) | table_of(ColocSettings)
    return {str: SAFE_TEXT, int: WHOLE, float: REAL | WHOLE, bool: st.booleans()}[kind]


def table_of(kind: Any) -> Strategy:
    """Tables of a few settings of a dataclass, some of them with values of any type, or names of none."""
    types = get_type_hints(kind)
    pairs = st.one_of([st.tuples(st.just(item.name), of_type(types[item.name])) for item in fields(kind)])
    anything = st.tuples(st.sampled_from([item.name for item in fields(kind)]) | SAFE_TEXT, WILD)
    return st.lists(st.integers(0, 9).flatmap(lambda dice: pairs if dice else anything), max_size=4).map(dict)


def toml(table: dict[str, Any]) -> str:
    """A table as TOML: tables in it inline."""
    return "".join(f"{json.dumps(key)} = {literal(value)}\n" for key, value in table.items())


def literal(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)


def bent(contents: Strategy, now_and_then: int = 4) -> Strategy:
    """Bytes, of which each so many are cut, or have some replaced, left out or put in."""

    def bend(content: bytes, at: int, length: int, other: bytes) -> bytes:
        begin = at % (len(content) + 1)
        return content[:begin] + other + content[begin + length :]

    bending = st.builds(
        bend, contents, st.integers(0, 2**16), st.sampled_from([0, 1, 2, 4, 2**20]), st.binary(max_size=4)
    )
    return st.integers(0, now_and_then - 1).flatmap(lambda dice: contents if dice else bending)


# Doors: they stand in an empty folder with a bundle `tiny`, two wav files, and nothing else


def written(name: str, content: bytes) -> Path:
    """A file of this content."""
    path = Path(name)
    path.write_bytes(content)
    return path


def settings_file(content: bytes) -> None:
    """Settings alone."""
    read_settings(written("a.toml", content))


def array_file(content: bytes) -> None:
    """An array profile, and a little sound through its encoder."""
    profile = load_array(str(written("a.toml", content)))
    encode = foa_encoder(profile)
    if profile.channels <= 64:
        encode(AudioBlock(np.zeros((1000, profile.channels), np.float32), 0))


def bundle(case: tuple[bytes, bytes | None]) -> None:
    """A manifest, and feature statistics if they are wild too; assembled as far as the first sample."""
    manifest, statistics = case
    folder = Path("wild")
    written("wild/" + MANIFEST, manifest)
    shutil.copyfile(TINY / STATISTICS, folder / STATISTICS)
    if statistics is not None:
        written("wild/" + STATISTICS, statistics)
        with mock.patch("edge.bundle._digest", lambda content: TINY_HASHES.get(content, STATISTICS_HASH)):
            loaded = load_bundle("wild")
    else:
        loaded = load_bundle("wild")
    pipeline = build_pipeline(loaded, load_array("foa"), build_system(loaded))
    list(pipeline.push(AudioBlock(np.zeros((5000, 4), np.float32), 0)))


def wav_file(content: bytes) -> None:
    """As samples, and as a source at the model's rate."""
    path = str(written("a.wav", content))
    with contextlib.suppress(ValueError):
        read_wav(path)
    with open_source(path, 4, 24000) as source:
        for _ in source:
            pass


def raw_samples(case: tuple[RawFormat, bytes]) -> None:
    """A pipe of any length."""
    raw, content = case
    with open_source("-", raw.channels, 24000, raw=raw, stdin=io.BytesIO(content)) as source:
        for _ in source:
            pass


def csv_file(content: bytes) -> None:
    """DCASE labels."""
    read_annotations(written("a.csv", content), 13)


def command(case: tuple[Sequence[str], bytes, bytes]) -> None:
    """A command line in this process, with settings in a.toml and samples on stdin."""
    words, config, stdin = case
    written("a.toml", config)
    code, out, err = answered(words, stdin)
    problem = None
    said = [line for line in err.splitlines() if not re.match(r"(WARNING|ERROR): ", line)]
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
    """Exit code, stdout and stderr of a command, whatever writes to them."""
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
    """What is written to a file descriptor meanwhile."""
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


# Cases


def manifests() -> Strategy:
    """The tiny one with a few entries replaced, renamed or left out, anywhere in it."""
    paths = sorted(_paths(json.loads((TINY / MANIFEST).read_text())), key=lambda path: (len(path), path))

    def change(edits: list[tuple[tuple[Any, ...], str, Any]]) -> bytes:
        table = json.loads((TINY / MANIFEST).read_text())
        for path, how, value in edits:
            inner = table
            with contextlib.suppress(KeyError, TypeError, IndexError):  # an edit before took it away
                for key in path[:-1]:
                    inner = inner[key]
                if how == "replace":
                    inner[path[-1]] = value
                elif how == "rename":
                    inner[str(value)] = inner.pop(path[-1])
                else:
                    del inner[path[-1]]
        return json.dumps(table).encode()

    settings_of = [path for path in paths if "sha256" not in path[-1]]
    path = st.sampled_from([path for path in settings_of if path[0] != "nets"]) | st.sampled_from(settings_of)
    edit = st.tuples(path, st.sampled_from(["replace", "replace", "replace", "rename", "leave out"]), WILD)
    return bent(st.lists(edit, min_size=1, max_size=3).map(change), 10)


def _paths(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(tree, dict):
        for key, inner in tree.items():
            yield (*above, key)
            yield from _paths(inner, (*above, key))


def _wav(tag: int, channels: int, rate: int, bits: int, samples: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    frame = channels * bits // 8
    fmt = b"".join(
        (value % 2 ** (8 * size)).to_bytes(size, "little")
        for value, size in ((tag, 2), (channels, 2), (rate, 4), (rate * frame, 4), (frame, 2), (bits, 2))
    )
    body = b"".join(
        name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)
        for name, data in [*chunks, (b"fmt ", fmt), (b"data", samples)]
    )
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WAVE" + body


WAVS = bent(
    st.builds(
        _wav,
        st.sampled_from([1, 1, 1, 3, 0xFFFE, 7]),
        st.sampled_from([4, 4, 4, 0, 1, 6]),
        st.sampled_from([24000, 48000, 44100, 16000, 0, 1, 7, 2**31, 2**32 - 1]),
        st.sampled_from([16, 16, 24, 32, 64, 8]),
        st.integers(0, 300).flatmap(lambda frames: st.binary(min_size=frames * 8, max_size=frames * 8)) | st.binary(),
        st.lists(st.tuples(st.sampled_from([b"LIST", b"ds64", b"fmt ", b"data"]), st.binary(max_size=50)), max_size=2),
    ),
    3,
)
RAWS = st.tuples(
    st.builds(
        RawFormat, st.sampled_from(sorted(RAW_TYPES)), st.sampled_from([24000, 48000, 1, 44100]), st.integers(1, 8)
    ),
    st.binary(max_size=200)
    | st.integers(0, 20000).map(lambda size: bytes(range(256)) * (size // 256) + bytes(size % 256)),
)
FIELD = st.integers(-400, 400).map(str) | st.sampled_from(
    ["", " 1", "1.5", "1e3", "nan", "1_0", "frame", "\ufeff", "٣"]
)
CSVS = bent(
    st.lists(st.lists(st.integers(0, 12).map(str) | FIELD, min_size=4, max_size=7), max_size=5).map(
        lambda rows: "\n".join(map(",".join, rows)).encode()
    )
)
SETTINGS = bent(table_of(RunSettings).map(lambda table: toml(table).encode()))
ARRAYS = bent(
    st.builds(
        lambda path, table: toml(read_toml(path) | table).encode(),
        st.sampled_from(sorted(shipped_arrays().values())),
        table_of(ArrayProfile),
    )
)
STATISTICS_HASH = json.loads((TINY / MANIFEST).read_text())["statistics_sha256"]
TINY_HASHES = {
    (TINY / net["file"]).read_bytes(): net["sha256"]
    for net in json.loads((TINY / MANIFEST).read_text())["nets"].values()
}
SAMPLES = st.sampled_from([b"", bytes(7), bytes(8 * 3000), bytes(range(256)) * 200])
OPTION = st.one_of(
    st.tuples(st.sampled_from(["--sink", "--stats", "--array", "--direction", "--device", "--out", "--x"]), SAFE_TEXT),
    st.tuples(st.sampled_from(["--threads", "--seconds"]), (WHOLE | REAL).map(str) | SAFE_TEXT),
    st.tuples(st.sampled_from(["--realtime", "-v", "--config=a.toml", "--help", "--version", "--"])),
    st.tuples(SAFE_TEXT.filter(lambda text: text not in ("mic", "demo"))),
)
BASES = [
    ("run", "--model", "tiny", "--source", "short.wav"),
    ("run", "--model", "tiny", "--source", "-", "--config", "a.toml"),
    ("run", "--model", "wild", "--source", "a.wav"),
    ("file", "short.wav", "--model", "tiny", "--out", "out"),
    ("check", "--array", "foa", "--source", "long.wav"),
    ("check", "--array", "a.toml", "--source", "-"),
    ("install-service", "--dry-run", "--prefix", "root"),
    ("uninstall-service", "--dry-run", "--prefix", "root"),
    ("models",),
    (),
]
COMMANDS = st.tuples(
    st.builds(
        lambda base, options: [*base, *(word for option in options for word in option)],
        st.sampled_from(BASES),
        st.lists(OPTION, max_size=3),
    ),
    SETTINGS,
    SAMPLES,
)
RUNS = st.tuples(
    st.sampled_from(["short.wav", "-"]).map(
        lambda source: ["run", "--config", "a.toml", "--model", "tiny", "--source", source]
    ),
    SETTINGS,
    SAMPLES,
)
DOORS = {
    "settings": Door(SETTINGS, settings_file),
    "run with settings": Door(RUNS, command),
    "command lines": Door(COMMANDS, command),
    "arrays": Door(ARRAYS, array_file),
    "manifests": Door(st.tuples(manifests(), st.none()), bundle),
    "statistics": Door(
        st.tuples(st.just((TINY / MANIFEST).read_bytes()), bent(st.just((TINY / STATISTICS).read_bytes()), 1)), bundle
    ),
    "wav files": Door(WAVS, wav_file),
    "raw samples": Door(RAWS, raw_samples),
    "label files": Door(CSVS, csv_file),
}


# Rounds


def entered(door: Door, case: object) -> bool:
    """Whether a case was let in. Raises Broken."""
    try:
        door.enter(case)
    except (ValueError, OSError) as error:
        text = str(error)
        if not text or "\n" in text or isinstance(error, UnicodeError):
            raise Broken(f"no clear line: {error!r}") from error
        return False
    return True


def trial(name: str, door: Door, counts: Counter[tuple[str, bool]]) -> Callable[[], None]:
    """What tries a few cases of a door, others each time."""

    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(door.cases)
    def check(case: object) -> None:
        counts[name, entered(door, case)] += 1

    return check


def try_doors(seconds: float) -> tuple[Counter[tuple[str, bool]], dict[str, str]]:
    """Round after round. Returns the number of cases by door and whether they were let in, and what failed."""
    counts: Counter[tuple[str, bool]] = Counter()
    failed: dict[str, str] = {}
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s and len(failed) < len(DOORS):
        for name, door in DOORS.items():
            if name in failed or time.monotonic() >= end_s:
                continue

            try:
                trial(name, door, counts)()
            except HypothesisException:
                raise
            except Exception:
                failed[name] = traceback.format_exc()
                print(f"{name}:\n{failed[name]}", flush=True)
    return counts, failed


@contextlib.contextmanager
def workplace() -> Iterator[None]:
    """An empty folder with what the doors need, as the working directory."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(TINY, root / "tiny")
        shutil.copytree(TINY, root / "wild")
        noise = np.random.default_rng(0).normal(0, 0.05, (60_000, 4)).astype(np.float32)
        write_wav(root / "short.wav", noise[:9000], 24000)
        write_wav(root / "long.wav", noise, 24000)
        os.chdir(root)
        try:
            yield
        finally:
            os.chdir(before)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 if a door failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    args = parser.parse_args(argv)
    warnings.simplefilter("error")
    logging.root.addHandler(logging.NullHandler())  # warnings are not what is looked for
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    began_s, threads = time.monotonic(), threading.active_count()
    with workplace():
        counts, failed = try_doors(args.minutes * 60)
    for name in DOORS:
        let_in, refused = counts[name, True], counts[name, False]
        print(f"{name}: {let_in + refused} cases, {let_in} let in{', FAILED' if name in failed else ''}")
    left = threading.active_count() - threads
    print(f"{sum(counts.values())} cases in {time.monotonic() - began_s:.0f} s, {left} threads left behind")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

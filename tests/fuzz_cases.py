"""Strategies of Hypothesis that make wild input for the doors of the device: see fuzz.py."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from edge.arrays.profile import ArrayProfile, shipped_arrays
from edge.audio.sources import RAW_TYPES, RawFormat
from edge.device.board import BoardProfile, shipped_boards
from edge.events.decoder import DecodeSettings
from edge.nets.bundle import MANIFEST
from edge.run_settings import RunSettings
from edge.settings import read_toml
from edge.systems.coloc.settings import ColocSettings
from tests.fuzz_doors import TINY

Strategy = st.SearchStrategy[Any]

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
SAFE_TEXT = TEXT.filter(lambda text: "/" not in text)  # as a path it stays in the working directory
WHOLE = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 4, 8, 65, 1883, 24000, 65536, 2**31, 10**30]) | st.integers(-9, 99)
REAL = st.sampled_from([0.0, 1e-9, 0.5, 1.0, -1.0, 1e9, 1e300, float("nan"), float("inf")]) | st.floats()
SCALAR = SAFE_TEXT | WHOLE | REAL | st.booleans()
WILD = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAFE_TEXT, inner, max_size=2))


def of_type(kind: Any) -> Strategy:
    """A strategy for values of an annotated type, sensible or not."""
    if is_dataclass(kind):
        return table_of(kind)
    if get_origin(kind) is UnionType:
        return of_type(get_args(kind)[0])
    if get_origin(kind) is tuple:
        return st.lists(of_type(get_args(kind)[0]), max_size=5)
    if get_origin(kind) is not None:  # a table that overrides settings of the bundle
        return table_of(DecodeSettings) | table_of(ColocSettings)
    return {str: SAFE_TEXT, int: WHOLE, float: REAL | WHOLE, bool: st.booleans()}[kind]


def table_of(kind: Any) -> Strategy:
    """A strategy for tables with a few settings of a dataclass. Some have a wrong type or an unknown name."""
    types = get_type_hints(kind)
    pairs = st.one_of([st.tuples(st.just(item.name), of_type(types[item.name])) for item in fields(kind)])
    anything = st.tuples(st.sampled_from([item.name for item in fields(kind)]) | SAFE_TEXT, WILD)
    return st.lists(st.integers(0, 9).flatmap(lambda dice: pairs if dice else anything), max_size=4).map(dict)


def toml(table: dict[str, Any]) -> str:
    """A table as TOML. Tables within it are inline tables."""
    return "".join(f"{json.dumps(key)} = {literal(value)}\n" for key, value in table.items())


def literal(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)


def bent(contents: Strategy, now_and_then: int = 4) -> Strategy:
    """A strategy for bytes of which some are damaged: cut off, or with a few bytes replaced, removed or inserted.

    Args:
        contents: Strategy for the intact bytes.
        now_and_then: One of so many is damaged, on average.
    """

    def bend(content: bytes, at: int, length: int, other: bytes) -> bytes:
        begin = at % (len(content) + 1)
        return content[:begin] + other + content[begin + length :]

    bending = st.builds(
        bend, contents, st.integers(0, 2**16), st.sampled_from([0, 1, 2, 4, 2**20]), st.binary(max_size=4)
    )
    return st.integers(0, now_and_then - 1).flatmap(lambda dice: contents if dice else bending)


# Cases


def manifests() -> Strategy:
    """A strategy for manifests: that of the tiny bundle with one to three entries replaced, renamed or left out."""
    paths = sorted(_paths(json.loads((TINY / MANIFEST).read_text())), key=lambda path: (len(path), path))

    def change(edits: list[tuple[tuple[Any, ...], str, Any]]) -> bytes:
        table = json.loads((TINY / MANIFEST).read_text())
        for path, how, value in edits:
            inner = table
            with contextlib.suppress(KeyError, TypeError, IndexError, AttributeError):  # an earlier edit removed it
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
BOARDS = bent(
    st.builds(
        lambda path, table: toml(read_toml(path) | table).encode(),
        st.sampled_from(sorted(shipped_boards().values())),
        table_of(BoardProfile),
    )
)
"""Board profiles; names and lists get into a unit of systemd."""

LIVE = st.lists(st.floats(width=32) | st.sampled_from([0.0, 0.1, 1.0, 1e20, float("nan")]), min_size=4, max_size=64)
"""Values of float32 that a device delivers, in turn."""

ODD = st.tuples(
    st.sampled_from(["pipe", "zeros", "null", "sparse", "folder", "loop", "missing"]),
    st.sampled_from(["settings", "array", "board", "labels", "wav", "flac", "manifest", "statistics", "net"]),
)
"""What a path leads to, and what it should lead to."""

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
    ("apply", "--array", "respeaker_usb4", "--board", "4", "--prefix", "root"),
    ("apply", "--array", "seeed_4mic", "--board", "a.toml", "--prefix", "root"),
    ("apply", "--undo", "--prefix", "root"),
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

"""Wild input at the doors of the device -> the number of cases; each must succeed or be refused in one clear line.

    python -m tests.fuzz --minutes 10

A door is a function that takes input from outside: a file, samples, a command line. Most cases are almost right: valid
documents with a small change, such as a typing error or a damaged SD card makes. A round goes through all doors. When a
door fails, the smallest case that Hypothesis found is printed, and later rounds leave the door out.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

from edge.audio.wav import write_wav
from edge.nets.bundle import MANIFEST, STATISTICS
from tests.fuzz_cases import (
    ARRAYS,
    BOARDS,
    COMMANDS,
    CSVS,
    LIVE,
    ODD,
    RAWS,
    RUNS,
    SETTINGS,
    WAVS,
    Strategy,
    bent,
    manifests,
)
from tests.fuzz_doors import (
    TINY,
    Broken,
    array_file,
    board_file,
    bundle,
    command,
    csv_file,
    live_samples,
    odd_file,
    raw_samples,
    settings_file,
    wav_file,
)

EXAMPLES = 40  # cases of a door in a round
MOST_BYTES = 8 * 2**30  # address space of the process: a case that needs more gets a MemoryError and fails


@dataclass(frozen=True)
class Door:
    """The cases of a door and the function that takes one. `enter` may raise a ValueError or OSError of one line."""

    cases: Strategy
    enter: Callable[[Any], object]


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
    "boards": Door(BOARDS, board_file),
    "live samples": Door(LIVE, live_samples),
    "files that are none": Door(ODD, odd_file),
}


def entered(door: Door, case: object) -> bool:
    """Try a case.

    Returns:
        Whether it was accepted. It was refused otherwise, in one line.

    Raises:
        Broken: The refusal has no line, several lines, or is about text encoding.
    """
    try:
        door.enter(case)
    except (ValueError, OSError) as error:
        text = str(error)
        if not text or "\n" in text or isinstance(error, UnicodeError):
            raise Broken(f"no clear line: {error!r}") from error
        return False
    return True


def trial(name: str, door: Door, counts: Counter[tuple[str, bool]], number: int | None = None) -> Callable[[], None]:
    """A function that tries EXAMPLES cases of a door and counts them.

    Args:
        name: Name of the door.
        door: The door.
        counts: Number of cases by door and whether they were accepted; the function adds to it.
        number: Seed of the cases; without it they are others each time.
    """

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

    return check if number is None else seed(number)(check)


def try_doors(seconds: float, only: int | None = None) -> tuple[Counter[tuple[str, bool]], dict[str, str]]:
    """Try all doors, round after round, for so many seconds.

    Args:
        seconds: A door that has begun is finished after that time.
        only: Seed of the one round that is tried, however long it takes.

    Returns:
        The number of cases by door and whether they were accepted, and the traceback of each door that failed.
    """
    counts: Counter[tuple[str, bool]] = Counter()
    failed: dict[str, str] = {}
    end_s = time.monotonic() + (seconds if only is None else math.inf)
    while time.monotonic() < end_s and len(failed) < len(DOORS) and (only is None or not counts):
        for name, door in DOORS.items():
            if name in failed or time.monotonic() >= end_s:
                continue

            try:
                trial(name, door, counts, only)()
            except HypothesisException:
                raise
            except Exception:
                failed[name] = traceback.format_exc()
                print(f"{name}:\n{failed[name]}", flush=True)
    return counts, failed


@contextlib.contextmanager
def workplace() -> Iterator[None]:
    """Make a new folder with the files that the doors need, and work in it."""
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
    """Try the doors and print the numbers of cases. Returns 1 if a door failed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="try one round, with the cases of this seed")
    args = parser.parse_args(argv)
    warnings.simplefilter("error")
    logging.root.addHandler(logging.NullHandler())  # the program's own warnings are no failures
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    began_s, threads = time.monotonic(), threading.active_count()
    with workplace():
        counts, failed = try_doors(args.minutes * 60, args.seed)
    for name in DOORS:
        accepted, refused = counts[name, True], counts[name, False]
        print(f"{name}: {accepted + refused} cases, {accepted} accepted{', FAILED' if name in failed else ''}")
    left = threading.active_count() - threads
    print(f"{sum(counts.values())} cases in {time.monotonic() - began_s:.0f} s, {left} threads are still running")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

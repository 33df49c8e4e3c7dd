"""Wild input at the doors of the device -> how many cases were tried; anything but success or one clear line fails.

    python -m tests.fuzz --minutes 10

Most cases are almost right: valid documents of which little is changed, as a slip of a hand or a bad card would. Every
round goes through all doors; a door that failed is told with the smallest case that Hypothesis found, and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
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
from tests.fuzz_cases import ARRAYS, COMMANDS, CSVS, RAWS, RUNS, SETTINGS, WAVS, Strategy, bent, manifests
from tests.fuzz_doors import TINY, Broken, array_file, bundle, command, csv_file, raw_samples, settings_file, wav_file

EXAMPLES = 40  # of a door in a round
MOST_BYTES = 8 * 2**30  # of addresses: more is a MemoryError, and a failure


@dataclass(frozen=True)
class Door:
    """What goes in, and the way in. `enter` may raise ValueError or OSError of one line."""

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
}


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


def trial(name: str, door: Door, counts: Counter[tuple[str, bool]], number: int | None = None) -> Callable[[], None]:
    """What tries a few cases of a door: others each time, or those of a number."""

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
    """Round after round, or `only` the one of this number.

    Returns the number of cases by door and whether they were let in, and what failed.
    """
    counts: Counter[tuple[str, bool]] = Counter()
    failed: dict[str, str] = {}
    end_s = time.monotonic() + seconds
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
    parser.add_argument("--seed", type=int, help="one round, with the cases of this number")
    args = parser.parse_args(argv)
    warnings.simplefilter("error")
    logging.root.addHandler(logging.NullHandler())  # warnings are not what is looked for
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    began_s, threads = time.monotonic(), threading.active_count()
    with workplace():
        counts, failed = try_doors(args.minutes * 60, args.seed)
    for name in DOORS:
        let_in, refused = counts[name, True], counts[name, False]
        print(f"{name}: {let_in + refused} cases, {let_in} let in{', FAILED' if name in failed else ''}")
    left = threading.active_count() - threads
    print(f"{sum(counts.values())} cases in {time.monotonic() - began_s:.0f} s, {left} threads left behind")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

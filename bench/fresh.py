"""A fresh process that does what `seld-edge run` does, and nothing else -> its start-up time and memory.

`python -m bench.fresh MODEL THREADS` is this process; `start_up` starts it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartUp:
    """What a process needs until it listens."""

    startup_s: float  # from its start to the end of the first step: Python, imports, nets
    rss_mb: float  # after the demo scene


def start_up(model: str, threads: int) -> StartUp:
    """Start the process and read its answer.

    Raises:
        ValueError: it failed; with the last line of its stderr.
    """
    began_s = time.monotonic()  # the same clock in all processes
    words = [sys.executable, "-m", "bench.fresh", model, str(threads)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise ValueError(f"got no answer from a fresh process, wanted one: {last}")
    ready = json.loads(done.stdout)
    return StartUp(ready["ready_s"] - began_s, ready["rss_mb"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run as this process: listen to the demo scene, then print times and memory as JSON."""
    model, threads = sys.argv[1:] if argv is None else argv
    import edge.commands.live  # noqa: F401  what the command imports is part of its start-up time
    from bench.steps import exhaust
    from edge.arrays.profile import load_array
    from edge.audio.sources import open_source
    from edge.frontend.maps import FOA_CHANNELS
    from edge.nets.bundle import load_bundle
    from edge.runtime.machine import rss_mb
    from edge.runtime.pipeline import build_pipeline, build_system

    bundle = load_bundle(model)
    pipeline = build_pipeline(bundle, load_array("foa"), build_system(bundle, int(threads)))
    with open_source("demo", FOA_CHANNELS, bundle.manifest.stft.sample_rate_hz) as source:
        blocks = iter(source)
        exhaust(pipeline, next(blocks))
        ready_s = time.monotonic()
        for block in blocks:
            exhaust(pipeline, block)
    print(json.dumps({"ready_s": ready_s, "rss_mb": rss_mb()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

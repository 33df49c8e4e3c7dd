"""Options of the interpreter -> the time of a step with each: `python -m bench.options [--model NAME|DIR] [--json]`.

The options are the number of threads, and XNNPACK by default, with its latest features, and off. The threads of numpy's
BLAS, `OPENBLAS_NUM_THREADS` or 1, matter to the stage `features`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench.steps import StepTimes, TimedLoop, demo_sound, take_turns
from bench.timing import as_json
from edge.cli import BLAS_THREADS
from edge.nets.bundle import Bundle, load_bundle
from edge.nets.interpreter import RUNTIME
from edge.nets.net import LiteRtNet
from edge.run_settings import DEFAULT_MODEL

PLAIN = "1 thread"


def variants() -> dict[str, dict[str, Any]]:
    """Return the arguments of `LiteRtNet` for each variant, by its name.

    Raises:
        ValueError: the installed runtime lacks some of them.
    """
    if RUNTIME != "ai-edge-litert":
        raise ValueError(f"got {RUNTIME}, wanted ai-edge-litert: only it has these options")
    from ai_edge_litert.interpreter import OpResolverType

    more = [count for count in (2, 4) if count <= (os.cpu_count() or 1)]
    return {
        PLAIN: {},
        **{f"{count} threads": {"threads": count} for count in more},
        "latest features of XNNPACK": {"experimental_default_delegate_latest_features": True},
        "without XNNPACK": {"experimental_op_resolver_type": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES},
    }


def time_options(bundle: Bundle, seconds: int) -> dict[str, StepTimes]:
    """Run each variant for a number of seconds of audio, in turn, with a source in every slot."""
    sound = demo_sound(bundle)
    loops = {
        name: TimedLoop(
            bundle,
            1,
            sound,
            live=True,
            nets={net: LiteRtNet(content, **options) for net, content in bundle.flatbuffers.items()},
        )
        for name, options in variants().items()
    }
    take_turns([loop.run for loop in loops.values()], seconds)
    return {name: loop.times() for name, loop in loops.items()}


def lines(times: Mapping[str, StepTimes]) -> list[str]:
    """Format the times as a table, in ms per step."""
    rows = [f"{'ms per step':<28}{'p50':>9}{'p95':>9}{'ratio':>9}{'features':>10}"]
    for name, each in times.items():
        ratio = each.step.p50_ms / times[PLAIN].step.p50_ms
        features = each.stages["features"].p50_ms
        rows.append(f"{name:<28}{each.step.p50_ms:9.3f}{each.step.p95_ms:9.3f}{ratio:9.2f}{features:10.3f}")
    return [*rows, f"threads of BLAS: {os.environ[BLAS_THREADS]}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.options", description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR", help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=30, help="seconds of audio for each (default: %(default)s)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    try:
        if args.seconds < 1:
            raise ValueError(f"got seconds {args.seconds}, wanted at least 1")
        times = time_options(load_bundle(args.model), args.seconds)
    except ValueError as error:
        print(f"bench.options: {error}", file=sys.stderr)
        return 2
    table = {name: {"step_ms": as_json(each.step)} for name, each in times.items()}
    print(json.dumps(table) if args.json else "\n".join(lines(times)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""`seld-edge bench`: its options, and the function that runs it; numpy is imported only then.

`edge` finds it by the entry point `seld_edge.commands` of the package.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_bench_parser(subparsers: Subparsers) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("bench", help="measure how long everything takes on this machine")
    parser.add_argument("--model", metavar="NAME|DIR", help="bundle to run (default: the one that `models` marks)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the interpreter (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=60, help="seconds of audio for each loop (default: %(default)s)")
    parser.add_argument("--peers", action="store_true", help="also measure other systems, side by side")
    parser.add_argument("--float-model", metavar="DIR", help="with --peers: bundle of the same model in float32")
    parser.add_argument("--realtime", type=float, metavar="SECONDS", help="also run at the pace of a microphone")
    parser.add_argument(
        "--busy", type=int, metavar="N", help="with --realtime: start N busy processes for a third of the time"
    )
    parser.add_argument(
        "--step-ms", type=float, metavar="MS", help="with --realtime: time budget of a step (default: 100)"
    )
    parser.add_argument(
        "--soak", type=float, metavar="HOURS", help="also run hours of audio at full speed, to find leaks and drift"
    )
    parser.add_argument(
        "--page",
        type=int,
        nargs="?",
        const=20,
        metavar="N",
        help="also measure what 1 and N open pages cost, and the memory of a run with everything on (N: 20)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the report; needs matplotlib")
    parser.set_defaults(run=run_bench)


def run_bench(args: argparse.Namespace) -> int:
    """Measure, print and draw; returns 0.

    Raises:
        ValueError: an option makes no sense, or a bundle or a reference file cannot be used.
        OSError: the plot cannot be written.
    """
    from bench.pace import run_paced
    from bench.page import measure_pages
    from bench.peers import time_peers
    from bench.plot import check_matplotlib, write_plot
    from bench.report import BenchSettings, bench, lines, pace_json, page_json, soak_json
    from bench.soak import soak
    from edge.nets.bundle import load_bundle
    from edge.page.settings import MOST_PAGES
    from edge.run_settings import DEFAULT_MODEL

    if args.float_model is not None and not args.peers:
        raise ValueError("got --float-model, wanted --peers with it")
    for name, least in (("realtime", 0.1), ("soak", 0.001), ("busy", 0), ("step_ms", 0.001)):
        option, value = f"--{name.replace('_', '-')}", getattr(args, name)
        if value is not None and not least <= value <= 1e6:
            raise ValueError(f"got {option} {value:g}, wanted at least {least:g}")
        if value is not None and name in ("busy", "step_ms") and args.realtime is None:
            raise ValueError(f"got {option}, wanted --realtime with it")
    if args.page is not None and not 1 <= args.page <= MOST_PAGES:
        raise ValueError(f"got --page {args.page}, wanted 1 to {MOST_PAGES}")
    if args.plot is not None:
        check_matplotlib()
    settings = BenchSettings(args.model or DEFAULT_MODEL, args.threads, args.seconds)
    bundle = load_bundle(settings.model)
    float_bundle = None if args.float_model is None else load_bundle(args.float_model)
    report = bench(bundle, settings, _say)
    if args.peers:
        _say("peers")
        peers = time_peers(bundle, args.threads, args.seconds, float_bundle)
        report["peers"] = peers.to_json()
    if args.realtime is not None:
        _say("in real time")
        paced = run_paced(bundle, args.threads, args.realtime, args.busy or 0, args.step_ms or 100.0)
        report["realtime"] = pace_json(paced)
    if args.soak is not None:
        _say("soak")
        report["soak"] = soak_json(soak(bundle, args.threads, args.soak))
    if args.page is not None:
        _say("pages")
        report["page"] = page_json(measure_pages(settings.model, args.threads, args.seconds, args.page))
    print(json.dumps(report) if args.json else "\n".join([*lines(report), *(peers.lines() if args.peers else [])]))
    if args.plot is not None:
        write_plot(args.plot, report)
    return 0


def _say(line: str) -> None:
    """Print what is being measured, if somebody waits at a terminal."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)

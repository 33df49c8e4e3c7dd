"""`seld-edge demo`: the shipped scene through a model -> its events, scores and speed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.options import add_model_options, with_options

if TYPE_CHECKING:
    from edge.commands.options import Subparsers
    from edge.run_settings import RunSettings


def add_demo_parser(subparsers: Subparsers) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("demo", help="run a model on the shipped 30 s scene and score its events")
    add_model_options(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write scene.csv and scene.jsonl to this folder")
    parser.add_argument(
        "--page", action="store_true", dest="show_page", help="play it in real time, over and over, in a browser"
    )
    parser.add_argument("--port", type=int, help="with --page: port of its address (default: 8420)")
    parser.set_defaults(run=run_demo_command)


def run_demo_command(args: argparse.Namespace) -> int:
    """Run the demo; returns 0.

    Raises:
        ValueError: the model cannot be used, or does not know all classes of the scene.
        OSError: the folder cannot be written.
    """
    from edge.arrays.profile import load_array
    from edge.audio.sources import open_source
    from edge.commands.introduction import chosen_bundle, introduce
    from edge.run_settings import RunSettings
    from edge.runtime.pipeline import build_pipeline, build_system
    from edge.scoring.demo import ARRAY, run_demo

    settings = with_options(RunSettings(), args)
    if args.show_page:
        return _show(settings, args)
    if args.port is not None:
        raise ValueError("got --port, wanted --page with it")
    array = load_array(ARRAY)
    bundle = chosen_bundle(settings, array)
    pipeline = build_pipeline(bundle, array, build_system(bundle, settings.threads, array=array))
    outputs = ["stdout"] if args.out is None else ["stdout", str(args.out)]
    with open_source("demo", array.channels, bundle.manifest.stft.sample_rate_hz) as source:
        introduce(source, array, bundle, outputs, pipeline.latency_s)
        run_demo(source, bundle, pipeline, args.out)
    return 0


def _show(settings: RunSettings, args: argparse.Namespace) -> int:
    """Play the scene in real time, over and over until a signal comes, and serve the page of it."""
    from dataclasses import replace

    from edge.commands.live import listen
    from edge.scoring.demo import ARRAY

    if args.out is not None:
        raise ValueError("got --out, wanted it without --page")
    page = replace(settings.page, enabled=True, **({} if args.port is None else {"port": args.port}))
    settings = replace(settings, source="demo", array=ARRAY, realtime=True, sinks=("null",), page=page)
    print("the demo goes round until Ctrl-C; its page:", flush=True)
    listen(settings, repeat=True)
    return 0

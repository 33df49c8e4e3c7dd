"""The `seld-convert` command: synth, scenes, train, snapshots, export, evaluate, look-ahead, tune, score."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from convert.commands.evaluate import add_evaluate_parser
from convert.commands.export import add_export_parser
from convert.commands.look_ahead import add_look_ahead_parser
from convert.commands.score import add_score_parser
from convert.commands.snapshots import add_snapshots_parser
from convert.commands.train import CORES, add_train_parser
from convert.commands.tune import add_tune_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 with one line on stderr for bad input."""
    args = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s: %(message)s"
    )
    try:
        return int(args.run(args))
    except (ValueError, OSError) as error:
        print(f"seld-convert: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seld-convert", description="Scenes, training, evaluation and bundles for seld-edge."
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    synth = commands.add_parser("synth", help="a clip library of synthesized sounds of all classes")
    synth.add_argument("--out", type=Path, required=True, metavar="DIR")
    synth.add_argument("--per-class", type=int, default=60, metavar="N", help="training clips (default: %(default)s)")
    synth.add_argument("--seed", type=int, default=0)
    synth.set_defaults(run=_synth)

    scenes = commands.add_parser("scenes", help="labelled scenes from libraries of mono clips")
    scenes.add_argument("--clips", type=Path, action="append", required=True, metavar="DIR", help="repeatable")
    scenes.add_argument("--split", help="only clips of this split of clips.csv: train or test")
    scenes.add_argument("--out", type=Path, required=True, metavar="DIR")
    scenes.add_argument("--count", type=int, default=100, metavar="N", help="scenes (default: %(default)s)")
    scenes.add_argument("--seed", type=int, default=0)
    scenes.add_argument("--jobs", type=int, default=CORES, help="processes (default: %(default)s)")
    scenes.add_argument(
        "--array", default="foa", metavar="NAME|FILE.toml", help="that hears them (default: %(default)s)"
    )
    scenes.add_argument("--settings", type=Path, metavar="FILE.toml", help="see convert.scenes.events.SceneSettings")
    scenes.set_defaults(run=_scenes)

    add_train_parser(commands)

    add_snapshots_parser(commands)
    add_export_parser(commands)
    add_evaluate_parser(commands)
    add_look_ahead_parser(commands)
    add_tune_parser(commands)
    add_score_parser(commands)
    return parser


def _synth(args: argparse.Namespace) -> int:
    from convert.clips.synth.classes import write_clip_library

    write_clip_library(args.out, args.per_class, args.seed)
    return 0


def _scenes(args: argparse.Namespace) -> int:
    from convert.clips.library import load_clip_library, merge_libraries
    from convert.scenes.events import SceneSettings
    from convert.scenes.render import make_scenes
    from edge.arrays.profile import load_array
    from edge.settings import build, read_toml

    settings = build(SceneSettings, read_toml(args.settings), str(args.settings)) if args.settings else SceneSettings()
    library = merge_libraries([load_clip_library(folder, args.split) for folder in args.clips])
    make_scenes(library, settings, args.seed, args.count, args.out, args.jobs, load_array(args.array))
    return 0

"""`seld-convert export`: a run and labelled scenes -> an int8 bundle for the device, with its scores and model card.

Exporting turns the trained Keras nets into int8 TFLite nets. The bundle is written only if the converted nets are close
enough to the trained ones (`convert.quantize.ladder`), unless `--unchecked` asks for it all the same. Instead of a run,
random weights can be exported for benchmarks.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from convert.commands.options import SCENES
from convert.commands.train import add_set_option
from convert.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from convert.commands.options import Subparsers


def add_export_parser(subparsers: Subparsers) -> None:
    """Add the `export` command and its options to a command line."""
    parser = subparsers.add_parser("export", help="convert a run to an int8 bundle and check the conversion")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="RUN", dest="run_folder", help="folder that `train` has written")
    source.add_argument(
        "--random", metavar="MODEL", help="export random weights of this recipe instead, for benchmarks"
    )
    add_set_option(parser)
    parser.add_argument(
        "--scenes",
        metavar=SCENES,
        help="labelled scenes, or a corpus, for the checks and scores; needed with --run",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the bundle")
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="ship all snapshots of a training in cycles; the device averages their answers (etri)",
    )
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="write the bundle even if a check fails, or without --scenes; the bundle says that it is unchecked",
    )
    parser.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> int:
    """Write the bundle; return 0.

    Raises:
        ValueError: options, run or scenes do not fit, or a check of the ladder fails and `--unchecked` is not given;
            nothing is written then.
    """
    if args.run_folder is not None and args.scenes is None and not args.unchecked:
        raise ValueError("got --run without --scenes, wanted scenes for the ladder and the scores, or --unchecked")
    if args.run_folder is not None and args.set:
        raise ValueError("got --set with --run, wanted it with --random: a run has its own recipe")
    if args.run_folder is None and args.ensemble:
        raise ValueError("--ensemble: got no --run, wanted the run whose snapshots are to be exported")
    import_tensorflow()
    from convert.quantize.export import export, export_random
    from convert.training.recipes import changed, find_recipe, parse_changes
    from convert.training.run_folder import open_run

    if args.random is not None:
        export_random(changed(find_recipe(args.random), parse_changes(args.set)), args.out)
    else:
        export(open_run(args.run_folder, args.ensemble), args.scenes, args.out, args.unchecked)
    return 0

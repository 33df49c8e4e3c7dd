"""The `seld-convert` command: arguments -> one of the subcommands of `convert.commands`.

A subcommand imports what it needs when it runs, so that help and errors in the arguments come at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from convert.commands.clips import add_clips_parser
from convert.commands.evaluate import add_evaluate_parser
from convert.commands.export import add_export_parser
from convert.commands.look_ahead import add_look_ahead_parser
from convert.commands.probe import add_probe_parser
from convert.commands.reproduce import add_reproduce_parser
from convert.commands.scenes import add_scenes_parser
from convert.commands.score import add_score_parser
from convert.commands.snapshots import add_snapshots_parser
from convert.commands.train import add_train_parser
from convert.commands.tune import add_tune_parser
from edge.cli import set_blas_threads


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit code: 0, or after one line on stderr 2 for bad input and 130 for an interrupt.
    """
    set_blas_threads()
    args = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s: %(message)s"
    )
    try:
        return int(args.run(args))
    except (ValueError, OSError) as error:
        print(f"seld-convert: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("seld-convert: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seld-convert", description="Make scenes, train models, evaluate them and export bundles for seld-edge."
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log more on stderr")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for add_parser in (
        add_clips_parser,
        add_probe_parser,
        add_scenes_parser,
        add_train_parser,
        add_snapshots_parser,
        add_export_parser,
        add_evaluate_parser,
        add_look_ahead_parser,
        add_tune_parser,
        add_score_parser,
        add_reproduce_parser,
    ):
        add_parser(subparsers)
    return parser

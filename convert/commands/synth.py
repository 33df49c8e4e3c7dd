"""`seld-convert synth`: a seed -> a clip library of synthesized sounds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convert.commands.options import Subparsers


def add_synth_parser(subparsers: Subparsers) -> None:
    """Add the `synth` command and its options to a command line."""
    parser = subparsers.add_parser("synth", help="synthesize a clip library with sounds of all classes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the library")
    parser.add_argument(
        "--per-class", type=int, default=60, metavar="N", help="training clips of each class (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same clips (default: 0)")
    parser.set_defaults(run=run_synth)


def run_synth(args: argparse.Namespace) -> int:
    """Write the library; return 0."""
    from convert.clips.synth.classes import write_clip_library

    write_clip_library(args.out, args.per_class, args.seed)
    return 0

"""`seld-convert clips`: packages that anyone can install, and synthesis -> a library of clips."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convert.clips.sources.records import ClipSource
    from convert.commands.options import Subparsers


def add_clips_parser(subparsers: Subparsers) -> None:
    """Add the `clips` command and its options to a command line."""
    parser = subparsers.add_parser(
        "clips",
        help="build a library of mono clips from packages that anyone can install, and from synthesis",
        description="Build a library of mono clips of 16 classes, with clips.csv, attribution.csv, licences and "
        "SHA256SUMS. The same sources give the same files. A build that was stopped goes on where it was.",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the library")
    parser.add_argument("--sources", metavar="A,B", help="build only these sources (default: all; see --list)")
    parser.add_argument(
        "--packages",
        type=Path,
        metavar="FOLDER",
        help="take the package files from this folder and download nothing (default: download into DIR/packages)",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="number of processes (default: all cores)"
    )
    parser.add_argument(
        "--drop", type=Path, metavar="FILE", help="leave out the clips that `seld-convert probe --drop-to FILE` lists"
    )
    parser.add_argument("--list", action="store_true", help="list the sources and their packages, and do nothing else")
    parser.set_defaults(run=run_clips)


def run_clips(args: argparse.Namespace) -> int:
    """List the sources, or build the library and print its table; return 0.

    Raises:
        ValueError: an option is wrong, or no source gave a clip.
    """
    from convert.clips.build import build_library
    from convert.clips.sources.registry import choose_sources
    from convert.clips.table import library_table

    sources = choose_sources(args.sources.split(",") if args.sources else None)
    if args.list:
        for source in sources:
            print(_description(source))
        return 0
    if args.out is None:
        raise ValueError("--out: got no folder, wanted one for the library")
    if args.jobs < 1:
        raise ValueError(f"--jobs: got {args.jobs}, wanted at least 1")
    if args.packages is not None and not args.packages.is_dir():
        raise ValueError(f"--packages: got {args.packages}, wanted a folder of package files")
    unwanted = frozenset(args.drop.read_text(encoding="utf-8").splitlines()) if args.drop else frozenset()
    _, left_out = build_library(sources, args.out, args.packages, args.jobs, unwanted)
    print(library_table(args.out))
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")
    return 0


def _description(source: ClipSource) -> str:
    packages = ", ".join(f"{package.kind} {package.name} {package.version}" for package in source.packages)
    return f"{source.name}: {packages or 'computed here'}; {', '.join(source.licences)}"

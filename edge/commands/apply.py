"""`seld-edge apply`: a board and an array -> the changes that they need in files of the system, shown or written."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.commands.options import Subparsers


def add_apply_parser(subparsers: Subparsers) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "apply", help="show what a board and an array need in files of the system, and write it with --write"
    )
    parser.add_argument("--board", metavar="NAME|FILE.toml", help="board (default: the one that this machine is)")
    parser.add_argument("--array", metavar="NAME|FILE.toml", help="microphone array")
    parser.add_argument("--prefix", type=Path, default=Path("/"), metavar="DIR", help="root folder of the system")
    parser.add_argument("--write", action="store_true", help="change the files; the present ones are backed up")
    parser.add_argument(
        "--undo",
        action="store_true",
        help="show what restores the files that were backed up, and write it with --write",
    )
    parser.set_defaults(run=run_apply_command)


def run_apply_command(args: argparse.Namespace) -> int:
    """Show or write the changes; returns 0, or 1 if `--undo` cannot restore every file.

    Raises:
        ValueError: board or array are missing or unknown, or a file cannot be changed.
        OSError: a file cannot be read or written.
    """
    from edge.arrays.profile import load_array
    from edge.device.apply import apply, undo
    from edge.device.board import load_board, recognised_board
    from edge.device.system_files import array_setting, system_files

    if args.undo:
        return 0 if undo(args.prefix, args.write) else 1
    if args.array is None:
        raise ValueError("got no --array, wanted the name of the microphone array: `seld-edge devices` lists them")
    array = load_array(args.array)
    board = load_board(args.board) if args.board else recognised_board(args.prefix)
    apply(system_files(board, array, array_setting(args.array)), args.prefix, args.write)
    return 0

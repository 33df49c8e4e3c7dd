"""`seld-edge page-password`: a password that is typed twice, or comes on stdin -> a file with its hash."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.commands.options import Subparsers


def add_page_password_parser(subparsers: Subparsers) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("page-password", help="write the file of a password for the page in the browser")
    parser.add_argument("file", type=Path, metavar="FILE", help="as password_file in [page]; it holds a hash alone")
    parser.set_defaults(run=run_page_password_command)


def run_page_password_command(args: argparse.Namespace) -> int:
    """Ask for a password and write the file; returns 0.

    Raises:
        ValueError: the password is too short, or was typed differently the second time.
        OSError: the file cannot be written.
    """
    from edge.page.password import write_password

    if sys.stdin.isatty():
        password = getpass.getpass("password: ")
        if getpass.getpass("once more: ") != password:
            raise ValueError("got two different passwords, wanted the same twice")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    write_password(args.file, password)
    print(f"written: {args.file}; [page] needs the line password_file = {str(args.file)!r}")
    return 0

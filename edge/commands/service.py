"""`seld-edge install-service` and `uninstall-service`: the systemd unit that runs `seld-edge run` at every start."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.commands.options import Subparsers


def add_service_parsers(subparsers: Subparsers) -> None:
    """Add both commands and their options."""
    for name, text, run in (
        ("install-service", "install and enable the systemd unit", run_install_command),
        ("uninstall-service", "disable and remove the systemd unit", run_uninstall_command),
    ):
        parser = subparsers.add_parser(name, help=f"{text}; the settings in /etc/seld-edge are kept")
        parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
        parser.add_argument("--prefix", type=Path, default=Path("/"), metavar="DIR", help="root folder of the system")
        parser.set_defaults(run=run)


def run_install_command(args: argparse.Namespace) -> int:
    """Install and enable the unit; returns 0."""
    from edge.device.install import carry_out, installation

    carry_out(installation(args.prefix), args.prefix, args.dry_run)
    return 0


def run_uninstall_command(args: argparse.Namespace) -> int:
    """Disable and remove the unit; returns 0."""
    from edge.device.install import carry_out, removal

    carry_out(removal(args.prefix), args.prefix, args.dry_run)
    return 0

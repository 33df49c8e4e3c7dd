"""`seld-edge events`: a history -> its events as a table, csv, JSON or label frames; and JSON lines -> a history."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.commands.options import Subparsers

LIMIT = 100  # events of a table, unless another number is asked for
SERVICE_FOLDER = Path("/var/lib/seld-edge")


def add_events_parser(subparsers: Subparsers) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "events",
        help="list the events that the sink history: has stored",
        description="Lists stored events, the oldest first. The service may be running meanwhile.",
    )
    parser.add_argument(
        "--since", metavar="WHEN", help="events from then on: 90s, 30m, 1h, 7d (ago), or 2026-11-30T09:41 (local time)"
    )
    parser.add_argument("--until", metavar="WHEN", help="events before then")
    parser.add_argument("--class", dest="name", metavar="CLASS", help="events of a class")
    parser.add_argument("--sector", metavar="NAME", help="events of a sector")
    parser.add_argument(
        "--limit", type=int, metavar="N", help=f"the last N of them (default: {LIMIT} for a table, else all)"
    )
    parser.add_argument(
        "--format",
        choices=("table", "csv", "json", "dcase"),
        default="table",
        help="json: a line for each event; dcase: label frames, counted from --since or else the first event",
    )
    parser.add_argument("--model", metavar="NAME|DIR", help="bundle whose classes number those of --format dcase")
    parser.add_argument("--import", dest="source", type=Path, metavar="FILE.jsonl", help="add the events of JSON lines")
    parser.add_argument("--database", type=Path, metavar="FILE", help="the history (default: that of the settings)")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings file (default: that of the service)")
    parser.set_defaults(run=run_events_command)


def run_events_command(args: argparse.Namespace) -> int:
    """List events, or import some; returns 0.

    Raises:
        ValueError: an option makes no sense, or a file cannot be used.
    """
    from edge.commands.event_formats import printer
    from edge.commands.moments import moment_s
    from edge.outputs.history_import import import_lines
    from edge.outputs.history_reader import Wanted, open_history

    database = _database(args)
    if args.limit is not None and args.limit < 1:
        raise ValueError(f"got --limit {args.limit}, wanted at least 1")
    if args.source is not None:
        done = import_lines(args.source, database)
        print(
            f"{database}: {done.added} events added, {done.known} known already, "
            f"{done.timeless} without a time of day, {done.unfinished} not finished"
        )
        return 0
    now_s = time.time()
    since_s = None if args.since is None else moment_s("--since", args.since, now_s)
    until_s = None if args.until is None else moment_s("--until", args.until, now_s)
    show = printer(args.format, since_s, args.model)
    limit = LIMIT if args.limit is None and args.format == "table" else args.limit
    with open_history(database) as history:
        for line in show(history.events(Wanted(since_s, until_s, args.name, args.sector), limit)):
            sys.stdout.write(line + "\n")
    return 0


def _database(args: argparse.Namespace) -> Path:
    """The database that is named, or that of the settings file, or that of the service.

    A relative path in the settings of the service is one in its folder.
    """
    from edge.device.install import SETTINGS_PATH
    from edge.run_settings import RunSettings, read_settings

    if args.database is not None:
        return Path(args.database)
    service = Path("/") / SETTINGS_PATH
    if args.config is not None:
        return Path(read_settings(args.config).history.database)
    settings = read_settings(service) if service.is_file() else RunSettings()
    here = Path(settings.history.database)
    return here if here.is_absolute() or here.exists() else SERVICE_FOLDER / here

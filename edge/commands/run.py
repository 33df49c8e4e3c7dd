"""`seld-edge run`: a source is heard until it ends or a signal comes -> events in sinks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.options import add_array_option, add_model_options, with_options

if TYPE_CHECKING:
    from edge.commands.options import Subparsers
    from edge.run_settings import RunSettings


def add_run_parser(subparsers: Subparsers) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("run", help="listen to a source until it ends or a signal stops it")
    parser.add_argument(
        "--source",
        metavar="mic|-|FILE|demo",
        help="what to listen to; - reads raw PCM from stdin, demo is the shipped scene",
    )
    parser.add_argument(
        "--realtime", action="store_true", default=None, help="play a file at the pace at which it was recorded"
    )
    parser.add_argument(
        "--sink",
        action="append",
        dest="sinks",
        metavar="SINK",
        help="where events go: jsonl:-, jsonl:FILE, dcase:FILE, history:, mqtt:, lines:unix:PATH, lines:tcp:PORT, "
        "live:unix:PATH, live:tcp:PORT, live:to:HOST:PORT or null; "
        "may be given several times (default: jsonl:-)",
    )
    parser.add_argument(
        "--wait", action="store_true", help="wait for a microphone that is missing at the start, instead of ending"
    )
    parser.add_argument(
        "--page",
        action="store_true",
        dest="show_page",
        help="show in a browser what is heard: see [page] in the settings",
    )
    parser.add_argument("--stats", metavar="FILE.json", help="write counts and times of all stages to this file")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings file; options take precedence")
    add_model_options(parser)
    add_array_option(parser)
    parser.set_defaults(run=run_run_command)


def run_run_command(args: argparse.Namespace) -> int:
    """Listen until the source ends; returns 0, or 1 where a microphone was to be heard and a device or file failed.

    The unit of systemd restarts the service after 1, but not after 2, which stands for input that makes no sense.

    Raises:
        ValueError: an option or setting makes no sense, or a model, array or source cannot be used.
        OSError: a file or pipe was to be heard, and it failed, or a sink could not be opened or could not deliver.
    """
    from dataclasses import replace

    from edge.commands.live import listen
    from edge.run_settings import RunSettings, read_settings

    def read() -> RunSettings:
        settings = with_options(read_settings(args.config) if args.config else RunSettings(), args)
        if args.wait:
            settings = replace(settings, microphone=replace(settings.microphone, wait=True))
        if args.show_page:
            settings = replace(settings, page=replace(settings.page, enabled=True))
        if settings.source is None:
            raise ValueError(_no_source(args.config))
        return settings

    settings = read()
    try:
        listen(settings, read if args.config else None, args.config)
    except OSError as error:
        if settings.source != "mic" or isinstance(error.__cause__, BrokenPipeError):
            raise
        print(f"seld-edge: {error}", file=sys.stderr)
        return 1
    return 0


def _no_source(config: Path | None) -> str:
    """What to do where nothing says what to listen to. The demo would be mistaken for the sound around the device."""
    if config is None:
        return "got no --source, wanted mic, - or a file; `seld-edge demo` plays the demo"
    return f'{config}: got no source, wanted one, such as a line `source = "mic"` above all tables, or --source'

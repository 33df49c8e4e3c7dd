"""The `seld-edge` command: words of the command line -> a command of `edge/commands`, or of another package.

Another package adds a command by an entry point of the group `seld_edge.commands`: a function that takes the
subparsers of argparse, adds a parser, and sets its default `run` to a function from parsed arguments to an exit code.
Nothing here imports numpy, because the number of its BLAS threads has to be set before.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.commands.apply import add_apply_parser
from edge.commands.calibrate import add_calibrate_parser
from edge.commands.check import add_check_parser
from edge.commands.demo import add_demo_parser
from edge.commands.devices import add_devices_parser
from edge.commands.events import add_events_parser
from edge.commands.file import add_file_parser
from edge.commands.listen import add_listen_parser
from edge.commands.models import add_models_parser
from edge.commands.page_password import add_page_password_parser
from edge.commands.run import add_run_parser
from edge.commands.service import add_service_parsers
from edge.settings import read_toml

if TYPE_CHECKING:
    from edge.commands.options import Subparsers

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
COMMAND_GROUP = "seld_edge.commands"  # of entry points


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: words after the name of the program; None takes those of this process.

    Returns:
        The exit code: that of the command; 2 after bad input, with one line on stderr; 141, as of a command that
        SIGPIPE ended, where the reader of stdout has gone, as `head` does; or 130 after Ctrl-C.
    """
    args = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s: %(message)s"
    )
    logging.getLogger("edge.commands.introduction").setLevel(logging.INFO)  # shown without --verbose, too
    set_blas_threads(getattr(args, "config", None))
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_gone()
    except (ValueError, OSError) as error:
        if isinstance(error.__cause__, BrokenPipeError) and ":-: " in str(error):  # of a sink on stdout
            return _reader_gone()
        print(f"seld-edge: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # of a command that asks or waits; `run` takes the signal for its end
        return 128 + signal.SIGINT
    return code


def set_blas_threads(config: Path | None = None) -> None:
    """Set the number of numpy's BLAS threads: one, unless the environment or the settings say otherwise.

    Several threads cost small products more than they gain. A call has an effect only before numpy is imported.

    Args:
        config: settings file whose `blas_threads` overrides the environment. If the file is not valid, it is ignored
            here: the error is reported when all of it is read.
    """
    os.environ.setdefault(BLAS_THREADS, "1")
    if config is None:
        return
    with contextlib.suppress(ValueError):
        threads = read_toml(config).get("blas_threads")
        if isinstance(threads, int):
            os.environ[BLAS_THREADS] = str(threads)


def _reader_gone() -> int:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python complains at exit
    return 128 + signal.SIGPIPE


class _Version(argparse.Action):
    """Prints the version and the name of the TFLite runtime, which is loaded only then, as that takes a while."""

    def __call__(self, parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        from edge.nets.interpreter import RUNTIME

        print(f"seld-edge {__version__} ({RUNTIME})")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seld-edge",
        description="Finds what sounds, when, and from where: events from a microphone array of four capsules.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more on stderr")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for add_parser in (
        add_demo_parser,
        add_run_parser,
        add_file_parser,
        add_events_parser,
        add_listen_parser,
        add_models_parser,
        add_devices_parser,
        add_check_parser,
        add_calibrate_parser,
        add_service_parsers,
        add_apply_parser,
        add_page_password_parser,
    ):
        add_parser(subparsers)
    _add_foreign_parsers(subparsers)
    return parser


def _add_foreign_parsers(subparsers: Subparsers) -> None:
    """Add the commands of other packages. One that cannot be loaded stays in the list, and says why when it is run."""
    for entry in metadata.entry_points(group=COMMAND_GROUP):
        try:
            entry.load()(subparsers)
        except (ImportError, AttributeError) as error:
            parser = subparsers.add_parser(entry.name, help="not available: its package is incomplete")
            parser.set_defaults(run=partial(_refuse, f"command {entry.name!r}: got {error}, wanted its whole package"))


def _refuse(reason: str, args: argparse.Namespace) -> int:
    raise ValueError(reason)

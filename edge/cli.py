"""The `seld-edge` command: its words. What they do is in `edge/commands.py`.

Nothing here imports numpy: how many threads its BLAS gets has to be said before.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge import __version__

BLAS_THREADS = "OPENBLAS_NUM_THREADS"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 with one line on stderr for bad input."""
    args = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s: %(message)s"
    )
    set_blas_threads(getattr(args, "config", None))
    try:
        from edge.commands import COMMANDS

        code = COMMANDS[args.command](args)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at exit
        print("seld-edge: stdout: the reader has closed the pipe", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"seld-edge: {error}", file=sys.stderr)
        return 2
    return code


class _Version(argparse.Action):
    """Names the TFLite runtime too, which takes its time to load."""

    def __call__(self, parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        from edge.nets.interpreter import RUNTIME

        print(f"seld-edge {__version__} ({RUNTIME})")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seld-edge", description="What sounded, when, and from where: events from a 4-channel microphone array."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="say which version this is, and exit")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    demo = commands.add_parser("demo", help="run the shipped model on the shipped scene and score it")
    _add_model_options(demo)
    demo.add_argument("--out", type=Path, metavar="DIR", help="also write scene.csv and scene.jsonl there")

    live = commands.add_parser("run", help="listen to a source until it ends or a signal comes")
    live.add_argument("--source", metavar="demo|mic|-|FILE.wav", help="default: demo; - is raw PCM on stdin")
    live.add_argument("--realtime", action="store_true", default=None, help="play a file as if a microphone heard it")
    live.add_argument(
        "--sink",
        action="append",
        dest="sinks",
        metavar="SINK",
        help="jsonl:-, jsonl:FILE, dcase:FILE, mqtt:, lines:unix:PATH, lines:tcp:PORT, null; repeatable",
    )
    live.add_argument("--stats", metavar="FILE.json", help="write counts and times of all stages there in the end")
    live.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; options given here win over it")
    _add_model_options(live)
    _add_array_option(live)

    files = commands.add_parser("file", help="wav files to DIR/NAME.csv and DIR/NAME.jsonl, as fast as it can")
    files.add_argument("wavs", nargs="+", type=Path, metavar="FILE.wav")
    files.add_argument("--out", type=Path, required=True, metavar="DIR")
    _add_model_options(files)
    _add_array_option(files)

    commands.add_parser("models", help="list the shipped bundles")
    commands.add_parser("devices", help="list the microphones that could be used, and the arrays that they are")
    check = commands.add_parser("check", help="find dead, clipped, inverted, swapped or uneven channels of an array")
    check.add_argument("--array", required=True, metavar="NAME|FILE.toml", help="microphone array")
    check.add_argument(
        "--source", default="mic", metavar="mic|-|FILE.wav", help="default: mic; - as the array delivers"
    )
    check.add_argument("--seconds", type=float, default=10.0, metavar="N", help="to listen (default: 10)")
    check.add_argument("--device", metavar="NAME", help="microphone (default: the one that the array names)")
    check.add_argument("--direction", metavar="AZ[,EL]", help="where the sound comes from in degrees, if it is known")
    for name, what in (("install-service", "write and enable the systemd unit"), ("uninstall-service", "take it away")):
        service = commands.add_parser(name, help=f"{what}; settings in /etc/seld-edge are kept")
        service.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        service.add_argument("--prefix", type=Path, default=Path("/"), metavar="DIR", help="of another system's files")
    system = commands.add_parser(
        "apply", help="show what a board and an array need in the files of the system; write it"
    )
    system.add_argument("--board", metavar="NAME|FILE.toml", help="default: the one that this is")
    system.add_argument("--array", metavar="NAME|FILE.toml", help="microphone array")
    system.add_argument("--prefix", type=Path, default=Path("/"), metavar="DIR", help="of another system's files")
    system.add_argument("--write", action="store_true", help="write them; how they were is kept")
    system.add_argument("--undo", action="store_true", help="put them back as they were before")
    with contextlib.suppress(ModuleNotFoundError):  # the benchmarks may be left out on a device
        importlib.import_module("bench.command").add_bench_parser(commands)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME|DIR", help="bundle (default: the one that `models` marks)")
    parser.add_argument("--threads", type=int, help="of the interpreter (default: 1)")


def _add_array_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--array", metavar="NAME|FILE.toml", help="microphone array (default: foa)")


def set_blas_threads(config: Path | None = None) -> None:
    """Limit the threads of numpy's BLAS; has to be called before numpy is imported.

    Small products in several threads cost more than they gain. One thread, unless the environment says otherwise, or
    `blas_threads` in the settings file. Errors in that file are ignored here: they are reported when it is read as a
    whole.

    Args:
        config: Settings file of `seld-edge run`, if there is one.
    """
    os.environ.setdefault(BLAS_THREADS, "1")
    if config is None:
        return
    with contextlib.suppress(OSError, ValueError, RecursionError):
        threads = tomllib.loads(config.read_text(encoding="utf-8")).get("blas_threads")
        if isinstance(threads, int):
            os.environ[BLAS_THREADS] = str(threads)

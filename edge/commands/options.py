"""Options that several commands share, and how they replace settings."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.run_settings import RunSettings

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add `--model` and `--threads`."""
    parser.add_argument("--model", metavar="NAME|DIR", help="bundle to run (default: one trained for the array)")
    parser.add_argument("--threads", type=int, help="threads of the TFLite interpreter (default: 1)")


def add_array_option(parser: argparse.ArgumentParser) -> None:
    """Add `--array`."""
    parser.add_argument("--array", metavar="NAME|FILE.toml", help="microphone array (default: foa)")


def with_options(settings: RunSettings, args: argparse.Namespace) -> RunSettings:
    """Return the settings, with those replaced that were given on the command line.

    Raises:
        ValueError: an option is out of its range.
    """
    given = {item.name: getattr(args, item.name, None) for item in fields(settings)}
    if given["sinks"] is not None:
        given["sinks"] = tuple(given["sinks"])
    return replace(settings, **{name: value for name, value in given.items() if value is not None})

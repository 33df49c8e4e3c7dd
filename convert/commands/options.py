"""Arguments that several subcommands take -> values."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

SCENES = "[CORPUS[:foa|mic][:SPLIT]=]DIR"  # as `convert.data.folders.FORM`, whose import is slow


def parse_assignments(option: str, words: Sequence[str]) -> dict[str, Any]:
    """Turn `KEY=VALUE` arguments into a table.

    Args:
        option: name of the option, for the error message.
        words: the arguments. A value that is valid TOML is read as TOML; any other is a string, as in `mode=window`.

    Raises:
        ValueError: an argument has no key or no `=`.
    """
    values: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (key and sign):
            raise ValueError(f"{option}: got {word!r}, wanted KEY=VALUE")
        try:
            values[key] = tomllib.loads(f"value = {value}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            values[key] = value
    return values


def parse_names(words: str | None) -> list[str]:
    """Turn an argument such as `one,two` into names; none if the option is not given."""
    return [word.strip() for word in words.split(",")] if words else []


def parse_integers(option: str, words: str) -> list[int]:
    """Turn an argument such as `1,2,3` into whole numbers.

    Args:
        option: name of the option, for the error message.
        words: the argument.

    Raises:
        ValueError: a part between two commas is not a whole number.
    """
    try:
        return [int(word) for word in words.split(",")]
    except ValueError:
        raise ValueError(f"{option}: got {words!r}, wanted whole numbers separated by commas") from None

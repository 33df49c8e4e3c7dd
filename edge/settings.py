"""Tables of TOML or JSON -> frozen dataclasses; unknown keys and values of the wrong type are errors."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from edge.files import read_bounded_text

Settings = TypeVar("Settings")

MOST_TOML_BYTES = 2**20
"""Largest TOML file that is read: the longest of ours has 10 KB."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file as a table.

    Raises:
        ValueError: the file cannot be read or parsed, is not a regular file, or has more than MOST_TOML_BYTES; one line
            that begins with its path.
    """
    return parse_toml(read_bounded_text(path, MOST_TOML_BYTES), path)


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Parse the text of a TOML file as a table.

    Raises:
        ValueError: it is not valid; one line that begins with the path.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid TOML: {error}".replace("\n", " ")) from None


def build(kind: type[Settings], table: Mapping[str, Any], where: str) -> Settings:
    """Build a dataclass from a table.

    The annotations of the fields say what is wanted: str, bool, int, float (whole numbers are converted), tuples of
    these, mappings, dataclasses for tables inside, and any of them or None.

    Args:
        kind: the dataclass. ValueErrors of its `__post_init__` are passed on with `where` before them.
        table: values by name of the field.
        where: what the table is, such as a file; error messages begin with it.

    Returns:
        An instance; fields that the table lacks have their defaults.

    Raises:
        ValueError: an entry is unknown, missing, or of the wrong type, or a number is not finite.
    """
    types = get_type_hints(kind)
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in known:
            raise ValueError(f"{where}: got unknown key {key!r}, wanted one of {', '.join(known)}")
        values[key] = _checked(types[key], value, f"{where}: {key}")
    for name, item in known.items():
        if name not in values and item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"{where}: got no {name!r}, wanted one")
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _checked(kind: Any, value: Any, where: str) -> Any:
    """Return a value as its annotated type; raise ValueError if it is of another type."""
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: got {value!r}, wanted a table")
        return build(kind, value, where)  # type: ignore[arg-type]
    origin = get_origin(kind)
    if origin is UnionType:
        return None if value is None else _checked(get_args(kind)[0], value, where)
    if origin is tuple:
        return _checked_tuple(get_args(kind), value, where)
    if origin is not None:  # Mapping[str, ...]
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: got {value!r}, wanted a table")
        return dict(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**63 else math.inf
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: got {value!r}, wanted {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{where}: got {value}, wanted a finite number")
    return value


def _checked_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    """Return a list as a tuple with items of the annotated types."""
    open_ended = kinds[-1] is Ellipsis
    if not isinstance(value, list | tuple) or (not open_ended and len(value) != len(kinds)):
        raise ValueError(f"{where}: got {value!r}, wanted a list{'' if open_ended else f' of {len(kinds)}'}")
    each = [kinds[0]] * len(value) if open_ended else kinds
    return tuple(
        _checked(kind, item, f"{where}[{index}]") for index, (kind, item) in enumerate(zip(each, value, strict=True))
    )

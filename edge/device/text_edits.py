"""Text of a file that belongs to somebody else -> the same with something of ours put in, replaced or taken out.

What is not ours stays as it is, byte for byte.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

_BEGIN = "# >>> seld-edge: this part is written by `seld-edge apply` and taken out by `seld-edge apply --undo`"
_END = "# <<< seld-edge"
_BLOCK = re.compile(rf"^{re.escape(_BEGIN)}\r?\n.*?^{re.escape(_END)}\r?\n?", re.MULTILINE | re.DOTALL)


def with_block(text: str, inside: str) -> str:
    """The text with our marked block saying `inside`, where it was or else at the end."""
    block = f"{_BEGIN}\n{inside.rstrip()}\n{_END}\n"
    if _BLOCK.search(text):
        return _BLOCK.sub(lambda _: block, text, count=1)
    return text + ("\n" if text and not text.endswith("\n") else "") + block


def without_block(text: str) -> str:
    """The text without our marked block."""
    return _BLOCK.sub("", text)


def with_toml_value(text: str, key: str, value: str | int | float) -> str:
    """Settings in TOML with `key` (`array`, or `budget.step_ms`) set: replaced where it is, else put in its table.

    Raises ValueError if they are no TOML, or are written in a way that does not allow it.
    """
    try:
        wanted = _parsed(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid TOML: {error}".replace("\n", " ")) from None
    table, _, name = key.rpartition(".")
    within = wanted.setdefault(table, {}) if table else wanted
    if isinstance(within, dict):
        if within.get(name) == value:
            return text
        within[name] = value
        changed = _set(text.splitlines(keepends=True), table, name, json.dumps(value, ensure_ascii=False))
        if _says(changed, wanted):
            return changed
    raise ValueError(f"got {key} in an unusual form, wanted a line `{name} = {json.dumps(value)}`: write it by hand")


def _parsed(text: str) -> dict[str, Any]:
    return tomllib.loads(text.replace("\r\n", "\n"))


def _says(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return _parsed(text) == wanted
    except ValueError:
        return False


def _set(lines: list[str], table: str, name: str, value: str) -> str:
    heads = [n for n, line in enumerate(lines) if re.match(r"\s*\[", line)] + [len(lines)]
    begin = 0
    if table:
        own = [n for n in heads[:-1] if re.match(rf"\s*\[\s*{re.escape(table)}\s*\]", lines[n])]
        if not own:
            return "".join([*lines, *_line_end(lines), f"\n[{table}]\n{name} = {value}\n"])
        begin = own[0] + 1
    end = min(n for n in heads if n >= begin)
    for n in range(begin, end):
        found = re.fullmatch(rf"""(\s*{re.escape(name)}\s*=\s*)("[^"]*"|'[^']*'|[^\s#"']+)(\s*(?:#.*)?\s*)""", lines[n])
        if found:
            return "".join([*lines[:n], found[1], value, found[3], *lines[n + 1 :]])
    at = begin if table else next((n for n in range(end) if lines[n].strip() and lines[n].lstrip()[0] != "#"), end)
    return "".join([*lines[:at], *_line_end(lines[:at]), f"{name} = {value}\n", *lines[at:]])


def _line_end(lines: list[str]) -> list[str]:
    """What is missing before another line can follow."""
    return ["\n"] if lines and not lines[-1].endswith("\n") else []

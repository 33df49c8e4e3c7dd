"""Text of a file that others edit, too -> the same text with our part inserted, replaced or removed.

All other text, including comments and layout, is preserved.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

TomlValue = str | int | float | list[int] | list[float]
"""What a key can be set to."""

_BEGIN = "# >>> seld-edge: this part is written by `seld-edge apply` and taken out by `seld-edge apply --undo`"
_END = "# <<< seld-edge"
_BLOCK = re.compile(rf"^{re.escape(_BEGIN)}\r?\n.*?^{re.escape(_END)}\r?\n?", re.MULTILINE | re.DOTALL)


def with_block(text: str, inside: str) -> str:
    """Return the text with our marked block around `inside`: in place of an earlier block, or else at the end."""
    block = f"{_BEGIN}\n{inside.rstrip()}\n{_END}\n"
    if _BLOCK.search(text):
        return _BLOCK.sub(lambda _: block, text, count=1)
    return text + ("\n" if text and not text.endswith("\n") else "") + block


def without_block(text: str) -> str:
    """Return the text without our marked block."""
    return _BLOCK.sub("", text)


def with_toml_value(text: str, key: str, value: TomlValue) -> str:
    """Set a key of a TOML text. A key that is not there yet follows the other keys of its table.

    Args:
        text: the TOML text.
        key: `array`, or `budget.step_ms` for a key in a table.
        value: what the key is set to.

    Returns:
        The text, in which nothing but this value has changed.

    Raises:
        ValueError: the text is not TOML, the value cannot be set without changing anything else, or tomlkit is not
            installed.
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
        try:
            from tomlkit.exceptions import TOMLKitError
        except ModuleNotFoundError:
            raise ValueError("tomlkit is not installed: pip install tomlkit") from None
        try:
            changed = _edited_table(text, table, name, value) if table else _edited_top(text, name, value)
        except (ValueError, TOMLKitError):
            changed = ""  # the key is in a form that cannot be edited
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


def _document(text: str) -> TOMLDocument:
    """Parse a text. Raises ValueError if its layout would be lost, as that of interleaved arrays of tables is."""
    import tomlkit

    document = tomlkit.parse(text)
    if tomlkit.dumps(document) != text:
        raise ValueError("got a layout that tomlkit does not preserve")
    return document


def _edited_table(text: str, table: str, name: str, value: TomlValue) -> str:
    """Set a key of a table."""
    import tomlkit
    from tomlkit.items import Table

    document = _document(text)
    if table not in document:
        document[table] = tomlkit.table()
    within: Any = document[table]
    _set(within, within.value.body if isinstance(within, Table) else [], name, value)
    return tomlkit.dumps(document)


def _edited_top(text: str, name: str, value: TomlValue) -> str:
    """Set a key outside of all tables."""
    import tomlkit
    from tomlkit.items import AoT, Table

    document = _document(text)
    for key, item in list(document.items()):
        if isinstance(item, Table | AoT):
            document.remove(key)
    top = tomlkit.dumps(document)
    if not text.startswith(top):  # keys outside of all tables that look like tables, as `budget.step_ms` does
        top = text
    document = tomlkit.parse(top)
    _set(document, document.body if top != text else [], name, value)
    return tomlkit.dumps(document) + text[len(top) :]


def _set(table: Any, body: list[Any], name: str, value: TomlValue) -> None:
    """Set a key of a table. A new one is put before the last comments of its body: they are above the next table."""
    from tomlkit.items import Comment

    above_next = []
    while name not in table and body and isinstance(body[-1][1], Comment):
        above_next.append(body.pop())
    table[name] = value
    body.extend(reversed(above_next))

"""Settings dataclasses and shipped bundles -> `docs/settings.md` and `docs/example.toml`.

`python -m docs.generate_settings` writes both files. `--check` writes nothing and fails if a file is out of date.

The meaning of a key comes from the source of its dataclass: the comment behind the field, else the comment block above
it, else its line in the `Attributes:` part of the class docstring.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import io
import json
import re
import sys
import textwrap
import tokenize
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from edge.arrays.profile import ArrayProfile
from edge.arrays.sound_card import SoundCard
from edge.device.board import BoardProfile
from edge.events.decoder import DecodeSettings
from edge.nets.bundle import shipped_bundles
from edge.run_settings import DEFAULT_MODEL, RunSettings
from edge.systems import SYSTEMS

FOLDER = Path(__file__).parent
REFERENCE, EXAMPLE = FOLDER / "settings.md", FOLDER / "example.toml"
COMMAND = "python -m docs.generate_settings"

# Values that the example shows for keys that are not set by default.
SAMPLE_VALUES: dict[str, object] = {
    "model": DEFAULT_MODEL,
    "source": "mic",
    "stats": "/tmp/seld-edge-stats.json",
    "budget.governor": True,
    "microphone.device": "ReSpeaker",
    "clips.folder": "/var/lib/seld-edge/clips",
    "page.password_file": "/etc/seld-edge/page-password",
    "page.token_file": "/etc/seld-edge/page-token",
    "page.cert_file": "/etc/seld-edge/page.pem",
    "page.key_file": "/etc/seld-edge/page.key",
    "mqtt.port": 1883,
    "mqtt.ca_file": "/etc/ssl/certs/broker.pem",
    "mqtt.user": "seld-edge",
    "mqtt.password_file": "/etc/seld-edge/mqtt-password",
    "mqtt.client_id": "seld-edge-kitchen",
    "mqtt.prefix": "seld-edge/kitchen",
    "prometheus.port": 9464,
    "prometheus.textfile": "/var/lib/node_exporter/seld-edge.prom",
    "classes.name": "speech",
    "classes.on": 0.7,
    "classes.off": 0.5,
    "classes.min_duration_labels": 5,
    "rule.name": "knock at night",
    "rule.hours": ("22:00", "07:00"),
    "rule.webhook": "http://192.168.1.7:8123/api/webhook/knock",
    "rule.topic": "house/knock",
    "quiet.hours": ("22:00", "07:00"),
    "sector.name": "door",
    "sector.azimuth_deg": (170.0, -170.0),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a settings table."""

    name: str
    kind: str  # type in words
    default: object  # MISSING if the key is required
    meaning: str


# --- reading dataclasses ---------------------------------------------------------------------------------------------


def keys_of(settings: type) -> list[Key]:
    """The keys of a settings dataclass in the order of its fields; nested dataclasses are left out."""
    meanings, hints = _meanings(settings), get_type_hints(settings)
    return [
        Key(item.name, type_in_words(hints[item.name]), _default(item), meanings.get(item.name, ""))
        for item in fields(settings)
        if not is_dataclass(_without_none(hints[item.name])) and _item_kind(hints[item.name]) is None
    ]


def tables_of(settings: type) -> dict[str, type]:
    """The nested dataclasses of a settings dataclass by field name."""
    hints = {item.name: _without_none(get_type_hints(settings)[item.name]) for item in fields(settings)}
    return {name: kind for name, kind in hints.items() if isinstance(kind, type) and is_dataclass(kind)}


def lists_of(settings: type) -> dict[str, type]:
    """The dataclasses of which a settings dataclass has any number, `[[name]]` in TOML, by field name."""
    hints = get_type_hints(settings)
    return {item.name: kind for item in fields(settings) if (kind := _item_kind(hints[item.name])) is not None}


def _item_kind(hint: Any) -> type | None:
    """The dataclass of a hint like `tuple[SectorSettings, ...]`; None for others."""
    kinds = get_args(hint)
    return kinds[0] if get_origin(hint) is tuple and is_dataclass(kinds[0]) and isinstance(kinds[0], type) else None


def system_settings(system: str) -> type:
    """The settings dataclass of a system, from `edge/systems/SYSTEM/settings.py`.

    Raises:
        ValueError: The module defines no dataclass, or more than one.
    """
    module = importlib.import_module(f"edge.systems.{system}.settings")
    found = [kind for kind in vars(module).values() if is_dataclass(kind) and kind.__module__ == module.__name__]
    if len(found) != 1 or not isinstance(found[0], type):
        raise ValueError(f"{module.__file__}: got {len(found)} dataclasses, wanted one")
    return found[0]


def type_in_words(hint: Any) -> str:
    """A type annotation as a reader of TOML knows it: `tuple[str, ...]` gives "list of strings"."""
    hint = _without_none(hint)
    simple = {str: "string", int: "integer", float: "number", bool: "true or false", object: "value"}
    if hint in simple:
        return simple[hint]
    if hint is Any:
        return "value"
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        inner = type_in_words(arguments[0])
        if arguments[-1] is Ellipsis:
            return f"list of {_plural(inner)}"
        return f"list of {len(arguments)} {_plural(inner)}"
    if origin is not None and issubclass(origin, Mapping):
        inner = type_in_words(arguments[1])
        return "table" if inner == "value" else f"table of {_plural(inner)}"
    raise TypeError(f"got {hint!r}, wanted a type that TOML has")


def _plural(words: str) -> str:
    return re.sub(r"^(\w+)", r"\1s", words, count=1) if not words.startswith("true") else "true or false values"


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = [each for each in get_args(hint) if each is not type(None)]
    return hint


def _default(item: Field[Any]) -> object:
    if item.default is not MISSING:
        return item.default
    return MISSING if item.default_factory is MISSING else item.default_factory()


def _meanings(settings: type) -> dict[str, str]:
    """What the source of a dataclass says about each field."""
    source = textwrap.dedent(inspect.getsource(settings))
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef)
    comments = {
        token.start[0]: (token.string.lstrip("#").strip(), token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }  # by line: text, and whether it is alone on its line
    found = _described_attributes(ast.get_docstring(definition) or "")
    for statement in definition.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        text = comments.get(statement.end_lineno or statement.lineno, ("", False))[0]
        line = statement.lineno - 1
        above: list[str] = []
        while line in comments and comments[line][1]:
            above.insert(0, comments[line][0])
            line -= 1
        if text or above:
            found[statement.target.id] = text or " ".join(above)
    return found


def _described_attributes(docstring: str) -> dict[str, str]:
    """The `Attributes:` part of a docstring in Google style, by name."""
    found: dict[str, str] = {}
    _, marker, rest = docstring.partition("Attributes:\n")
    name = ""
    for line in rest.splitlines() if marker else ():
        entry = re.match(r"    (\w+)(?: \(.*?\))?: (.*)", line)
        if entry:
            name, found[entry[1]] = entry[1], entry[2].strip()
        elif name and line.startswith("        "):
            found[name] += f" {line.strip()}"
        elif line.strip():
            break
    return found


# --- writing ---------------------------------------------------------------------------------------------------------


def toml_value(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{name} = {toml_value(each)}" for name, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    return repr(value)


def _shown(value: object) -> str:
    if value is MISSING:
        return "required"
    return "not set" if value is None else f"`{toml_value(value)}`"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(keys: Sequence[Key], bundles: Mapping[str, Mapping[str, object]] | None = None) -> str:
    """A Markdown table of keys; with `bundles`, also the value that each bundle gives."""
    columns = list(bundles or ())
    lines = [
        " | ".join(["| key", "type", "default", *(f"in `{name}`" for name in columns), "meaning |"]),
        "|---" * (4 + len(columns)) + "|",
    ]
    for key in keys:
        given = [_shown(values[key.name]) if key.name in values else "" for values in (bundles or {}).values()]
        cells = [f"`{key.name}`", key.kind, _shown(key.default), *given, _sentence(key.meaning)]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines)


def _summary(settings: type) -> str:
    return " ".join((settings.__doc__ or "").partition("\n\n")[0].split())


def _manifests() -> dict[str, dict[str, Any]]:
    return {name: json.loads((folder / "manifest.json").read_text()) for name, folder in shipped_bundles().items()}


def reference() -> str:
    """The text of `docs/settings.md`."""
    manifests = _manifests()
    parts = [
        HEAD,
        "## Top level",
        _table([key for key in keys_of(RunSettings) if key.name not in ("system", "decode")]),
    ]
    for name, settings in tables_of(RunSettings).items():
        parts += [f"## [{name}]", _summary(settings), _table(keys_of(settings))]
    for name, settings in lists_of(RunSettings).items():
        parts += [f"## [[{name}]]", LIST_NOTE, _summary(settings), _table(keys_of(settings))]
    decode = {name: manifest["decode"] for name, manifest in manifests.items()}
    parts += ["## [decode]", DECODE_NOTE, _table(keys_of(DecodeSettings), decode)]
    parts += ["## [system]", SYSTEM_NOTE]
    for system in SYSTEMS:
        settings = system_settings(system)
        given = {name: each["settings"] for name, each in manifests.items() if each["system"] == system}
        parts += [f"### [system] of `{system}`", _summary(settings), _table(keys_of(settings), given)]
    parts += ["## Array profiles", ARRAY_NOTE, _table(keys_of(ArrayProfile))]
    parts += ["### [card] of an array profile", _summary(SoundCard), _table(keys_of(SoundCard))]
    parts += ["## Board profiles", BOARD_NOTE, _table(keys_of(BoardProfile))]
    from convert.scenes.settings import SceneSettings  # the workstation side; a device has no need of it

    parts += ["## Scenes", SCENE_NOTE, _table(keys_of(SceneSettings))]
    for name, settings in tables_of(SceneSettings).items():
        parts += [f"### [{name}] of scenes", _summary(settings), _table(keys_of(settings))]
    return "\n\n".join(parts) + "\n"


def example() -> str:
    """The text of `docs/example.toml`: every key of `RunSettings` with its default and its meaning."""
    manifest = _manifests()[DEFAULT_MODEL]
    lines = [*EXAMPLE_HEAD.splitlines(), ""]
    lines += _assignments("", [key for key in keys_of(RunSettings) if key.name not in ("system", "decode")])
    for name, settings in tables_of(RunSettings).items():
        lines += ["", f"[{name}]", *_assignments(f"{name}.", keys_of(settings))]
    decode = [
        Key(key.name, key.kind, manifest["decode"].get(key.name, key.default), key.meaning)
        for key in keys_of(DecodeSettings)
    ]
    lines += ["", f"[decode] # as bundle {DEFAULT_MODEL} has it", *_assignments("decode.", decode)]
    own = manifest["settings"]
    system = [
        Key(key.name, key.kind, own.get(key.name, key.default), key.meaning)
        for key in keys_of(system_settings(manifest["system"]))
    ]
    lines += ["", f"[system] # as bundle {DEFAULT_MODEL} has it", *_assignments("system.", system)]
    for name, settings in lists_of(RunSettings).items():
        lines += ["", f"# {_summary(settings)} Any number of these; none by default.", f"#[[{name}]]"]
        unset = [replace(key, default=None) if key.default is MISSING else key for key in keys_of(settings)]
        lines += [
            line if line.startswith("#") else f"#{line}" for line in _assignments(f"{name}.", unset, required=True)
        ]
    return "\n".join(lines) + "\n"


def _assignments(within: str, keys: Sequence[Key], required: bool = False) -> list[str]:
    lines = []
    for key in keys:
        unset = key.default is None
        value = _sample(f"{within}{key.name}") if unset else key.default
        said = _sentence(key.meaning) + (" Not set by default." if unset and not required else "")
        if said:
            lines += textwrap.wrap(said.strip(), 118, initial_indent="# ", subsequent_indent="# ")
        lines.append(f"{'#' if unset else ''}{key.name} = {toml_value(value)}")
    return lines


def _sample(name: str) -> object:
    if name not in SAMPLE_VALUES:
        raise ValueError(f"{__file__}: SAMPLE_VALUES: got no value for {name}, wanted one: it is not set by default")
    return SAMPLE_VALUES[name]


HEAD = f"""\
# Settings

`{COMMAND}` writes this file from the dataclasses that read the settings; edit those, not this file.

`seld-edge run --config FILE.toml` reads a TOML file. Every key but `source` is optional. Options on the command line
win over the file. An unknown key, a value of the wrong type and a value out of range are errors: `seld-edge` prints one
line that names the file, the key, what it got and what it wanted, and ends with exit code 2.

[example.toml](example.toml) holds every key with its default. The service reads `/etc/seld-edge/config.toml`.
`systemctl reload seld-edge` applies changes of `[decode]`, `[budget]` (except `governor`) and `metrics_minutes` to the
running service and names the keys that need `systemctl restart seld-edge`.

A label frame is 100 ms. Names of keys carry their units: `_s`, `_ms`, `_hz`, `_deg`, `_db`, `_mb`, `_labels`.\
"""
LIST_NOTE = """\
A file may have any number of these tables, each with its own heading; by default there is none.\
"""
DECODE_NOTE = """\
The decoder turns the answers of a system into events. A bundle states its own values; the file replaces those that it
names.\
"""
SYSTEM_NOTE = """\
How the nets of a bundle are used. The keys depend on the system of the bundle (`seld-edge models` prints it). A bundle
states some values; the file replaces those that it names. Values that the nets were exported for (`window_labels`,
`look_ahead_labels`) cannot be changed without another bundle.\
"""
ARRAY_NOTE = """\
`--array NAME|FILE.toml` and the key `array` name a profile: one of `firmware_config/arrays`, or a file of yours with
these keys.\
"""
BOARD_NOTE = """\
`seld-edge apply --board NAME|FILE.toml` takes a profile: one of `firmware_config/boards`, or a file of yours with these
keys.\
"""
SCENE_NOTE = """\
`seld-convert scenes --settings FILE.toml` reads these keys; all are optional. Two numbers are the ends of a uniform
distribution. What the tables after it add is off by default; each effect draws from random streams of its own, so that
one more changes nothing else of a scene. `--settings home` takes `convert/scenes/presets/home.toml`, which switches
most of it on.\
"""
EXAMPLE_HEAD = f"""\
# Every key that `seld-edge run --config FILE.toml` knows, with its default. `{COMMAND}` writes this file.
# Keys that are not set by default are commented out and show a possible value. See docs/settings.md.\
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check both files; returns 1 if a checked file is out of date."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write docs/settings.md and docs/example.toml.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file is out of date")
    args = parser.parse_args(argv)
    stale = False
    for path, text in ((REFERENCE, reference()), (EXAMPLE, example())):
        if args.check:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                print(f"{path}: out of date, run {COMMAND}", file=sys.stderr)
                stale = True
        else:
            path.write_text(text, encoding="utf-8")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())

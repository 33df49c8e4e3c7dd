"""docs/settings.md and docs/example.toml: fresh, complete, and true."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass

import pytest

from docs import generate_settings as generator
from edge.arrays.profile import load_array
from edge.events.decoder import DecodeSettings
from edge.run_settings import RunSettings, read_settings
from edge.systems import SYSTEMS
from tests.docs.markdown import first_table, first_words, section


def test_both_files_are_fresh():
    assert generator.main(["--check"]) == 0


def test_a_stale_file_is_noticed(tmp_path, monkeypatch, capsys):
    stale = tmp_path / "settings.md"
    stale.write_text(generator.reference() + "more\n")
    monkeypatch.setattr(generator, "REFERENCE", stale)
    assert generator.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().err


def test_every_key_of_a_run_is_documented():
    top = first_words(section(generator.REFERENCE, "Top level"))
    tables = {item.name: item for item in fields(RunSettings) if item.name not in top}
    assert tables.keys() >= {"budget", "decode", "system", "microphone", "stdin", "mqtt", "prometheus"}
    lists = generator.lists_of(RunSettings)
    for name in tables:
        assert section(generator.REFERENCE, f"[[{name}]]" if name in lists else f"[{name}]")
    for name, kind in lists.items():
        words = first_words(section(generator.REFERENCE, f"[[{name}]]"))
        assert words == [item.name for item in fields(kind)]
    for name, kind in generator.tables_of(RunSettings).items():
        assert first_words(section(generator.REFERENCE, f"[{name}]")) == [item.name for item in fields(kind)]
    assert {row[0].strip("`") for row in first_table(section(generator.REFERENCE, "[decode]"))} == {
        item.name for item in fields(DecodeSettings)
    }


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_key_of_a_system_is_documented(system):
    words = [row[0].strip("`") for row in first_table(section(generator.REFERENCE, f"[system] of `{system}`"))]
    assert words == [item.name for item in fields(generator.system_settings(system))]


def test_every_key_has_a_meaning():
    rows = re.findall(r"^\| (`\w+`) \|.*\| ([^|]*) \|$", generator.REFERENCE.read_text(), re.MULTILINE)
    assert len(rows) >= 100
    assert not [key for key, meaning in rows if len(meaning.split()) < 2]


def test_the_example_holds_the_defaults():
    read, usual = read_settings(generator.EXAMPLE), RunSettings()
    for item in fields(RunSettings):
        if item.name not in ("decode", "system"):
            assert getattr(read, item.name) == getattr(usual, item.name), item.name


def test_the_example_does_not_change_the_shipped_model():
    from edge.nets.bundle import load_bundle
    from edge.runtime.pipeline import build_system, decode_settings

    read = read_settings(generator.EXAMPLE)
    bundle = load_bundle(read.model_for(load_array("foa")))
    assert decode_settings(bundle, read.decode) == bundle.manifest.decode
    assert build_system(bundle, overrides=read.system).settings == build_system(bundle).settings


def test_keys_that_are_commented_out_can_be_set(tmp_path):
    text = generator.EXAMPLE.read_text()
    keys = re.findall(r"^#(\w+) = ", text, re.MULTILINE)
    assert len(keys) >= 10
    text = re.sub(r"^#(\w+ = |\[\[)", r"\1", text, flags=re.MULTILINE).replace("tls = false", "tls = true")
    path = tmp_path / "all.toml"
    path.write_text(text)
    assert not unset(read_settings(path))


def unset(settings):
    """Names of the keys that have no value."""
    found = []
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            found += unset(value)
        elif value is None:
            found.append(item.name)
    return found


# --- the reader of dataclasses ---


@dataclass(frozen=True)
class Sample:
    """A sample.

    Attributes:
        told: What the docstring says
            in two lines.
        shadowed: Not this.
    """

    plain: int
    told: float = 1.5
    # The block above,
    # in two lines.
    above: str | None = None
    shadowed: bool = True  # the comment behind it
    pairs: tuple[tuple[float, float], ...] = ((1.0, 2.0),)  # lists | of pairs
    names: tuple[str, ...] = field(default_factory=tuple)
    table: Mapping[str, int] = field(default_factory=dict)  # by name


def test_how_a_dataclass_is_read():
    keys = {key.name: key for key in generator.keys_of(Sample)}
    assert {name: key.kind for name, key in keys.items()} == {
        "plain": "integer",
        "told": "number",
        "above": "string",
        "shadowed": "true or false",
        "pairs": "list of lists of 2 numbers",
        "names": "list of strings",
        "table": "table of integers",
    }
    assert {name: key.meaning for name, key in keys.items()} == {
        "plain": "",
        "told": "What the docstring says in two lines.",
        "above": "The block above, in two lines.",
        "shadowed": "the comment behind it",
        "pairs": "lists | of pairs",
        "names": "",
        "table": "by name",
    }
    assert keys["plain"].default is MISSING and keys["names"].default == () and keys["above"].default is None


def test_how_a_table_is_written():
    assert generator._table([key for key in generator.keys_of(Sample) if key.name in ("plain", "pairs", "above")]) == (
        "| key | type | default | meaning |\n"
        "|---|---|---|---|\n"
        "| `plain` | integer | required |  |\n"
        "| `above` | string | not set | The block above, in two lines. |\n"
        "| `pairs` | list of lists of 2 numbers | `[[1.0, 2.0]]` | Lists \\| of pairs. |"
    )

import sys
import tomllib
from difflib import ndiff

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.device.install import shipped
from edge.device.text_edits import with_block, with_toml_value, without_block

FOREIGN = st.text(st.sampled_from("ab#=[]{}<>\"' \r\n\té\udcff"), max_size=60)
SETTINGS = st.text(st.sampled_from("a=1.5\"'[]#{} \r\n_budgetstepmsrhy"), max_size=60)


@given(FOREIGN, FOREIGN)
def test_other_text_survives_a_block_and_its_removal(text, inside):
    once = with_block(text, inside)
    assert once.startswith(text)
    assert with_block(once, inside) == once
    assert without_block(once) in (text, text + "\n")


@given(FOREIGN, FOREIGN, FOREIGN)
def test_a_new_block_replaces_the_old_one(before, after, inside):
    text = with_block(before, "first") + after
    changed = with_block(text, inside)
    assert changed == with_block(before, inside) + after
    assert without_block(changed) == without_block(text)


def test_a_block_with_windows_line_ends():
    text = with_block("# mine\n", "a\nb").replace("\n", "\r\n") + "more\r\n"
    assert without_block(text) == "# mine\r\nmore\r\n"
    assert with_block(text, "c").count("# >>> seld-edge") == 1


def test_half_a_block_is_left_alone():
    text = with_block("", "a").partition("# <<<")[0]
    assert without_block(text) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('array = "foa" # of mine\nthreads = 2\n', 'array = "b" # of mine\nthreads = 2\n'),
        ("array='foa'", 'array="b"'),
        ('# array = "a"\n\nthreads = 2\n', '# array = "a"\n\nthreads = 2\narray = "b"\n'),
        ("threads = 2\n\n# of MQTT\n[mqtt]\n", 'threads = 2\narray = "b"\n\n# of MQTT\n[mqtt]\n'),
        ("# mine\n\n[mqtt]\nport = 1", '# mine\narray = "b"\n\n[mqtt]\nport = 1'),
        ('array = """foa""" # mine\n', 'array = "b" # mine\n'),
        ('text = """\narray = "x"\n"""\n', 'text = """\narray = "x"\n"""\narray = "b"\n'),
        ('text = """\n# x"""\n[mqtt]\n', 'text = """\n# x"""\narray = "b"\n[mqtt]\n'),
        ("", 'array = "b"\n'),
        ("# nothing", '# nothing\narray = "b"\n'),
        ('[mqtt]\narray = "x"\n', 'array = "b"\n[mqtt]\narray = "x"\n'),
        ("array = 'b'\r\n", "array = 'b'\r\n"),
        ('array = "foa"\r\n# b\r\n', 'array = "b"\r\n# b\r\n'),
    ],
)
def test_setting_a_value(text, wanted):
    assert with_toml_value(text, "array", "b") == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[budget]\nstep_ms = 80 # mine\n", "[budget]\nstep_ms = 50.0 # mine\n"),
        ("[budget]\n# step_ms = 100.0\n", "[budget]\nstep_ms = 50.0\n# step_ms = 100.0\n"),
        ("[budget]\n# c\n\n[mqtt]\n", "[budget]\n# c\nstep_ms = 50.0\n\n[mqtt]\n"),
        ("[budget]\r\n# c\r\nstep_ms = 80 # d\r\n", "[budget]\r\n# c\r\nstep_ms = 50.0 # d\r\n"),
        (
            "[budget] # mine\nmisses = 3\n[decode]\non = 1",
            "[budget] # mine\nmisses = 3\nstep_ms = 50.0\n[decode]\non = 1",
        ),
        (
            "[budget]\nmisses = 3\n\n# of the decoder\n[decode]\non = 1",
            "[budget]\nmisses = 3\nstep_ms = 50.0\n\n# of the decoder\n[decode]\non = 1",
        ),
        ("budget = { step_ms = 80.0 } # mine\n", "budget = { step_ms = 50.0 } # mine\n"),
        ("budget.step_ms = 80.0\n", "budget.step_ms = 50.0\n"),
        ("[decode]\non = 1\n", "[decode]\non = 1\n\n[budget]\nstep_ms = 50.0\n"),
        ("[decode]\non = 1", "[decode]\non = 1\n[budget]\nstep_ms = 50.0\n"),
        ("[budget]", "[budget]\nstep_ms = 50.0\n"),
        ("budget.step_ms = 50.0\n", "budget.step_ms = 50.0\n"),
    ],
)
def test_setting_a_value_of_a_table(text, wanted):
    assert with_toml_value(text, "budget.step_ms", 50.0) == wanted


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("budget = 3\n", "budget.step_ms", 50.0),
        ("[[budget]]\nstep_ms = 80.0\n", "budget.step_ms", 50.0),
        ("[[a]]\n[b]\n[[a]]\n", "array", "b"),
    ],
)
def test_forms_that_cannot_be_edited(text, key, value):
    with pytest.raises(
        ValueError, match=rf"^got {key} in an unusual form, wanted a line `\w+ = .*`: write it by hand$"
    ):
        with_toml_value(text, key, value)


def test_without_tomlkit(monkeypatch):
    monkeypatch.setitem(sys.modules, "tomlkit.exceptions", None)
    with pytest.raises(ValueError, match=r"^tomlkit is not installed: pip install tomlkit$"):
        with_toml_value('array = "foa"', "array", "b")


def test_invalid_toml():
    with pytest.raises(ValueError, match=r"^not valid TOML: "):
        with_toml_value("array = ", "array", "b")


@given(SETTINGS, st.sampled_from(["array", "budget.step_ms"]), st.text(max_size=8) | st.floats(0, 9))
@example(shipped("config.toml"), "array", 'odd "name" é \x7f')
def test_nothing_but_the_value_changes(text, key, value):
    try:
        changed = with_toml_value(text, key, value)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    was, now = (tomllib.loads(each.replace("\r\n", "\n")) for each in (text, changed))
    table, _, name = key.rpartition(".")
    (was.setdefault(table, {}) if table else was)[name] = value
    assert now == was
    assert with_toml_value(changed, key, value) == changed
    lost = [line for line in ndiff(text.splitlines(), changed.splitlines()) if line.startswith("- ")]
    assert len(lost) <= 1 or not "".join(line[2:] for line in lost if name not in line).strip()

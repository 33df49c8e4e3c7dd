"""Every Python snippet of docs/api.md runs, each on its own."""

import re

import pytest

from tests.paths import ROOT

DOCUMENT = ROOT / "docs" / "api.md"


def snippets_of(text):
    """Line number and code of every Python snippet of a Markdown document."""
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)) + 1, match[1]) for match in found]


def run(snippet, line):
    """Run a snippet in a namespace of its own; a traceback names the line of the document."""
    exec(compile("\n" * (line - 1) + snippet, str(DOCUMENT), "exec"), {"__name__": "__main__"})


SNIPPETS = snippets_of(DOCUMENT.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("line", "snippet"), SNIPPETS, ids=[f"line {line}" for line, _ in SNIPPETS])
def test_snippets_run(line, snippet, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(snippet, line)
    printed = capsys.readouterr().out
    if "not refused" in snippet:
        text = DOCUMENT.read_text(encoding="utf-8")
        assert printed and all(f"    {each}\n" in text for each in printed.splitlines())


def test_all_snippets_are_found():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert len(SNIPPETS) == text.count("```python") == text.count("```") // 2 >= 6


def test_broken_snippets_fail():
    ((line, snippet),) = snippets_of("# A\n\n```python\nimport edge\nedge.open_modell('a')\n```\n")
    assert line == 4
    with pytest.raises(AttributeError, match="has no attribute 'open_modell'"):
        run(snippet, line)

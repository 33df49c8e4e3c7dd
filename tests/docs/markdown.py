"""Markdown documents -> their tables, code lines, links and headings, for the tests of documents."""

import re
from functools import cache

from tests.paths import ROOT

DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "bench" / "reference" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
IDS = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


@cache
def text_of(path):
    return path.read_text(encoding="utf-8")


def section(path, heading):
    """The text below a heading, up to the next heading of the same or a higher level."""
    lines = text_of(path).splitlines()
    (begin,) = [number for number, line in enumerate(lines) if re.fullmatch(rf"#+ {re.escape(heading)}", line)]
    level = lines[begin].index(" ")
    end = next(
        (n for n in range(begin + 1, len(lines)) if re.match(rf"#{{1,{level}}} ", lines[n]) and not in_code(lines[n])),
        len(lines),
    )
    return "\n".join(lines[begin + 1 : end])


def in_code(line):
    return line.startswith("    ")


def first_table(text):
    """Rows of the first table of a text as lists of cells, without the header."""
    rows = []
    for line in text.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            break
    return rows[2:]


def first_words(text):
    """What stands in backticks in the first column of the first table."""
    return [word for row in first_table(text) for word in re.findall(r"`([^`]+)`", row[0])]


def code_lines(path):
    """Lines of indented code, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", text_of(path))
    return [line.strip() for line in joined.splitlines() if in_code(line)]


def inline_code(path):
    """What stands in backticks outside code blocks, across line ends."""
    prose = "\n".join(line for line in text_of(path).splitlines() if not in_code(line))
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def anchors(path):
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

"""What `evaluate` printed becomes a section of a card, and takes the place of an older one."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert.quantize.card import CARD
from convert.quantize.card_section import write_section

CARD_TEXT = "# small\n\nSystem `coloc`.\n\n## Scores\n\nnone\n\n## Ladder\n\n```\nok\n```\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / CARD).write_text(CARD_TEXT)
    return tmp_path


def test_a_section_stands_before_the_ladder(folder: Path) -> None:
    write_section(folder, "Flat arrays", "seld-convert evaluate", "F 0.5\n")
    assert (folder / CARD).read_text() == CARD_TEXT.replace(
        "## Ladder", "## Flat arrays\n\n    seld-convert evaluate\n\n```\nF 0.5\n```\n\n## Ladder"
    )


def test_the_same_title_replaces_its_section_alone(folder: Path) -> None:
    for title, text in (("Flat", "old"), ("Flat arrays", "other"), ("Flat", "new")):
        write_section(folder, title, "command", text)
    card = (folder / CARD).read_text()
    assert [line for line in card.splitlines() if line.startswith("## ")] == [
        "## Scores",
        "## Flat",
        "## Flat arrays",
        "## Ladder",
    ]
    assert "old" not in card and "new" in card and "other" in card


def test_a_card_without_a_ladder_gets_it_at_its_end(folder: Path) -> None:
    (folder / CARD).write_text("# small\n")
    write_section(folder, "Flat", "command", "text")
    assert (folder / CARD).read_text() == "# small\n\n## Flat\n\n    command\n\n```\ntext\n```\n"


@pytest.mark.parametrize("title", ["", "  ", "two\nlines"])
def test_a_title_is_one_line(folder: Path, title: str) -> None:
    with pytest.raises(ValueError, match="--card: got title"):
        write_section(folder, title, "command", "text")


def test_a_bundle_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got no card"):
        write_section(tmp_path, "Flat", "command", "text")

"""What `seld-convert evaluate` printed -> a section of the card of a bundle, under a title and with the command."""

from __future__ import annotations

import re
from pathlib import Path

from convert.quantize.card import CARD
from edge.files import write_atomically

LAST = "## Ladder\n"  # the section of a card before which new ones are put


def check_section(folder: Path, title: str) -> None:
    """Check that the bundle in a folder has a card, and that a title is one line of text; raise ValueError if not."""
    if not title.strip() or "\n" in title:
        raise ValueError(f"--card: got title {title!r}, wanted one line of text")
    if not (folder / CARD).is_file():
        raise ValueError(f"{folder / CARD}: got no card, wanted a bundle that `seld-convert export` wrote")


def write_section(folder: Path, title: str, command: str, text: str) -> None:
    """Write a section into a card, in the place of the one that has the same title, if there is one.

    Args:
        folder: Of a bundle.
        title: Of the section; one line.
        command: That printed the text.
        text: What was printed.

    Raises:
        ValueError: See `check_section`.
    """
    check_section(folder, title)
    card = folder / CARD
    head = f"## {title.strip()}\n"
    section = f"{head}\n    {command}\n\n```\n{text.rstrip()}\n```\n\n"
    before, *others = re.split(r"^(?=## )", card.read_text(), flags=re.MULTILINE)
    places = [index for index, other in enumerate(others) if other.startswith(head)]
    if places:
        others[places[0]] = section
    else:
        end = next((index for index, other in enumerate(others) if other.startswith(LAST)), len(others))
        others.insert(end, section)
    write_atomically(card, "".join([f"{part.rstrip()}\n\n" for part in [before, *others]]).rstrip() + "\n")

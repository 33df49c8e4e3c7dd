"""The clips of a library -> a table: clips, seconds and groups of each class and split, and its licences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from convert.clips.library import INTERFERER, Clip, load_clip_library

_HEAD = (
    "| class | train: clips | groups | seconds | test: clips | groups | seconds | sources | licences (clips) |",
    "|---|---|---|---|---|---|---|---|---|",
)


def library_table(folder: Path) -> str:
    """Describe a library in a table of Markdown.

    Raises:
        ValueError: the folder has no library.
    """
    library = load_clip_library(folder)
    lines = [_line(name, [clip for clip in library.clips if clip.class_name == name]) for name in library.class_names]
    others = [clip for clip in library.clips if clip.class_name == INTERFERER]
    lines += [_line(INTERFERER, others)] if others else []
    return "\n".join([*_HEAD, *lines, _line("all", library.clips)])


def _line(name: str, clips: Sequence[Clip]) -> str:
    cells = [name]
    for split in ("train", "test"):
        chosen = [clip for clip in clips if clip.split == split]
        groups = {clip.group for clip in chosen}
        cells += [str(len(chosen)), str(len(groups)), f"{sum(clip.seconds for clip in chosen):.0f}"]
    return f"| {' | '.join([*cells, str(len({clip.source for clip in clips})), _counted(c.licence for c in clips)])} |"


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(Counter(names).items(), key=lambda row: -row[1]))

"""A clip library and patterns of sources -> the library without the others, to keep whole sources out of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from convert.clips.library import ClipLibrary


def choose_sources(library: ClipLibrary, only: Sequence[str] = (), without: Sequence[str] = ()) -> ClipLibrary:
    """Keep the clips of some sources. The class names stay, so that the scenes of all choices have the same classes.

    Args:
        library: the clips.
        only: sources to keep, as they stand in the column `source` or with `*` and `?`; empty keeps all.
        without: sources to leave out, in the same way.

    Raises:
        ValueError: a pattern fits no source, or no clip is left.
    """
    sources = {clip.source for clip in library.clips}
    for pattern in (*only, *without):
        if not fits(pattern, sources):
            known = ", ".join(sorted(sources)[:20]) + (", ..." if len(sources) > 20 else "")
            raise ValueError(f"got source {pattern!r}, wanted one of {known}")
    kept = {
        source
        for source in sources
        if (not only or any(fnmatchcase(source, pattern) for pattern in only))
        and not any(fnmatchcase(source, pattern) for pattern in without)
    }
    if not kept:
        raise ValueError(f"got no clip of the sources {list(only) or 'that are left'}, wanted some")
    return replace(library, clips=tuple(clip for clip in library.clips if clip.source in kept))


def fits(pattern: str, sources: set[str]) -> bool:
    """Whether a pattern, with `*` and `?`, fits any of the sources."""
    return any(fnmatchcase(source, pattern) for source in sources)

"""Nothing -> all sources of clips by name: the recorded sounds of packages, and the sounds that are synthesized."""

from __future__ import annotations

from collections.abc import Sequence

from convert.clips.sources.fluidsynth_music import FLUIDSYNTH
from convert.clips.sources.kokoro import KOKORO
from convert.clips.sources.recorded import recorded_sources
from convert.clips.sources.records import ClipSource
from convert.clips.sources.synthesis import SYNTHESIS


def all_sources() -> dict[str, ClipSource]:
    """All sources in the order in which they are built."""
    sources = (*recorded_sources(), FLUIDSYNTH, SYNTHESIS, KOKORO)  # the slowest comes last
    return {source.name: source for source in sources}


def choose_sources(names: Sequence[str] | None) -> list[ClipSource]:
    """The sources of these names; all for None.

    Raises:
        ValueError: there is no such source.
    """
    sources = all_sources()
    unknown = [name for name in names or () if name not in sources]
    if unknown:
        raise ValueError(f"got the unknown sources {', '.join(unknown)}, wanted some of {', '.join(sources)}")
    return [source for name, source in sources.items() if names is None or name in names]

"""The project's own synthesis as a source of clips: it needs no packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from convert.clips.sources.records import ClipJob, ClipSource
from convert.clips.synth.catalogue import MODELS, kinds_of, render

THINGS = 48  # of each class at least: doors, dogs, persons
TAKES = 3  # clips of each thing
VERSION = "1"  # changes with the samples
_LICENCE = "CC0-1.0"


def synthesis_jobs(_folders: Mapping[str, Path]) -> Sequence[ClipJob]:
    """List the clips: the kinds of each class get the same number of things, and at least three."""
    jobs = []
    for class_name in MODELS:
        kinds = kinds_of(class_name)
        for kind in kinds:
            for thing in range(max(3, -(-THINGS // len(kinds)))):
                for take in range(TAKES):
                    name = f"{kind}-{thing:02d}-{take}"
                    make = partial(render, class_name, kind, thing, take)
                    jobs.append(ClipJob(name, class_name, f"{kind}-{thing:02d}", _LICENCE, "", make))
    return jobs


SYNTHESIS = ClipSource("synth", (), synthesis_jobs, licences=(_LICENCE,), version=VERSION)

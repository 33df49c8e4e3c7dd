"""Whole sources can be kept out of scenes; the classes stay."""

from pathlib import Path

import pytest

from convert.clips.choose import choose_sources
from convert.clips.library import Clip, ClipLibrary

CLIPS = tuple(
    Clip(Path(f"{source}.wav"), name, "train", source, source, "CC0", 1.0)
    for name, source in (("dog", "ESC-10:1 - Dog"), ("dog", "ours"), ("cat", "ESC-10:2 - Cat"), ("cat", "Kitchen20"))
)
LIBRARY = ClipLibrary(CLIPS, ("cat", "dog"), 24000)


def sources(library):
    return [clip.source for clip in library.clips]


def test_sources_are_kept_or_left_out_and_classes_stay():
    assert choose_sources(LIBRARY) == LIBRARY
    assert sources(choose_sources(LIBRARY, without=["ESC-10*"])) == ["ours", "Kitchen20"]
    assert sources(choose_sources(LIBRARY, only=["ESC-10*", "ours"])) == ["ESC-10:1 - Dog", "ours", "ESC-10:2 - Cat"]
    left = choose_sources(LIBRARY, only=["ESC-10*", "ours"], without=["*Cat"])
    assert sources(left) == ["ESC-10:1 - Dog", "ours"]
    assert left.class_names == ("cat", "dog")


def test_a_source_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="got source 'esc-10', wanted one of ESC-10:1 - Dog, "):
        choose_sources(LIBRARY, without=["esc-10"])
    with pytest.raises(ValueError, match="got no clip of the sources"):
        choose_sources(LIBRARY, without=["*"])

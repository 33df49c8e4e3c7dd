"""Arguments such as `starss23:dev-train=/data/starss23@0.5` -> folders of recordings, their classes and sources."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.data.corpora import AUDIO, find_recordings
from convert.data.recordings import DataFolder, LabelledRecording
from convert.data.scene_folders import read_scenes_json
from edge.arrays.profile import PLANAR

log = logging.getLogger(__name__)
TRAIN_SPLITS = ("train",)
DEV_SPLITS = ("val", "test")
VAL_SPLITS = ("val",)
TEST_SPLITS = ("test",)
FORM = "[CORPUS[:foa|mic|both][:SPLIT...]=]DIR"
_WORD = re.compile(r"(?:(?P<corpus>\w+)(?P<parts>(?::[\w-]+)*)=)?(?P<folder>.+)")


@dataclass(frozen=True, slots=True)
class DataWord:
    """An argument that names recordings, such as `starss22:mic:dev-test=/data/starss22`."""

    path: Path
    corpus: str | None = None  # a name of `corpora.CORPORA`, or None for own scenes
    audio: str = "foa"  # a name of `corpora.AUDIO`
    parts: tuple[str, ...] = ()  # names of parts of the corpus, which are taken together; empty: those of the purpose

    def recordings(self, splits: Sequence[str]) -> tuple[LabelledRecording, ...]:
        """Find the recordings.

        Args:
            splits: the splits to take from a corpus if the argument names no part of it.

        Raises:
            ValueError: the folder has no such recordings.
        """
        found = find_recordings(self.path, self.corpus, self.audio)
        there = sorted(set().union(*(recording.parts for recording in found)))
        for part in self.parts:
            if part not in there:
                raise ValueError(
                    f"{self.path}: got {part!r}, wanted a part of {self.corpus} that is there "
                    f"({', '.join(there)}) or a format ({', '.join(AUDIO)})"
                )
        if self.parts:
            return tuple(recording for recording in found if not recording.parts.isdisjoint(self.parts))
        chosen = tuple(recording for recording in found if recording.split in (None, *splits))
        if not chosen:
            raise ValueError(
                f"{self.path}: got no recordings to {' or '.join(splits)} with, wanted some, or {self.corpus}:SPLIT=DIR"
            )
        return chosen


def parse_word(word: str) -> DataWord:
    """Read an argument of the form `FORM`. Raises ValueError for another form."""
    match = _WORD.fullmatch(word)
    if match is None:
        raise ValueError(f"data: got {word!r}, wanted {FORM}")
    if match["corpus"] is None:
        return DataWord(Path(match["folder"]))
    named = match["parts"].split(":")[1:]
    formats = [name for name in named if name in AUDIO] or ["foa"]
    if len(formats) > 1:
        raise ValueError(f"data: got formats {', '.join(formats)} in {word!r}, wanted one of {', '.join(AUDIO)}")
    parts = tuple(name for name in named if name not in AUDIO)
    return DataWord(Path(match["folder"]), match["corpus"], formats[0], parts)


def find_data(words: Sequence[str], splits: Sequence[str]) -> list[DataFolder]:
    """Find the recordings that each argument names.

    Args:
        words: arguments of the form `FORM[@WEIGHT]`. A weight is the folder's share of the chunks
            relative to the other weights; inside a folder it is divided in proportion to length. Without weights,
            all recordings are equally likely.
        splits: the splits to take from corpora of which an argument names no part.

    Raises:
        ValueError: an argument has another form, a folder has no such recordings, or only some folders have weights.
    """
    folders = [_data_folder(word, splits) for word in words]
    weighted = sum(folder.weight is not None for folder in folders)
    if 0 < weighted < len(folders):
        raise ValueError(f"got weights for {weighted} of {len(folders)} folders, wanted them for all or for none")
    return folders


def choose_classes(
    folders: Sequence[DataFolder], start: Sequence[str] | None = None, asked: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Choose the classes to train on.

    These are the classes in `asked`, or else those of own scenes, or else those of the model to start from (`start`),
    or else those of the first corpus. Classes that are left out are logged.

    Raises:
        ValueError: folders of own scenes differ in their classes, a folder has none of the chosen classes, or a class
            is named twice.
    """
    own = [folder for folder in folders if folder.corpus is None]
    names = tuple(asked or (own[0].class_names if own else start or folders[0].class_names))
    if len(set(names)) < len(names):
        raise ValueError(f"got classes {names}, wanted each of them once")
    if not asked:
        for folder in own:
            if folder.class_names != names:
                raise ValueError(f"{folder.path}: got classes {folder.class_names}, wanted {names}, or --classes")
    for folder in folders:
        unknown = [name for name in folder.class_names if name not in names]
        if len(unknown) == len(folder.class_names):
            raise ValueError(f"{folder.path}: got classes {folder.class_names}, wanted some of {names}")
        if unknown:
            log.warning("%s: labels of these classes are left out: %s", folder.path, ", ".join(unknown))
    labelled = {name for folder in folders for name in folder.class_names}
    for name in names:
        if name not in labelled:
            log.warning("%s: no folder has labels of this class", name)
    return names


def read_sources(folders: Sequence[DataFolder]) -> list[dict[str, Any]]:
    """List where the sounds come from, for the model card.

    Returns:
        Rows with `source`, `licence` and `clips`, and with `attribution` if somebody is to be named. A row of a corpus
        also has `corpus: True`, and its `clips` is the number of recordings.

    Raises:
        ValueError: the `sources` in a `scenes.json` lack one of these fields.
    """
    rows: dict[tuple[str, str, str], int] = {}
    corpora: list[dict[str, Any]] = []
    for folder in folders:
        if folder.corpus is not None:
            row = {"source": folder.corpus, "licence": "that of the data set", "clips": len(folder.recordings)}
            corpora.append(row | {"corpus": True})
            continue
        try:
            for row in read_scenes_json(folder.path).get("sources", []):
                key = str(row["source"]), str(row["licence"]), str(row.get("attribution", ""))
                rows[key] = max(rows.get(key, 0), int(row["clips"]))
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{folder.path}/scenes.json: got other sources, wanted source, licence, clips") from None
    own = [
        {"source": source, "licence": licence, "clips": clips} | ({"attribution": names} if names else {})
        for (source, licence, names), clips in rows.items()
    ]
    return own + corpora


def read_arrays(folders: Sequence[DataFolder]) -> tuple[str, ...]:
    """Return the names of the arrays that the recordings were made with, in descending order of their weight.

    `planar`, the name of arrays that were drawn, comes last: it is no array to load.
    """
    shares: dict[str, float] = {}
    for folder in folders:
        for recording in folder.recordings:
            share = 1.0 if folder.weight is None else folder.weight / len(folder.recordings)
            shares[recording.array.name] = shares.get(recording.array.name, 0.0) + share
    return tuple(sorted(shares, key=lambda name: (name == PLANAR, -shares[name])))


def _data_folder(word: str, splits: Sequence[str]) -> DataFolder:
    rest, weight = split_weight(word)
    data = parse_word(rest)
    return DataFolder(data.path, data.corpus, data.recordings(splits), weight)


def split_weight(word: str) -> tuple[str, float | None]:
    """Split `WORD@WEIGHT` at its last @ if a number follows; otherwise the whole word has no weight."""
    rest, _, last = word.rpartition("@")
    try:
        weight = float(last) if rest else None
    except ValueError:
        weight = None
    if weight is None:
        return word, None
    if not (math.isfinite(weight) and weight > 0):
        raise ValueError(f"data: got weight {last} in {word!r}, wanted one above 0")
    return rest, weight

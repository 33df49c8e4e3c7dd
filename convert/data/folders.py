"""Words like `starss23=/data/starss23@0.5` -> folders to train on, their classes and their sources."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convert.data.cache import DataFolder, read_scenes_json
from convert.data.corpora import find_recordings

log = logging.getLogger(__name__)
TRAIN_SPLITS = ("train",)
DEV_SPLITS = ("val", "test")
_WORD = re.compile(r"(?:(?P<corpus>\w+)(?::(?P<audio>\w+))?=)?(?P<folder>.+)")


def find_data(words: Sequence[str], splits: Sequence[str]) -> list[DataFolder]:
    """Folders by words of the form `[CORPUS[:mic]=]DIR[@WEIGHT]`; corpora with splits contribute those of `splits`.

    A weight is the folder's share of the chunks, against the other weights, within the folder shared out by length.
    Without weights every recording is as likely as any other. Raises ValueError for a word that is none of that, a
    folder without such recordings, and weights for some of the folders only.
    """
    folders = [_data_folder(word, splits) for word in words]
    weighted = sum(folder.weight is not None for folder in folders)
    if 0 < weighted < len(folders):
        raise ValueError(f"got weights for {weighted} of {len(folders)} folders, wanted them for all or for none")
    return folders


def choose_classes(
    folders: Sequence[DataFolder], start: Sequence[str] | None = None, asked: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The classes to learn: those asked for, else those of own scenes, of the model to start with, of the first corpus.

    Logs what is left out. Raises ValueError if the own scenes do not agree, or the classes asked for are in no folder.
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
            log.warning("%s: left out, as nothing is to know them: %s", folder.path, ", ".join(unknown))
    heard = {name for folder in folders for name in folder.class_names}
    for name in names:
        if name not in heard:
            log.warning("%s: no folder has this class", name)
    return names


def read_sources(folders: Sequence[DataFolder]) -> list[dict[str, Any]]:
    """Where the sounds come from, for the model card: rows of source, licence and number of clips.

    A row of a corpus also has the key `corpus`, and counts recordings.
    """
    rows: dict[tuple[str, str], int] = {}
    corpora: list[dict[str, Any]] = []
    for folder in folders:
        if folder.corpus is not None:
            row = {"source": folder.corpus, "licence": "that of the data set", "clips": len(folder.recordings)}
            corpora.append(row | {"corpus": True})
            continue
        try:
            for row in read_scenes_json(folder.path).get("sources", []):
                key = str(row["source"]), str(row["licence"])
                rows[key] = max(rows.get(key, 0), int(row["clips"]))
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{folder.path}/scenes.json: got other sources, wanted source, licence, clips") from None
    own = [{"source": source, "licence": licence, "clips": clips} for (source, licence), clips in rows.items()]
    return own + corpora


def read_arrays(folders: Sequence[DataFolder]) -> tuple[str, ...]:
    """The arrays that the recordings were made with, by their share of the chunks, the largest first."""
    shares: dict[str, float] = {}
    for folder in folders:
        for recording in folder.recordings:
            share = 1.0 if folder.weight is None else folder.weight / len(folder.recordings)
            shares[recording.array.name] = shares.get(recording.array.name, 0.0) + share
    return tuple(sorted(shares, key=lambda name: -shares[name]))


def _data_folder(word: str, splits: Sequence[str]) -> DataFolder:
    rest, weight = _split_weight(word)
    match = _WORD.fullmatch(rest)
    if match is None:
        raise ValueError(f"data: got {word!r}, wanted [CORPUS[:mic]=]DIR[@WEIGHT]")
    path, corpus = Path(match["folder"]), match["corpus"]
    found = find_recordings(path, corpus, match["audio"] or "foa")
    chosen = tuple(recording for recording in found if recording.split in (None, *splits))
    if not chosen:
        raise ValueError(f"{path}: got no recordings to {' or '.join(splits)} with, wanted some")
    return DataFolder(path, corpus, chosen, weight)


def _split_weight(word: str) -> tuple[str, float | None]:
    """What comes after the last @, if it is a number."""
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

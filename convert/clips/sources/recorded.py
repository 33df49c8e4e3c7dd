r"""A table of the sounds in a package -> a source of clips. A package is added by data, not by code.

A table is `[[package]]` in a file of `convert/clips/sources/tables`:

| key | meaning |
|---|---|
| `kind`, `name` | registry and name; the version and hash are in `pins.toml` |
| `root` | folder of the package that the paths below start from |
| `upstream` | the path of that folder in the source package, as `debian/copyright` names its files |
| `notice` | the licence text; by default `usr/share/doc/NAME/copyright` |
| `licences` | SPDX expressions; a file with another licence is left out |
| `phrase` | for a licence text that is not machine-readable: words that must stand in it; `licences` is one then |
| `attribution` | who is to be named, where the licence text does not say it for each file |
| `archives` | zip archives in the package, which are unpacked in their place |

and each `[[package.sounds]]` in it is a set of files:

| key | meaning |
|---|---|
| `class` | class of the clips, or `speech`: the sex is told by the pitch of each group |
| `match` | regular expression of the whole path under `root` |
| `group` | one recording, object or speaker: a template of the match (`\1`); by default the name less its number |
| `origin` | the file of the source package that this one was made from: a template of the match |
| `most` | largest number of clips of each group, evenly spread |
| `cut` | `excerpts` of long files (the default), or `silence`: single sounds between pauses |
| `longest_s`, `pieces` | length of a clip, and how many are taken of one file |
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from convert.clips.licences import FileLicence, check_phrase, debian_licences
from convert.clips.packages.fetch import plain_name
from convert.clips.packages.pins import pinned
from convert.clips.packages.unpack import unpack_zip
from convert.clips.sources.audio import excerpts, read_mono, seconds_of, split_at_silence, voiced_pitches_hz
from convert.clips.sources.records import ClipJob, ClipSource

_TABLES = Path(__file__).with_name("tables")
SPEECH = "speech"
MALE_BELOW_HZ, FEMALE_ABOVE_HZ, CHILD_ABOVE_HZ = 145.0, 185.0, 280.0
_PITCH_FILES, _PITCH_S = 10, 3.0  # of each group: how many files, and how much of each
_LONGEST_S, _PIECES = 10.0, 3


@dataclass(frozen=True, slots=True)
class Sounds:
    """A set of files of one class in a package."""

    class_name: str
    match: str
    group: str = ""
    origin: str = ""
    most: int = 1000
    cut: str = "excerpts"
    longest_s: float = _LONGEST_S
    pieces: int = _PIECES


@dataclass(frozen=True, slots=True)
class RecordedPackage:
    """A package with recorded sounds: a table as above."""

    kind: str
    name: str
    licences: tuple[str, ...]
    sounds: tuple[Sounds, ...]
    root: str = "."
    upstream: str = ""
    notice: str = ""
    phrase: str = ""
    attribution: str = ""
    archives: tuple[str, ...] = field(default=())


def recorded_sources() -> tuple[ClipSource, ...]:
    """All tables as sources, in the order of their names."""
    return tuple(source_of(package) for package in sorted(read_tables(_TABLES), key=lambda package: package.name))


def read_tables(folder: Path) -> list[RecordedPackage]:
    """Read the tables of a folder.

    Raises:
        ValueError: a table has an unknown key, lacks one, or has a pattern that is no regular expression.
    """
    return [
        _package_of_row(path, row)
        for path in sorted(folder.glob("*.toml"))
        for row in tomllib.loads(path.read_text(encoding="utf-8"))["package"]
    ]


def _package_of_row(path: Path, row: dict[str, Any]) -> RecordedPackage:
    try:
        sounds = []
        for table in row.pop("sounds"):
            re.compile(table["match"])
            sounds.append(Sounds(class_name=table.pop("class"), **table))
        archives, licences = tuple(row.pop("archives", ())), tuple(row.pop("licences"))
        return RecordedPackage(**row, licences=licences, sounds=tuple(sounds), archives=archives)
    except (KeyError, TypeError, re.error) as error:
        raise ValueError(f"{path}: got a bad table of {row.get('name', 'a package without a name')}: {error}") from None


def source_of(package: RecordedPackage) -> ClipSource:
    """Make a source of a table.

    Raises:
        ValueError: the package has no pin.
    """
    version = sha256(repr(package).encode()).hexdigest()[:16]
    pin = pinned(package.kind, package.name)
    name = plain_name(package.kind, package.name)
    return ClipSource(name, (pin,), partial(_jobs, package), package.licences, version)


def _jobs(package: RecordedPackage, folders: Mapping[str, Path]) -> Sequence[ClipJob]:
    folder = folders[package.name]
    root = folder / package.root
    for archive in package.archives:
        unpack_zip(root / archive, (root / archive).parent)
    licence_of = _licence_reader(package, folder / (package.notice or f"usr/share/doc/{package.name}/copyright"))
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    jobs: list[ClipJob] = []
    named: set[tuple[str, str]] = set()  # class and name of the clips of each file
    for sounds in package.sounds:
        groups = _files_by_group(sounds, paths)
        if not groups:
            raise ValueError(f"{package.name}: got no file that matches {sounds.match!r}, wanted some")
        for group, files in sorted(groups.items()):
            class_name = sounds.class_name
            if class_name == SPEECH:
                class_name = _sex_of([root / file for file in _spread(files, _PITCH_FILES)]) or ""
            if class_name:
                for file in _spread(files, sounds.most):
                    name = _name_of(file)
                    if (class_name, name) in named:  # as splash.ogg beside splash.wav
                        name = _plain(file)
                    named.add((class_name, name))
                    jobs += _jobs_of_file(package, sounds, class_name, group, root, file, name, licence_of)
    return jobs


def _licence_reader(package: RecordedPackage, notice: Path) -> Callable[[str], FileLicence]:
    if package.phrase:
        check_phrase(notice, package.phrase)
        return lambda _path: FileLicence(package.licences[0], package.attribution)
    said_of = debian_licences(notice)

    def licence_of(path: str) -> FileLicence:
        said = said_of(path)
        return said if said.licence in package.licences else FileLicence(f"{said.licence} of {path}", said.holders)

    return licence_of


def _files_by_group(sounds: Sounds, paths: Sequence[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for path in paths:
        if match := re.fullmatch(sounds.match, path):
            group = match.expand(sounds.group) if sounds.group else re.sub(r"[-_. ]*\d*$", "", Path(path).stem)
            groups.setdefault(_plain(group), []).append(path)
    return groups


def _jobs_of_file(
    package: RecordedPackage,
    sounds: Sounds,
    class_name: str,
    group: str,
    root: Path,
    file: str,
    name: str,
    licence_of: Callable[[str], FileLicence],
) -> list[ClipJob]:
    path = root / file
    parts = _parts(path, sounds)
    match = re.fullmatch(sounds.match, file)
    origin = match.expand(sounds.origin) if match and sounds.origin else f"{package.upstream}/{file}".lstrip("/")
    said = licence_of(origin)
    return [
        ClipJob(
            name=name if len(parts) == 1 else f"{name}-{index}",
            class_name=class_name,
            group=group,
            licence=said.licence,
            attribution=package.attribution or said.holders,
            make=partial(read_mono, path, *part),
        )
        for index, part in enumerate(parts)
    ]


def _name_of(file: str) -> str:
    name = _plain(file.rpartition(".")[0])
    return name if file.isascii() else f"{name}-{sha256(file.encode()).hexdigest()[:8]}"


def _parts(path: Path, sounds: Sounds) -> list[tuple[float, float | None]]:
    """Cut a file into clips: (start, stop) in seconds; a file that cannot be read stays whole, and is named later."""
    try:
        if sounds.cut == "silence":
            return [*split_at_silence(*read_mono(path), sounds.longest_s)[: sounds.pieces]]
        return [*excerpts(seconds_of(path), sounds.longest_s, sounds.pieces)]
    except ValueError:
        return [(0.0, None)]


def _sex_of(files: Sequence[Path]) -> str | None:
    """Tell men from women by the median pitch of some files of one speaker; None if it is not clear."""
    pitches_hz = np.concatenate([voiced_pitches_hz(*read_mono(file, 0.0, _PITCH_S)) for file in files])
    if len(pitches_hz) < 20:
        return None
    median_hz = float(np.median(pitches_hz))
    if median_hz < MALE_BELOW_HZ:
        return "male_speech"
    return "female_speech" if FEMALE_ABOVE_HZ < median_hz < CHILD_ABOVE_HZ else None


def _spread(files: Sequence[str], most: int) -> list[str]:
    """Take up to `most` of the files, evenly spread over their sorted list."""
    if len(files) <= most:
        return list(files)
    return [files[index * len(files) // most] for index in range(most)]


def _plain(words: str) -> str:
    return re.sub(r"[^A-Za-z0-9+-]+", "_", words).strip("_")

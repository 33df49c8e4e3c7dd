"""What a source of clips is: the packages that it needs, and the clips that it makes from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.types import FloatArray


@dataclass(frozen=True, slots=True)
class Package:
    """One pinned package of a registry; its name and kind identify it."""

    kind: Literal["debian", "pypi", "npm"]
    name: str
    version: str
    sha256: str  # of the file that the registry serves


@dataclass(frozen=True, slots=True)
class ClipJob:
    """One clip that a source can make; the same job always makes the same samples."""

    name: str  # file name without extension, unique within the class and the source
    class_name: str
    group: str  # clips of the same recording, speaker or object share a group
    licence: str  # SPDX expression, one of the allowed licences
    attribution: str  # who is to be named, or ""
    make: Callable[[], tuple[FloatArray, int]]  # -> samples (n,), sample rate in Hz; picklable


@dataclass(frozen=True, slots=True)
class ClipSource:
    """A source: `jobs` lists its clips once its packages are unpacked."""

    name: str
    packages: tuple[Package, ...]
    jobs: Callable[[Mapping[str, Path]], Sequence[ClipJob]]  # package name -> folder in which it is unpacked
    licences: tuple[str, ...] = ()  # those that its clips may have, for `seld-convert clips --list`
    version: str = ""  # changes whenever the clips do, though the packages do not

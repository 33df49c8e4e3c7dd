"""The licence texts of a package -> the licence and the copyright holders of each of its files.

Licences are SPDX expressions. Debian packages say them in `debian/copyright`, in its machine-readable format (DEP-5,
https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/) or in free text; of free text, a phrase is pinned
that must stand in it.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from debian.copyright import Copyright, License, NotMachineReadableError

NOT_STATED = "not stated"
PUBLIC_DOMAIN = "LicenseRef-public-domain"
ALLOWED = frozenset(
    {
        "Apache-2.0",
        "Artistic-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        *(f"CC-BY{alike}-{version}" for alike in ("", "-SA") for version in ("2.0", "2.5", "3.0", "4.0")),
        *(f"GFDL-{version}-{rule}" for version in ("1.2", "1.3") for rule in ("only", "or-later")),
        *(f"GPL-{version}-or-later" for version in ("1.0", "2.0", "3.0")),
        *(f"GPL-{version}-only" for version in ("2.0", "3.0")),
        *(f"LGPL-{version}-{rule}" for version in ("2.0", "2.1", "3.0") for rule in ("only", "or-later")),
        "ISC",
        "MIT",
        "MPL-2.0",
        "ODbL-1.0",
        PUBLIC_DOMAIN,
        "Unlicense",
        "WTFPL",
        "Zlib",
    }
)
"""Licences that let anyone redistribute the clips and learn from them. None excludes commercial use or changes."""

_NAMES = {
    "expat": "MIT",
    "mit": "MIT",
    "public-domain": PUBLIC_DOMAIN,
    "cc0": "CC0-1.0",
    "cc0-1.0": "CC0-1.0",
    "gpl": "GPL-1.0-or-later",  # "any version ever published", by the licence's own text
    "wtf": "WTFPL",
    "cc-sa-by-3.0": "CC-BY-SA-3.0",  # as asterisk-prompt-it-menardi writes it
}
_GNU = re.compile(r"(A?GPL|LGPL|GFDL)(?:-NIV)?-(\d)(?:\.(\d))?(\+|-or-later|-only)?", re.IGNORECASE)
_CREATIVE_COMMONS = re.compile(r"(CC-BY(?:-SA)?)-(\d)(?:\.(\d))?\+?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileLicence:
    """What a package says of one of its files."""

    licence: str  # SPDX expression, or `NOT_STATED`, or the package's own words if they have no SPDX identifier
    holders: str  # the copyright holders, in one line, or ""


def is_allowed(expression: str) -> bool:
    """Whether a clip of this licence may be in the library.

    Args:
        expression: SPDX identifiers joined by AND and OR, without brackets. AND binds more strongly.
    """
    return any(all(name in ALLOWED for name in choice.split(" AND ")) for choice in expression.split(" OR "))


def spdx_of_debian(synopsis: str) -> str:
    """Turn the short name of a licence in `debian/copyright` into an SPDX expression.

    Exceptions ("GPL-2+ with OpenSSL exception") are left out, as they only permit more. A name that is not known stays
    as it is, and so is not allowed.
    """
    words = " ".join(synopsis.split())
    if not words:
        return NOT_STATED
    if "," in words:  # DEP-5 gives a comma before `and` a meaning of its own; no source here needs it
        return words
    choices = (re.split(r" and ", choice, flags=re.IGNORECASE) for choice in re.split(r" or ", words))
    return " OR ".join(" AND ".join(_spdx_identifier(name) for name in choice) for choice in choices)


def _spdx_identifier(name: str) -> str:
    name = re.sub(r" with .*exception$", "", name.strip(), flags=re.IGNORECASE)
    if name.lower() in _NAMES:
        return _NAMES[name.lower()]
    if match := _GNU.fullmatch(name):
        family, major, minor, rule = match.groups()
        return f"{family.upper()}-{major}.{minor or 0}-{'or-later' if rule in ('+', '-or-later') else 'only'}"
    if match := _CREATIVE_COMMONS.fullmatch(name):
        family, major, minor = match.groups()
        return f"{family.upper()}-{major}.{minor or 0}"
    return {known.lower(): known for known in ALLOWED}.get(name.lower(), name)


def debian_licences(copyright_file: Path) -> Callable[[str], FileLicence]:
    """Read a machine-readable `debian/copyright`.

    Args:
        copyright_file: the file.

    Returns:
        A function from the path of a file in the source package, as the `Files` fields name it, to its licence. As the
        format says, the last paragraph that matches a file applies to it.

    Raises:
        ValueError: the file is not machine-readable.
    """
    text = copyright_file.read_text(encoding="utf-8", errors="replace")
    log = logging.getLogger("debian.copyright")
    log.addFilter(_drop)  # small faults of form are logged for every file; what cannot be read raises
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = Copyright(text.splitlines(keepends=True), strict=False)
    except (NotMachineReadableError, ValueError) as error:
        raise ValueError(f"{copyright_file}: not a machine-readable copyright file: {error}") from error
    finally:
        log.removeFilter(_drop)
    paragraphs = list(document.all_files_paragraphs())

    def licence_of(path: str) -> FileLicence:
        for paragraph in reversed(paragraphs):
            if paragraph.matches(path):
                licence, holders = cast("License | None", paragraph.license), cast("str | None", paragraph.copyright)
                said = spdx_of_debian(licence.synopsis) if licence else NOT_STATED
                return FileLicence(said, " ".join((holders or "").split()))
        return FileLicence(NOT_STATED, "")

    return licence_of


def _drop(_record: logging.LogRecord) -> bool:
    return False


def check_phrase(text_file: Path, phrase: str) -> None:
    """Check that a licence text still says what its pinned phrase says, whatever the line breaks.

    Raises:
        ValueError: the phrase is not in the file.
    """
    text = " ".join(text_file.read_text(encoding="utf-8", errors="replace").split())
    if " ".join(phrase.split()) not in text:
        raise ValueError(f"{text_file}: got a licence text without {phrase!r}, wanted these words")

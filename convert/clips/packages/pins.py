"""`pins.toml` -> pinned packages; and a folder of package files -> a new `pins.toml`.

To pin newer versions, download them with the ordinary clients into an empty folder, then write the pins anew:

    mkdir new && cd new && apt-get download NAME... && npm pack NAME... && pip download --no-deps NAME...
    python -m convert.clips.packages.pins new

Every package in the folder gets the pin of its file; packages that are not in it keep theirs.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from convert.clips.packages.fetch import plain_name, sha256_of, split_file_name
from convert.clips.sources.records import Package
from edge.files import write_atomically

_PINS = Path(__file__).with_name("pins.toml")
_HEAD = """# Packages that clips are made from: version, and SHA-256 of the file that the registry serves.
# Written by `python -m convert.clips.packages.pins FOLDER`; Debian packages are those of Debian 12 (bookworm).
"""


@cache
def read_pins() -> dict[tuple[str, str], Package]:
    """All pinned packages by (kind, name)."""
    rows = tomllib.loads(_PINS.read_text(encoding="utf-8")).get("package", [])
    return {(row["kind"], row["name"]): Package(**row) for row in rows}


def pinned(kind: str, name: str) -> Package:
    """Return the pin of a package.

    Raises:
        ValueError: the package has no pin.
    """
    try:
        return read_pins()[kind, name]
    except KeyError:
        raise ValueError(f"{_PINS}: got no pin of {kind} {name}, wanted one") from None


def pins_text(packages: Iterable[Package]) -> str:
    """Write pins as TOML, sorted by kind and name."""
    rows = [
        f'\n[[package]]\nkind = "{package.kind}"\nname = "{package.name}"\nversion = "{package.version}"\n'
        f'sha256 = "{package.sha256}"\n'
        for package in sorted(packages, key=lambda package: (package.kind, package.name))
    ]
    return _HEAD + "".join(rows)


def pins_of_folder(folder: Path) -> dict[tuple[str, str], Package]:
    """Pin every package file of a folder.

    Raises:
        ValueError: a file is not named as the clients name package files.
    """
    known = {
        (kind, plain_name(kind, name)): name for kind, name in read_pins()
    }  # files of npm do not tell @a/b from a-b
    pins: dict[tuple[str, str], Package] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        kind, name, version = split_file_name(path)
        name = known.get((kind, name), name)
        pins[kind, name] = Package(kind, name, version, sha256_of(path))  # type: ignore[arg-type]
    return pins


def main(folder: Path) -> None:
    """Write the pins of the package files in a folder into `pins.toml`."""
    pins = read_pins() | pins_of_folder(folder)
    write_atomically(_PINS, pins_text(pins.values()))
    print(f"{_PINS}: {len(pins)} packages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

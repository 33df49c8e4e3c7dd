"""Files to be changed -> the changed files, and the originals in /var/backups/seld-edge until they are restored.

A file that existed before is restored byte for byte. A file that did not is removed, and so are the folders that were
created for it. Changes that somebody else made in the meantime are never overwritten.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edge.device.prefix_files import make_private_folder, read_file, real_path, replace_file

FOLDER = Path("var/backups/seld-edge")

_INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """The record of a file that was changed. Checksums are SHA-256; None stands for a file that does not exist."""

    before: str | None  # checksum of the original
    after: str | None  # checksum of what was written last
    disturbed: bool = False  # somebody else changed the file between two changes of ours
    made: tuple[str, ...] = ()  # folders that were created for it, relative to the prefix, outermost first


class Backups:
    """The files that were changed below a prefix. All methods raise OSError if a file cannot be read or written.

    Attributes:
        kept: records of the changed files, by their paths below the prefix.
    """

    def __init__(self, prefix: Path) -> None:
        """Read the index of what was changed before.

        Args:
            prefix: folder of the system's files.

        Raises:
            ValueError: the index cannot be understood.
        """
        self._prefix = prefix
        self._folder = prefix / FOLDER
        self._made, self.kept = _parsed_index(prefix / FOLDER / _INDEX, read_file(prefix, FOLDER / _INDEX))

    def change(self, contents: Mapping[Path, bytes | None]) -> None:
        """Write files, and keep the originals of those that were not changed before.

        Args:
            contents: new content by path below the prefix; None removes the file.
        """
        if not self.kept:
            self._made = self._missing_folders(FOLDER)
            make_private_folder(self._prefix, FOLDER)
        for path, after in contents.items():
            present = read_file(self._prefix, path)
            known = self.kept.get(path)
            if known is None:
                self._save(path, present)
                self.kept[path] = Kept(_checksum(present), _checksum(after), made=self._missing_folders(path))
            else:
                disturbed = known.disturbed or _checksum(present) not in (known.before, known.after)
                self.kept[path] = replace(known, after=_checksum(after), disturbed=disturbed)
        self._write_index()
        for path, after in contents.items():
            replace_file(self._prefix, path, after)

    def before(self, path: Path) -> bytes | None:
        """Return the original content of a file, None if it did not exist."""
        return None if self.kept[path].before is None else read_file(self._prefix, FOLDER / path)

    def untouched(self, path: Path) -> bool:
        """Whether nobody else has changed the file since, so that the original may be restored."""
        known = self.kept[path]
        return not known.disturbed and _checksum(read_file(self._prefix, path)) in (known.before, known.after)

    def restore(self, contents: Mapping[Path, bytes | None]) -> None:
        """Write files with owners and permissions of the originals, and forget the originals.

        Args:
            contents: content by path below the prefix, usually the original one; None removes the file.
        """
        for path, content in contents.items():
            saved = self._folder / path
            replace_file(self._prefix, path, content, saved if saved.exists() else None)
            self._remove_folders(self.kept.pop(path).made)
            self._write_index()
            saved.unlink(missing_ok=True)
        if contents and not self.kept:
            shutil.rmtree(self._folder)
            self._remove_folders(self._made)

    def _save(self, path: Path, present: bytes | None) -> None:
        if present is not None:
            replace_file(self._prefix, FOLDER / path, present, real_path(self._prefix, path))

    def _missing_folders(self, path: Path) -> tuple[str, ...]:
        parents = [parent for parent in reversed(path.parents) if not (self._prefix / parent).exists()]
        return tuple(map(str, parents))

    def _remove_folders(self, made: tuple[str, ...]) -> None:
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # it does not exist any more, or others have put something into it
                (self._prefix / folder).rmdir()

    def _write_index(self) -> None:
        files = {str(path): asdict(known) for path, known in sorted(self.kept.items())}
        index = {"made": self._made, "files": files}
        replace_file(self._prefix, FOLDER / _INDEX, json.dumps(index, indent=1).encode())


def _checksum(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _parsed_index(path: Path, content: bytes | None) -> tuple[tuple[str, ...], dict[Path, Kept]]:
    if content is None:
        return (), {}
    try:
        index = json.loads(content)
        kept = {Path(name): Kept(**{**known, "made": tuple(known["made"])}) for name, known in index["files"].items()}
        made = tuple(index["made"])
        for each in (*kept, *map(Path, made), *(Path(folder) for known in kept.values() for folder in known.made)):
            if each.is_absolute() or ".." in each.parts:
                raise ValueError
        return made, kept
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(f"{path}: got something else, wanted the index of `seld-edge apply`") from None

"""Files that are changed, as they were before: kept below /var/backups/seld-edge until they are put back.

A file that was there before is put back byte for byte, one that was not is removed, with the folders made for it. What
somebody else has changed since is never overwritten.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

FOLDER = Path("var/backups/seld-edge")

_INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a file that was changed. Sums are SHA-256, None stands for no file."""

    before: str | None
    after: str | None
    disturbed: bool = False  # somebody else changed it between two changes of ours
    made: tuple[str, ...] = ()  # folders below the prefix that were made for it, the outermost first


class Backups:
    """The files that were changed below a prefix. Raises OSError where something cannot be read or written."""

    def __init__(self, prefix: Path) -> None:
        """Raises ValueError if what is kept there cannot be understood."""
        self._prefix = prefix
        self._folder = prefix / FOLDER
        self._made, self.kept = _read_index(self._folder / _INDEX)

    def change(self, texts: Mapping[Path, bytes | None]) -> None:
        """Write these files below the prefix, or remove those that are None; how they were is kept before."""
        if not self.kept:
            self._made = self._missing_folders(FOLDER)
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)
        for path, after in texts.items():
            present = read(self._prefix, path)
            known = self.kept.get(path)
            if known is None:
                self._save(path, present)
                self.kept[path] = Kept(_sum(present), _sum(after), made=self._missing_folders(path))
            else:
                disturbed = known.disturbed or _sum(present) not in (known.before, known.after)
                self.kept[path] = replace(known, after=_sum(after), disturbed=disturbed)
        self._write_index()
        for path, after in texts.items():
            _write(self._prefix, path, after)

    def before(self, path: Path) -> bytes | None:
        """The file as it was before the first change, None for no file."""
        return None if self.kept[path].before is None else (self._folder / path).read_bytes()

    def untouched(self, path: Path) -> bool:
        """Nobody else has changed it since: it may be put back as it was."""
        known = self.kept[path]
        return not known.disturbed and _sum(read(self._prefix, path)) in (known.before, known.after)

    def restore(self, texts: Mapping[Path, bytes | None]) -> None:
        """Write these files, or remove those that are None, and forget how they were before."""
        for path, text in texts.items():
            saved = self._folder / path
            _write(self._prefix, path, text, saved if saved.exists() else None)
            self._remove_folders(self.kept.pop(path).made)
            self._write_index()
            saved.unlink(missing_ok=True)
        if texts and not self.kept:
            shutil.rmtree(self._folder)
            self._remove_folders(self._made)

    def _save(self, path: Path, present: bytes | None) -> None:
        if present is not None:
            saved = self._folder / path
            saved.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(_real(self._prefix, path), saved)

    def _missing_folders(self, path: Path) -> tuple[str, ...]:
        parents = [parent for parent in reversed(path.parents) if not (self._prefix / parent).exists()]
        return tuple(map(str, parents))

    def _remove_folders(self, made: tuple[str, ...]) -> None:
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # it is gone, or something else is in it by now
                (self._prefix / folder).rmdir()

    def _write_index(self) -> None:
        files = {str(path): asdict(known) for path, known in sorted(self.kept.items())}
        index = {"made": self._made, "files": files}
        _write(self._prefix, FOLDER / _INDEX, json.dumps(index, indent=1).encode())


def read(prefix: Path, path: Path) -> bytes | None:
    """The bytes of a file below a prefix, None for no file. Raises ValueError for a link that leads out of it."""
    real = _real(prefix, path)
    return real.read_bytes() if real.exists() else None


def _real(prefix: Path, path: Path) -> Path:
    """Where a file is: links are followed, as /etc/asound.conf is one with some drivers."""
    try:
        real = (prefix / path).resolve()
    except RuntimeError:
        raise ValueError(f"{prefix / path}: got links in a circle, wanted a file") from None
    if not real.is_relative_to(prefix.resolve()):
        raise ValueError(f"{prefix / path}: got a link to {real}, wanted it below {prefix}")
    return real


def _write(prefix: Path, path: Path, text: bytes | None, like: Path | None = None) -> None:
    """Aside and renamed into place: after a power cut it is the old one or the new one, with the old one's rights."""
    real = _real(prefix, path)
    if text is None:
        real.unlink(missing_ok=True)
        return
    real.parent.mkdir(parents=True, exist_ok=True)
    model = like or (real if real.exists() else None)
    aside = real.with_name(f".{real.name}.part")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if model is None:
            aside.chmod(0o644)
        else:
            _take_rights(model, aside)
        aside.replace(real)
    finally:
        aside.unlink(missing_ok=True)


def _take_rights(model: Path, path: Path) -> None:
    was, now = model.stat(), path.stat()
    if (now.st_uid, now.st_gid) != (was.st_uid, was.st_gid):  # or a file system that has none would complain
        os.chown(path, was.st_uid, was.st_gid)
    shutil.copymode(model, path)


def _sum(text: bytes | None) -> str | None:
    return None if text is None else hashlib.sha256(text).hexdigest()


def _read_index(path: Path) -> tuple[tuple[str, ...], dict[Path, Kept]]:
    if not path.exists():
        return (), {}
    try:
        index = json.loads(path.read_bytes())
        kept = {Path(name): Kept(**{**known, "made": tuple(known["made"])}) for name, known in index["files"].items()}
        return tuple(index["made"]), kept
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(f"{path}: got something else, wanted the index of `seld-edge apply`") from None

"""`seld-edge apply`: what the files of the system are to say -> the difference shown, and written if asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from pathlib import Path

from edge.device.backup import FOLDER, Backups, read
from edge.device.install import SETTINGS_PATH, UNIT, Run, Step, carry_out
from edge.device.system_files import ASOUND_PATH, BOARD_PATH, BOOT_PATH, RULES_PATH, SHARED, SystemFile
from edge.device.text_edits import without_block

_RESTART = Run(("systemctl", "--no-block", "try-restart", UNIT), may_fail=True)  # where it is not installed yet
_AFTER: dict[Path, tuple[Step, ...]] = {
    RULES_PATH: (
        Run(("udevadm", "control", "--reload"), may_fail=True),  # in a container
        Run(("udevadm", "trigger", "--action=add", "--subsystem-match=sound"), may_fail=True),
    ),
    BOARD_PATH: (Run(("systemctl", "daemon-reload")), _RESTART),
    ASOUND_PATH: (_RESTART,),
    SETTINGS_PATH: (_RESTART,),
}

log = logging.getLogger(__name__)


def apply(files: Sequence[SystemFile], prefix: Path, write: bool) -> None:
    """Print how the files would change, as a unified diff; if `write`, change them and tell the system.

    Raises ValueError if a file cannot be changed as wanted: then none is.
    """
    changes: dict[Path, bytes | None] = {}
    for file in files:
        present = read(prefix, file.path)
        try:
            wanted = _encoded(file.edited(_decoded(present)))
        except ValueError as error:
            raise ValueError(f"{prefix / file.path}: {error}") from None
        if wanted != present:
            changes[file.path] = wanted
            _show(prefix / file.path, present, wanted)
    if not changes:
        log.warning("nothing to change")
    elif not write:
        log.warning("nothing is written yet: --write does it")
    else:
        Backups(prefix).change(changes)
        _tell(changes, prefix)


def undo(prefix: Path) -> bool:
    """Put all files back as they were before the first `apply`, printing how they change. False if some could not be.

    Of those that somebody else has changed since, our block is taken out if there is one; others stay as they are.
    """
    backups = Backups(prefix)
    if not backups.kept:
        log.warning("nothing to undo")
    changes: dict[Path, bytes | None] = {}
    for path in backups.kept:
        present, before = read(prefix, path), backups.before(path)
        if backups.untouched(path):
            changes[path] = before
        elif path in SHARED and present is not None:
            rest = _encoded(without_block(_decoded(present) or ""))
            changes[path] = before if before is None and not rest else rest
        else:
            was = "it was not there before" if before is None else f"as it was before: {prefix / FOLDER / path}"
            log.warning("%s stays: somebody has changed it since; %s", prefix / path, was)
            continue
        _show(prefix / path, present, changes[path])
    backups.restore(changes)
    _tell(changes, prefix)
    return not backups.kept


def _show(path: Path, present: bytes | None, wanted: bytes | None) -> None:
    before, after = (_lines(text) for text in (present, wanted))
    old, new = ("/dev/null" if text is None else str(path) for text in (present, wanted))
    for line in unified_diff(before, after, old, new, lineterm=""):
        print(line)


def _lines(text: bytes | None) -> list[str]:
    """Without their ends; that a last one has none is said as diff says it."""
    if not text:
        return []
    *lines, last = text.decode("utf-8", "replace").split("\n")
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines


def _tell(changes: Mapping[Path, bytes | None], prefix: Path) -> None:
    """Have the running system take notice."""
    steps = [step for path, then in _AFTER.items() if path in changes for step in then]
    carry_out(list(dict.fromkeys(steps)), prefix, dry_run=False)
    if BOOT_PATH in changes:
        log.warning("%s takes effect when the machine is started again", prefix / BOOT_PATH)


def _decoded(text: bytes | None) -> str | None:
    return None if text is None else text.decode("utf-8", "surrogateescape")


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")

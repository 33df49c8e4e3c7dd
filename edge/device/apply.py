"""`seld-edge apply`: edits of system files -> their differences on stdout, and the changed files if that is wanted."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from pathlib import Path

from edge.device.backup import FOLDER, Backups
from edge.device.install import SETTINGS_PATH, UNIT, Run, Step, carry_out
from edge.device.prefix_files import read_file
from edge.device.system_files import ASOUND_PATH, BOARD_PATH, BOOT_PATH, RULES_PATH, SHARED, SystemFile
from edge.device.text_edits import without_block

_RESTART = Run(("systemctl", "--no-block", "try-restart", UNIT), may_fail=True)  # the unit may not be installed yet
_STEPS_AFTER: dict[Path, tuple[Step, ...]] = {
    RULES_PATH: (
        Run(("udevadm", "control", "--reload"), may_fail=True),  # there is no udev in a container
        Run(("udevadm", "trigger", "--action=add", "--subsystem-match=sound"), may_fail=True),
    ),
    BOARD_PATH: (Run(("systemctl", "daemon-reload")), _RESTART),
    ASOUND_PATH: (_RESTART,),
    SETTINGS_PATH: (_RESTART,),
}

log = logging.getLogger(__name__)


def apply(files: Sequence[SystemFile], prefix: Path, write: bool) -> None:
    """Print the changes of files as unified diffs, and write them if that is wanted.

    Args:
        files: the files, and how each is edited.
        prefix: folder of the system's files. For `/`, the running system is told of written changes.
        write: write the changes, and keep the originals.

    Raises:
        ValueError: a file cannot be edited, or a command failed. If a file cannot be edited, none is written.
        OSError: a file cannot be read or written.
    """
    changes: dict[Path, bytes | None] = {}
    for file in files:
        present = read_file(prefix, file.path)
        try:
            wanted = _encoded(file.edit(_decoded(present)))
        except ValueError as error:
            raise ValueError(f"{prefix / file.path}: {error}") from None
        if wanted != present:
            changes[file.path] = wanted
            print_diff(prefix / file.path, present, wanted)
    if not changes:
        log.warning("nothing to change")
    elif not write:
        log.warning("nothing is written yet: use --write to write these changes")
    else:
        Backups(prefix).change(changes)
        _notify_system(changes, prefix)


def undo(prefix: Path, write: bool) -> bool:
    """Print what restores all files as they were before the first `apply`, and restore them if that is wanted.

    If somebody else has changed a file since, only our block is removed from it; a file without a block is kept.

    Args:
        prefix: folder of the system's files.
        write: restore the files. For the prefix `/`, the running system is told of them.

    Returns:
        Whether all files can be restored.

    Raises:
        ValueError: a file is not where it was, or a command failed.
        OSError: a file cannot be read or written.
    """
    backups = Backups(prefix)
    if not backups.kept:
        log.warning("nothing to undo")
    changes: dict[Path, bytes | None] = {}
    complete = True
    for path in backups.kept:
        present, before = read_file(prefix, path), backups.before(path)
        if backups.untouched(path):
            changes[path] = before
        elif path in SHARED and present is not None:
            rest = _encoded(without_block(_decoded(present) or ""))
            changes[path] = before if before is None and not rest else rest
        else:
            original = "there was no original" if before is None else f"the original is {prefix / FOLDER / path}"
            log.warning("%s is kept: somebody else has changed it; %s", prefix / path, original)
            complete = False
            continue
        print_diff(prefix / path, present, changes[path])
    if write:
        backups.restore(changes)
        _notify_system(changes, prefix)
    elif changes:
        log.warning("nothing is restored yet: use --write to write these changes")
    return complete


def print_diff(path: Path, present: bytes | None, wanted: bytes | None) -> None:
    """Print how the content of a file changes, as a unified diff; None stands for a file that does not exist."""
    before, after = (_lines(content) for content in (present, wanted))
    old, new = ("/dev/null" if content is None else str(path) for content in (present, wanted))
    for line in unified_diff(before, after, old, new, lineterm=""):
        print(line)


def _lines(content: bytes | None) -> list[str]:
    """Lines without their ends. A last line that has no end is marked as `diff` marks it."""
    if not content:
        return []
    *lines, last = content.decode("utf-8", "replace").split("\n")
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines


def _notify_system(changes: Mapping[Path, bytes | None], prefix: Path) -> None:
    """Make the running system read the changed files."""
    steps = [step for path, after in _STEPS_AFTER.items() if path in changes for step in after]
    carry_out(list(dict.fromkeys(steps)), prefix, dry_run=False)
    if BOOT_PATH in changes:
        log.warning("%s takes effect at the next boot", prefix / BOOT_PATH)


def _decoded(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "surrogateescape")


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")

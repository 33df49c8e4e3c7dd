"""Content -> a file that is replaced as a whole: readers see the old file or the new one, never a part."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


def write_atomically(
    path: Path, content: str | bytes, *, mode: int | None = None, like: Path | None = None, sync: bool = False
) -> None:
    """Write a temporary file (`.NAME.part`) in the same folder and rename it to `path`.

    Args:
        path: the file to write. Its folder must exist. A symbolic link is replaced, not followed.
        content: what to write; text is encoded as UTF-8 and its line ends are kept.
        mode: permission bits of a new file; without it, the umask decides. An existing file keeps its bits.
        like: a file whose owner, group and permission bits are copied instead.
        sync: flush the content to the disk before the rename, so that it survives a power cut.

    Raises:
        OSError: the file cannot be written. The old file is unchanged then, and the temporary file removed.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.part")
    private = mode is not None or like is not None or path.exists()  # closed until its own permissions are set
    try:
        with os.fdopen(os.open(temporary, _FLAGS, 0o600 if private else 0o666), "wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        if like is not None:
            _copy_owner(like, temporary)
            shutil.copymode(like, temporary)
        elif path.exists():
            shutil.copymode(path, temporary)
        elif mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _copy_owner(source: Path, target: Path) -> None:
    wanted, present = source.stat(), target.stat()
    if (wanted.st_uid, wanted.st_gid) != (present.st_uid, present.st_gid):  # chown fails where there are no owners
        os.chown(target, wanted.st_uid, wanted.st_gid)

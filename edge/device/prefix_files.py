"""A file of a system, below a prefix -> its content, or the file replaced as a whole by a privileged process.

The prefix is `/` for this system, or the folder in which another system's files are. Symbolic links are followed, as
/etc/asound.conf is one with some drivers, but not out of the prefix.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def real_path(prefix: Path, path: Path) -> Path:
    """Return where the file is.

    Args:
        prefix: folder of the system's files.
        path: the file, relative to the prefix.

    Raises:
        ValueError: links lead out of the prefix or in a circle, or to something other than a file. A device such as
            /dev/null, the target of a masked unit, must not be replaced.
    """
    try:
        real = (prefix / path).resolve()
    except RuntimeError:
        raise ValueError(f"{prefix / path}: got links in a circle, wanted a file") from None
    if not real.is_relative_to(prefix.resolve()):
        raise ValueError(f"{prefix / path}: got a link to {real}, wanted it below {prefix}")
    if real.exists() and not real.is_file():
        raise ValueError(f"{prefix / path}: got {real}, which is not a regular file, wanted one")
    return real


def read_file(prefix: Path, path: Path) -> bytes | None:
    """Return the content of a file, None if there is none. Raises ValueError as `real_path` does, and OSError."""
    real = real_path(prefix, path)
    return real.read_bytes() if real.exists() else None


def replace_file(prefix: Path, path: Path, content: bytes | None, like: Path | None = None) -> None:
    """Replace a file, or create it with its folders. After a power cut, it is the old file or the new one.

    The temporary file beside it is created anew and never through a link, so that nobody can direct the write of a
    privileged process to another file.

    Args:
        prefix: folder of the system's files.
        path: the file, relative to the prefix.
        content: what to write; None removes the file.
        like: file whose owner and permissions are copied; by default those of the old file, or 0644 for a new one.

    Raises:
        ValueError: as `real_path`.
        OSError: the file cannot be written; the old one is unchanged.
    """
    real = real_path(prefix, path)
    if content is None:
        real.unlink(missing_ok=True)
        return
    real.parent.mkdir(parents=True, exist_ok=True)
    model = like or (real if real.exists() else None)
    temporary = real.with_name(f".{real.name}.part")
    temporary.unlink(missing_ok=True)  # left behind by a power cut
    fd = os.open(temporary, _FLAGS, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if model is None:
            temporary.chmod(0o644)
        else:
            copy_permissions(model, temporary)
        temporary.replace(real)
    finally:
        temporary.unlink(missing_ok=True)


def copy_permissions(source: Path, target: Path) -> None:
    """Copy owner, group and permission bits of a file."""
    wanted, present = source.stat(), target.stat()
    if (wanted.st_uid, wanted.st_gid) != (present.st_uid, present.st_gid):  # chown fails on file systems without owners
        os.chown(target, wanted.st_uid, wanted.st_gid)
    shutil.copymode(source, target)

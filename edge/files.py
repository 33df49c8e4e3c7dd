"""Content -> a file that is replaced as a whole: readers see the old file or the new one, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOBUFS,
}


def is_temporary(error: OSError) -> bool:
    """Whether the cause of an error may go away by itself: a full, read-only or failing disk, or too few resources.

    A path that does not exist or is not permitted is none of these: somebody has to change the settings.
    """
    return error.errno in _TEMPORARY


def write_atomically(
    path: Path, content: str | bytes, *, mode: int | None = None, like: Path | None = None, sync: bool = False
) -> None:
    """Write a temporary file (`.NAME.part`) in the same folder and rename it to `path`.

    The temporary file is always a new one: one that is there already, left by a killed process or planted as a link, is
    removed first and never written to.

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
    temporary.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(temporary, _FLAGS, 0o600 if private else 0o666), "wb") as file:
            file.write(data)
            file.flush()
            if like is not None:
                _copy_owner(like, file.fileno())
                mode = stat.S_IMODE(like.stat().st_mode)
            elif path.exists():
                mode = stat.S_IMODE(path.stat().st_mode)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            if sync:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the error that is raised already is the one to report
            temporary.unlink(missing_ok=True)
        raise


def _copy_owner(source: Path, fd: int) -> None:
    wanted, present = source.stat(), os.fstat(fd)
    if (wanted.st_uid, wanted.st_gid) != (present.st_uid, present.st_gid):  # chown fails where there are no owners
        os.fchown(fd, wanted.st_uid, wanted.st_gid)

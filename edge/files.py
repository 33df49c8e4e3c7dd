"""Content -> a file that is replaced as a whole; and a file that somebody else wrote -> its content, within a bound.

Readers see the old file or the new one, never a part. A path that is given to us may lead to a pipe that nobody writes
to, to a device without end, or to a sparse file larger than the memory: `open_regular` and `read_bounded` refuse these.
A pipe or socket of our own is waited for by `wait_readable`.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import stat
from pathlib import Path
from typing import BinaryIO, Protocol

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # a pipe without a writer does not block
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


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        ValueError: The path leads to a folder, a pipe or a device. The message does not name it.
        OSError: The file cannot be opened.
    """
    fd = os.open(Path(path), _READ_FLAGS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError("not a regular file")
    return os.fdopen(fd, "rb")


def read_bounded(path: str | Path, most_bytes: int) -> bytes:
    """Read a whole regular file.

    Args:
        path: The file.
        most_bytes: Largest size that is read.

    Returns:
        Its content.

    Raises:
        ValueError: The file cannot be read, is not a regular file, or is larger; one line that begins with its path.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(most_bytes + 1) if size <= most_bytes else b""  # it may have grown since
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if max(size, len(content)) > most_bytes:
        raise ValueError(f"{path}: got {max(size, len(content))} bytes, wanted at most {most_bytes}")
    return content


def read_bounded_text(path: str | Path, most_bytes: int) -> str:
    """Read a whole regular file as UTF-8. Line ends become line feeds.

    Raises:
        ValueError: As `read_bounded`, or the content is not UTF-8; one line that begins with the path.
    """
    try:
        text = read_bounded(path, most_bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: got byte {error.object[error.start]:#04x} at {error.start}, wanted UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


class _Open(Protocol):
    def fileno(self) -> int: ...


def wait_readable(file: _Open, wait_s: float | None) -> bool:
    """Wait until a pipe or socket has something to read, or has ended.

    `select.select` refuses descriptors from 1024 on; this does not.

    Args:
        file: What is waited for.
        wait_s: Longest time; None waits without end.

    Returns:
        Whether it happened in time.
    """
    poll = select.poll()
    poll.register(file.fileno(), select.POLLIN)
    return bool(poll.poll(None if wait_s is None else math.ceil(1000.0 * wait_s)))

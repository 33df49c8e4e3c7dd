"""A file of a system, below a prefix -> its content, or the file replaced as a whole by a privileged process.

The prefix is `/` for this system, or the folder in which another system's files are. Symbolic links are followed, as
/etc/asound.conf is one with some drivers, but not out of the prefix.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from edge.files import read_bounded

MOST_BYTES = 2**24
"""Largest file that is read: files of settings are far smaller."""

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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
    return read_bounded(real, MOST_BYTES) if real.exists() else None


def replace_file(prefix: Path, path: Path, content: bytes | None, like: Path | None = None) -> None:
    """Replace a file, or create it with its folders. After a power cut, it is the old file or the new one.

    Links are followed once, by `real_path`. From then on each folder is opened below the one before and no link is
    followed, so that nobody who may write to one of them can direct a privileged process to another file: neither by a
    link in place of a folder, of the file or of the temporary file beside it, nor by one that appears in between. A
    hard link keeps its content elsewhere, as the file is replaced and never written to.

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
    try:
        with _opened_folder(prefix.resolve(), real.parent, make=content is not None) as folder:
            if content is None:
                _unlink(real.name, folder)
            else:
                _replace(real.name, folder, content, None if like is None else like.stat())
    except FileNotFoundError:
        if content is not None:
            raise


def make_private_folder(prefix: Path, path: Path) -> None:
    """Create a folder that only its owner can enter, or take this from all others; links are not followed.

    Raises:
        ValueError: a link leads out of the prefix or in a circle.
        OSError: there is something else, or it cannot be created.
    """
    with _opened_folder(prefix.resolve(), real_path(prefix, path / "file").parent, make=True) as folder:
        os.fchmod(folder, 0o700)


@contextlib.contextmanager
def _opened_folder(prefix: Path, folder: Path, make: bool) -> Iterator[int]:
    """Descriptor of a folder below the prefix, both without links. With `make`, missing folders are created."""
    opened = os.open(prefix, _FOLDER_FLAGS)
    try:
        for name in folder.relative_to(prefix).parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=opened)
            inner = os.open(name, _FOLDER_FLAGS, dir_fd=opened)
            os.close(opened)
            opened = inner
        yield opened
    finally:
        os.close(opened)


def _replace(name: str, folder: int, content: bytes, like: os.stat_result | None) -> None:
    temporary = f".{name}.part"
    model = like or _status(name, folder)
    _unlink(temporary, folder)  # left behind by a power cut
    fd = os.open(temporary, _FLAGS, 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            if model is None:
                os.fchmod(fd, 0o644)
            else:
                _copy_permissions(model, fd)
            os.fsync(fd)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _unlink(temporary, folder)
        raise


def _copy_permissions(wanted: os.stat_result, fd: int) -> None:
    """Copy owner, group and permission bits to an open file."""
    present = os.fstat(fd)
    if (wanted.st_uid, wanted.st_gid) != (present.st_uid, present.st_gid):  # chown fails on file systems without owners
        os.fchown(fd, wanted.st_uid, wanted.st_gid)
    os.fchmod(fd, stat.S_IMODE(wanted.st_mode))


def _status(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _unlink(name: str, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)

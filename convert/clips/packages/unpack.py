"""A package file or a zip archive -> the files in it, in a folder. No member can be written outside the folder."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path


def unpack_package(path: Path, folder: Path) -> None:
    """Unpack a `.deb`, `.whl`, `.zip`, `.tgz` or `.tar.gz` file into a folder, which is created.

    Args:
        path: the package file.
        folder: where its members go.

    Raises:
        ValueError: the file cannot be read, or a member would lie outside the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if path.suffix == ".deb":
            _unpack_deb(path, folder)
        elif path.suffix in {".whl", ".zip"}:
            unpack_zip(path, folder)
        else:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")  # refuses absolute paths, `..`, links to outside, devices
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"{path}: cannot be unpacked: {error}") from error


def unpack_zip(path: Path, folder: Path) -> None:
    """Unpack a zip archive into a folder.

    Raises:
        ValueError: a member would lie outside the folder.
        zipfile.BadZipFile: the file is damaged.
    """
    root = folder.resolve()
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            target = (root / member.filename).resolve()
            if not target.is_relative_to(root):
                raise ValueError(f"{path}: got the member {member.filename!r}, wanted none outside the archive")
        archive.extractall(root)


def _unpack_deb(path: Path, folder: Path) -> None:
    """Read the tar archive in a Debian package, by dpkg-deb as its compression varies, and unpack it here."""
    if shutil.which("dpkg-deb") is None:
        raise ValueError(f"{path}: dpkg-deb is needed to unpack it, and is not installed")
    with subprocess.Popen(
        ("dpkg-deb", "--fsys-tarfile", str(path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            archive.extractall(folder, filter=_data_with_absolute_links)
        process.stdout.read()
        reason = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise ValueError(f"{path}: dpkg-deb failed: {reason}")


def _data_with_absolute_links(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """As tarfile's filter `data`, but leave out links to elsewhere on the system: packages may have such links."""
    try:
        return tarfile.data_filter(member, folder)
    except (tarfile.AbsoluteLinkError, tarfile.LinkOutsideDestinationError):
        return None
